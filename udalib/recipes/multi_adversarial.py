"""Proxies regularised by multi-adversarial training: Shen et al.

align: discriminators on maps of the decoder, one or two of them. predict: the whole image, by the aligned network.
select: places that the discriminators take for source, and class-balanced among these. train: a fresh network, on the
labels of the target alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from udalib import data, models, predict, runs, select, train
from udalib.models.parts import resize
from udalib.recipes.adversarial import DISCRIMINATORS, Game, Level, play
from udalib.recipes.experiment import Experiment, Optimisation

Judge = Callable[[models.Output], Tensor]

ALIGNMENTS = {"singleadv": 1, "multiadv": 2}  # recipes with discriminators of maps, and how many
MAPS: tuple[Judge, Judge] = (lambda output: output.features, lambda output: output.aux)  # what D1 and D2 see
INITIAL = ("fresh", "aligned")


@dataclass(frozen=True)
class SingleAdversarial(Game):
    """One discriminator, D1, on the map that the classifier reads. The paper gives the weight of no loss.

    weight: of the adversarial loss, lambda_1 of Eq. 4; lambda_seg is 1. With two discriminators, level_weight being a
        fifth, 0.03, 0.01, 0.003 and 0.001 gave a mean IoU of 35.5, 37.0, 38.8 and 39.9 on game-dashcam (seed 100),
        where source-only has 40.0 and the control, which is the same without discriminators, 40.2. Least squares at
        0.01: 39.4.
    width: channels of a discriminator, see `models.FeatureDiscriminator`.
    game: the paper writes down the "minmax"; default is what all released codes of such trainings do instead.
    lr, optimiser, batch_size: ours, as for the other recipes that train on; the paper takes SGD with 1e-4, constant,
        for 10,000 steps. discriminator_lr: the paper's 1e-4, with Adam; its betas are not given.
    """

    network: str = "mini_fusion"
    weight: float = 0.001
    width: int = 32


@dataclass(frozen=True)
class MultiAdversarial(SingleAdversarial):
    """A second discriminator, D2, on the map before. level_weight: lambda_2 of Eq. 4, a fifth of the first."""

    level_weight: float = 0.0002


@dataclass(frozen=True)
class Proxies(Optimisation):
    """Values are the paper's, or as said.

    start: the recipe whose network and discriminators label the target, "multiadv" or "singleadv".
    keep, portion: p1 and p2 (Table 4). normalise: of the discriminators' maps, see `select.AdversarialGate`.
    initial: "fresh", an untrained network, where the paper's has ImageNet weights; or "aligned", the one that labelled
        goes on, which is worse, the paper says.
    steps, lr, schedule: as those of the recipe "source", whatever the initial weights are; the paper takes SGD with
        1e-2, poly, 60,000 steps and 16 images.
    class_weight: of the proxies' own classes; 0 is the paper's plain loss.
    test_scales: the network is also tested on images of these scales and their mirror images; which ones is not said.
    """

    start: str = "multiadv"
    network: str = "mini_fusion"
    keep: float = 0.6
    portion: float = 0.8
    normalise: str = "minmax"
    initial: str = "fresh"
    steps: int = 2500
    class_weight: float = 0.0
    test_scales: tuple[float, ...] = (0.5, 0.75, 1.0)

    def __post_init__(self):
        for field, table in (("start", ALIGNMENTS), ("initial", INITIAL)):
            if (value := getattr(self, field)) not in table:
                raise ValueError(f"Proxies have no {field} {value!r}; choose one of: {', '.join(table)}.")
        self.new_gate()  # refuses unusable parameters before anything is computed

    def new_gate(self) -> select.AdversarialGate:
        return select.AdversarialGate(self.keep, self.portion, self.normalise)


PROXIES_PROFILES = {"smoke": {"steps": 6, "batch_size": 2}, "full": {"steps": 10000}}


def singleadv(x: Experiment, s: SingleAdversarial) -> None:
    """Align a map of the decoder with one discriminator (Eq. 1-3)."""
    _align(x, s, (s.weight,))


def multiadv(x: Experiment, s: MultiAdversarial) -> None:
    """Align two maps of the decoder with a discriminator each (Eq. 4)."""
    _align(x, s, (s.weight, s.level_weight))


def proxies(x: Experiment, s: Proxies) -> None:
    """Train a fresh network on target labels that discriminators let pass (Sec. 2.3, Eq. 5)."""
    net = x.start_network() if s.initial == "aligned" else x.fresh_network()
    for number in x.rounds(net, 1):
        gate, labels = _label(x, s)
        curve = _train_on_target(x, s, net, number, data.PseudoLabelled(x.bench.target, labels))
        x.finish_round(
            net,
            number,
            labels,
            scales=s.test_scales,
            thresholds=gate.thresholds.tolist(),
            confidence_threshold=None if s.keep == 1 else gate.confidence_threshold,
            curve=curve,
        )


def _align(x: Experiment, s: SingleAdversarial, weights: tuple[float, ...]) -> None:
    net = x.start_network()
    torch.manual_seed(x.bench.seed)
    levels = [
        Level(discriminator, view, weight)
        for discriminator, view, weight in zip(discriminators(net, s.width), MAPS, weights, strict=False)
    ]
    class_weights = x.class_weights(x.bench.source, s.class_weight)

    def segmentation(output: models.Output, labels: Tensor) -> Tensor:
        return train.cross_entropy(output.logits, labels, class_weights)

    play(x, s, net, levels, segmentation, {"net": s.plan(s.steps)})


def _label(x: Experiment, s: Proxies) -> tuple[select.AdversarialGate, Tensor]:
    """The fitted gate and its labels, uint8 [N, H, W] in the target's order."""
    net = x.start_network()
    judge = confidence_of(x.start, net)

    def stream() -> Iterator[tuple[Tensor, Tensor, list[str]]]:
        return predict.judged(net, data.ordered_batches(x.bench.target), judge)

    gate = s.new_gate().fit(stream())
    return gate, torch.cat([gate.label(probs, confidence).cpu() for probs, confidence, _ in stream()])


