"""Self-training, class-balanced, with spatial priors (ST, CBST, ST-SP, CBST-SP): Zou et al., ECCV 2018.

predict: the whole image, times a spatial prior (-SP). select: one confidence threshold for all classes (ST), or one
per class (CBST). train: cross-entropy on both domains. And the control, which trains on without pseudo-labels.
"""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from udalib import data, models, select, train
from udalib.labels import IGNORE
from udalib.recipes.experiment import Experiment, Optimisation

# From output, labels [B, H, W], names and class weights [C] of one domain's images to a scalar.
Loss = Callable[[models.Output, Tensor, list[str], Tensor | None], Tensor]
Stream = Iterable[tuple[Tensor, list[str]]]

STATISTICS = ("target", "frozen")
MINING = {"none": lambda shares: None, "paper": data.Mining.paper, "official": data.Mining.official}


@dataclass(frozen=True)
class Rounds(Optimisation):
    """Further training in rounds, on source and target images. Values are the paper's, or as said.

    start: the recipe whose network is the first to predict ("source" in the paper).
    rounds: results are reported after the third (Sec. 5). epochs: passes over the target per round (Sec. 5).
    batch_size: images of each domain in a step; the paper takes 2 from the pooled domains.
    lr, optimiser, crop, scale: ours, for the mini network; the paper's ResNet-38 takes SGD with 1e-4, crops of
        500 pixels and scales 0.7-1.3.
    schedule: constant within a round, as the paper implies. lr_factor: of each further round; the released code
        takes 1 / sqrt(2).
    source_share, source_share_step, max_source_share: the share of the source images used in the first round, its
        growth per round and its limit. The paper takes all; the released code 0.03, 0.0025 and 0.06 of GTA5. The
        images of a round are among those of the next.
    image_share: the share of the target images trained on, those with the best `select.image_scores`; the
        released list has 505 of 2,975 (0.17). image_list: a text file of their names instead, one per line.
        Thresholds are of all images; the released code predicts only those of its list.
    target_class_weight: as `class_weight`, for the pseudo-labels; 0 is the paper's plain loss.
    statistics: of batch normalisation. "target": training uses those of each batch, and the running ones follow the
        target alone. "frozen": training uses the running ones, and they stay: those of ImageNet in the released
        code; ours, trained from scratch, only has those of the source.
    test_scales: after the last round the network is also tested on images of these scales and their mirror images
        (Sec. 5, multi-scale testing).
    """

    start: str = "source"
    rounds: int = 3
    epochs: float = 2
    lr: float = 1.5e-4
    schedule: str = "constant"
    lr_factor: float = 1.0
    source_share: float = 1.0
    source_share_step: float = 0.0
    max_source_share: float = 1.0
    image_share: float = 1.0
    image_list: str = ""
    target_class_weight: float = 0.0
    statistics: str = "target"
    test_scales: tuple[float, ...] = (0.5, 0.75, 1.0)

    def __post_init__(self):
        if self.statistics not in STATISTICS:
            raise ValueError(f"There are no statistics {self.statistics!r}; choose one of: {', '.join(STATISTICS)}.")
        for name in ("source_share", "max_source_share", "image_share"):
            select.check_portion(getattr(self, name), name)


@dataclass(frozen=True)
class SelfTraining(Rounds):
    """Self-training with the self-paced policy (Sec. 5).

    Round r labels the share min(portion + (r - 1) * step, max_portion) of the target's pixels.
    mining: whether crops go first to classes that are predicted on less than 0.1 % of the pixels, where the
        pseudo-labels have them: "none", "paper" (target crops) or "official" (four of five crops of both domains, else
        to the three rarest classes). The paper mines; we don't unless asked, so that the rows of a table differ in the
        selection alone.
    """

    portion: float = 0.20
    step: float = 0.05
    max_portion: float = 0.50
    mining: str = "none"

    def __post_init__(self):
        super().__post_init__()
        if self.mining not in MINING:
            raise ValueError(f"There is no mining {self.mining!r}; choose one of: {', '.join(MINING)}.")
        for name in ("portion", "max_portion"):
            select.check_portion(getattr(self, name), name)
        if self.step < 0:
            raise ValueError(f"step is {self.step}; choose a growth per round of at least 0")

    def portion_of(self, number: int) -> float:
        # Computed from the round: adding 0.05 again and again overshoots the maximum in floating point.
        return min(self.portion + (number - 1) * self.step, self.max_portion)


