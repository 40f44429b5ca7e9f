"""Real datasets as they lie on disk. None is shipped; each says where it is had."""

from udalib.data.sets.bdd100k import BDD100K, BDDV
from udalib.data.sets.camvid import CAMVID
from udalib.data.sets.cityscapes import CITYSCAPES
from udalib.data.sets.gta5 import GTA5
from udalib.data.sets.nthu import NTHU
from udalib.data.sets.ondisk import Item, Listing, OnDisk
from udalib.data.sets.synthia import LANES_ARE_ROAD, NO_WALL, SYNTHIA

SETS = {dataset.name: dataset for dataset in (GTA5, SYNTHIA, CITYSCAPES, BDD100K, BDDV, *NTHU.values(), CAMVID)}


def find(name: str) -> OnDisk:
    """The dataset called `name`. Raises ValueError, listing the choices, for any other name."""
    if name not in SETS:
        raise ValueError(f"There is no dataset {name!r}; choose one of: {', '.join(SETS)}.")
    return SETS[name]


__all__ = [
    "BDD100K",
    "BDDV",
    "CAMVID",
    "CITYSCAPES",
    "GTA5",
    "LANES_ARE_ROAD",
    "NO_WALL",
    "NTHU",
    "SETS",
    "SYNTHIA",
    "Item",
    "Listing",
    "OnDisk",
    "find",
]
