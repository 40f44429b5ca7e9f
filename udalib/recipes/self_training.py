"""Self-training (ST): Zou et al., ECCV 2018, Sections 3 and 4.1; and its control without pseudo-labels.

predict: the whole image. select: one confidence threshold for all classes. train: cross-entropy on both domains.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from udalib import data, select, train
from udalib.labels import IGNORE
from udalib.recipes.experiment import Experiment, Optimisation


@dataclass(frozen=True)
class Rounds(Optimisation):
    """Further training in rounds, on source and target images. Values are the paper's, or as said.

    start: the recipe whose network is the first to predict ("source" in the paper).
    rounds: results are reported after the third (Sec. 5). epochs: passes over the target per round (Sec. 5).
    batch_size: images of each domain in a step; the paper takes 2 from the pooled domains.
    lr, optimiser, crop, scale: ours, for the mini network; the paper's ResNet-38 takes SGD with 1e-4, crops of
        500 pixels and scales 0.7-1.3.
    schedule: constant within a round, as the paper implies.
    """

    start: str = "source"
    rounds: int = 3
    epochs: float = 2
    lr: float = 1.5e-4
    schedule: str = "constant"


@dataclass(frozen=True)
class SelfTraining(Rounds):
    """Self-training with the self-paced policy (Sec. 5).

    Round r labels the share min(portion + (r - 1) * step, max_portion) of the target's pixels.
    """

    portion: float = 0.20
    step: float = 0.05
    max_portion: float = 0.50

    def portion_of(self, number: int) -> float:
        # Computed from the round: adding 0.05 again and again overshoots the maximum in floating point.
        return min(self.portion + (number - 1) * self.step, self.max_portion)


PROFILES = {"smoke": {"rounds": 2, "batch_size": 2, "epochs": 0.5}, "quick": {"epochs": 1}}


def st(x: Experiment, s: SelfTraining) -> None:
    """Self-training with one threshold for all classes (Eq. 4-5, Algorithm 1)."""
    net = x.start_network()
    for number in x.rounds(net, s.rounds):
        portion = s.portion_of(number)
        selector = select.SelfTraining(portion).fit(x.predict(net, x.bench.target))
        pseudo_labels = torch.cat([selector.label(probs).cpu() for probs, _ in x.predict(net, x.bench.target)])
        curve = train_round(x, s, net, number, pseudo_labels)
        x.finish_round(net, number, pseudo_labels, portion=portion, threshold=selector.thresholds, curve=curve)


def control(x: Experiment, s: Rounds) -> None:
    """The same further training with every target pixel ignored; only the rest is owed to labels."""
    net = x.start_network()
    nothing = torch.full((len(x.bench.target), *x.bench.size), IGNORE, dtype=torch.uint8)
    for number in x.rounds(net, s.rounds):
        curve = train_round(x, s, net, number, nothing)
        x.finish_round(net, number, curve=curve)


def train_round(
    x: Experiment, s: Rounds, net: nn.Module, number: int, pseudo_labels: Tensor
) -> list[tuple[int, float]]:
    """One round of joint training (Eq. 1): cross-entropy on source labels and on pseudo-labels.

    The domains pass the network separately and only the target moves the running batch-norm statistics:
    statistics of a mixture fit neither domain. (The papers' networks keep those of ImageNet; ours is trained
    from scratch.)
    """
    target = data.PseudoLabelled(x.bench.target, pseudo_labels)
    weights = x.class_weights(x.bench.source)
    steps = max(1, round(s.epochs * len(target) / s.batch_size))
    draw_source = x.draw(x.bench.source, s.batch_size, number, steps)
    draw_target = x.draw(target, s.batch_size, number, steps)

    def batches(start: int):
        return zip(draw_source(start), draw_target(start), strict=True)

    def loss(net: nn.Module, batch: tuple[data.Batch, data.Batch], step: int) -> Tensor:
        source_images, source_labels = x.augmented(batch[0], number, 2 * step)
        target_images, target_labels = x.augmented(batch[1], number, 2 * step + 1)
        with train.keep_statistics(net):
            source_logits = net(source_images).logits
        target_logits = net(target_images).logits
        source_loss = train.cross_entropy(source_logits, source_labels, weights)
        return source_loss + train.cross_entropy(target_logits, target_labels, weights)

    return x.train(net, number, steps, batches, loss)
