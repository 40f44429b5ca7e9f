"""Domains and benchmarks: the embedded streets, real datasets, augmentation and loaders."""

from udalib.data.augment import Augmentation
from udalib.data.benchmarks import (
    PAIRS,
    PROFILES,
    Benchmark,
    Pair,
    Profile,
    find_profile,
)
from udalib.data.colours import match_histograms
from udalib.data.datasets import ArrayDataset, PseudoLabelled, Sample
from udalib.data.loading import Batch, collate, ordered_batches, seeded, training_batches
from udalib.data.mining import Mining
from udalib.data.opening import benchmark, find_pair, first_with, validation
from udalib.data.real import REAL_PAIRS, RealBenchmark, RealPair, decoded, fingerprint, open_real
from udalib.data.semi_supervised import SemiSupervised, open_labelled_share

__all__ = [
    "PAIRS",
    "PROFILES",
    "REAL_PAIRS",
    "ArrayDataset",
    "Augmentation",
    "Batch",
    "Benchmark",
    "Mining",
    "Pair",
    "Profile",
    "PseudoLabelled",
    "RealBenchmark",
    "RealPair",
    "Sample",
    "SemiSupervised",
    "benchmark",
    "collate",
    "decoded",
    "find_pair",
    "find_profile",
    "fingerprint",
    "first_with",
    "match_histograms",
    "open_labelled_share",
    "open_real",
    "ordered_batches",
    "seeded",
    "training_batches",
    "validation",
]