@dataclass(frozen=True)
class ClassBalanced(SelfTraining):
    """variant: of `select.ClassBalanced`, "paper" or "official"."""

    variant: str = "paper"


@dataclass(frozen=True)
class SpatialPriors(SelfTraining):
    """kernel: side of the Gaussian window as a share of the image's height (70 of 1,024 pixels, Sec. 5).

    normalise: of `select.SpatialPrior`, "class" (Sec. 4.2) or "pixel".
    """

    kernel: float = 70 / 1024
    normalise: str = "class"


@dataclass(frozen=True)
class ClassBalancedPriors(SpatialPriors, ClassBalanced):
    """CBST with spatial priors: the settings of both."""


PROFILES = {"smoke": {"rounds": 2, "batch_size": 2, "epochs": 0.5}, "quick": {"epochs": 1}}


def st(x: Experiment, s: SelfTraining) -> None:
    """Self-training with one threshold for all classes (Eq. 4-5, Algorithm 1)."""
    self_train(x, s, x.start_network(), lambda portion: select.SelfTraining(portion))


def cbst(x: Experiment, s: ClassBalanced) -> None:
    """Class-balanced self-training: one threshold per class (Eq. 6-8, Algorithm 2)."""
    self_train(x, s, x.start_network(), lambda portion: select.ClassBalanced(portion, variant=s.variant))


def st_sp(x: Experiment, s: SpatialPriors) -> None:
    """Self-training with spatial priors from source labels (Table 4)."""
    prior = spatial_prior(x, s)
    self_train(x, s, x.start_network(), lambda portion: select.SelfTraining(portion, prior))


def cbst_sp(x: Experiment, s: ClassBalancedPriors) -> None:
    """Class-balanced self-training with spatial priors (Eq. 9)."""
    prior = spatial_prior(x, s)
    self_train(x, s, x.start_network(), lambda portion: select.ClassBalanced(portion, prior, s.variant))


def control(x: Experiment, s: Rounds) -> None:
    """The same further training with every target pixel ignored; only the rest is owed to labels."""
    net = x.start_network()
    nothing = torch.full((len(x.bench.target), *x.bench.size), IGNORE, dtype=torch.uint8)
    for number in x.rounds(net, s.rounds):
        curve = train_round(x, s, net, number, data.PseudoLabelled(x.bench.target, nothing))
        x.finish_round(net, number, scales=s.test_scales if number == s.rounds else (), curve=curve)


def spatial_prior(x: Experiment, s: SpatialPriors) -> select.SpatialPrior:
    """The prior of the source labels at the target's size, kept in the run's folder."""
    height, width = x.bench.size
    labels = (x.bench.source[index].label for index in range(len(x.bench.source)))
    prior = select.SpatialPrior.from_labels(
        labels, len(x.bench.classes), (height, width), s.kernel * height, normalise=s.normalise
    )
    prior.save(x.run.folder / "prior.pt")
    return prior


def self_train(
    x: Experiment,
    s: SelfTraining,
    net: nn.Module,
    selector_of: Callable[[float], select.SelfTraining],
    predict: Callable[[nn.Module, int], Stream] | None = None,
    loss_of: Callable[[Tensor], Loss] = lambda pseudo_labels: pixel_loss,
) -> None:
    """Predict, select, train, in rounds.

    selector_of: from a portion to an object with `fit` and `label`. predict: from a network and the number of a round
    to a stream of the target's probabilities, the same at every call; by default whole images. loss_of: from the
    pseudo-labels [N, H, W] of a round to the loss it is trained with.
    """
    predict = predict or (lambda net, number: x.predict(net, x.bench.target))
    for number in x.rounds(net, s.rounds):
        portion = s.portion_of(number)
        selector = selector_of(portion).fit(predict(net, number))
        pseudo_labels = torch.cat([selector.label(probs).cpu() for probs, _ in predict(net, number)])
        target = data.PseudoLabelled(x.bench.target, pseudo_labels)
        chosen = _chosen_images(x, s, net)
        mining = MINING[s.mining](selector.shares)
        curve = train_round(x, s, net, number, Subset(target, chosen), mining, loss_of(pseudo_labels))
        x.finish_round(
            net,
            number,
            pseudo_labels,
            scales=s.test_scales if number == s.rounds else (),
            portion=portion,
            thresholds=torch.as_tensor(selector.thresholds).tolist(),
            predicted_share=selector.shares.tolist(),
            images=len(chosen),
            curve=curve,
        )


