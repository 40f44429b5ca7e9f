"""Self-training with one confidence threshold for all classes (ST): Zou et al., ECCV 2018, Algorithm 1."""

from collections.abc import Iterable

from torch import Tensor

from udalib.select.histogram import ConfidenceHistogram, check_portion, label_above, most_confident
from udalib.select.spatial_prior import SpatialPrior, responses


class SelfTraining:
    """Keep about the `portion` most confident pixels of the whole target set.

    The threshold is the confidence at descending rank round(portion * n) of all n pixels: exp(-k) in Eq. 5 of
    the paper. It is None before `fit`, and so are `shares`, float64 [C], the share of each class in the predictions.

    prior: multiplies the probabilities before anything else (ST-SP, Table 4 of the paper).
    """

    def __init__(self, portion: float, prior: SpatialPrior | None = None):
        """Set the share of pixels to keep; raise ValueError unless it is in (0, 1]."""
        check_portion(portion)
        self.portion, self.prior = portion, prior
        self.thresholds: float | None = None
        self.largest: float | None = None
        self.shares: Tensor | None = None

    def fit(self, batches: Iterable[tuple[Tensor, ...]]) -> "SelfTraining":
        """Set the threshold from a stream of tuples that start with `probs` [B,C,H,W]; read once.

        Raises ValueError for an empty stream and for probabilities that `ConfidenceHistogram` refuses.
        """
        # Pixels without any response are predicted as no class: a prior can be 0 for all, and windows leave some out.
        stream = (responses(probs, self.prior) for probs, *_ in batches)
        histogram = ConfidenceHistogram.of(stream, skip_zeros=True)
        self.thresholds = histogram.threshold(self.portion)
        self.largest = histogram.largest.max().item()
        self.shares = histogram.counts / histogram.counts.sum()
        return self

    def label(self, probs: Tensor) -> Tensor:
        """Return the class of the pixels above the threshold and 255 elsewhere, uint8 [B,H,W].

        `probs` is [B,C,H,W]; the labels stay on its device. Raises ValueError before `fit`.
        """
        if self.thresholds is None:
            raise ValueError("thresholds are not set; call fit before label")
        value, pred = most_confident(responses(probs, self.prior))
        return label_above(pred, value, self.thresholds, self.largest)
