"""Benchmarks: a labelled source, an unlabelled target and a labelled validation set of the target."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", "tests: seconds, figures mean nothing", (64, 128), source=24, target=16, val=16),
        Profile("quick", "reading and teaching: minutes on two CPU cores", (128, 256), 1600, 800, 320),
        Profile("full", "the tables we ship: longer training", (128, 256), 1600, 800, 320),
    )
}


@dataclass(frozen=True)
class Pair:
    """An embedded benchmark: two domains of streets, and the experiment that it stands in for."""

    source: streets.Domain
    target: streets.Domain
    stands_for: str
    classes: labels.ClassSet = labels.CITYSCAPES


def _city() -> streets.Domain:
    return streets.domain("city", appearance=0.5)


PAIRS = {
    "game-city": lambda: Pair(streets.domain("game"), _city(), "GTA5 to Cityscapes"),
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
            _city(), streets.domain(town, appearance=0.5), f"Cityscapes to NTHU {town.capitalize()}"
        )
        for town in ("rome", "rio", "tokyo", "taipei")
    },
}


@dataclass(frozen=True)
class Benchmark:
    """The three datasets of an adaptation experiment.

    source: labelled; target: unlabelled unless the benchmark was opened as the oracle; val: labelled, for
        scoring.
    classes: what the label indices mean. stands_for: the experiment of the papers this benchmark is a
        stand-in for.
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

    def oracle(self) -> "Benchmark":
        """The same benchmark with the target's labels, for the oracle and for reports on label quality."""
        return benchmark(self.name, self.profile, self.seed, oracle=True)


def find_profile(name: str) -> Profile:
    """The profile called `name`. Raises ValueError, listing the choices, for any other name."""
    return _find(name, PROFILES, "profile")


def find_pair(name: str) -> Pair:
    """The embedded benchmark called `name`. Raises ValueError, listing the choices, for any other name."""
    return _find(name, PAIRS, "benchmark")()


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
    progress: Callable[[int, int], None] | None = None,
) -> Benchmark:
    """Open a benchmark by name; the embedded ones are rendered into the cache at the first call.

    seed: changes every image of an embedded benchmark. root: the folder that holds the rendered images
        (default:
    `streets` in `runs.home()`). oracle: open the target's labels. progress: called with (images done, images
    in all).

    Raises ValueError for an unknown name or profile, and where the cache is damaged or can't be written.
    """
    amount, pair = find_profile(profile), find_pair(name)
    cache = Path(root) if root else runs.home() / "streets"

    to_classes = labels.encoding("bdd100k").lut(pair.classes)  # streets store Cityscapes train ids, as BDD100K does

    def split(domain: streets.Domain, part: str, count: int, labelled: bool = True) -> ArrayDataset:
        images, truth = streets.load(
            domain, part, count, size=amount.size, seed=seed, cache_dir=cache, progress=progress
        )
        names = [f"{domain.name}-{part}-{seed}-{index:05d}" for index in range(count)]
        return ArrayDataset(images, to_classes[truth] if labelled else None, names)

    return Benchmark(
        name=name,
        profile=profile,
        seed=seed,
        source=split(pair.source, "train", amount.source),
        target=split(pair.target, "train", amount.target, labelled=oracle),
        val=split(pair.target, "val", amount.val),
        classes=pair.classes,
        stands_for=pair.stands_for,
        size=amount.size,
    )
