"""Benchmarks on real datasets: which splits are adapted to each other, at which size, under which protocol."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Subset

from udalib import labels, runs
from udalib.data import sets
from udalib.data.benchmarks import Benchmark, Profile, find_profile
from udalib.data.datasets import ArrayDataset, Sample
from udalib.data.decoded import decode_once
from udalib.data.sets import Listing, OnDisk
from udalib.data.sets.reading import fit_ids, fit_image, read_image
from udalib.data.verify import ids_sha256, usable, workspace

Progress = Callable[[int, int], None]

# Read once: a process runs the code it was started with.
_code_version = functools.cache(runs.code_version)

# Height of the images in pixels; the papers' profiles take them as published. A width follows from the dataset's shape.
DRIVING = {"smoke": 64, "quick": 160, "full": 256}
SMALL = {"smoke": 60, "quick": 180, "full": 360}
SAMPLED = ("smoke", "quick")  # profiles that take as many images as of the embedded benchmarks, evenly spaced
WHOLE = ("full", "paper", "paper-released")  # profiles that take all images
HELD_OUT = 10  # without labels of the target to score on, every tenth source image is kept for it


@dataclass(frozen=True)
class Part:
    """A split of a dataset, in one of the three roles of a benchmark."""

    dataset: OnDisk
    split: str


@dataclass(frozen=True)
class RealPair:
    """A benchmark on real datasets; the fields that `Pair` has too mean the same.

    val: None holds out source images to score on, where the target has no labels at all. title: the experiment in
    words. heights: by profile, see `DRIVING`. keep: indices of the classes that count when a prediction is made for
    scoring, empty for all. scoring: what is special about the scores, in words. variants: changes of these fields, by
    the word that is appended to the name for them.
    """

    name: str
    title: str
    source: Part
    target: Part
    val: Part | None
    classes: labels.ClassSet = labels.CITYSCAPES
    merge: labels.Merge | None = None
    folds: int = 0
    heights: dict[str, int] = field(default_factory=lambda: DRIVING)
    keep: tuple[int, ...] = ()
    scoring: str = "as trained"
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)

    # What an embedded benchmark stands in for; this one is the experiment itself.
    stands_for = "itself"

    @property
    def roles(self) -> dict[str, Part]:
        parts = {"source": self.source, "target": self.target, "val": self.val}
        return {role: part for role, part in parts.items() if part}

    @property
    def target_has_labels(self) -> bool:
        return self.target.split not in self.target.dataset.unlabelled

    def dataset(self, role: str) -> OnDisk:
        return self.roles.get(role, self.source).dataset

    def size(self, role: str, profile: str) -> tuple[int, int]:
        """Height and width of the images in a role: the profile's height, and a width in multiples of 8."""
        height, width = self.dataset(role).size
        wanted = self.heights.get(profile, height)
        return (height, width) if wanted == height else (wanted, round(wanted * width / height / 8) * 8)

    def variant(self, word: str) -> "RealPair":
        return dataclasses.replace(self, name=f"{self.name}-{word}", variants={}, **self.variants[word])


def _nthu(city: str) -> RealPair:
    test = Part(sets.NTHU[city], "test")
    chosen = labels.NTHU13.train_ids
    return RealPair(
        f"cityscapes-nthu-{city}",
        f"Cityscapes to NTHU {city.capitalize()}",
        Part(sets.CITYSCAPES, "train"),
        test,
        test,
        merge=labels.CITYSCAPES_TO_NTHU13,
        folds=10,
        scoring="13 classes, predictions merged as in Table 1 of CBST",
        variants={
            "train": {"target": Part(sets.NTHU[city], "train"), "folds": 0},
            "drop": {
                "classes": labels.NTHU13,
                "merge": None,
                "scoring": "13 outputs; wall, fence, pole, terrain, truck and train are ignored in the source",
            },
            "strict19": {
                "merge": labels.Merge(labels.CITYSCAPES, labels.NTHU13, ()),
                "scoring": "13 of 19 classes, predictions of the other six are errors",
            },
            "masked19": {
                "merge": labels.Merge(labels.CITYSCAPES, labels.NTHU13, ()),
                "keep": chosen,
                "scoring": "13 of 19 classes, the largest of their 13 logits is the prediction",
            },
        },
    )


