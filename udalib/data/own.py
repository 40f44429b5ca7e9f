"""A benchmark of one's own: folders of images, and a table of what the label values mean, in a TOML file.

    size = [180, 240]                # height and width that the network sees
    [ids]                            # value in the label files = class; without it, values are class indices
    7 = "road"
    [source]
    images = "game/images"           # paths count from this file; "game/*_rgb.png" is possible too, * being the name
    labels = "game/labels"
    [target]
    images = "phone/train"           # labels are optional here: they are for the oracle and for reports
    [val]                            # optional: labelled images of the target to score on
    images = "phone/val"
    labels = "phone/val_labels"

Two more keys are optional. name: by default that of the file. classes: names in the order of the indices, by default
those in [ids], and without it the 19 of Cityscapes.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from udalib import labels
from udalib.data.real import Part, RealPair
from udalib.data.sets.ondisk import IMAGES, Listing, OnDisk, pair

SUFFIX = ".toml"
ROLES = ("source", "target", "val")
KEYS = {"name", "size", "classes", "ids", *ROLES}


@dataclass(frozen=True)
class IdTable:
    """What label values mean in one's own files; `lut` and `inverse` are those of `labels.Encoding`."""

    names: tuple[tuple[int, str], ...]

    def lut(self, classes: labels.ClassSet) -> np.ndarray:
        lut = np.full(256, labels.IGNORE, np.uint8)
        for value, name in self.names:
            lut[value] = classes.index(name)
        return lut

    def inverse(self, classes: labels.ClassSet) -> np.ndarray:
        inverse = np.full(256, labels.IGNORE, np.uint8)
        for value, name in reversed(self.names):
            inverse[classes.index(name)] = value
        return inverse


def read(path: str | Path) -> RealPair:
    """The benchmark that a file describes. Raises ValueError in one sentence that names the file and the key."""
    path = Path(path).expanduser()
    try:
        described = tomllib.loads(path.read_text())
    except OSError as error:
        raise ValueError(
            f"{path} can't be read ({error.strerror}); give the file that describes a benchmark."
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is not TOML: {error}.") from error
    if unknown := described.keys() - KEYS:
        raise ValueError(f"{path} has the unknown key {min(unknown)!r}; there are: {', '.join(sorted(KEYS))}.")
    name, size = described.get("name", path.stem), described.get("size")
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(s, int) and s >= 32 for s in size)):
        raise ValueError(f"{path} has size = {size}; give [height, width] in pixels, 32 or more.")
    if not str(name).replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{path} has name = {name!r}; use letters, digits, - and _, since files are named after it.")
    ids, classes = _ids(path, described)
    parts = {}
    for role in ROLES:
        if role in described:
            parts[role] = Part(_dataset(path, name, role, described[role], tuple(size), ids, classes), "all")
        elif role != "val":
            raise ValueError(f"{path} has no [{role}]; say where its images are.")
    height = size[0]
    return RealPair(
        name=name,
        title=f"{name}, described in {path.name}",
        source=parts["source"],
        target=parts["target"],
        val=parts.get("val"),
        classes=classes,
        heights={"smoke": min(height, 64), "quick": height, "full": height},
    )


def _ids(path: Path, described: dict[str, Any]) -> tuple[IdTable, labels.ClassSet]:
    ids, names = described.get("ids", {}), described.get("classes")
    if not all(value.isdecimal() and int(value) < labels.IGNORE for value in ids):
        raise ValueError(
            f'{path} has a value in [ids] that is not a number from 0 to 254; write lines like 7 = "road".'
        )
    if names is None:
        names = tuple(dict.fromkeys(ids.values())) or labels.CITYSCAPES.names
    if len(set(names)) != len(names) or not 2 <= len(names) < labels.IGNORE:
        raise ValueError(f"{path} has classes = {list(names)}; give two or more different names.")
    if strange := set(ids.values()) - set(names):
        raise ValueError(f"{path} has the class {min(strange)!r} in [ids], but not in classes; add it there.")
    table = tuple((int(value), name) for value, name in ids.items()) or tuple(enumerate(names))
    return IdTable(table), class_set(tuple(names))


def class_set(names: tuple[str, ...]) -> labels.ClassSet:
    """Classes by name: those of Cityscapes keep colour and train id, others get the next of PASCAL VOC's colours."""
    if names == labels.CITYSCAPES.names:
        return labels.CITYSCAPES
    palette, train_ids = [], []
    for index, name in enumerate(names):
        if name in labels.CITYSCAPES.names:
            city = labels.CITYSCAPES.index(name)
            palette.append(labels.CITYSCAPES.palette[city])
            train_ids.append(city)
        else:
            palette.append(_voc_colour(index + 1))
            train_ids.append(len(labels.CITYSCAPES) + index)
    return labels.ClassSet("own", names, tuple(palette), tuple(train_ids))


def _voc_colour(index: int) -> tuple[int, int, int]:
    """Bits 0, 3, 6 of the index are the high bits of red, bits 1, 4, 7 of green, bits 2, 5 of blue."""
    return tuple(sum((index >> (3 * n + channel) & 1) << (7 - n) for n in range(3)) for channel in range(3))


def _dataset(
    path: Path,
    name: str,
    role: str,
    described: dict[str, str],
    size: tuple[int, int],
    ids: IdTable,
    classes: labels.ClassSet,
) -> OnDisk:
    """One role's folders as a dataset with the split "all"."""
    if "images" not in described or described.keys() - {"images", "labels"}:
        raise ValueError(f"{path} has a [{role}] that is not images and labels; give a folder for each.")
    if "labels" not in described and role != "target":
        raise ValueError(f"{path} has no labels in [{role}]; only the target can do without.")

    def listing(root: Path, split: str) -> Listing:
        truth = _named(root, described["labels"]) if "labels" in described else {}
        return pair(_named(root, described["images"]), truth)

    return OnDisk(
        name=f"{name}-{role}",
        title=f"{role} of {name}",
        folders=(),
        contents=(),
        listing=listing,
        splits={"all": 0},
        size=size,
        obtain="",
        encoding=ids,
        classes=classes,
        ids=frozenset(value for value, _ in ids.names) | {labels.IGNORE},
        modes=("L", "P"),
        image_modes=("RGB", "RGBA", "L", "P"),
        unlabelled=() if "labels" in described else ("all",),
        home=path.resolve().parent,
    )


def _named(root: Path, pattern: str) -> dict[str, Path]:
    """Image files by name: all of a folder, or those of a pattern, by what its * stands for."""
    folder, _, last = pattern.rpartition("/")
    if "*" not in last:
        folder, last = pattern, "*"
    if not (root / folder).is_dir():
        raise ValueError(f"{root / folder} is not there; paths in a benchmark's file count from its own folder.")
    before, _, after = last.partition("*")
    chosen = sorted(file for file in (root / folder).glob(last) if file.suffix.lower() in IMAGES)
    if after:
        return {file.name.removeprefix(before).removesuffix(after): file for file in chosen}
    return {file.stem.removeprefix(before): file for file in chosen if not file.name.startswith(".")}
