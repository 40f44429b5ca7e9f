"""What is different about an experiment on real datasets: the classes that are scored."""

import math
from typing import Any

from torch import nn

from udalib import data, predict, score
from udalib.recipes.experiment import Experiment


class AnyClasses(score.ConfusionMatrix):
    """Of classes that may lack the papers' subsets of 16 and 13; the mean over a subset that is missing is NaN."""

    def miou(self, subset: str | None = None) -> float:
        try:
            return super().miou(subset)
        except ValueError:
            return math.nan


def left_out(bench: data.Benchmark) -> list[int]:
    """The classes of a benchmark that don't count when a prediction is made for scoring; mostly none."""
    pair = getattr(bench, "pair", None)  # of a benchmark on real datasets
    return [index for index in range(len(bench.classes)) if index not in pair.keep] if pair and pair.keep else []


class RealExperiment(Experiment):
    """An experiment on a `data.RealBenchmark`."""

    def confusion(self, net: nn.Module, **test: Any) -> score.ConfusionMatrix:
        """As that of `Experiment`, with predictions among the classes that the benchmark keeps, if it names any."""
        matrix, dropped = AnyClasses(len(self.bench.classes), self.bench.merge), left_out(self.bench)
        for batch in data.ordered_batches(self.bench.val):
            for probs, _ in predict.whole(net, [batch], **test):
                probs[:, dropped] = -1
                matrix.update(probs.argmax(dim=1).cpu(), batch.labels)
        return matrix
