"""Which classes an image contains: pseudo weak-labels, Iqbal and Ali, MLSL, Section 3.3.1 and Eq. 4."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def weak_labels(labels: Tensor, mean_size: Tensor, eta: float = 0.05, strict: bool = True) -> Tensor:
    """Return which classes are large enough in each label map to be called present, bool [B,C].

    A class is present where its share of the map's pixels is above `eta` times its mean size in the source: with
    pseudo-labels, a few stray pixels are no evidence of a bus.

    labels: [B,H,W], indices 0 .. C - 1, all else ignored; ignored pixels count in the share's denominator. Whole
        images in the paper. The released code takes training crops, every eighth pixel of them:
        `labels[:, ::8, ::8]`.
    mean_size: [C], from `mean_class_sizes`, on any device.
    eta: 0.05 in the paper, 0.0225 in the released code. With 0 a single pixel suffices, which is the rule for the
        ground truth of the source; the released code applies its rule for the target there too.
    strict: above, as in Eq. 4; False also takes equality, as Figure 2 and the released code do. A class without a
        pixel is absent either way.

    Raises ValueError for labels or mean sizes of another shape, and for an eta that is negative or not finite.
    """
    if labels.ndim != 3:
        raise ValueError(f"labels has shape {list(labels.shape)}; pass [B,H,W]")
    if mean_size.ndim != 1:
        raise ValueError(f"mean_size has shape {list(mean_size.shape)}; pass [C], one mean size per class")
    if not 0 <= eta < math.inf:
        raise ValueError(f"eta is {eta}; choose 0 or a number above it, such as 0.05")
    shares = _shares(labels, len(mean_size))
    least = eta * mean_size.to(shares)
    return shares > least if strict else (shares >= least) & (shares > 0)


def mean_class_sizes(labels: Iterable[Tensor], num_classes: int) -> Tensor:
    """Return the mean share of an image that each class fills where it occurs, float64 [C] on the CPU.

    labels: label maps [H,W] of the source, of any size, read once; indices 0 .. num_classes - 1, all else ignored,
        though it counts in the image's area. The mean is over the images that contain the class, every image alike;
        a class that none contains has no mean and gets 0, which no other class has.

    Raises ValueError for an empty iterable and for maps of another shape.
    """
    total = torch.zeros(num_classes, dtype=torch.float64)
    images = torch.zeros(num_classes, dtype=torch.int64)
    empty = True
    for label in labels:
        if label.ndim != 2:
            raise ValueError(f"a label map has shape {list(label.shape)}; give maps [H,W], one at a time")
        share = _shares(label[None], num_classes)[0].cpu()
        total += share
        images += share > 0
        empty = False
    if empty:
        raise ValueError("labels is empty; pass the label maps of the source")
    return total / images.clamp(min=1)


def _shares(labels: Tensor, num_classes: int) -> Tensor:
    """Pixels of each class / all pixels of the map, float64 [B,C]."""
    labels = labels.flatten(1).long()
    labels = torch.where((labels >= 0) & (labels < num_classes), labels, num_classes)
    columns = num_classes + 1
    index = labels + columns * torch.arange(len(labels), device=labels.device)[:, None]
    counts = torch.bincount(index.flatten(), minlength=columns * len(labels)).view(-1, columns)
    return counts[:, :num_classes].double() / labels.shape[1]
