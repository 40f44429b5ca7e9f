"""Benchmarks: a labelled source, an unlabelled target and a labelled validation set of the target."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from udalib import labels, runs
from udalib.data import streets
from udalib.data.datasets import ArrayDataset, Sample


@dataclass(frozen=True)
class Profile:
    """How much work a run does: sizes of the embedded benchmarks; recipes add the length of training."""

    name: str
    purpose: str
    size: tuple[int, int]  # height, width in pixels
    source: int  # images
    target: int
    val: int
    folded: int  # of a benchmark in folds, target and val together


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", "tests: seconds, figures mean nothing", (64, 128), 24, 16, 16, folded=20),
        Profile("quick", "reading and teaching: minutes on two CPU cores", (128, 256), 1600, 800, 320, folded=100),
        Profile("full", "the tables we ship: longer training", (128, 256), 1600, 800, 320, folded=100),
    )
}


@dataclass(frozen=True)
class Pair:
    """An embedded benchmark: two domains of streets, and the experiment that it stands in for.

    merge: how predictions and truth are scored, where that is in other classes than the network's. folds: the
    target is a small set of images; in each fold one part is the validation set and the others are adapted to.
    """

    source: streets.Domain
    target: streets.Domain
    stands_for: str
    classes: labels.ClassSet = labels.CITYSCAPES
    merge: labels.Merge | None = None
    folds: int = 0


def _city() -> streets.Domain:
    return streets.domain("city", appearance=0.5)


def _plain_city() -> streets.Domain:
    """The same scenes, in which no surface passes for another class."""
    city = _city()
    return replace(city, frequency=replace(city.frequency, lookalikes={}))


PAIRS = {
    "game-city": lambda: Pair(streets.domain("game"), _city(), "GTA5 to Cityscapes"),
    "game-city-plain": lambda: Pair(
        streets.domain("game"), _plain_city(), "GTA5 to Cityscapes, without surfaces that pass for another class"
    ),
    "game-city-hard": lambda: Pair(
        streets.domain("game"),
        streets.domain("city", appearance=0.75),
        "GTA5 to Cityscapes, with a large gap",
    ),
    "synth-city": lambda: Pair(streets.domain("synth"), _city(), "SYNTHIA to Cityscapes", labels.SYNTHIA16),
    "game-dashcam": lambda: Pair(streets.domain("game"), streets.domain("dashcam", appearance=0.5), "GTA5 to BDD100K"),
    "city-dashcam": lambda: Pair(_city(), streets.domain("dashcam", appearance=0.5), "Cityscapes to BDD100K"),
    **{
        f"city-{town}": lambda town=town: Pair(
            _city(),
            streets.domain(town, appearance=0.5),
            f"Cityscapes to NTHU {town.capitalize()}",
            merge=labels.CITYSCAPES_TO_NTHU13,
            folds=10,
        )
        for town in ("rome", "rio", "tokyo", "taipei")
    },
}


@dataclass(frozen=True)
class Benchmark:
    """The three datasets of an adaptation experiment.

    source: labelled; target: unlabelled unless the benchmark was opened as the oracle; val: labelled, for
        scoring.
    classes: what the label indices mean. merge: see `Pair`. stands_for: the experiment of the papers this
    benchmark is a stand-in for. fold: the fold that was opened, None for all images of a benchmark. root: the folder
    it was opened from.
    """

    name: str
    profile: str
    seed: int
    source: Dataset[Sample]
    target: Dataset[Sample]
    val: Dataset[Sample]
    classes: labels.ClassSet
    stands_for: str
    size: tuple[int, int]
    merge: labels.Merge | None = None
    fold: int | None = None
    root: Path | None = None

    def oracle(self) -> "Benchmark":
        """The same benchmark with the target's labels, for the oracle and for reports on label quality."""
        return benchmark(self.name, self.profile, self.seed, self.root, oracle=True, fold=self.fold)


def find_profile(name: str) -> Profile:
    """The profile called `name`. Raises ValueError, listing the choices, for any other name."""
    return _find(name, PROFILES, "profile")


def find_pair(name: str) -> Pair:
    """The embedded benchmark called `name`. Raises ValueError, listing the choices, for any other name."""
    return _find(name, PAIRS, "benchmark")()


def first_with(name: str, side: str) -> str:
    """The first benchmark with the same classes and the same "source" or "target" as the one called `name`.

    What is trained on that side alone is the same for both.
    """
    pair = find_pair(name)
    same = (
        o for o in PAIRS if (getattr(find_pair(o), side), find_pair(o).classes) == (getattr(pair, side), pair.classes)
    )
    return next(same)


def _find(name: str, table: dict, kind: str):
    if name not in table:
        raise ValueError(f"There is no {kind} {name!r}; choose one of: {', '.join(table)}.")
    return table[name]


def benchmark(
    name: str,
    profile: str = "quick",
    seed: int = 0,
    root: str | Path | None = None,
    oracle: bool = False,
    fold: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Benchmark:
    """Open a benchmark by name; the embedded ones are rendered into the cache at the first call.

    seed: changes every image of an embedded benchmark. root: the folder that holds the rendered images
        (default:
    `streets` in `runs.home()`). oracle: open the target's labels. fold: of a benchmark in folds, open this one;
    without it, target and validation set are all the images. progress: called with (images done, images in all).

    Raises ValueError for an unknown name, profile or fold, and where the cache is damaged or can't be written.
    """
    amount, pair = find_profile(profile), find_pair(name)
    cache = Path(root) if root else runs.home() / "streets"

    to_classes = labels.encoding("bdd100k").lut(pair.classes)  # streets store Cityscapes train ids, as BDD100K does

    def images(domain: streets.Domain, part: str, count: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        pictures, truth = streets.load(
            domain, part, count, size=amount.size, seed=seed, cache_dir=cache, progress=progress
        )
        names = [f"{domain.name}-{part}-{seed}-{index:05d}" for index in range(count)]
        return pictures, to_classes[truth], names

    source = ArrayDataset(*images(pair.source, "train", amount.source))
    if pair.folds:
        if fold is not None and not 0 <= fold < pair.folds:
            raise ValueError(f"{name} has no fold {fold!r}; choose 0 to {pair.folds - 1}.")
        everything = images(pair.target, "train", amount.folded)
        part = np.arange(amount.folded) * pair.folds // amount.folded
        target, val = (_chosen(everything, part != fold), _chosen(everything, (part == fold) | (fold is None)))
    elif fold is not None:
        raise ValueError(f"{name} has no folds; leave out fold={fold!r}.")
    else:
        target = images(pair.target, "train", amount.target)
        val = images(pair.target, "val", amount.val)
    pictures, truth, names = target
    return Benchmark(
        name=name,
        profile=profile,
        seed=seed,
        source=source,
        target=ArrayDataset(pictures, truth if oracle else None, names),
        val=ArrayDataset(*val),
        classes=pair.classes,
        stands_for=pair.stands_for,
        size=amount.size,
        merge=pair.merge,
        fold=fold,
        root=cache,
    )


def _chosen(images: tuple[np.ndarray, np.ndarray, list[str]], which: np.ndarray):
    pictures, truth, names = images
    return pictures[which], truth[which], [name for name, chosen in zip(names, which, strict=True) if chosen]
