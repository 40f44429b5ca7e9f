"""GTA5, "Playing for Data": Richter et al., ECCV 2016. Frames of a game with the ids of Cityscapes."""

from pathlib import Path

from udalib import labels
from udalib.data.sets.ondisk import Listing, OnDisk, files, pair

COUNT = 24966
# Three independent code bases leave these two out: the image is blank, its label is not.
DEFECTS = {name: "blank image, known" for name in ("15188", "17705")}
# Images that the list of IAST's released code leaves out; it gives no reason.
_GAPS = ((2154, 2158), (4634, 4637), (7115, 7119), (9683, 9688), (12050, 12054))
NOT_IN_IAST = {f"{n:05d}": "not in the list of IAST" for first, last in _GAPS for n in range(first, last + 1)}


LEFT_OUT = {"all": DEFECTS, "iast24941": NOT_IN_IAST}


def listing(root: Path, split: str) -> Listing:
    """images/00001.png ... and labels/00001.png ...; "iast24941" is the list of IAST, blank images included."""
    return pair(files(root, "images"), files(root, "labels"), LEFT_OUT[split])


def names(split: str) -> frozenset[str]:
    """Those of the published images."""
    return frozenset(f"{n:05d}" for n in range(1, COUNT + 1)) - LEFT_OUT[split].keys()


GTA5 = OnDisk(
    name="gta5",
    title="GTA5",
    folders=("GTA5",),
    contents=(("images", "labels"),),
    listing=listing,
    splits={split: COUNT - len(left_out) for split, left_out in LEFT_OUT.items()},
    size=(1052, 1914),
    encoding=labels.encoding("gta5"),
    ids=frozenset(range(35)),  # 34 is a licence plate
    modes=("P",),
    names=names,
    blank=frozenset(DEFECTS),
    obtain="Fetch 20 archives from https://download.visinf.tu-darmstadt.de/data/from_games/ (research, teaching).",
)
