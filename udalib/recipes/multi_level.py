"""Self-supervised learning on several levels (SISC, PWL): Iqbal and Ali, MLSL.

Class-balanced self-training in which labels come from predictions on many windows (SISC) and the network also learns
which classes an image contains (PWL, pseudo weak-labels).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from udalib import data, models, predict, select, train
from udalib.recipes.experiment import Experiment
from udalib.recipes.self_training import ClassBalancedPriors, Loss, pixel_loss, self_train, spatial_prior

PRESENCE = ("image", "crop")
CROP_STRIDE = 8  # pixels of a crop that the released code judges presence by


@dataclass(frozen=True)
class Windows(ClassBalancedPriors):
    """Values are the paper's, or as said; all else is that of CBST, from which the paper departs.

    windows: per image; the released code has 25. window: their side as a share of the image's height (512 of 1,024
        pixels). include_full, placement, vote, flip: see `predict.windows`; the released code has True, "official",
        "soft" and True.
    prior: whether the spatial prior of CBST-SP multiplies the averaged probabilities; the released commands switch it
        on.
    hard_examples: train on the pixels alone whose label the network is not sure of, see `train.hard_example_labels`;
        the released code of SISC does.

    The record's notes have `covered`: for each round the share of the pixels that lie in a window.
    """

    windows: int = 50
    window: float = 0.5
    include_full: bool = False
    placement: str = "uniform"
    vote: str = "soft"
    flip: bool = False
    prior: bool = False
    hard_examples: bool = False


@dataclass(frozen=True)
class WeakLabels(Windows):
    """weak_weight: lambda of Eq. 6 and 7; the released code has 0.04.

    eta, strict: when a class is present in a target image, see `select.weak_labels`; the released code has 0.0225 and
        False.
    presence: judged on the whole "image", or on the training "crop" that the head sees, at every eighth pixel and by
        the same rule on the source (released code).
    """

    weak_weight: float = 0.025
    eta: float = 0.05
    strict: bool = True
    presence: str = "image"
    network: str = "mini_image"

    def __post_init__(self):
        super().__post_init__()
        if self.presence not in PRESENCE:
            raise ValueError(f"There is no presence {self.presence!r}; choose one of: {', '.join(PRESENCE)}.")


PROFILES = {
    "smoke": {"rounds": 2, "batch_size": 2, "epochs": 0.5, "windows": 6},
    "quick": {"epochs": 1, "windows": 25},
}


def sisc(x: Experiment, s: Windows) -> None:
    """CBST on predictions averaged over windows: spatially independent, semantically consistent (SISC)."""
    _self_train(x, s, x.start_network(), lambda pseudo_labels: _hard(s, pixel_loss))


def mlsl(x: Experiment, s: WeakLabels) -> None:
    """SISC, and an image head that learns which classes there are (SISC-PWL, Eq. 4-7)."""
    net = x.fresh_network()
    missing, _ = net.load_state_dict(train.load(x.start.weights(), x.device), strict=False)
    if strange := [name for name in missing if not name.startswith("head.")]:
        raise ValueError(f"The network of {s.start} has no weights for {strange[0]}; start from a run of `mini`.")
    source = [x.bench.source[index] for index in range(len(x.bench.source))]
    mean_size = select.mean_class_sizes((sample.label for sample in source), len(x.bench.classes))
    # With eta = 0 a single pixel makes a class present: the rule for ground truth.
    present = {
        sample.name: row
        for sample, row in zip(
            source, select.weak_labels(torch.stack([sample.label for sample in source]), mean_size, 0), strict=True
        )
    }

    names = [x.bench.target[index].name for index in range(len(x.bench.target))]
    if s.presence == "image" and (both := present.keys() & set(names)):
        raise ValueError(
            f"Source and target both have an image called {min(both)!r}, and weak labels are kept by name; rename the "
            "files of one domain."
        )

    def loss_of(pseudo_labels: Tensor) -> Loss:
        rows = select.weak_labels(pseudo_labels, mean_size, s.eta, s.strict)
        known = {**present, **dict(zip(names, rows, strict=True))}
        of_pixels = _hard(s, pixel_loss)

        def loss(output: models.Output, labels: Tensor, names: list[str], weight: Tensor | None) -> Tensor:
            if s.presence == "crop":
                stride = CROP_STRIDE // s.label_stride
                wanted = select.weak_labels(labels[:, ::stride, ::stride], mean_size, s.eta, s.strict)
            else:
                wanted = torch.stack([known[name] for name in names]).to(labels.device)
            weak = F.binary_cross_entropy_with_logits(output.aux.float(), wanted.float())
            return of_pixels(output, labels, names, weight) + s.weak_weight * weak

        return loss

    _self_train(x, s, net, loss_of)


def _self_train(x: Experiment, s: Windows, net: nn.Module, loss_of) -> None:
    side = max(8, round(s.window * x.bench.size[0] / 8) * 8)
    prior = spatial_prior(x, s) if s.prior else None
    covered = x.run.notes.setdefault("covered", [])

    def over_windows(net: nn.Module, number: int) -> Iterator[tuple[Tensor, list[str]]]:
        # Seeded anew at every call: thresholds and labels of a round have to see the same windows.
        stream = predict.windows(
            net,
            data.ordered_batches(x.bench.target),
            s.windows,
            size=(side, side),
            include_full=s.include_full,
            generator=data.seeded(x.bench.seed, number),
            placement=s.placement,
            vote=s.vote,
            flip=s.flip,
            batch_size=25,
        )
        yield from stream
        covered[number - 1 :] = [round(stream.coverage, 6)]

    self_train(
        x,
        s,
        net,
        lambda portion: select.ClassBalanced(portion, prior, s.variant),
        predict=over_windows,
        loss_of=loss_of,
    )


def _hard(s: Windows, loss: Loss) -> Loss:
    """`loss` on the pixels that the settings ask for."""
    if not s.hard_examples:
        return loss

    def of_hard(output: models.Output, labels: Tensor, names: list[str], weight: Tensor | None) -> Tensor:
        return loss(output, train.hard_example_labels(output.logits, labels), names, weight)

    return of_hard
