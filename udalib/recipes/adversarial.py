"""Alignment of the two domains before any pseudo-label: AdaptSegNet (Tsai et al., CVPR 2018), ADVENT and MinEnt (Vu et
al., CVPR 2019).

Further training from a source-trained network: cross-entropy on the source, and on the target a loss that needs no
label. That loss asks discriminators, or the entropy of the predictions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
DISCRIMINATORS = ("discriminator.pt", "discriminator_aux.pt")  # files in a run's folder

View = Callable[[Tensor, tuple[int, int]], Tensor]  # from logits, and the size of the images
Segmentation = Callable[[models.Output, Tensor], Tensor]  # loss of an output of the source, given its labels


@dataclass(frozen=True)
class Aligned(Optimisation):
    """start: the recipe whose network is aligned.

    steps: of the training. lr, optimiser, schedule, batch_size: ours, as for the other recipes that train on; the
        papers take SGD with 2.5e-4, poly, and one image of each domain. weight: of the loss on the target. On
        game-dashcam (seed 100) the papers' 0.001 gave AdaptSegNet a mean IoU of 40.5, 0.01 gave 42.4, and MinEnt 40.4.
    """

    start: str = "source"
    steps: int = 1000
    lr: float = 1.5e-4
    schedule: str = "constant"
    weight: float = 0.01


@dataclass(frozen=True)
class Game(Aligned):
    """gan: "vanilla" or "least_squares", see `train.discriminator_loss`.

    game: the network's side of it: "non_saturating" (`train.alignment_loss`, all released codes) or the literal
        "minmax" (`train.minmax_loss`, vanilla only).
    discriminator_lr: 1e-4 in AdaptSegNet and ADVENT, with betas of 0.9 and 0.99, also here.
    """

    gan: str = "vanilla"
    game: str = "non_saturating"
    discriminator_lr: float = 1e-4

    def __post_init__(self):
        for field, table in (("gan", train.GANS), ("game", GAMES)):
            if (value := getattr(self, field)) not in table:
                raise ValueError(f"There is no {field} {value!r}; choose one of: {', '.join(table)}.")
        if self.game == "minmax" and self.gan != "vanilla":
            raise ValueError(f"The game 'minmax' has no gan {self.gan!r}; choose vanilla, or the other game.")


@dataclass(frozen=True)
class Adversarial(Game):
    """width: channels of a discriminator's first convolution; 64 in the papers, and then thrice as dear as the network.

    level_weight: of the adversarial loss on the auxiliary output of a network that has one ("mini_levels"); 0.0002 in
        AdaptSegNet's two levels, 0: a single level. level_segmentation: of the cross-entropy there. level_lr: factor of
        the learning rate of the auxiliary classifier, which begins untrained; the papers' classifiers all have 10.
    """

    width: int = 16
    level_weight: float = 0.0
    level_segmentation: float = 0.1
    level_lr: float = 10.0


PROFILES = {"smoke": {"steps": 4, "batch_size": 2}, "full": {"steps": 4000}}


def adaptseg(x: Experiment, s: Adversarial) -> None:
    """Align the softmax output of the two domains with discriminators (AdaptSegNet, one or two levels)."""
    _align(x, s, probabilities)


def advent(x: Experiment, s: Adversarial) -> None:
    """Align the weighted self-information of the two domains with discriminators (ADVENT)."""
    _align(x, s, lambda logits, size: train.weighted_self_information(probabilities(logits, size)))


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


def probabilities(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Softmax of the logits at `size`, float32 [B, C, *size]."""
    return resize(logits.float(), size).softmax(dim=1)


def _align(x: Experiment, s: Adversarial, view: View) -> None:
    """Adversarial training on one output of a network or two. view: what a discriminator sees of logits."""
    classes, size, net_plans = len(x.bench.classes), x.augmentation.crop, {"net": s.plan(s.steps)}
    net = _with_auxiliary(x, s) if s.level_weight else x.start_network()
    torch.manual_seed(x.bench.seed)
    levels = [Level(models.OutputDiscriminator(classes, s.width), lambda output: view(output.logits, size), s.weight)]
    if s.level_weight:
        second = models.OutputDiscriminator(classes, s.width)
        levels.append(Level(second, lambda output: view(output.aux, size), s.level_weight))
        net_plans = {
            f"net.{name}": s.plan(s.steps, s.level_lr if name == "auxiliary" else 1)
            for name, part in net.named_children()
            if list(part.parameters())
        }
    weights = x.class_weights(x.bench.source, s.class_weight)

    def segmentation(output: models.Output, labels: Tensor) -> Tensor:
        loss = train.cross_entropy(output.logits, labels, weights)
        if s.level_weight:
            loss = loss + s.level_segmentation * train.cross_entropy(output.aux, labels, weights)
        return loss

    play(x, s, net, levels, segmentation, net_plans)


def _with_auxiliary(x: Experiment, s: Adversarial) -> nn.Module:
    """The network that the run starts from, with an auxiliary classifier that is untrained unless it had one."""
    net = x.fresh_network()
    if not hasattr(net, "auxiliary"):
        raise ValueError(f"Network {s.network!r} has no auxiliary output; choose mini_levels, or a level_weight of 0.")
    missing, _ = net.load_state_dict(train.load(x.start.weights(), x.device), strict=False)
    if strange := [name for name in missing if not name.startswith("auxiliary.")]:
        raise ValueError(f"The network of {s.start} has no weights for {strange[0]}; start from a run of `mini`.")
    return net


