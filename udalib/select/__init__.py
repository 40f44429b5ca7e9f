"""Which pixels become labels: probabilities [B,C,H,W] in, labels [B,H,W] out, never a model.

One object per method: `fit(batches)` reads a stream once in constant memory, `label(probs)` is pure, but for
`InstanceAdaptive`, where it moves the thresholds image by image.
"""

from udalib.select.adversarial_gate import AdversarialGate
from udalib.select.agreement import agreement, ensemble_labels, hard_labels, predictions, variation_ratio
from udalib.select.class_balanced import ClassBalanced
from udalib.select.histogram import ConfidenceHistogram, check_portion
from udalib.select.images import image_scores
from udalib.select.instance_adaptive import ConstantThreshold, InstanceAdaptive, class_confidences
from udalib.select.self_training import SelfTraining
from udalib.select.spatial_prior import SpatialPrior
from udalib.select.weak_labels import mean_class_sizes, weak_labels

__all__ = [
    "AdversarialGate",
    "ClassBalanced",
    "ConfidenceHistogram",
    "ConstantThreshold",
    "InstanceAdaptive",
    "SelfTraining",
    "SpatialPrior",
    "agreement",
    "check_portion",
    "class_confidences",
    "ensemble_labels",
    "hard_labels",
    "image_scores",
    "mean_class_sizes",
    "predictions",
    "variation_ratio",
    "weak_labels",
]
