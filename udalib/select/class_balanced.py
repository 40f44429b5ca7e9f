"""Class-balanced selection (CBST): Zou et al., ECCV 2018, Algorithm 2 and Eq. 8; with a spatial prior, Eq. 9."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from udalib.labels import IGNORE
from udalib.select.histogram import ConfidenceHistogram, check_portion, most_confident
from udalib.select.spatial_prior import SpatialPrior, responses

VARIANTS = ("paper", "official")


class ClassBalanced:
    """Keep about the `portion` most confident pixels of each class that is predicted.

    The threshold of class c is an order statistic of the confidences of the pixels predicted as c, exp(-k_c) in
    Eq. 8. A pixel's label is the class with the largest response / threshold, which need not be its prediction:
    responses (0.90, 0.09) under thresholds (0.99, 0.08) give the second class.

    variant: "paper" ranks all pixels, takes rank round(portion * n) and keeps quotients above 1 (and equal to 1
        where the threshold is the largest value of its class: saturated confidences, and those of rank 1, of which
        a strict comparison would leave nothing). "official" is the released code: every fourth pixel of an image and
        class counts, the list of every class has one 0.0 more, the rank is floor(portion * n), quotients of at least
        1 are kept. A class without a rank gets the threshold 1.0, and so does one whose official threshold would be 0.
    prior: multiplies the responses before anything else (CBST-SP).

    `thresholds`, float32 [C], and `shares`, float64 [C], the share of each class in the pixels
    counted, are None before `fit`.
    """

    def __init__(self, portion: float, prior: SpatialPrior | None = None, variant: str = "paper"):
        """Set the share to keep; raise ValueError unless it is in (0, 1], or for an unknown variant."""
        check_portion(portion)
        if variant not in VARIANTS:
            raise ValueError(f"There is no variant {variant!r}; choose one of: {', '.join(VARIANTS)}.")
        self.portion, self.prior, self.variant = portion, prior, variant
        self.thresholds: Tensor | None = None
        self.largest: Tensor | None = None
        self.shares: Tensor | None = None

    def fit(self, batches: Iterable[tuple[Tensor, ...]]) -> "ClassBalanced":
        """Set the thresholds from a stream of tuples that start with `probs` [B,C,H,W]; read once.

        Raises ValueError for an empty stream and for probabilities that `ConfidenceHistogram` refuses.
        """
        stream = (responses(probs, self.prior) for probs, *_ in batches)
        if self.variant == "official":
            histogram = ConfidenceHistogram.of(stream, every=4)
            self.thresholds = _official_thresholds(histogram, self.portion)
        else:  # pixels without any response are predicted as no class, as in `SelfTraining`
            histogram = ConfidenceHistogram.of(stream, skip_zeros=True)
            self.thresholds = histogram.thresholds(self.portion)
        self.largest = histogram.largest
        self.shares = histogram.counts / histogram.counts.sum()
        return self

    def label(self, probs: Tensor) -> Tensor:
        """Return the class with the largest quotient where that is above 1, else 255, uint8 [B,H,W].

        `probs` is [B,C,H,W]; the labels stay on its device. Raises ValueError before `fit`.
        """
        if self.thresholds is None:
            raise ValueError("thresholds are not set; call fit before label")
        response = responses(probs, self.prior).float()
        # Not times the reciprocal: a correctly rounded quotient is above 1 exactly where response > threshold.
        quotients = response / self.thresholds.to(response.device).view(-1, 1, 1)
        if (self.thresholds == 0).any():  # 0 / 0 is no reason to label
            quotients = torch.where(response > 0, quotients, 0)
        quotient, label = most_confident(quotients)
        if self.variant == "official":
            keep = quotient >= 1
        else:
            saturated = (self.thresholds == self.largest).to(response.device)
            keep = (quotient > 1) | ((quotient == 1) & saturated[label.long()])
        return torch.where(keep, label, IGNORE)


def _official_thresholds(histogram: ConfidenceHistogram, portion: float) -> Tensor:
    """Thresholds [C] of the released code: its lists hold one 0.0 more than there are pixels."""
    counts = histogram.counts.tolist()
    ranks = [math.floor((n + 1) * portion) for n in counts]
    values = histogram.values_at([rank if rank <= n else 0 for rank, n in zip(ranks, counts, strict=True)])
    return torch.where(values == 0, 1.0, values)