def _camvid(name: str, title: str, *splits: str) -> RealPair:
    parts = (Part(sets.CAMVID, split) for split in splits)
    return RealPair(f"camvid-{name}", f"CamVid {title}", *parts, classes=labels.CAMVID11, heights=SMALL)


_GTA5, _SYNTHIA = Part(sets.GTA5, "all"), Part(sets.SYNTHIA, "all")
_CITY, _CITY_VAL = Part(sets.CITYSCAPES, "train"), Part(sets.CITYSCAPES, "val")
_BDD, _BDD_VAL = Part(sets.BDD100K, "train"), Part(sets.BDD100K, "val")

REAL_PAIRS = {
    pair.name: pair
    for pair in (
        RealPair(
            "gta5-cityscapes",
            "GTA5 to Cityscapes",
            _GTA5,
            _CITY,
            _CITY_VAL,
            variants={"iast24941": {"source": Part(sets.GTA5, "iast24941")}},
        ),
        RealPair(
            "synthia-cityscapes",
            "SYNTHIA to Cityscapes",
            _SYNTHIA,
            _CITY,
            _CITY_VAL,
            labels.SYNTHIA16,
            scoring="16 outputs, and the mean over 13 of their IoUs",
            variants={
                "19": {
                    "classes": labels.CITYSCAPES,
                    "scoring": "19 outputs, means over 16 and 13 of their IoUs (strict)",
                },
                "masked19": {
                    "classes": labels.CITYSCAPES,
                    "merge": labels.Merge(labels.CITYSCAPES, labels.SYNTHIA16, ()),
                    "keep": labels.SYNTHIA16.train_ids,
                    "scoring": "16 of 19 classes, the largest of their logits is the prediction; and the mean over 13",
                },
                "lanes-are-road": {"source": Part(sets.LANES_ARE_ROAD, "all")},
                "no-wall": {"source": Part(sets.NO_WALL, "all")},
            },
        ),
        RealPair("gta5-bdd", "GTA5 to BDD100K", _GTA5, _BDD, _BDD_VAL),
        RealPair("gta5-bddv", "GTA5 to BDD frames without labels", _GTA5, Part(sets.BDDV, "frames"), _BDD_VAL),
        RealPair("cityscapes-bdd", "Cityscapes to BDD100K", _CITY, _BDD, _BDD_VAL),
        *(_nthu(city) for city in sets.NTHU),
        _camvid("day2dusk", "day to dusk", "day", "dusk-train", "dusk-test"),
        _camvid("dusk2day", "dusk to day", "dusk", "day-even", "day-odd"),
        _camvid("day2day", "day to another day, a small gap", "day", "day-even", "day-odd"),
    )
}


def find_real(name: str) -> RealPair | None:
    """The benchmark on real datasets called `name`, or None."""
    if name in REAL_PAIRS:
        return REAL_PAIRS[name]
    for pair in REAL_PAIRS.values():
        for word in pair.variants:
            if name == f"{pair.name}-{word}":
                return pair.variant(word)
    return None


def first_real(pair: RealPair, side: str) -> str:
    """The first benchmark that trains on the same "source" or "target" as `pair`, at the same sizes and classes.

    Only one that needs no dataset which `pair` doesn't need counts, so that nobody has to fetch one.
    """
    have = {part.dataset.name for part in pair.roles.values()}

    def same(other: RealPair) -> bool:
        return (
            getattr(other, side) == getattr(pair, side)
            and (other.classes, other.heights) == (pair.classes, pair.heights)
            and other.target.dataset.size == pair.target.dataset.size
            and {part.dataset.name for part in other.roles.values()} <= have
        )

    return next((other.name for other in REAL_PAIRS.values() if same(other)), pair.name)


# Opening ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RealBenchmark(Benchmark):
    """A benchmark on real datasets. `root` is the folder they lie in; `pair` is what was opened.

    protocol: what a score depends on, in words.
    """

    pair: RealPair | None = None
    protocol: dict[str, str] = field(default_factory=dict)

    def oracle(self) -> "RealBenchmark":
        """The same benchmark with the target's labels; an image without any has 255 everywhere."""
        return open_real(self.pair, self.profile, self.seed, self.root, oracle=True, fold=self.fold)


