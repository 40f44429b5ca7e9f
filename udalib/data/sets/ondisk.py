"""What a dataset on disk is: a layout, splits, a label encoding, and known defects."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from udalib import labels
from udalib.data.sets.reading import read_ids

IMAGES = (".png", ".jpg", ".jpeg")
# Reasons for which a name is excluded that speak of an incomplete download.
NO_IMAGE, NOT_THERE = "label without image", "listed, but not there"


@dataclass(frozen=True)
class Item:
    """One image of a split. name: unique there. label: None where there is no label file."""

    name: str
    image: Path
    label: Path | None = None


@dataclass(frozen=True)
class Listing:
    """The images of a split in the order of their names.

    excluded: names that are not used, each with its reason. notes: what else a reader of a score should know.
    """

    items: tuple[Item, ...]
    excluded: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def without(self, reasons: dict[str, str]) -> "Listing":
        """The listing without the images that are named in `reasons`."""
        here = {item.name: reasons[item.name] for item in self.items if item.name in reasons}
        items = tuple(item for item in self.items if item.name not in here)
        return replace(self, items=items, excluded={**self.excluded, **here})


@dataclass(frozen=True)
class OnDisk:
    """A dataset as its provider ships it.

    name, title: for commands, and for people. folders: where it usually lies in the root. contents: subfolders by which
    its folder is recognised, for each of its layouts. listing: from that folder and a split to its images.
    splits: how many images each was published with, 0 where that is not known. size: usual height and width.
    obtain: where it is had, and under which licence.
    encoding: what the stored values mean; None for a dataset without labels. classes: those it has labels of. ids: the
    values a label file may hold. modes: of the label files, as Pillow names them. bits: per channel. image_modes: of
    the images.
    unlabelled: splits without labels. home: its folder, where that doesn't depend on a root.
    about: splits whose published count is a round figure. names: from a split to the names it was published with.
    groups: how many images of a split have names that begin with a word and "_", such as a city, by that word.
    blank: names of images that are known to show nothing.
    """

    name: str
    title: str
    folders: tuple[str, ...]
    contents: tuple[tuple[str, ...], ...]
    listing: Callable[[Path, str], Listing]
    splits: dict[str, int]
    size: tuple[int, int]
    obtain: str
    encoding: labels.Encoding | None = None
    classes: labels.ClassSet = labels.CITYSCAPES
    ids: frozenset[int] = frozenset()
    modes: tuple[str, ...] = ("L",)
    bits: int = 8
    image_modes: tuple[str, ...] = ("RGB",)
    read_label: Callable[[Path], np.ndarray] = read_ids
    unlabelled: tuple[str, ...] = ()
    home: Path | None = None
    about: tuple[str, ...] = ()
    names: Callable[[str], frozenset[str]] | None = None
    groups: dict[str, dict[str, int]] = field(default_factory=dict)
    blank: frozenset[str] = frozenset()

    def locate(self, root: str | Path | None) -> Path:
        """The dataset's folder: one of `folders` inside `root`, or `root` itself. Capitals don't matter.

        Raises ValueError where neither has the dataset's subfolders, or no root is given.
        """
        if self.home:
            return self.home
        if root is None:
            raise ValueError(f"{self.title} has to be on this machine; give the folder that contains it as root.")
        root = Path(root).expanduser()
        inside = [path for folder in self.folders for path in (folder, Path(folder).name)]
        for candidate in (*(descend(root, path) for path in inside), root):
            if candidate and any(all(descend(candidate, part) for part in layout) for layout in self.contents):
                return candidate
        wanted = " or ".join(", ".join(layout) for layout in self.contents)
        raise ValueError(
            f"There is no {self.title} in {root}: neither it nor its {self.folders[0]} contains {wanted}. {self.obtain}"
        )

    def images(self, root: Path, split: str) -> Listing:
        """The images of a split in the dataset's folder.

        Raises ValueError for an unknown split, one whose folders are missing, and one without a single image.
        """
        if split not in self.splits:
            raise ValueError(f"{self.title} has no split {split!r}; choose one of: {', '.join(self.splits)}.")
        listing = self.listing(root, split)
        if not listing.items:
            raise ValueError(f"Split {split} of {self.title} has no image in {root}; unpack its archives there.")
        return listing


def descend(folder: Path, path: str) -> Path | None:
    """The subfolder or file `path` of `folder`, whatever its capitals; None where there is none."""
    for part in Path(path).parts:
        exact = folder / part
        if exact.exists():
            folder = exact
            continue
        if not folder.is_dir():
            return None
        same = [child for child in folder.iterdir() if child.name.lower() == part.lower()]
        if not same:
            return None
        folder = same[0]
    return folder


def files(folder: Path, path: str, ending: str = "", kinds: Iterable[str] = IMAGES) -> dict[str, Path]:
    """The image files of a subfolder by their names without `ending` and suffix; hidden files are left out.

    Raises ValueError where there is no such subfolder.
    """
    found = descend(folder, path)
    if found is None:
        raise ValueError(f"{folder / path} is missing; unpack the archive that contains it.")
    chosen = (f for f in found.iterdir() if f.suffix.lower() in kinds and not f.name.startswith("."))
    return {f.stem.removesuffix(ending): f for f in sorted(chosen) if f.stem.endswith(ending)}


def pair(images: dict[str, Path], truth: dict[str, Path], defects: dict[str, str] | None = None) -> Listing:
    """Images with the label files of the same name, or without one; `defects` and labels without image are excluded."""
    lonely = dict.fromkeys(sorted(truth.keys() - images.keys()), NO_IMAGE)
    items = tuple(Item(name, images[name], truth.get(name)) for name in sorted(images))
    return Listing(items, lonely).without(defects or {})
