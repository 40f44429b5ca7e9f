"""Strategic curriculum of proxy labels with two decoders: Chitta et al. 2018.

One training without rounds. Every step sees a batch of one domain; its target pixels are labelled by the very forward
pass that is trained on, and whether the decoders agree on a pixel decides if it counts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Subset

from udalib import data, models, select, train
from udalib.device import autocast
from udalib.labels import IGNORE
from udalib.models.parts import resize
from udalib.recipes.experiment import Experiment, Optimisation

WEIGHTS = ("none", "paper", "source")
NORMALISE = ("kept", "all")
HEAVY = ("wall", "fence", "pole", "traffic light", "traffic sign", "rider")
SOURCE = 0  # the first of the two domains; the other is the target
BORDER = 2  # pixels around a border between classes
REPORTED = 200  # target images on which agreement is held against the truth


@dataclass(frozen=True)
class Curriculum(Optimisation):
    """Values are the paper's, or as said. The ablation of its Table 1 adds one of the first three switches at a time.

    weights: of the loss. "paper" counts wall, fence, pole, traffic light, traffic sign and rider twice, a choice made
        with the labels of the validation set. "source" needs none: it counts as many classes twice, those that are
        rarest in the source labels.
    easy_mining: target pixels count only where the decoders agree. hard_mining: source pixels on which they agree are
        dropped more and more.
    first_share, last_share, reading: the share of batches from the source, gamma; see `train.source_share`. ramp:
        epochs until gamma and the share of dropped pixels stay; 10 of 20 in the paper.
    easy: what an easy source pixel is; see `select.hard_labels`. average: see `select.ensemble_labels`.
    similarity, similar_weights, penalty: the second term of Eq. 4; see `train.decoder_similarity`. penalty: beta.
    normalise: what the sum over the pixels is divided by: those that were "kept", or "all" that have a label, so that
        the loss of a batch fades with them. Eq. 4 prints a sum.
    steps, epochs: of the training; an epoch is a number of steps, as the paper leaves its length open.
    lr, optimiser, batch_size: ours; the paper takes SGD with 0.01 and 12 images. encoder_lr: the encoder's share of lr.
    start: a recipe on the same benchmark whose network gives the encoder its weights: a stand-in for the paper's
        pre-training on ADE20k, on another task than here. Empty: from scratch.
    With decoders as wide as that of `mini`, on game-dashcam (seed 100), the whole method ended at a mean IoU of 24.0
        with an lr of 5e-3 and weights = "paper", at 32.7 with 1e-3 and "source", and there with easy =
        "agree_and_correct" at 35.1; the paper's rule stays the default. From scratch it was not tried with these
        weights.
    """

    weights: str = "source"
    easy_mining: bool = True
    hard_mining: bool = True
    first_share: float = 0.9
    last_share: float = 0.1
    reading: str = "fraction"
    ramp: float = 10
    easy: str = "agree"
    average: str = "logits"
    similarity: str = "cosine"
    similar_weights: str = "convolutions"
    penalty: float = 0.01
    normalise: str = "kept"
    network: str = "mini_dual"
    steps: int = 1500
    epochs: int = 20
    lr: float = 1e-3
    schedule: str = "poly_epochs"
    encoder_lr: float = 0.1
    start: str = "source"

    def __post_init__(self):
        for field, table in (("weights", WEIGHTS), ("normalise", NORMALISE)):
            if (value := getattr(self, field)) not in table:
                raise ValueError(f"There is no {field} {value!r}; choose one of: {', '.join(table)}.")
        if self.epochs < 1 or self.steps < self.epochs:
            raise ValueError(f"{self.steps} steps make no {self.epochs} epochs; give at least one step for each.")

    def epoch(self, step: int) -> int:
        """The epoch, from 0 on, that a step belongs to."""
        return step * self.epochs // self.steps

    def snapshot_steps(self) -> list[int]:
        """Steps before which the network is kept for a look back: after a twentieth, and each quarter."""
        return sorted({-(-self.steps * part // 20) for part in (1, 5, 10, 15)})

    def share(self, epoch: int) -> float:
        """The probability that a batch of this epoch comes from the source."""
        return train.source_share(epoch, self.first_share, self.last_share, self.ramp, self.reading)


PROFILES = {"smoke": {"steps": 8, "epochs": 4, "ramp": 2.0, "batch_size": 2}, "full": {"steps": 6000}}


class Counted(nn.Module):
    """A network and how many pixels of either domain its decoders agreed on in each epoch.

    `pixels`, int64 [epochs, 2, 3]: of source and target, those with a label, on which they agreed, and that were kept.
    A buffer, so that a training that was killed goes on counting.
    """

    def __init__(self, net: nn.Module, epochs: int):
        super().__init__()
        self.net = net
        self.register_buffer("pixels", torch.zeros(epochs, 2, 3, dtype=torch.int64))

    def forward(self, images: Tensor) -> models.Output:
        return self.net(images)


def curriculum(x: Experiment, s: Curriculum) -> None:
    """Easy target pixels, hard source pixels, judged by two decoders (Eq. 1-5)."""
    net = x.fresh_network()
    if x.start:
        before, parts = train.load(x.start.weights(), x.device), dict(net.named_children())
        net.load_state_dict({k: v for k, v in before.items() if k.split(".")[0] in parts}, strict=False)
    counted = Counted(net, s.epochs).to(x.device)
    weights = _class_weights(x, s)
    unlabelled = torch.zeros(len(x.bench.target), *x.bench.size, dtype=torch.uint8)  # becomes 255 outside the image
    domains = (x.bench.source, data.PseudoLabelled(x.bench.target, unlabelled))

    coins = [torch.rand(1, generator=data.seeded(x.bench.seed, step)).item() for step in range(s.steps)]
    turns = [int(coin >= s.share(s.epoch(step))) for step, coin in enumerate(coins)]

    def batches(start: int) -> Iterator[tuple[int, data.Batch]]:
        # Each domain goes through its images at its own pace: only what is trained on is read.
        drawn = [
            x.draw(images, s.batch_size, 1, turns.count(domain))(turns[:start].count(domain))
            for domain, images in enumerate(domains)
        ]
        for domain in turns[start:]:
            yield domain, next(drawn[domain])

    def loss(wrapped: nn.Module, drawn: tuple[int, data.Batch], step: int) -> Tensor:
        (domain, batch), epoch = drawn, s.epoch(step)
        if step in s.snapshot_steps():
            train.save(net.state_dict(), x.run.folder / f"epoch{epoch}.pt")
        images, labels = x.augmented(batch, 1, step)
        each = both_decoders(wrapped(images), labels.shape[-2:])
        preds = select.predictions(each)
        if domain == SOURCE:
            kept = labels
            if s.hard_mining:
                drop = train.drop_share(epoch, s.ramp)
                kept = select.hard_labels(labels, preds, drop, data.seeded(x.bench.seed, -1 - step), s.easy)
        else:
            kept = select.ensemble_labels(preds if s.easy_mining else each, s.easy_mining, s.average)
            kept = torch.where(labels == IGNORE, IGNORE, kept)
        here = labels != IGNORE
        seen = (here, here & select.agreement(preds), kept != IGNORE)
        counted.pixels[epoch, domain] += torch.stack([pixels.sum() for pixels in seen])
        # The sum of both decoders' means, which are over the same pixels.
        pixels = 2 * train.cross_entropy(each.flatten(0, 1), kept.repeat(2, 1, 1), weights)
        if s.normalise == "all":
            pixels = pixels * (kept != IGNORE).sum() / here.sum().clamp(min=1)
        return pixels + s.penalty * train.decoder_similarity(*net.decoders, s.similarity, s.similar_weights)

    for number in x.rounds(net, 1):
        curve = x.train(counted, number, _plans(s, net), batches, loss)
        x.finish_round(net, number, curve=curve, epochs=_epochs(counted.pixels), study=_agreement(x, s, net))


def both_decoders(output: models.Output, size: tuple[int, int]) -> Tensor:
    """The logits of each decoder at `size`, float32 [2, B, C, *size], from an output with both in `aux`."""
    return torch.stack([resize(logits.float(), size) for logits in output.aux])


def _class_weights(x: Experiment, s: Curriculum) -> Tensor | None:
    if s.weights == "paper":
        return torch.tensor([2.0 if name in HEAVY else 1.0 for name in x.bench.classes.names], device=x.device)
    if s.weights == "source":
        by_rarity = x.class_weights(x.bench.source, 1).argsort(descending=True)
        return torch.ones(len(by_rarity), device=x.device).index_fill(0, by_rarity[: len(HEAVY)], 2.0)
    return None


def _plans(s: Curriculum, net: nn.Module) -> dict[str, train.Plan]:
    learning = [name for name, part in net.named_children() if list(part.parameters())]
    return {f"net.{name}": s.plan(s.steps, 1 if name == "decoders" else s.encoder_lr) for name in learning}


def _epochs(pixels: Tensor) -> list[dict[str, Any]]:
    """Counts [epochs, 2, 3] as entries of a record: shares of the labelled pixels, None where a domain had no batch."""
    entries = []
    for epoch in pixels.tolist():
        entry = {}
        for domain, (here, agreed, kept) in zip(("source", "target"), epoch, strict=True):
            entry[f"{domain}_hard"] = 1 - agreed / here if here else None
            entry[f"{domain}_kept"] = kept / here if here else None
        entries.append(entry)
    return entries


def _agreement(x: Experiment, s: Curriculum, net: nn.Module) -> list[dict[str, Any]]:
    """What agreement of the decoders says about the target, at each snapshot and at the end; reads its ground truth."""
    oracle = x.bench.oracle().target
    some = Subset(oracle, range(min(REPORTED, len(oracle))))
    entries = []
    for step in s.snapshot_steps():
        past = x.fresh_network()
        past.load_state_dict(train.load(x.run.folder / f"epoch{s.epoch(step)}.pt", x.device))
        entries.append({"epoch": s.epoch(step), **agreement_quality(past, data.ordered_batches(some))})
    entries.append({"epoch": s.epochs, **agreement_quality(net, data.ordered_batches(some))})
    return entries


@torch.no_grad()
def agreement_quality(net: nn.Module, batches: Iterable[data.Batch]) -> dict[str, float | None]:
    """How right two decoders are where they agree and where they differ, and where that is, on labelled images.

    Borders are pixels with another class at most 2 pixels away in a row or column, or both. Shares are None where they
    are undefined. easy: share of the pixels on which the decoders agree. easy_precision, hard_precision: share of the
    easy and of the other pixels whose averaged prediction is right. border: share of all pixels that are borders.
    hard_border: share of the hard ones that are.
    """
    net.eval()
    device = next(net.parameters()).device
    counts = torch.zeros(2, 2, 2, dtype=torch.int64, device=device)  # easy, right, border
    for batch in batches:
        truth = batch.labels.to(device)
        with autocast(device):
            output = net(batch.images.to(device))
        each = both_decoders(output, truth.shape[-2:])
        right = each.mean(dim=0).argmax(dim=1) == truth
        bits = torch.stack([select.agreement(each), right, borders(truth)])[:, truth != IGNORE].long()
        counts += torch.bincount(4 * bits[0] + 2 * bits[1] + bits[2], minlength=8).view(2, 2, 2)
    hard, easy = counts.double().cpu()
    shares = {
        "easy": easy.sum() / counts.sum().cpu(),
        "easy_precision": easy[1].sum() / easy.sum(),
        "hard_precision": hard[1].sum() / hard.sum(),
        "border": (easy + hard)[:, 1].sum() / counts.sum().cpu(),
        "hard_border": hard[:, 1].sum() / hard.sum(),
    }
    return {name: None if share.isnan() else share.item() for name, share in shares.items()}


def borders(labels: Tensor) -> Tensor:
    """Where label maps, integers [B, H, W], have another value within 2 pixels, in a square of 5x5: bool [B, H, W]."""
    values = labels[:, None].float()
    side = 2 * BORDER + 1
    highest = F.max_pool2d(values, side, 1, BORDER)
    lowest = -F.max_pool2d(-values, side, 1, BORDER)
    return (highest != lowest)[:, 0]