class DecodedDataset(ArrayDataset):
    """A domain whose images, and labels as they are in the files, lie in memory-mapped arrays.

    lut: uint8 [256], from the values in the files to class indices.
    """

    def __init__(self, images: np.ndarray, ids: np.ndarray | None, names: Sequence[str], lut: np.ndarray | None):
        super().__init__(images, ids, names)
        self.lut = lut

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        if sample.label is None:
            return sample
        return sample._replace(label=torch.from_numpy(self.lut[self.labels[index]]))


def open_real(
    pair: RealPair,
    profile: str = "quick",
    seed: int = 0,
    root: str | Path | None = None,
    oracle: bool = False,
    fold: int | None = None,
    progress: Progress | None = None,
) -> RealBenchmark:
    """Open a benchmark on real datasets; the first call decodes their files into a cache in `runs.home()`.

    seed: of the training; the images are the same for all. root: the folder that contains the datasets. The other
    arguments are those of `data.benchmark`.

    Raises ValueError for an unknown profile or fold, a dataset that is not there or is not whole, and a file that can't
    be decoded.
    """
    if fold is not None and not 0 <= fold < pair.folds:
        choices = f"choose 0 to {pair.folds - 1}" if pair.folds else "it has none"
        raise ValueError(f"{pair.name} has no fold {fold!r}; {choices}.")
    chosen = choose(pair, profile, root)

    def opened(role: str, labelled: bool) -> Dataset[Sample]:
        size = pair.size(role, profile)
        return decoded(pair.dataset(role), chosen[role], size, pair.classes, labelled, root, progress)

    target, val = opened("target", oracle), opened("val", True)
    if fold is not None:
        part = np.arange(len(val)) * pair.folds // len(val)
        target, val = Subset(target, np.flatnonzero(part != fold)), Subset(val, np.flatnonzero(part == fold))
    return RealBenchmark(
        name=pair.name,
        profile=profile,
        seed=seed,
        source=opened("source", True),
        target=target,
        val=val,
        classes=pair.classes,
        stands_for=pair.stands_for,
        size=pair.size("target", profile),
        merge=pair.merge,
        fold=fold,
        root=Path(root) if root else None,
        pair=pair,
        protocol=protocol(pair, profile, chosen),
    )


def choose(pair: RealPair, profile: str, root: str | Path | None) -> dict[str, Listing]:
    """The images that each of "source", "target" and "val" consists of under a profile, in order."""
    if profile not in SAMPLED + WHOLE:
        raise ValueError(f"There is no profile {profile!r}; choose one of: {', '.join(SAMPLED + WHOLE)}.")
    chosen = {}
    for role, part in pair.roles.items():
        listing = usable(part.dataset, part.dataset.locate(root), part.split)
        if role != "target" or pair.folds:  # folds are cut from one set of images
            listing = _labelled(listing, part)
        chosen[role] = listing
    if "val" not in chosen:
        items = chosen["source"].items
        chosen["val"] = Listing(items[::HELD_OUT])
        rest = tuple(item for number, item in enumerate(items) if number % HELD_OUT)
        chosen["source"] = dataclasses.replace(chosen["source"], items=rest)
    if profile in SAMPLED:
        return {role: _spaced(listing, _limit(pair, role, find_profile(profile))) for role, listing in chosen.items()}
    return chosen


def _labelled(listing: Listing, part: Part) -> Listing:
    found = listing.without({item.name: "no label" for item in listing.items if item.label is None})
    if not found.items:
        raise ValueError(f"Split {part.split} of {part.dataset.title} has no label; unpack those too.")
    return found


def _limit(pair: RealPair, role: str, amount: Profile) -> int:
    return amount.folded if pair.folds and role != "source" else getattr(amount, role)


