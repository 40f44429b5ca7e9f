"""udalib: unsupervised domain adaptation for semantic segmentation, five papers on one footing."""

__version__ = "0.1.0"
