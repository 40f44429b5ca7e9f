"""From batches to a trained network: the loop, losses, schedules, batch-norm statistics, checkpoints."""

from udalib.train.batchnorm import adapt_statistics, frozen_statistics, keep_statistics
from udalib.train.checkpoints import load, save
from udalib.train.loop import Plan, fit, make_fabric
from udalib.train.losses import cross_entropy
from udalib.train.schedules import SCHEDULES

__all__ = [
    "SCHEDULES",
    "Plan",
    "adapt_statistics",
    "cross_entropy",
    "fit",
    "frozen_statistics",
    "keep_statistics",
    "load",
    "make_fabric",
    "save",
]
