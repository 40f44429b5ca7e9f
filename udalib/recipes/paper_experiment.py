"""What the profiles `paper` and `paper-released` can be told beyond a recipe's own settings, and how it is done.

Networks at the papers' size need what the small ones of this course don't: initial weights, rates for the parts of a
network, image sizes and crops in pixels, and batches that are taken in parts. All recipes get it from here.
"""

import copy
import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from udalib import data, models, predict, processes, runs, score, train
from udalib.recipes.experiment import Optimisation
from udalib.recipes.real_experiment import RealExperiment
from udalib.train import released  # noqa: F401, for the names that it adds to the loop's tables

EVENLY = ("zoom", "window")
IMAGENET = "imagenet"
PIXELS = 1024 * 2048  # that a network predicts at once: one image of Cityscapes


@dataclass(frozen=True)
class PaperScale:
    """Settings beside those of every recipe.

    source_size, target_size: height and width that the images of a domain are resized to; empty: as published. The
        validation images are then seen at the target's size too, and scored at their own.
    crop_size: height and width of the training window in pixels, in place of `crop`. Without it, `crop` = 1 trains on
        whole images, each domain's at its own size; discriminators see both at the target's.
    mirror: half of the training images. evenly: what is drawn evenly between the limits that `scale` sets: the "zoom",
        or the side of the "window" (IAST). jitter_share: of the images, those whose colours change.
    pretrained: what a network that isn't that of another run starts from: "", random weights; "imagenet", those that
        torchvision has for its backbone; or a file that `models.load_initial` reads.
    rates: factors of the learning rate, for parts of the network by their names. bias_lr: one more for biases.
        bias_decay: whether biases decay. See `train.parameter_groups`.
    accumulate: parts that a batch is split into, so that it takes less memory; see `train.InParts`, also on batch
        normalisation.
    label_scales: of the images that pseudo-labels are predicted on, for each round; the last one stays. label_flip:
        average with mirror images there.
    start_settings: of the recipe that this one starts from, over those of its own file.
    """

    source_size: tuple[int, ...] = ()
    target_size: tuple[int, ...] = ()
    crop_size: tuple[int, ...] = ()
    mirror: bool = True
    evenly: str = "zoom"
    jitter_share: float = 1.0
    pretrained: str = ""
    rates: dict = field(default_factory=dict)
    bias_lr: float = 1.0
    bias_decay: bool = True
    accumulate: int = 1
    label_scales: tuple[float, ...] = (1.0,)
    label_flip: bool = False
    start_settings: dict = field(default_factory=dict)

    def __post_init__(self):
        for name in ("source_size", "target_size", "crop_size"):
            size = getattr(self, name)
            if size and (len(size) != 2 or min(size) < 1):
                raise ValueError(f"{name} is {tuple(size)}; give height and width in pixels, such as (512, 1024).")
        if self.evenly not in EVENLY:
            raise ValueError(f"evenly is {self.evenly!r}; choose one of: {', '.join(EVENLY)}.")
        if self.accumulate < 1:
            raise ValueError(f"accumulate is {self.accumulate}; give the parts of a batch, 1 or more.")
        if not self.label_scales or min(self.label_scales) <= 0:
            raise ValueError(f"label_scales is {self.label_scales}; give factors above 0, such as (1.0,).")
        # The recipe's own settings come next in the order of classes, and not all of them have something to check.
        getattr(super(), "__post_init__", lambda: None)()

    def augmentation(self, size: tuple[int, int]) -> "PaperAugmentation":
        """size: of the target's images."""
        plain, whole = super().augmentation(size), self.crop == 1 and not self.crop_size
        crop = tuple(self.crop_size) or (size if whole else plain.crop)
        return PaperAugmentation(
            crop, plain.scale, self.mirror, plain.jitter, whole, self.evenly, jitter_share=self.jitter_share
        )

    def resized(self, pair: data.RealPair) -> data.RealPair:
        """A benchmark at the sizes of these settings."""
        sizes = {"source": tuple(self.source_size), "target": tuple(self.target_size)}
        values = {field.name: getattr(pair, field.name) for field in dataclasses.fields(pair)}
        return ResizedPair(**values, sizes={role: size for role, size in sizes.items() if size})


@functools.cache
def at_scale(kind: type[Optimisation]) -> type[Optimisation]:
    """The settings of a recipe with those of `PaperScale`."""
    return dataclasses.make_dataclass(kind.__name__, (), bases=(PaperScale, kind), frozen=True)


@dataclass(frozen=True)
class ResizedPair(data.RealPair):
    """A benchmark with sizes of its own for some roles, (height, width) in pixels."""

    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def size(self, role: str, profile: str) -> tuple[int, int]:
        return self.sizes.get(role) or super().size(role, profile)


