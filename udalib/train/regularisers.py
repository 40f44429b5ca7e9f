"""Losses of pixels whose label is not believed, or not entirely: IAST, Mei et al., ECCV 2020, Eq. 8 and 9.

Both are means over the pixels of a whole batch, 0 where there is none, and keep the graph connected.
"""

import torch
from torch import Tensor

from udalib.models.parts import resize

NORMALISE = ("elements", "pixels")


def flatness(logits: Tensor, where: Tensor, normalise: str = "elements") -> Tensor:
    """Mean divergence of the uniform distribution from the predictions, up to a constant: -sum_c log(p_c) / C (Eq. 8).

    It keeps the pixels with pseudo-labels from becoming too sure.

    logits: float [B, C, h, w], resized to `where` if they are coarser. where: bool [B, H, W], the pixels that count.
    normalise: "pixels" is the mean over pixels; "elements" divides once more by C, as the released code does, whose
        weight of 0.1 is meant for it. The paper's formula divides by the number of images alone.

    Raises ValueError for an unknown `normalise`.
    """
    return _mean(-_log_probs(logits, where).mean(dim=1), where, logits.shape[1], normalise)


def entropy(logits: Tensor, where: Tensor, normalise: str = "elements") -> Tensor:
    """Mean entropy of the predictions, -sum_c p_c log(p_c), in nats (Eq. 9); arguments and errors of `flatness`.

    It makes the network decide on pixels without a pseudo-label; the weight of 3.0 is meant for "elements".
    """
    log_probs = _log_probs(logits, where)
    return _mean(-(log_probs.exp() * log_probs).sum(dim=1), where, logits.shape[1], normalise)


def _log_probs(logits: Tensor, where: Tensor) -> Tensor:
    return resize(logits.float(), where.shape[-2:]).log_softmax(dim=1)


def _mean(values: Tensor, where: Tensor, num_classes: int, normalise: str) -> Tensor:
    if normalise not in NORMALISE:
        raise ValueError(f"There is no normalisation {normalise!r}; choose one of: {', '.join(NORMALISE)}.")
    mean = torch.where(where, values, 0).sum() / where.sum().clamp(min=1)
    return mean / num_classes if normalise == "elements" else mean
