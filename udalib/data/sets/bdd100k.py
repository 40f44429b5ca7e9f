"""BDD100K: Yu et al., CVPR 2020. American dashcams: the 10,000 images with masks, and frames without labels (BDD-V)."""

import re
from pathlib import Path

from udalib import labels
from udalib.data.sets.ondisk import IMAGES, Item, Listing, OnDisk, descend, files, pair

_OBTAIN = "Log in at https://bdd-data.berkeley.edu/ and fetch {} (education, research and non-profit)."
_VIDEO = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}")


def listing(root: Path, split: str) -> Listing:
    """Either layout of the 10K set: images/10k/SPLIT and labels/sem_seg/masks/SPLIT, or that of the first release.

    The first release has seg/images/SPLIT and seg/labels/SPLIT/..._train_id.png. Images without a label and labels
    without an image occur in the archives before June 2021.
    """
    if descend(root, "images/10k"):
        images, masks, ending = "images/10k", "labels/sem_seg/masks", ""
    else:
        images, masks, ending = "seg/images", "seg/labels", "_train_id"
    truth = {} if split == "test" else files(root, f"{masks}/{split}", ending)
    return pair(files(root, f"{images}/{split}"), truth)


def frames(root: Path, split: str) -> Listing:
    """Frames of any drives: those of list.txt, else all in frames, else images/100k. Names are paths without suffix.

    Frames of drives that are in the validation or test split of the 10K set, if it lies there too, are excluded.
    """
    folder = descend(root, "frames") or descend(root, "images/100k")
    if chosen := descend(root, "list.txt"):
        paths = [root / line for line in chosen.read_text().split("\n") if line.strip()]
        if missing := [path for path in paths if not path.exists()]:
            raise ValueError(f"{chosen} names {missing[0]}, which is not there; paths count from {root}.")
    elif folder:
        paths = [p for p in folder.rglob("*") if p.suffix.lower() in IMAGES and not p.name.startswith(".")]
    else:
        raise ValueError(f"{root} contains neither frames nor images/100k; put the images there.")
    items = [Item(str(path.relative_to(root).with_suffix("")), path) for path in sorted(paths)]
    tested = _tested(root)
    drives = {item.name: _VIDEO.search(Path(item.name).name) for item in items}
    seen = {name: "in the 10K validation or test split" for name, id_ in drives.items() if id_ and id_[0] in tested}
    return Listing(tuple(items)).without(seen)


def _tested(root: Path) -> set[str]:
    """Ids of the validation and test images of the 10K set, in this folder or in bdd100k beside it."""
    homes = (root, root.parent / "bdd100k")
    parts = [f"{layout}/{split}" for layout in ("images/10k", "seg/images") for split in ("val", "test")]
    return {name for home in homes for part in parts if descend(home, part) for name in files(home, part)}


BDD100K = OnDisk(
    name="bdd100k",
    title="BDD100K 10K",
    folders=("bdd100k",),
    contents=(("images/10k",), ("seg/images",)),
    listing=listing,
    splits={"train": 7000, "val": 1000, "test": 2000},
    unlabelled=("test",),
    size=(720, 1280),
    encoding=labels.encoding("bdd100k"),
    ids=frozenset(range(19)) | {255},
    obtain=_OBTAIN.format('"10K Images" and "Segmentation"'),
)
BDDV = OnDisk(
    name="bddv",
    title="BDD frames",
    folders=("bddv", "bdd100k"),
    contents=(("frames",), ("images/100k",)),
    listing=frames,
    splits={"frames": 0},
    unlabelled=("frames",),
    size=(720, 1280),
    obtain=_OBTAIN.format('"100K Images"'),
)
