"""Domains and benchmarks: the embedded streets, augmentation and loaders."""

from udalib.data.augment import Augmentation
from udalib.data.benchmarks import (
    PAIRS,
    PROFILES,
    Benchmark,
    Pair,
    Profile,
    benchmark,
    find_pair,
    find_profile,
    first_with,
)
from udalib.data.datasets import ArrayDataset, PseudoLabelled, Sample
from udalib.data.loading import Batch, collate, ordered_batches, seeded, training_batches
from udalib.data.mining import Mining

__all__ = [
    "PAIRS",
    "PROFILES",
    "ArrayDataset",
    "Augmentation",
    "Batch",
    "Benchmark",
    "Mining",
    "Pair",
    "Profile",
    "PseudoLabelled",
    "Sample",
    "benchmark",
    "collate",
    "find_pair",
    "find_profile",
    "first_with",
    "ordered_batches",
    "seeded",
    "training_batches",
]
