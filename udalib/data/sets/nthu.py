"""NTHU cross-city: Chen et al., ICCV 2017. Street-view images of four cities, 13 classes in the ids of Cityscapes."""

from pathlib import Path

from udalib import labels
from udalib.data.sets.ondisk import NOT_THERE, Listing, OnDisk, descend, files, pair

CITIES = ("rome", "rio", "tokyo", "taipei")


def listing(root: Path, split: str) -> Listing:
    """Images/Train without labels; Images/Test and Labels/Test/..._eval.png. List/SPLIT.txt chooses, if it is there.

    The suffix of the images differs between the cities.
    """
    images = files(root, f"Images/{split.capitalize()}")
    if chosen := descend(root, f"List/{split}.txt"):
        wanted = {Path(line).stem: NOT_THERE for line in chosen.read_text().split()}
        unlisted = dict.fromkeys(images.keys() - wanted.keys(), f"not in List/{chosen.name}")
    else:
        wanted, unlisted = {}, {}
    found = pair(images, {} if split == "train" else files(root, "Labels/Test", "_eval"), unlisted)
    missing = {name: reason for name, reason in wanted.items() if name not in images}
    return Listing(found.items, {**found.excluded, **missing})


NTHU = {
    city: OnDisk(
        name=f"nthu-{city}",
        title=f"NTHU {city.capitalize()}",
        folders=(f"NTHU_Datasets/{city.capitalize()}",),
        contents=(("Images/Test", "Labels/Test"),),
        listing=listing,
        splits={"train": 3200, "test": 100},
        about=("train",),
        unlabelled=("train",),
        size=(1024, 2048),
        encoding=labels.encoding("nthu"),
        classes=labels.NTHU13,
        ids=frozenset(range(34)) | {255},
        obtain="Ask for it at https://yihsinchen.github.io/segmentation_adaptation_dataset/ (academic research).",
    )
    for city in CITIES
}
