"""Which target images are worth training on, by the released code of Zou et al., ECCV 2018."""

import torch
from torch import Tensor

from udalib.select.histogram import most_confident


def image_scores(probs: Tensor) -> Tensor:
    """Return the class-balanced confidence of every image, float32 [B].

    `probs` is [B,C,H,W]. The confidences of the pixels predicted as a class are averaged, then those averages over
    the classes that are predicted, so that a large road does not decide alone.
    """
    value, pred = most_confident(probs)
    classes = probs.shape[1]
    index, value = pred.flatten(1).long(), value.flatten(1).double()  # float32 sums of a million pixels drift
    total = value.new_zeros(len(probs), classes).scatter_add_(1, index, value)
    count = torch.zeros_like(total).scatter_add_(1, index, torch.ones_like(value))
    return ((total / count.clamp(min=1)).sum(dim=1) / (count > 0).sum(dim=1)).float()
