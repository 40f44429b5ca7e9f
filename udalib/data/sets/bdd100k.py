"""BDD100K: Yu et al., CVPR 2020. American dashcams: the 10,000 images with masks, and frames without labels (BDD-V)."""

import json
import re
from dataclasses import replace
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

    Frames of drives that are in the validation or test split of the 10K set, if it lies there too, are excluded; a
    note says if it doesn't.
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
    tested = {split: _in_10k(root, split) for split in ("val", "test")}
    unknown = [split for split, ids in tested.items() if not ids]
    notes = (f"no {' or '.join(unknown)} images of BDD100K 10K found whose drives to exclude",) if unknown else ()
    drives = {item.name: _VIDEO.search(Path(item.name).name) for item in items}
    reasons = {
        name: f"in the 10K {split} split"
        for name, drive in drives.items()
        for split, ids in tested.items()
        if drive and drive[0] in ids
    }
    return replace(Listing(tuple(items)).without(reasons), notes=notes)


def _in_10k(root: Path, split: str) -> set[str]:
    """Ids of the images in a split of the 10K set, which lies in the folder of the frames, around it or beside it."""
    ids = set()
    for place in (root, root.absolute().parent):
        try:
            home = BDD100K.locate(place)
        except ValueError:
            continue
        for part in (f"images/10k/{split}", f"seg/images/{split}"):
            ids |= files(home, part).keys() if descend(home, part) else set()
    return ids


def times_of_day(path: Path) -> dict[str, str]:
    """The time of day of each image, such as "night", by its name without suffix, from a JSON file of BDD100K's labels.

    The file is a list of frames, or has one under "frames"; see
    https://github.com/ucbdrive/bdd-data/blob/master/doc/format.md. Raises ValueError where it isn't such a file.
    """
    try:
        stored = json.loads(path.read_text())
        found = stored["frames"] if isinstance(stored, dict) else stored
        # Frames may lack the attribute, or have null for all of them.
        told = [(frame["name"], (frame.get("attributes") or {}).get("timeofday")) for frame in found]
        return {Path(name).stem: time for name, time in told if time}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} can't be read as labels of BDD100K ({type(error).__name__}: {error}); give the JSON file whose "
            "frames have a name and, among the attributes, timeofday."
        ) from error


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
