"""SYNTHIA-RAND-CITYSCAPES: Ros et al., CVPR 2016. Rendered streets, labels with 16 bits per channel."""

from dataclasses import replace
from pathlib import Path

from udalib import labels
from udalib.data.sets.ondisk import Listing, OnDisk, files, pair
from udalib.data.sets.reading import read_synthia_ids

COUNT = 9400


def listing(root: Path, split: str) -> Listing:
    """RGB/0000000.png ... and GT/LABELS/0000000.png ...; published lists write GT/labels too."""
    return pair(files(root, "RGB"), files(root, "GT/LABELS"))


def names(split: str) -> frozenset[str]:
    """Those of the published images."""
    return frozenset(f"{n:07d}" for n in range(COUNT))


SYNTHIA = OnDisk(
    name="synthia",
    title="SYNTHIA-RAND-CITYSCAPES",
    folders=("RAND_CITYSCAPES",),
    contents=(("RGB", "GT/LABELS"),),
    listing=listing,
    splits={"all": COUNT},
    size=(760, 1280),
    encoding=labels.encoding("synthia"),
    ids=frozenset(range(23)),
    modes=("RGB",),
    bits=16,
    read_label=read_synthia_ids,
    names=names,
    obtain="Fetch SYNTHIA-RAND-CITYSCAPES (CVPR16) from https://synthia-dataset.net/downloads/ (CC BY-NC-SA 3.0).",
)
LANES_ARE_ROAD = replace(SYNTHIA, encoding=labels.encoding("synthia", "lanes-are-road"))
# One public converter knows no wall.
_WITHOUT_WALL = tuple(row for row in SYNTHIA.encoding.table if row[1] != "wall")
NO_WALL = replace(SYNTHIA, encoding=replace(SYNTHIA.encoding, variant="no-wall", table=_WITHOUT_WALL))
