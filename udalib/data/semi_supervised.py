"""Semi-supervised benchmarks: labels for a share of the target's images, and no source."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset, Subset

from udalib.data.benchmarks import Benchmark
from udalib.data.datasets import Sample
from udalib.data.loading import seeded


@dataclass(frozen=True)
class SemiSupervised:
    """A benchmark within one domain: `source` is the labelled share of the target's images, `target` the others.

    labelled: positions of the share in `whole.target`, ascending. All else is as in `whole`.
    """

    whole: Benchmark
    labelled: list[int]
    source: Dataset[Sample]
    target: Dataset[Sample]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def oracle(self) -> "SemiSupervised":
        """The same benchmark with the labels of the other images too, for reports on label quality."""
        return dataclasses.replace(self, target=Subset(self.whole.oracle().target, self.target.indices))


def open_labelled_share(bench: Benchmark, share: float) -> SemiSupervised:
    """Open the labels of a share of the target's images; they take the place of the source.

    The benchmark's seed decides which images they are, and a larger share has all those of a smaller one.

    Raises ValueError unless there are images with labels and images without.
    """
    count = len(bench.target)
    opened = round(share * count)
    if not 0 < opened < count:
        raise ValueError(
            f"A labelled_share of {share:g} opens {opened} of the {count} target images of {bench.name}; give one that "
            "leaves images with and without labels."
        )
    order = torch.randperm(count, generator=seeded(bench.seed, 0)).tolist()
    labelled, others = sorted(order[:opened]), sorted(order[opened:])
    return SemiSupervised(bench, labelled, Subset(bench.oracle().target, labelled), Subset(bench.target, others))
