"""Cityscapes: Cordts et al., CVPR 2016. Fine annotations, 50 cities, one car."""

from pathlib import Path

from torchvision.datasets import Cityscapes

from udalib import labels
from udalib.data.sets.ondisk import NO_IMAGE, Item, Listing, OnDisk


def listing(root: Path, split: str) -> Listing:
    """leftImg8bit/SPLIT/CITY/..._leftImg8bit.png and gtFine/SPLIT/CITY/..._gtFine_labelIds.png, by torchvision.

    Names are CITY_SEQUENCE_FRAME. A list of them, such as the 505 images that the released code of CBST trains on, goes
    into the setting `image_list` of a recipe. The label files of the test split are placeholders: no labels here.
    """
    for part in ("leftImg8bit", "gtFine"):  # torchvision would unpack archives there, or blame a whole split
        if not (root / part / split).is_dir():
            raise ValueError(f"{root / part / split} is missing; unpack {_ARCHIVES[part]} into {root}.")
    try:
        found = Cityscapes(root, split, target_type="semantic")
    except NotADirectoryError as error:
        raise ValueError(f"{error.filename} is a file among the folders of the cities; remove it.") from error
    items = []
    for image, (label,) in zip(map(Path, found.images), found.targets, strict=True):
        if not image.name.startswith(".") and image.stem.endswith("_leftImg8bit"):
            there = split != "test" and Path(label).exists()
            items.append(Item(image.stem.removesuffix("_leftImg8bit"), image, Path(label) if there else None))
    known = {item.name for item in items}
    stored = ((root / "gtFine" / split).glob("*/*_gtFine_labelIds.png")) if split != "test" else ()
    lonely = {p.stem.removesuffix("_gtFine_labelIds") for p in stored} - known
    items.sort(key=lambda item: item.name)
    return Listing(tuple(items), dict.fromkeys(sorted(lonely), NO_IMAGE))


_ARCHIVES = {"leftImg8bit": "leftImg8bit_trainvaltest.zip", "gtFine": "gtFine_trainvaltest.zip"}
# Images of each city.
_TRAIN = {
    "aachen": 174,
    "bochum": 96,
    "bremen": 316,
    "cologne": 154,
    "darmstadt": 85,
    "dusseldorf": 221,
    "erfurt": 109,
    "hamburg": 248,
    "hanover": 196,
    "jena": 119,
    "krefeld": 99,
    "monchengladbach": 94,
    "strasbourg": 365,
    "stuttgart": 196,
    "tubingen": 144,
    "ulm": 95,
    "weimar": 142,
    "zurich": 122,
}
_VAL = {"frankfurt": 267, "lindau": 59, "munster": 174}

CITYSCAPES = OnDisk(
    name="cityscapes",
    title="Cityscapes",
    folders=("cityscapes",),
    contents=(("leftImg8bit", "gtFine"),),
    listing=listing,
    splits={"train": sum(_TRAIN.values()), "val": sum(_VAL.values()), "test": 1525},
    groups={"train": _TRAIN, "val": _VAL},
    unlabelled=("test",),
    size=(1024, 2048),
    encoding=labels.encoding("cityscapes"),
    ids=frozenset(range(34)) | {255},  # a licence plate, -1, is stored as 255
    obtain=f"Register at https://www.cityscapes-dataset.com/ for {' and '.join(_ARCHIVES.values())} (non-commercial).",
)
