"""From datasets to batches: in order for prediction, and as a function of (seed, step) for training."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from udalib.data.datasets import Sample


class Batch(NamedTuple):
    """images: uint8 [B, 3, H, W]; labels: uint8 [B, H, W], None where unlabelled; names: B strings."""

    images: Tensor
    labels: Tensor | None
    names: list[str]


def collate(samples: list[Sample]) -> Batch:
    images, labels, names = zip(*samples, strict=True)
    return Batch(torch.stack(images), None if labels[0] is None else torch.stack(labels), list(names))


class Draws(Sampler[list[int]]):
    """Batches of indices for training steps start .. steps - 1.

    Every pass over the data is a fresh permutation, and a pass may end within a batch. What a step draws
    depends on (seed, step) alone, so that a resumed training continues with exactly the images it would have
    seen.
    """

    def __init__(self, count: int, batch_size: int, seed: int, steps: int, start: int = 0):
        self.count, self.batch_size, self.seed, self.steps, self.start = count, batch_size, seed, steps, start

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[int]]:
        order, current = None, -1
        for step in range(self.start, self.steps):
            batch = []
            for position in range(step * self.batch_size, (step + 1) * self.batch_size):
                epoch, offset = divmod(position, self.count)
                if epoch != current:
                    order = torch.randperm(self.count, generator=seeded(self.seed, epoch)).tolist()
                    current = epoch
                batch.append(order[offset])
            yield batch


def seeded(seed: int, counter: int) -> torch.Generator:
    """A CPU generator for one (seed, counter) pair; neighbouring pairs are unrelated."""
    mixed = (seed * 0x9E3779B97F4A7C15 + counter * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**63
    return torch.Generator().manual_seed(mixed ^ (mixed >> 29))


def training_batches(
    dataset: Dataset[Sample], batch_size: int, seed: int, steps: int, start: int = 0, workers: int = 0
) -> Iterator[Batch]:
    """The batches of training steps start .. steps - 1, without replacement within each pass."""
    draws = Draws(len(dataset), batch_size, seed, steps, start)
    return iter(DataLoader(dataset, batch_sampler=draws, collate_fn=collate, num_workers=workers))


def ordered_batches(dataset: Dataset[Sample], batch_size: int = 16, workers: int = 0) -> DataLoader:
    """All images once, in the dataset's order, for prediction and scoring."""
    return DataLoader(dataset, batch_size=batch_size, collate_fn=collate, num_workers=workers)