@dataclass(frozen=True)
class PaperAugmentation(data.Augmentation):
    """Augmentation as the papers have it. whole: images keep their size; then `crop` is that of the target's images."""

    whole: bool = False
    evenly: str = "zoom"
    jitter_share: float = 1.0

    def __call__(
        self, images: Tensor, labels: Tensor | None, generator: torch.Generator, mining: data.Mining | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if self.whole:
            of_size = dataclasses.replace(self, crop=tuple(images.shape[-2:]), whole=False)
            return of_size(images, labels, generator, mining)
        if self.evenly == "zoom":
            return super().__call__(images, labels, generator, mining)
        low, high = self.scale
        each = []
        for i in range(len(images)):
            side = 1 / high + (1 / low - 1 / high) * torch.rand(1, generator=generator).item()
            of_image = dataclasses.replace(self, scale=(1 / side, 1 / side), evenly="zoom")
            label = None if labels is None else labels[i : i + 1]
            each.append(of_image(images[i : i + 1], label, generator, mining))
        images, labels = zip(*each, strict=True)
        return torch.cat(images), None if labels[0] is None else torch.cat(labels)

    def _colours(self, images: Tensor, generator: torch.Generator) -> Tensor:
        changed = super()._colours(images, generator)
        chosen = torch.rand(len(images), generator=generator) < self.jitter_share
        return torch.where(chosen.view(-1, 1, 1, 1).to(images.device), changed, images)


class Seen(nn.Module):
    """A network as it is tested: few images at once, and each shrunk if asked for.

    factors: of the height and the width of the images, which are resized bicubically; None: not at all.

    Input: images [B, 3, H, W] in 0..255. Output: the network's logits.
    """

    def __init__(self, net: nn.Module, factors: tuple[float, float] | None = None):
        super().__init__()
        self.net, self.factors = net, factors

    @property
    def num_classes(self) -> int:
        return self.net.num_classes

    def forward(self, images: Tensor) -> models.Output:
        if self.factors:
            size = [round(side * factor) for side, factor in zip(images.shape[-2:], self.factors, strict=True)]
            images = F.interpolate(images.float(), size, mode="bicubic", antialias=True).clamp(0, 255)
        height, width = images.shape[-2:]
        parts = images.split(max(1, PIXELS // (height * width)))
        return models.Output(torch.cat([self.net(part).logits for part in parts]))


def fingerprint(pretrained: str) -> str | None:
    """What identifies the file of initial weights that these settings name; None where they name no file.

    Raises ValueError where it is not there.
    """
    if pretrained in ("", IMAGENET):
        return None
    try:
        with open(pretrained, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise ValueError(
            f"The initial weights {pretrained} can't be read ({error.strerror}); set pretrained to the path of that "
            f"file, to {IMAGENET}, or to '' for random weights."
        ) from error


class PaperExperiment(RealExperiment):
    """An experiment with the settings of `PaperScale`, in one process or in several that share the work.

    A recipe that starts from another run can be told to start from none (`start` = ""): it then finds the initial
    weights in this run's own file of round 0.
    """

    def __init__(self, *of_run: Any):
        super().__init__(*of_run)
        if self.start is None and hasattr(self.settings, "start"):
            train.save(self.fresh_network().state_dict(), self.run.weights(0))
            self.start = runs.Result({"rounds": [{"round": 0}]}, self.run.record_path)

    def fresh_network(self) -> nn.Module:
        """An untrained network with the initial weights of its recipe; the run's seed decides what they leave out."""
        chosen, classes = self.settings, len(self.bench.classes)
        torch.manual_seed(self.bench.seed)
        if chosen.pretrained == IMAGENET:
            return models.pretrained(chosen.network, classes).to(self.device)
        net = models.build(chosen.network, classes)
        if chosen.pretrained:
            models.load_initial(net, Path(chosen.pretrained))
        return net.to(self.device)

    def train(
        self, net: nn.Module, number: int, plan: train.Plan | Mapping[str, train.Plan], batches, loss
    ) -> list[tuple[int, float]]:
        """As that of `Experiment`, with the rates and parts of the settings."""
        chosen = self.settings
        trained = train.InParts(net, chosen.accumulate)
        trained.groups, plans = train.parameter_groups(net, plan, chosen.rates, chosen.bias_lr, chosen.bias_decay)
        plans = {f"groups.{name}": of_group for name, of_group in plans.items()}
        with processes.in_step(net):
            return super().train(trained, number, plans, batches, loss)

    def predict(self, net: nn.Module, dataset) -> Iterator[tuple[Tensor, list[str]]]:
        """The probabilities that pseudo-labels of the current round are made from."""
        chosen, (height, width) = self.settings, self.bench.size
        scale = chosen.label_scales[min(len(self.run.rounds), len(chosen.label_scales) - 1)]
        return predict.shared(
            lambda batches: predict.whole(Seen(net), batches, chosen.label_flip, (scale,)),
            dataset,
            batch_size=2 * max(1, PIXELS // (height * width)),  # even, since the released IAST goes by pairs
        )

    def confusion(self, net: nn.Module, **test) -> score.ConfusionMatrix:
        """As that of `RealExperiment`; the images are seen at the target's size, and shared among the processes."""
        bench, own = self.bench, copy.copy(self)
        sizes = zip(self.settings.target_size, bench.pair.size("val", bench.profile), strict=False)
        # Not a copy of the benchmark: the validation set of a semi-supervised one is not a field of its own.
        own.bench = SimpleNamespace(
            classes=bench.classes, merge=bench.merge, pair=bench.pair, val=processes.share_of(bench.val)
        )
        matrix = super(PaperExperiment, own).confusion(Seen(net, tuple(a / b for a, b in sizes)), **test)
        matrix.matrix = processes.summed(matrix.matrix)
        return matrix
