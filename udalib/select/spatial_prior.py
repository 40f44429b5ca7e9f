"""Where classes tend to be, counted on source labels: Zou et al., ECCV 2018, Section 4.2 and Eq. 9."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

NORMALISATIONS = ("class", "pixel")


class SpatialPrior:
    """One map per class that multiplies the probabilities before selection.

    maps: float32 [C,H,W], not negative. normalise: how they were normalised. "class", the paper's: each map sums to 1
        over the pixels, so it is the likelihood of a place given the class, and rare classes in few places get large
        values. "pixel": the maps sum to 1 at each pixel, the frequency of a class given the place. A class, or a
        place, that was never counted is 0 everywhere.
    """

    def __init__(self, maps: Tensor, normalise: str = "class"):
        """Take `maps` as they are; raise ValueError for negative or infinite ones and for other shapes."""
        if maps.ndim != 3 or not (maps >= 0).all() or maps.isinf().any():
            raise ValueError(
                f"maps of shape {list(maps.shape)} can't be a prior; give [C,H,W], finite and not negative"
            )
        self.maps, self.normalise = maps.float(), normalise

    @classmethod
    def from_labels(
        cls,
        labels: Iterable[Tensor],
        num_classes: int,
        size: tuple[int, int],
        kernel: float = 70,
        sigma: float | None = None,
        normalise: str = "class",
    ) -> "SpatialPrior":
        """Count where each class occurs in label maps, smooth, and normalise.

        labels: [H,W] of any size, indices 0 .. num_classes - 1, all else ignored; stretched to `size`.
        size: height and width of the maps: those of the target, whose aspect may differ from the source's.
        kernel: side in pixels of the Gaussian window, 70 in the paper (rounded up to an odd number). sigma: its
            standard deviation in pixels; the paper names none, and a sixth of the kernel puts its edge at three.
        The border is mirrored: zeros beyond it would darken the places where sidewalks and buildings are.

        Raises ValueError for an empty iterable, for another normalisation, and for a kernel or sigma that is not
        positive.
        """
        sigma = kernel / 6 if sigma is None else sigma
        if kernel <= 0 or sigma <= 0:
            raise ValueError(f"kernel is {kernel} and sigma {sigma}; give numbers of pixels above 0")
        if normalise not in NORMALISATIONS:
            raise ValueError(f"There is no normalisation {normalise!r}; choose one of: {', '.join(NORMALISATIONS)}.")
        counts = np.zeros((num_classes, *size))
        for count in _count(labels, num_classes).values():
            for total, places in zip(counts, count, strict=True):
                total += _stretched(places, size)
        side = 2 * int(np.ceil((kernel - 1) / 2)) + 1
        smooth = [cv2.GaussianBlur(c, (side, side), sigma, borderType=cv2.BORDER_REFLECT) for c in counts]
        total = np.sum(smooth, axis=(1, 2) if normalise == "class" else 0, keepdims=True)
        return cls(torch.from_numpy(smooth / np.where(total > 0, total, 1)), normalise)

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.maps.shape[-2:])

    def save(self, path: str | Path) -> None:
        """Write the maps to `path`."""
        torch.save({"maps": self.maps, "normalise": self.normalise}, path)

    @classmethod
    def load(cls, path: str | Path) -> "SpatialPrior":
        """Read what `save` wrote."""
        return cls(**torch.load(path, weights_only=True))


def responses(probs: Tensor, prior: SpatialPrior | None) -> Tensor:
    """Return what selection ranks: `probs` [B,C,H,W] times the prior, or as they are without one (Eq. 9).

    The product is not normalised again. Raises ValueError where the sizes differ.
    """
    if prior is None:
        return probs
    if prior.maps.shape != probs.shape[1:]:
        raise ValueError(
            f"probs has shape {list(probs.shape)}, the prior {list(prior.maps.shape)}; "
            "make the prior for these classes and this size"
        )
    return probs * prior.maps.to(probs.device)


def _count(labels: Iterable[Tensor], num_classes: int) -> dict[tuple[int, int], np.ndarray]:
    """How often each class occurs at each pixel, float64 [C,H,W], for every size among the label maps."""
    counts: dict[tuple[int, int], np.ndarray] = {}
    for label in labels:
        label = np.asarray(label).astype(np.int64)
        label[(label < 0) | (label >= num_classes)] = num_classes
        if label.shape not in counts:
            counts[label.shape] = np.zeros((num_classes + 1, *label.shape))
        rows, columns = np.indices(label.shape, sparse=True)
        counts[label.shape][label, rows, columns] += 1
    if not counts:
        raise ValueError("labels is empty; pass the label maps of the source")
    return {shape: count[:num_classes] for shape, count in counts.items()}


def _stretched(count: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`count` [h,w] at another size. OpenCV's area mean is one only along axes that shrink, so these come first."""
    smaller = np.minimum(count.shape, size).tolist()
    shrunk = cv2.resize(count, smaller[::-1], interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, size[::-1], interpolation=cv2.INTER_LINEAR)
