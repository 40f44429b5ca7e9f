"""Any benchmark by name: embedded, on real datasets, or one's own, described in a file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from torch.utils.data import Subset

from udalib.data import benchmarks, own
from udalib.data.benchmarks import PAIRS, Benchmark, Pair
from udalib.data.real import REAL_PAIRS, RealPair, find_real, first_real, open_real


def find_pair(name: str) -> Pair | RealPair:
    """The benchmark called `name`, or the one that the file `name` describes if it ends with .toml.

    Raises ValueError, listing the choices, for any other name, and where that file can't be used.
    """
    if str(name).endswith(own.SUFFIX):
        return own.read(name)
    if pair := find_real(name):
        return pair
    if name in PAIRS:
        return PAIRS[name]()
    choices = ", ".join([*PAIRS, *REAL_PAIRS])
    raise ValueError(f"There is no benchmark {name!r}; choose one of: {choices}, or give a {own.SUFFIX} file.")


def first_with(name: str, side: str) -> str:
    """The first benchmark with the same classes and the same "source" or "target" as the one called `name`.

    What is trained on that side alone is the same for both.
    """
    if name in PAIRS:
        return benchmarks.first_with(name, side)
    return name if str(name).endswith(own.SUFFIX) else first_real(find_pair(name), side)


def benchmark(
    name: str,
    profile: str = "quick",
    seed: int = 0,
    root: str | Path | None = None,
    oracle: bool = False,
    fold: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Benchmark:
    """Open a benchmark by name; images are rendered or decoded into the cache at the first call.

    name: see `find_pair`. seed: changes every image of an embedded benchmark, and none of a real one. root: the folder
    that contains the real datasets; of an embedded benchmark, the folder of the rendered images (default: `streets` in
    `runs.home()`). oracle: open the target's labels. fold: of a benchmark in folds, open this one; without it, target
    and validation set are all the images. progress: called with (images done, images in all).

    Raises ValueError for an unknown name, profile or fold, for datasets that are not there or not whole, and where the
    cache is damaged or can't be written.
    """
    pair = find_pair(name)
    if isinstance(pair, Pair):
        return benchmarks.benchmark(name, profile, seed, root, oracle, fold, progress)
    return open_real(pair, profile, seed, root, oracle, fold, progress)


def validation(
    name: str,
    profile: str = "quick",
    seed: int = 0,
    root: str | Path | None = None,
    fold: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Benchmark:
    """Open the validation set of a benchmark alone, to score on: none of its other datasets has to be there.

    Arguments and errors are those of `benchmark`. Of a benchmark on real datasets, source and target are then empty;
    an embedded one is opened as a whole.
    """
    pair = find_pair(name)
    if isinstance(pair, Pair):
        return benchmarks.benchmark(name, profile, seed, root, fold=fold, progress=progress)
    part = pair.val or pair.source  # without labels of the target, images of the source are held out
    alone = dataclasses.replace(pair, source=part, target=part)
    bench = open_real(alone, profile, seed, root, fold=fold, progress=progress)
    nothing = Subset(bench.val, ())
    protocol = {subject: text for subject, text in bench.protocol.items() if subject not in ("source", "target")}
    return dataclasses.replace(bench, source=nothing, target=nothing, pair=pair, protocol=protocol)
