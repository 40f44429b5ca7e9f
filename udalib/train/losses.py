"""Losses on logits [B, C, h, w] and labels [B, H, W]."""

import torch
import torch.nn.functional as F
from torch import Tensor

from udalib.labels import IGNORE
from udalib.models.parts import resize


def cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the labelled pixels of the whole batch; 0 where there is none.

    logits: float [B, C, h, w], resized to the labels if they are coarser. labels: [B, H, W], 255 = ignore.
    weight: float [C], one factor per class; as in PyTorch the mean is then a weighted one.

    Torch's own mean over zero pixels is 0/0. Random crops of pseudo-labels meet that case, and one NaN ends a
    training, so the sum is divided by the total weight only where there is any. The graph stays connected:
    gradients are zeros.
    """
    labels = labels.long()
    log_probs = resize(logits.float(), labels.shape[-2:]).log_softmax(dim=1)
    total = F.nll_loss(log_probs, labels, weight, ignore_index=IGNORE, reduction="sum")
    valid = labels != IGNORE
    mass = valid.sum() if weight is None else weight[labels[valid]].sum()
    return total / torch.where(mass > 0, mass, 1)
