"""From batches to a trained network: the loop, losses, schedules, batch-norm statistics, checkpoints."""

from udalib.train.adversarial import (
    GANS,
    SOURCE,
    TARGET,
    alignment_loss,
    discriminator_loss,
    minmax_loss,
    normalised_entropy,
    weighted_self_information,
)
from udalib.train.batchnorm import adapt_statistics, frozen_statistics, keep_statistics
from udalib.train.checkpoints import load, save
from udalib.train.curriculum import decoder_similarity, drop_share, source_share
from udalib.train.groups import parameter_groups
from udalib.train.hard_examples import hard_example_labels
from udalib.train.in_parts import InParts
from udalib.train.loop import Plan, fit, make_fabric
from udalib.train.losses import cross_entropy
from udalib.train.regularisers import NORMALISE, entropy, flatness
from udalib.train.schedules import SCHEDULES

__all__ = [
    "GANS",
    "NORMALISE",
    "SCHEDULES",
    "SOURCE",
    "TARGET",
    "InParts",
    "Plan",
    "adapt_statistics",
    "alignment_loss",
    "cross_entropy",
    "decoder_similarity",
    "discriminator_loss",
    "drop_share",
    "entropy",
    "fit",
    "flatness",
    "frozen_statistics",
    "hard_example_labels",
    "keep_statistics",
    "load",
    "make_fabric",
    "minmax_loss",
    "normalised_entropy",
    "parameter_groups",
    "save",
    "source_share",
    "weighted_self_information",
]
