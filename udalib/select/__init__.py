"""Which pixels become labels: probabilities [B,C,H,W] in, labels [B,H,W] out, never a model.

One object per method: `fit(batches)` reads a stream once in constant memory, `label(probs)` is pure.
"""

from udalib.select.class_balanced import ClassBalanced
from udalib.select.histogram import ConfidenceHistogram, check_portion
from udalib.select.images import image_scores
from udalib.select.self_training import SelfTraining
from udalib.select.spatial_prior import SpatialPrior

__all__ = ["ClassBalanced", "ConfidenceHistogram", "SelfTraining", "SpatialPrior", "check_portion", "image_scores"]
