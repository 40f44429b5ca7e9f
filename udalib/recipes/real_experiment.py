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


class RealExperiment(Experiment):
    """An experiment on a `data.RealBenchmark`."""

    def confusion(self, net: nn.Module, **test: Any) -> score.ConfusionMatrix:
        """As that of `Experiment`, with predictions among the classes that the benchmark keeps, if it names any."""
        count = len(self.bench.classes)
        kept = self.bench.pair.keep or range(count)
        dropped = [index for index in range(count) if index not in kept]
        matrix = AnyClasses(count, self.bench.merge)
        for batch in data.ordered_batches(self.bench.val):
            for probs, _ in predict.whole(net, [batch], **test):
                probs[:, dropped] = -1
                matrix.update(probs.argmax(dim=1).cpu(), batch.labels)
        return matrix