def discriminators(net: nn.Module, width: int) -> list[models.FeatureDiscriminator]:
    """D1 and D2 of a network, whose maps have stride 4 and 8; both end at 1/32 of the image.

    Raises ValueError for a network that merges no maps.
    """
    if not hasattr(net, "merged_channels"):
        raise ValueError(f"{type(net).__name__} has no merged maps for discriminators; choose the network mini_fusion.")
    return [models.FeatureDiscriminator(net.merged_channels, halvings, width) for halvings in (3, 2)]


def confidence_of(aligned: runs.Result, net: nn.Module) -> Judge:
    """What the discriminators of a finished run say of outputs of its network: [B, D, h, w], 1 for source.

    A vanilla score becomes the probability of source; one of least squares is an estimate of it already.
    """
    settings = aligned.record["settings"]
    device = next(net.parameters()).device
    judges = discriminators(net, settings["width"])[: ALIGNMENTS[aligned.record["recipe"]]]
    for discriminator, name in zip(judges, DISCRIMINATORS, strict=False):
        discriminator.load_state_dict(train.load(aligned.record_path.parent / name))
        discriminator.to(device).eval()

    def judge(output: models.Output) -> Tensor:
        scores = [discriminator(view(output)) for discriminator, view in zip(judges, MAPS, strict=False)]
        # Of one size, unless the image's side is no multiple of 32.
        scores = torch.cat([resize(score, scores[0].shape[-2:]) for score in scores], dim=1)
        return scores.sigmoid() if settings["gan"] == "vanilla" else scores.clamp(0, 1)

    return judge


def _train_on_target(
    x: Experiment, s: Proxies, net: nn.Module, number: int, target: data.PseudoLabelled
) -> list[tuple[int, float]]:
    """Supervised training on the labels of the target; the source has no part in it."""
    weights = x.class_weights(target, s.class_weight)

    def loss(net: nn.Module, batch: data.Batch, step: int) -> Tensor:
        images, labels = x.augmented(batch, number, step)
        return train.cross_entropy(net(images).logits, labels, weights)

    return x.train(net, number, s.plan(s.steps), x.draw(target, s.batch_size, number, s.steps), loss)
