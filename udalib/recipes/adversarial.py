"""Alignment of the two domains before any pseudo-label: AdaptSegNet (Tsai et al., CVPR 2018), ADVENT and MinEnt (Vu et
al., CVPR 2019).

Further training from a source-trained network: cross-entropy on the source, and on the target a loss that needs no
label. That loss asks a discriminator, or the entropy of the predictions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from udalib import data, models, train
from udalib.labels import IGNORE
from udalib.models.parts import resize
from udalib.recipes.experiment import Experiment, Optimisation

GAMES = ("non_saturating", "minmax")
WINDOWS = 20  # parts of a training that the record tells apart
CHANCE, PERFECT = 0.55, 0.99  # accuracies below and above which a discriminator teaches little
EXPLODED = 3.0  # times its first window, the segmentation loss is no longer one that falls

View = Callable[[models.Output, tuple[int, int]], Tensor]


@dataclass(frozen=True)
class Aligned(Optimisation):
    """start: the recipe whose network is aligned.

    steps: of the training. lr, optimiser, schedule, batch_size: ours, as for the other recipes that train on; the
        papers take SGD with 2.5e-4, poly, and one image of each domain. weight: of the loss on the target, 0.001 in
        the papers.
    """

    start: str = "source"
    steps: int = 1000
    lr: float = 1.5e-4
    schedule: str = "constant"
    weight: float = 0.001


@dataclass(frozen=True)
class Adversarial(Aligned):
    """gan: "vanilla" or "least_squares", see `train.discriminator_loss`.

    game: the network's side of it: "non_saturating" (`train.alignment_loss`, all released codes) or the literal
        "minmax" (`train.minmax_loss`).
    discriminator_lr: 1e-4 in AdaptSegNet and ADVENT, with betas of 0.9 and 0.99, also here. width: channels of its
        first convolution; 64 in the papers, whose discriminator would cost three times as much as the mini network.
    """

    gan: str = "vanilla"
    game: str = "non_saturating"
    discriminator_lr: float = 1e-4
    width: int = 16

    def __post_init__(self):
        for field, table in (("gan", train.GANS), ("game", GAMES)):
            if (value := getattr(self, field)) not in table:
                raise ValueError(f"There is no {field} {value!r}; choose one of: {', '.join(table)}.")


PROFILES = {"smoke": {"steps": 4, "batch_size": 2}, "full": {"steps": 4000}}


def adaptseg(x: Experiment, s: Adversarial) -> None:
    """Align the softmax output of the two domains with a discriminator (AdaptSegNet, single level)."""
    _align(x, s, probabilities)


def advent(x: Experiment, s: Adversarial) -> None:
    """Align the weighted self-information of the two domains with a discriminator (ADVENT)."""
    _align(x, s, lambda output, size: train.weighted_self_information(probabilities(output, size)))


def minent(x: Experiment, s: Aligned) -> None:
    """Lower the entropy of the target predictions, without a discriminator (MinEnt)."""
    net = x.start_network()
    weights = x.class_weights(x.bench.source, s.class_weight)

    def loss(wrapped: nn.Module, batch: tuple[data.Batch, data.Batch], step: int) -> Tensor:
        source, labels, target = _forward(x, net, wrapped, batch, step)
        entropy = train.normalised_entropy(target.logits.float().softmax(dim=1)).mean()
        return train.cross_entropy(source.logits, labels, weights) + s.weight * entropy

    for number in x.rounds(net, 1):
        curve = x.train(net, number, s.plan(s.steps), _both_domains(x, s), loss)
        x.finish_round(net, number, curve=curve)


def probabilities(output: models.Output, size: tuple[int, int]) -> Tensor:
    """Softmax of the logits at `size`, float32 [B, C, *size]."""
    return resize(output.logits.float(), size).softmax(dim=1)


class Players(nn.Module):
    """A network, its discriminator, and what happened between them, in buffers, so that a killed training goes on.

    losses: float64 [WINDOWS, 3], sums over the steps of a window: of the segmentation loss, the network's adversarial
    loss and the discriminator's loss. scores: int64 [WINDOWS, 2], the discriminator's scores that were right, and all.
    """

    def __init__(self, net: nn.Module, discriminator: nn.Module):
        super().__init__()
        self.net, self.discriminator = net, discriminator
        self.register_buffer("losses", torch.zeros(WINDOWS, 3, dtype=torch.float64))
        self.register_buffer("scores", torch.zeros(WINDOWS, 2, dtype=torch.int64))

    def forward(self, images: Tensor) -> models.Output:
        return self.net(images)


def _align(x: Experiment, s: Adversarial, view: View) -> None:
    """Adversarial training. view: what the discriminator sees of an output, at the size of the images."""
    net = x.start_network()
    torch.manual_seed(x.bench.seed)
    players = Players(net, models.OutputDiscriminator(len(x.bench.classes), s.width)).to(x.device)
    discriminator = players.discriminator
    weights = x.class_weights(x.bench.source, s.class_weight)

    def loss(wrapped: nn.Module, batch: tuple[data.Batch, data.Batch], step: int) -> Tensor:
        source, labels, target = _forward(x, net, wrapped, batch, step)
        segmentation = train.cross_entropy(source.logits, labels, weights)
        on_source, on_target = (view(output, x.augmentation.crop) for output in (source, target))
        if s.game == "minmax":
            fooling = train.minmax_loss(discriminator, on_source, on_target)
        else:
            fooling = train.alignment_loss(discriminator, on_target, s.gan)
        telling = train.discriminator_loss(discriminator, on_source, on_target, s.gan)
        window = step * WINDOWS // s.steps
        players.losses[window] += torch.stack([part.detach() for part in (segmentation, fooling, telling)])
        players.scores[window] += _right(discriminator, on_source, on_target, s.gan)
        # Neither adversarial loss has a gradient for the other side, so one backward pass serves both optimisers.
        return segmentation + s.weight * fooling + telling

    plans = {
        "net": s.plan(s.steps),
        "discriminator": train.Plan(
            s.steps, s.discriminator_lr, s.schedule, "adamw", weight_decay=0, betas=(0.9, 0.99)
        ),
    }
    for number in x.rounds(net, 1):
        curve = x.train(players, number, plans, _both_domains(x, s), loss)
        train.save(discriminator.state_dict(), x.run.folder / "discriminator.pt")
        game = history(players.losses, players.scores, s.steps)
        for sentence in game["warnings"]:
            x.report(sentence)
        x.finish_round(net, number, curve=curve, game=game)


def _both_domains(x: Experiment, s: Aligned) -> Callable[[int], Iterator[tuple[data.Batch, data.Batch]]]:
    nothing = torch.full((len(x.bench.target), *x.bench.size), IGNORE, dtype=torch.uint8)
    domains = (x.bench.source, data.PseudoLabelled(x.bench.target, nothing))
    draws = [x.draw(domain, s.batch_size, 1, s.steps) for domain in domains]
    return lambda start: zip(*(draw(start) for draw in draws), strict=True)


def _forward(
    x: Experiment, net: nn.Module, wrapped: nn.Module, batch: tuple[data.Batch, data.Batch], step: int
) -> tuple[models.Output, Tensor, models.Output]:
    """Output and labels of the source, and output of the target; running statistics follow the target alone."""
    source_images, labels = x.augmented(batch[0], 1, 2 * step)
    target_images, _ = x.augmented(batch[1], 1, 2 * step + 1)
    with train.keep_statistics(net):
        source = wrapped(source_images)
    return source, labels, wrapped(target_images)


@torch.no_grad()
def _right(discriminator: nn.Module, source: Tensor, target: Tensor, gan: str) -> Tensor:
    """Scores on the right side of the border between the domains, and all scores: int64 [2]."""
    border = 0.0 if gan == "vanilla" else (train.SOURCE + train.TARGET) / 2
    right = torch.cat([discriminator(source) > border, discriminator(target) < border])
    return torch.stack([right.sum(), right.new_tensor(right.numel(), dtype=torch.int64)])


def history(losses: Tensor, scores: Tensor, steps: int) -> dict[str, Any]:
    """The buffers of `Players` as entries of a record, with a sentence for each way in which the game went wrong.

    A discriminator that is at chance, or never wrong, for half of the training or more has little to teach; and a
    segmentation loss that grows to three times its first value says that the network forgets its task. The limits are
    ours.
    """
    window = torch.arange(steps) * WINDOWS // steps
    steps_of = torch.bincount(window, minlength=WINDOWS)
    ran = steps_of > 0
    means = (losses.cpu()[ran] / steps_of[ran, None]).tolist()
    accuracy = (scores.cpu()[ran, 0] / scores.cpu()[ran, 1]).tolist()
    warnings = []
    for name, odd in (("at chance", [a < CHANCE for a in accuracy]), ("never wrong", [a > PERFECT for a in accuracy])):
        if 2 * sum(odd) >= len(odd):
            warnings.append(f"The discriminator was {name} in {sum(odd)} of {len(odd)} parts of the training.")
    segmentation = [row[0] for row in means]
    if max(segmentation) > EXPLODED * segmentation[0]:
        warnings.append(f"The segmentation loss grew from {segmentation[0]:.2f} to {max(segmentation):.2f}.")
    return {"accuracy": accuracy, "losses": means, "warnings": warnings}