def _chosen_images(x: Experiment, s: SelfTraining, net: nn.Module) -> list[int]:
    """Indices of the target images to train on, in their order."""
    count = len(x.bench.target)
    if s.image_list:
        try:
            wanted = set(Path(s.image_list).read_text().split())
        except OSError as error:
            raise ValueError(
                f"image_list {s.image_list} can't be read ({error.strerror}); give a text file."
            ) from error
        chosen = [index for index in range(count) if x.bench.target[index].name in wanted]
        if not chosen:
            raise ValueError(f"{s.image_list} names no image of {x.bench.name}; give the names that samples have.")
        return chosen
    if s.image_share == 1:
        return list(range(count))
    scores = torch.cat([select.image_scores(probs).cpu() for probs, _ in x.predict(net, x.bench.target)])
    return scores.topk(max(1, round(s.image_share * count))).indices.sort().values.tolist()


def _chosen_source(x: Experiment, s: Rounds, number: int) -> Dataset:
    """The source images of a round: the first ones of an order that the seed decides."""
    share = min(s.source_share + (number - 1) * s.source_share_step, s.max_source_share)
    if share == 1:
        return x.bench.source
    order = torch.randperm(len(x.bench.source), generator=data.seeded(x.bench.seed, 0))
    return Subset(x.bench.source, order[: max(1, round(share * len(order)))].tolist())


def pixel_loss(output: models.Output, labels: Tensor, names: list[str], weight: Tensor | None) -> Tensor:
    """Cross-entropy of the pixels, whatever the images are called."""
    return train.cross_entropy(output.logits, labels, weight)


def train_round(
    x: Experiment,
    s: Rounds,
    net: nn.Module,
    number: int,
    target: Dataset,
    mining: data.Mining | None = None,
    loss_of_domain: Loss = pixel_loss,
) -> list[tuple[int, float]]:
    """One round of joint training (Eq. 1): the sum of a loss on source labels and the same on pseudo-labels.

    The domains pass the network separately and by default only the target moves the running batch-norm
    statistics: statistics of a mixture fit neither domain.
    """
    source = _chosen_source(x, s, number)
    source_weights = x.class_weights(source, s.class_weight)
    target_weights = x.class_weights(source, s.target_class_weight)
    steps = max(1, round(s.epochs * len(target) / s.batch_size))
    draw_source = x.draw(source, s.batch_size, number, steps)
    draw_target = x.draw(target, s.batch_size, number, steps)
    source_mining = mining if mining and mining.source else None
    frozen = s.statistics == "frozen"

    def batches(start: int):
        return zip(draw_source(start), draw_target(start), strict=True)

    def loss(net: nn.Module, batch: tuple[data.Batch, data.Batch], step: int) -> Tensor:
        source_images, source_labels = x.augmented(batch[0], number, 2 * step, source_mining)
        target_images, target_labels = x.augmented(batch[1], number, 2 * step + 1, mining)
        with train.frozen_statistics(net) if frozen else train.keep_statistics(net):
            source_output = net(source_images)
        with train.frozen_statistics(net) if frozen else nullcontext():
            target_output = net(target_images)
        return loss_of_domain(source_output, source_labels, batch[0].names, source_weights) + loss_of_domain(
            target_output, target_labels, batch[1].names, target_weights
        )

    return x.train(net, number, s.plan(steps, s.lr_factor ** (number - 1)), batches, loss)
