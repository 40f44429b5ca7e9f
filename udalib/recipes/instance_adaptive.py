"""Instance adaptive self-training (IAST): Mei et al., ECCV 2020.

predict: the whole image. select: thresholds per class that follow the images. train: on the target alone, with a
regulariser for the pixels that have a label and another for those that have none. Any recipe can come before it.

In the semi-supervised use (Table 8) there is no source; labels are opened for a share of the target's images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from udalib import data, select, train
from udalib.labels import IGNORE
from udalib.recipes import baselines
from udalib.recipes.experiment import Experiment, Optimisation, scores_of

SELECTORS = ("instance", "class_balanced", "constant")
ORDERS = ("dataset", "random")
LABELLERS = ("last", "middle")
UNLABELLED = 254  # in training labels: a pixel of the image whose label is not believed; 255 lies outside the image


@dataclass(frozen=True)
class InstanceAdaptive(Optimisation):
    """Values are the paper's, or as said.

    warmup: the recipe before: any that is not self-training in the paper. Its own is AdaptSegNet with a game of least
        squares, which ours has not.
    rounds, epochs: of labelling and training; the paper has 3 and 4, the released code takes about 17 passes over the
        target in each, two over the source.
    selector: of pseudo-labels: "instance", or its rivals in the paper, "class_balanced" (`select.ClassBalanced` of
        `portion`) and "constant" (one threshold for all that keeps `portion`; the paper's kept 38.6 %).
    alpha, beta, gamma, variant: of `select.InstanceAdaptive`. alpha_step: added in each further round; the released
        code has 0.05.
    order: in which the thresholds meet the images: as in the dataset, or a random one that the seed decides, the same
        in every round (released code).
    labeller: the network that labels in the second round and after: that of the "last" step, or of the "middle" of the
        round before (released code). For the first round the released code chooses a checkpoint by the labels of the
        validation set, which we don't.
    entropy, flatness, normalise: weights of the two regularisers and how they are averaged, see `train.entropy`.
    source_weight: of the cross-entropy on the source, 0 in the paper; then the source is not even read.
    labelled_share: semi-supervised: open the labels of this share of the target's images, and label only the others.
        The warm-up without a source is then "labelled", which takes over the share. labelled_weight: of the
        cross-entropy on the share; the paper does not say whether it stays.
    lr, optimiser, batch_size: ours; the paper takes Adam with 2.5e-5 and 6 images. On game-dashcam (seed 100), from an
        AdaptSegNet of 42.4, learning rates of 1.5e-4, 5e-5, 1.5e-5 and 5e-6 ended at a mean IoU of 38.7, 40.6, 42.6 and
        43.0: the less is learned from the target's own labels alone, the better. With labels for an eighth, from a
        baseline of 43.6, rates of 1.5e-4, 5e-5 and 5e-6 ended at 42.8, 42.9 and 43.3.
    schedule: constant; "cosine" is that of the released code. lr_factor: of each further round, about 0.82 there.
    test_scales: the last network is also tested on images of these scales, none mirrored: widths of 1024, 1280, 1536,
        1800 and 2048 for images of 2048.
    """

    warmup: str = "adaptseg"
    rounds: int = 3
    epochs: float = 2
    selector: str = "instance"
    portion: float = 0.2
    alpha: float = 0.2
    alpha_step: float = 0.0
    beta: float = 0.9
    gamma: float = 8.0
    variant: str = "paper"
    order: str = "dataset"
    labeller: str = "last"
    entropy: float = 3.0
    flatness: float = 0.1
    normalise: str = "elements"
    source_weight: float = 0.0
    labelled_share: float = 0.0
    labelled_weight: float = 1.0
    lr: float = 5e-6
    schedule: str = "constant"
    lr_factor: float = 1.0
    test_scales: tuple[float, ...] = (0.5, 0.625, 0.75, 0.88, 1.0)

    def __post_init__(self):
        tables = {"selector": SELECTORS, "order": ORDERS, "labeller": LABELLERS, "normalise": train.NORMALISE}
        for field, table in tables.items():
            if (value := getattr(self, field)) not in table:
                raise ValueError(f"There is no {field} {value!r}; choose one of: {', '.join(table)}.")
        if self.labelled_share and self.source_weight:
            raise ValueError(
                "A labelled_share takes the place of the source; leave out labelled_share or source_weight."
            )
        self.new_selector(1)  # refuses unusable parameters before anything is computed

    @property
    def start(self) -> str:
        """The recipe whose network comes first, as other recipes call it."""
        return self.warmup

    @property
    def supervised_weight(self) -> float:
        """Of the cross-entropy on true labels, those of the source or of the labelled share."""
        return self.labelled_weight if self.labelled_share else self.source_weight

    def new_selector(self, number: int) -> Any:
        """The selector of a round, not yet fitted."""
        if self.selector == "class_balanced":
            return select.ClassBalanced(self.portion)
        if self.selector == "constant":
            return select.SelfTraining(self.portion)
        return select.InstanceAdaptive(self.alpha + (number - 1) * self.alpha_step, self.beta, self.gamma, self.variant)


PROFILES = {"smoke": {"rounds": 2, "batch_size": 2, "epochs": 0.5}, "quick": {"epochs": 1}}


@dataclass(frozen=True)
class Labelled(baselines.Supervised):
    """The baseline of Table 8. labelled_share: of the target's images; the steps are those of the oracle."""

    labelled_share: float = 0.125


def labelled(x: Experiment, s: Labelled) -> None:
    """Train on the labelled share of the target alone: what semi-supervised training starts from."""
    _open_labelled_share(x, s.labelled_share)
    baselines.source(x, s)


def _open_labelled_share(x: Experiment, share: float) -> None:
    """Make the labelled share the experiment's source and the other images its target; the record says which."""
    count = len(x.bench.target)
    x.bench = data.open_labelled_share(x.bench, share)
    positions = " ".join(map(str, x.bench.labelled))
    x.run.notes["labelled"] = {"images": len(x.bench.labelled), "of": count, "positions": positions}


def iast(x: Experiment, s: InstanceAdaptive) -> None:
    """Instance adaptive self-training on the target alone (Algorithm 1, Eq. 3)."""
    if s.labelled_share:
        _open_labelled_share(x, s.labelled_share)
    net = x.start_network()
    for number in x.rounds(net, s.rounds):
        pseudo_labels, facts = _label(x, s, _labeller(x, s, net, number), number)
        target = data.PseudoLabelled(x.bench.target, torch.where(pseudo_labels == IGNORE, UNLABELLED, pseudo_labels))
        curve = _train_round(x, s, net, number, target)
        if number == s.rounds:
            facts["multi_scale"] = scores_of(x.confusion(net, scales=s.test_scales))
        x.finish_round(net, number, pseudo_labels, curve=curve, **facts)


def _labeller(x: Experiment, s: InstanceAdaptive, net: nn.Module, number: int) -> nn.Module:
    if s.labeller == "last" or number == 1:
        return net
    labeller = x.fresh_network()
    labeller.load_state_dict(train.load(_middle(x, number - 1), x.device))
    return labeller


def _middle(x: Experiment, number: int):
    """File of the network in the middle of a round."""
    return x.run.folder / f"round{number}.middle.pt"


def _label(x: Experiment, s: InstanceAdaptive, net: nn.Module, number: int) -> tuple[Tensor, dict[str, Any]]:
    """The round's pseudo-labels, uint8 [N, H, W] in the dataset's order, and what the record says about them."""
    selector, count = s.new_selector(number), len(x.bench.target)
    if s.selector != "instance":
        selector.fit(x.predict(net, x.bench.target))
        labels = torch.cat([selector.label(probs).cpu() for probs, _ in x.predict(net, x.bench.target)])
        return labels, {"thresholds": torch.as_tensor(selector.thresholds).tolist()}
    order = torch.arange(count)
    if s.order == "random":
        order = torch.randperm(count, generator=data.seeded(x.bench.seed, 0))
    labels = torch.empty(count, *x.bench.size, dtype=torch.uint8)
    done = 0
    for probs, names in x.predict(net, Subset(x.bench.target, order.tolist())):
        labels[order[done : done + len(names)]] = selector.label(probs, names).cpu()
        done += len(names)
    return labels, {
        "thresholds": selector.thresholds.tolist(),
        "alpha": selector.alpha,
        "trajectory": {"order": order.tolist(), "thresholds": selector.trajectory.tolist()},
    }


def _train_round(
    x: Experiment, s: InstanceAdaptive, net: nn.Module, number: int, target: Dataset
) -> list[tuple[int, float]]:
    """One round on the target (Eq. 3), and on the source, or the labelled share, where it has a weight."""
    steps = max(1, round(s.epochs * len(target) / s.batch_size))
    weights = x.class_weights(x.bench.source, s.class_weight) if s.supervised_weight else None

    def batches(start: int) -> Iterator[tuple[data.Batch, ...]]:
        domains = [target, x.bench.source] if s.supervised_weight else [target]
        return zip(*(x.draw(domain, s.batch_size, number, steps)(start) for domain in domains), strict=True)

    def loss(wrapped: nn.Module, batch: tuple[data.Batch, ...], step: int) -> Tensor:
        if s.labeller == "middle" and step == steps // 2:
            train.save(net.state_dict(), _middle(x, number))
        total = 0.0
        if s.supervised_weight:
            images, labels = x.augmented(batch[1], number, 2 * step)
            with train.keep_statistics(net):
                total = s.supervised_weight * train.cross_entropy(wrapped(images).logits, labels, weights)
        images, labels = x.augmented(batch[0], number, 2 * step + 1)
        logits = wrapped(images).logits
        believed, doubted = labels < UNLABELLED, labels == UNLABELLED
        total += train.cross_entropy(logits, torch.where(believed, labels, IGNORE))
        total += s.flatness * train.flatness(logits, believed, s.normalise)
        return total + s.entropy * train.entropy(logits, doubted, s.normalise)

    return x.train(net, number, s.plan(steps, s.lr_factor ** (number - 1)), batches, loss)
