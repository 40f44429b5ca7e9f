"""Which pixels become labels: probabilities [B,C,H,W] in, labels [B,H,W] out, never a model.

One object per method: `fit(batches)` reads a stream once in constant memory, `label(probs)` is pure.
"""

from udalib.select.histogram import ConfidenceHistogram
from udalib.select.self_training import SelfTraining

__all__ = ["ConfidenceHistogram", "SelfTraining"]
