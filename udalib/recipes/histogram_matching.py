"""Histogram matching: the simplest way to make a source look like the target."""

from collections.abc import Iterator

from torch import Tensor, nn

from udalib import data, train
from udalib.recipes.baselines import Supervised
from udalib.recipes.experiment import Experiment


def hist_match(x: Experiment, s: Supervised) -> None:
    """Train on source images that have the colours of target images; no label of the target."""
    net = x.fresh_network()
    weights = x.class_weights(x.bench.source, s.class_weight)

    def batches(start: int) -> Iterator[tuple[data.Batch, data.Batch]]:
        return zip(
            *(x.draw(domain, s.batch_size, 1, s.steps)(start) for domain in (x.bench.source, x.bench.target)),
            strict=True,
        )

    def loss(net: nn.Module, drawn: tuple[data.Batch, data.Batch], step: int) -> Tensor:
        source, target = drawn
        matched = data.match_histograms(source.images.to(x.device), target.images.to(x.device))
        images, labels = x.augmented(source._replace(images=matched), number=1, step=step)
        return train.cross_entropy(net(images).logits, labels, weights)

    for number in x.rounds(net, 1):
        curve = x.train(net, number, s.plan(s.steps), batches, loss)
        x.finish_round(net, number, curve=curve)
