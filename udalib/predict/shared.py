"""Prediction by all processes of a run, each on its share of the images."""

from collections.abc import Callable, Iterable, Iterator

from torch import Tensor
from torch.utils.data import Dataset, Subset

from udalib import data, processes

Stream = Iterator[tuple[Tensor, list[str]]]


def shared(predict: Callable[[Iterable[data.Batch]], Stream], dataset: Dataset, batch_size: int) -> Stream:
    """Yield (probs float32 [B, C, H, W], names) of all images, in the dataset's order, in every process.

    predict: from batches to such a stream, one item for each batch. The processes predict their batches at the same
    time and pass them round, so that whatever reads the stream (thresholds, labels, and those that depend on the order
    of the images) ends with the same in all of them, and with what a single process gets.
    """
    everyone, me = processes.count(), processes.rank()
    if everyone == 1:
        yield from predict(data.ordered_batches(dataset, batch_size))
        return
    starts = range(0, len(dataset), batch_size)
    mine = [i for start in starts[me::everyone] for i in range(start, min(start + batch_size, len(dataset)))]
    own = predict(data.ordered_batches(Subset(dataset, mine), batch_size))
    for first in range(0, len(starts), everyone):
        # Before anything is passed round, so that nobody waits for another's prediction alone.
        probs, names = next(own, (None, None))
        for teller in range(min(everyone, len(starts) - first)):
            yield _passed_round(probs, names, teller)


def _passed_round(probs: Tensor | None, names: list[str] | None, teller: int) -> tuple[Tensor, list[str]]:
    """What the process `teller` predicted, in all processes."""
    names, shape = processes.told((names, probs.shape) if processes.rank() == teller else None, teller)
    return processes.passed(probs, shape, teller), names
