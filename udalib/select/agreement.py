"""Labels from decoders that agree: Chitta et al. 2018, strategic curriculum of proxy labels, Eq. 1-3 and "gradient
filtering".

Two decoders that were initialised differently see the same features. Pixels on which they agree are called easy, the
others hard.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from udalib.labels import IGNORE
from udalib.select.histogram import most_confident

AVERAGES = ("logits", "probs")
SOURCE_EASY = ("agree", "agree_and_correct")


def predictions(logits_list: Sequence[Tensor]) -> Tensor:
    """Return the class that each decoder predicts, uint8 [E,B,H,W], without a gradient.

    logits_list: two or more logits [B,C,H,W] on one device, or one tensor [E,B,C,H,W]; probabilities do as well. Of
        equal logits the smallest class wins. Predictions that were made before, uint8 [E,B,H,W], are returned as they
        are: every function here takes them too, so that a training step predicts once.

    Raises ValueError for fewer than two decoders, for shapes that differ, more than 255 classes, and NaN.
    """
    shapes = [list(logits.shape) for logits in logits_list]
    if len(shapes) < 2:
        raise ValueError(f"{len(shapes)} decoders can't be compared; pass the logits of at least two")
    if _are_predictions(logits_list):
        return logits_list
    if len(shapes[0]) != 4 or any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"logits have shapes {shapes}; pass [B,C,H,W], the same for every decoder")
    num_classes = shapes[0][1]
    if not 0 < num_classes <= IGNORE:
        raise ValueError(f"logits have {num_classes} classes; give 1 to {IGNORE}, since train ids are bytes")
    preds = torch.stack([most_confident(logits)[1] for logits in logits_list])
    if (preds == num_classes).any():  # no class equals a maximum that is NaN
        raise ValueError("logits have NaN; if a training made them, lower its learning rate")
    return preds


def agreement(logits_list: Sequence[Tensor]) -> Tensor:
    """Return where all decoders predict the same class, bool [B,H,W], without a gradient.

    logits_list and errors: as for `predictions`.
    """
    preds = predictions(logits_list)
    return (preds == preds[0]).all(dim=0)


def variation_ratio(logits_list: Sequence[Tensor]) -> Tensor:
    """Return the share of the decoders that do not predict the most frequent class, float32 [B,H,W] (Eq. 1-3).

    It is 0 where all agree, and at most 1 - 1 / E for E decoders: 0.5 for two. Which of several most frequent classes
    is meant makes no difference. logits_list and errors: as for `predictions`.
    """
    preds = predictions(logits_list)
    votes = torch.stack([(preds == pred).sum(dim=0) for pred in preds]).amax(dim=0)
    return (len(preds) - votes) / len(preds)


def ensemble_labels(logits_list: Sequence[Tensor], easy_only: bool = True, average: str = "logits") -> Tensor:
    """Return what the decoders predict together as labels of target pixels, uint8 [B,H,W], 255 = ignore.

    logits_list: as for `predictions`.
    easy_only: target easy mining: the common prediction where the decoders agree, else 255. False labels all pixels.
    average: what is averaged where the decoders may differ: "logits", as at inference, or "probs". The paper only
        speaks of the network's own predictions; where the decoders agree, both give the common one.

    Raises ValueError for an unknown average, for predictions to be averaged, and as `predictions` does.
    """
    if average not in AVERAGES:
        raise ValueError(f"There is no average {average!r}; choose one of: {', '.join(AVERAGES)}.")
    preds = predictions(logits_list)
    if easy_only:
        return torch.where((preds == preds[0]).all(dim=0), preds[0], IGNORE)
    if _are_predictions(logits_list):
        raise ValueError("Predictions can't be averaged; pass the logits")
    members = [logits.detach().float() for logits in logits_list]
    if average == "probs":
        members = [logits.softmax(dim=1) for logits in members]
    return most_confident(sum(members))[1]


def hard_labels(
    labels: Tensor,
    logits_list: Sequence[Tensor],
    drop: float,
    generator: torch.Generator,
    easy: str = "agree",
) -> Tensor:
    """Return source labels without a share of the easy pixels (source hard mining), like `labels`, 255 = ignore.

    Each easy pixel is dropped with probability `drop`, independently of the others; all hard ones stay.

    labels: [B,H,W], integers, 255 = ignore. logits_list: as for `predictions`, of the size of the labels.
    drop: rho(e) in the paper, see `train.drop_share`. generator: on the CPU.
    easy: "agree", the decoders agree, even on a wrong class, as the paper's rule reads; or "agree_and_correct", they
        agree on the label, as its motivation reads (hard: at least one decoder errs).

    Raises ValueError for a drop outside 0..1, an unknown `easy`, labels of another size, and as `predictions` does.
    """
    if not 0 <= drop <= 1:
        raise ValueError(f"drop is {drop}; choose a probability from 0 to 1")
    if easy not in SOURCE_EASY:
        raise ValueError(f"There is no rule {easy!r}; choose one of: {', '.join(SOURCE_EASY)}.")
    preds = predictions(logits_list)
    if labels.shape != preds.shape[1:]:
        raise ValueError(
            f"labels has shape {list(labels.shape)}, the predictions {list(preds.shape[1:])}; resize the logits first"
        )
    is_easy = (preds == (preds[0] if easy == "agree" else labels)).all(dim=0)
    # Drawn on the CPU, so that a seed drops the same pixels on every device.
    dropped = torch.rand(labels.shape, generator=generator) < drop
    return torch.where(is_easy & dropped.to(labels.device), IGNORE, labels)


def _are_predictions(logits_list: Sequence[Tensor]) -> bool:
    return isinstance(logits_list, Tensor) and logits_list.dtype == torch.uint8 and logits_list.dim() == 4