class Level(NamedTuple):
    """Where a network is aligned: a discriminator, what it sees of an output, and the weight of the network's loss."""

    discriminator: nn.Module
    view: Callable[[models.Output], Tensor]
    weight: float


class Players(nn.Module):
    """A network, its discriminators, and what happened between them, in buffers, so that a killed training goes on.

    losses: float32 [WINDOWS, 1 + 2 L], sums over the steps of a window: of the segmentation loss and, for each of the L
    levels, the network's adversarial loss and the discriminator's loss. scores: int64 [WINDOWS, L, 2], the
    discriminators' scores that were right, and all.
    """

    def __init__(self, net: nn.Module, *discriminators: nn.Module):
        super().__init__()
        self.net, self.discriminators = net, nn.ModuleList(discriminators)
        self.register_buffer("losses", torch.zeros(WINDOWS, 1 + 2 * len(discriminators)))
        self.register_buffer("scores", torch.zeros(WINDOWS, len(discriminators), 2, dtype=torch.int64))

    def forward(self, images: Tensor) -> models.Output:
        return self.net(images)


def play(
    x: Experiment,
    s: Game,
    net: nn.Module,
    levels: Sequence[Level],
    segmentation: Segmentation,
    net_plans: dict[str, train.Plan],
) -> None:
    """Train a network on the source's labels and against the discriminators of all levels, and these against it.

    net_plans: of the network, "net", or of its parts, "net.<part>". The discriminators' weights are kept in files
    called `DISCRIMINATORS`, the first level first.
    """
    players = Players(net, *(level.discriminator for level in levels)).to(x.device)

    def loss(wrapped: nn.Module, batch: tuple[data.Batch, data.Batch], step: int) -> Tensor:
        source, labels, target = _forward(x, net, wrapped, batch, step)
        total, window = segmentation(source, labels), step * WINDOWS // s.steps
        parts = [total]
        for number, (discriminator, view, weight) in enumerate(levels):
            on_source, on_target = view(source), view(target)
            if s.game == "minmax":
                fooling = train.minmax_loss(discriminator, on_source, on_target)
            else:
                fooling = train.alignment_loss(discriminator, on_target, s.gan)
            telling = train.discriminator_loss(discriminator, on_source, on_target, s.gan)
            # Neither adversarial loss has a gradient for the other side, so one backward pass serves all optimisers.
            total = total + weight * fooling + telling
            parts += [fooling, telling]
            players.scores[window, number] += _right(discriminator, on_source, on_target, s.gan)
        players.losses[window] += torch.stack([part.detach() for part in parts])
        return total

    plan = train.Plan(s.steps, s.discriminator_lr, s.schedule, "adamw", weight_decay=0, betas=(0.9, 0.99))
    for number in x.rounds(net, 1):
        try:
            curve = x.train(players, number, {**net_plans, "discriminators": plan}, _both_domains(x, s), loss)
        except FloatingPointError as error:
            kept = f"The last good step is kept in {x.run.state(number)}." if x.run.state(number).exists() else ""
            x.run.write("stopped", stopped=str(error))
            raise FloatingPointError(f"{error} {kept}".strip()) from error
        for level, name in zip(levels, DISCRIMINATORS, strict=False):
            train.save(level.discriminator.state_dict(), x.run.folder / name)
        game = history(players.losses, players.scores, s.steps)
        for sentence in game["warnings"]:
            x.report(sentence)
        x.finish_round(net, number, curve=curve, game=game)


def _both_domains(x: Experiment, s: Aligned) -> Callable[[int], Iterator[tuple[data.Batch, data.Batch]]]:
    nothing = torch.tensor(IGNORE, dtype=torch.uint8).expand(len(x.bench.target), *x.bench.size)
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
    # Not new_tensor, which makes a GPU wait for the number to arrive.
    return torch.stack([right.sum(), right.new_full((), right.numel(), dtype=torch.int64)])


def history(losses: Tensor, scores: Tensor, steps: int) -> dict[str, Any]:
    """The buffers of `Players` as entries of a record, with a sentence for each way in which the game went wrong.

    accuracy, losses: one entry for each part of the training, of the first level; aux_accuracy, aux_losses: of the
    second, without the segmentation loss. A discriminator that is at chance, or never wrong, for half of the training
    or more has little to teach; and a segmentation loss that grows to three times its first value says that the network
    forgets its task. The limits are ours.
    """
    window = torch.arange(steps) * WINDOWS // steps
    steps_of = torch.bincount(window, minlength=WINDOWS)
    ran = steps_of > 0
    means = losses.cpu()[ran].double() / steps_of[ran, None]
    right, made = scores.cpu()[ran].unbind(dim=-1)
    accuracy = (right / made).T.tolist()
    game, warnings = {"accuracy": accuracy[0], "losses": means[:, :3].tolist()}, []
    if len(accuracy) > 1:
        game |= {"aux_accuracy": accuracy[1], "aux_losses": means[:, 3:].tolist()}
    for who, shares in zip(("The discriminator", "The second discriminator"), accuracy, strict=False):
        for name, odd in (("at chance", [a < CHANCE for a in shares]), ("never wrong", [a > PERFECT for a in shares])):
            if 2 * sum(odd) >= len(odd):
                warnings.append(f"{who} was {name} in {sum(odd)} of {len(odd)} parts of the training.")
    segmentation = means[:, 0].tolist()
    if max(segmentation) > EXPLODED * segmentation[0]:
        warnings.append(f"The segmentation loss grew from {segmentation[0]:.2f} to {max(segmentation):.2f}.")
    return {**game, "warnings": warnings}
