"""The rows every table needs: source-only, oracle, AdaBN, and further training without pseudo-labels."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import Dataset

from udalib import data, train
from udalib.recipes.experiment import Experiment, Optimisation


@dataclass(frozen=True)
class Supervised(Optimisation):
    """Supervised training from scratch, on the source (source-only) or on the labelled target (oracle)."""

    steps: int = 2500


SUPERVISED_PROFILES = {"smoke": {"steps": 6}, "full": {"steps": 10000}}


def source(x: Experiment, s: Supervised) -> None:
    """Train on the source alone: what every adaptation starts from."""
    _supervised(x, s, lambda: x.bench.source)


def oracle(x: Experiment, s: Supervised) -> None:
    """Train on the target with its labels: what adaptation could reach at most."""
    _supervised(x, s, lambda: x.bench.oracle().target)


def _supervised(x: Experiment, s: Supervised, labelled: Callable[[], Dataset]) -> None:
    if x.start:  # another benchmark trains on the same images and has done so
        net = x.start_network()
        for number in x.rounds(net, 1):
            x.finish_round(net, number)
        return
    net, dataset = x.fresh_network(), labelled()
    weights = x.class_weights(dataset, s.class_weight)

    def loss(net: nn.Module, batch: data.Batch, step: int) -> torch.Tensor:
        images, labels = x.augmented(batch, number=1, step=step)
        return train.cross_entropy(net(images).logits, labels, weights)

    for number in x.rounds(net, 1):
        curve = x.train(net, number, s.plan(s.steps), x.draw(dataset, s.batch_size, number, s.steps), loss)
        x.finish_round(net, number, curve=curve)


@dataclass(frozen=True)
class AdaBN(Optimisation):
    """Adaptive batch normalisation (Li et al. 2016): target statistics, no training.

    start: the recipe whose network is adapted.
    """

    start: str = "source"


ADABN_PROFILES: dict[str, dict] = {}


def adabn(x: Experiment, s: AdaBN) -> None:
    """Replace the batch-norm statistics by those of the target images."""
    net = x.start_network()
    for number in x.rounds(net, 1):
        train.adapt_statistics(net, data.ordered_batches(x.bench.target), x.device)
        x.finish_round(net, number)