def _spaced(listing: Listing, limit: int) -> Listing:
    """At most `limit` images, evenly spaced."""
    count = len(listing.items)
    if count <= limit:
        return listing
    return dataclasses.replace(listing, items=tuple(listing.items[n * count // limit] for n in range(limit)))


def decoded(
    dataset: OnDisk,
    listing: Listing,
    size: tuple[int, int],
    classes: labels.ClassSet,
    labelled: bool = True,
    root: str | Path | None = None,
    progress: Progress | None = None,
) -> DecodedDataset:
    """Images of a dataset at one size, (height, width), from the cache.

    listing: which, such as `dataset.images(dataset.locate(root), split)`. labelled: with their labels, as indices of
    `classes`; without a label file they are 255.
    """
    place = workspace(dataset, dataset.locate(root))

    def array(kind: str, files: list[Path | None], decode: Callable[[Path | None], np.ndarray], *shape: int):
        recipe = {
            "kind": kind,
            "size": list(size),
            # An edited file has another time stamp, and so gets another cache.
            "files": [[item.name, *_stamp(file)] for item, file in zip(listing.items, files, strict=True)],
            "code": _code_version("udalib.data.sets.reading"),
        }
        key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
        folder = place / f"{kind}-{len(files)}x{size[0]}x{size[1]}-{key[:12]}"
        return decode_once(folder, {**recipe, "files": key}, files, decode, shape, progress)

    def image_of(file: Path) -> np.ndarray:
        return fit_image(read_image(file), size).transpose(2, 0, 1)

    def ids_of(file: Path | None) -> np.ndarray:
        # Stored as in the files, so that one cache serves every class set.
        return np.full(size, labels.IGNORE, np.uint8) if file is None else fit_ids(dataset.read_label(file), size)

    images = array("images", [item.image for item in listing.items], image_of, 3, *size)
    names = [item.name for item in listing.items]
    if not labelled:
        return DecodedDataset(images, None, names, None)
    ids = array("labels", [item.label for item in listing.items], ids_of, *size)
    lut = dataset.encoding.lut(classes) if dataset.encoding else np.full(256, labels.IGNORE, np.uint8)
    return DecodedDataset(images, ids, names, lut)


def _stamp(file: Path | None) -> tuple[int, ...]:
    return (file.stat().st_size, file.stat().st_mtime_ns) if file else ()


# What a score depends on ----------------------------------------------------------------------------------


def protocol(pair: RealPair, profile: str, chosen: dict[str, Listing]) -> dict[str, str]:
    """What a score depends on, in words, for records and the command line."""
    scored = pair.merge.target if pair.merge else pair.classes

    def described(role: str) -> str:
        part, listing, size = pair.roles.get(role), chosen[role], pair.size(role, profile)
        where = (
            f"{part.dataset.title} {part.split}" if part else "held-out source images: says nothing about the target"
        )
        hidden = {"target": ", labels hidden"}.get(role, "")
        excluded = f", {len(listing.excluded)} excluded" if listing.excluded else ""
        native = pair.dataset(role).size
        resized = f" (published: {native[0]}x{native[1]})" if size != native else ""
        list_ = ids_sha256([item.name for item in listing.items])[:12]
        folds = f", in {pair.folds} folds" if pair.folds and role != "source" else ""
        images = f"{where}, {len(listing.items)} images{folds}{excluded}{hidden}"
        return "; ".join((images, f"{size[0]}x{size[1]}{resized}", f"list {list_}", *listing.notes))

    return {
        "experiment": pair.title,
        "classes": f"{len(pair.classes)} outputs ({pair.classes.name})",
        "scored": f"{len(scored)} classes ({scored.name}): {pair.scoring}",
        **{role: described(role) for role in ("source", "target", "val")},
        "resizing": "images by area (linear where they grow), labels nearest; logits bilinear, align_corners=False",
        "checkpoint": "that of the last round; none is chosen by its score",
    }


def fingerprint(pair: RealPair, profile: str, root: str | Path | None) -> dict[str, str]:
    """What identifies the data of a run: names and sizes in bytes of all files, what their pixels become at which size
    (height, width), and the code that reads them."""
    prints = {"code": _code_version("udalib.data.sets.reading")}
    for role, listing in choose(pair, profile, root).items():
        encoding = pair.dataset(role).encoding
        lines = [
            f"{pair.size(role, profile)} {encoding.lut(pair.classes).tolist() if encoding else None}",
            *(f"{item.name} {_bytes(item.image)} {_bytes(item.label)}" for item in listing.items),
        ]
        prints[role] = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
    return prints


def _bytes(file: Path | None) -> int:
    return file.stat().st_size if file else 0
