"""Class-balanced selection where discriminators take the target for source: Shen et al., Section 2.3 and Eq. 5."""

import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from udalib.labels import IGNORE
from udalib.select.class_balanced import ClassBalanced
from udalib.select.histogram import ConfidenceHistogram, check_portion, label_above, most_confident

NORMALISATIONS = ("minmax", "rank")
_CHUNK = 1 << 16  # pixels whose responses are rebuilt at a time


class AdversarialGate:
    """Keep about the share `keep` of the pixels by adversarial confidence, then `portion` of each class among these.

    The adversarial confidence is the probability of "source" that discriminators give to a place in a target image.
    Its threshold, t1 in the paper, is read from the cells of the maps as they are passed: in the paper of 1/32 of the
    image, all of one area. The maps are enlarged bilinearly to the pixels, and the pixels above t1 are those from
    which the thresholds of the classes, t2, are read and which may be labelled, both as in `ClassBalanced`. A class
    without such a pixel has t2 = 1 and is never labelled.

    keep: p1 in the paper, which counts the share that is kept; 1 means no gate. portion: p2.
    normalise: how the maps of several discriminators are brought to one scale before they are averaged, which the
        paper does not say. "minmax": the smallest and largest value of each over the whole target set become 0 and 1
        (a discriminator that says the same everywhere counts as 0). "rank": each value becomes the share of cells
        that have at most this value; holds 4 bytes per cell and discriminator in memory.

    `confidence_threshold`, t1 on the scale of the normalised mean (-inf where keep is 1), and `thresholds`, t2,
    float32 [C], are None before `fit`.
    """

    def __init__(self, keep: float = 0.6, portion: float = 0.8, normalise: str = "minmax"):
        """Raise ValueError unless keep and portion are in (0, 1], or for another normalisation."""
        check_portion(keep, "keep")
        check_portion(portion)
        if normalise not in NORMALISATIONS:
            raise ValueError(f"There is no normalisation {normalise!r}; choose one of: {', '.join(NORMALISATIONS)}.")
        self.keep, self.portion, self.normalise = keep, portion, normalise
        self._start()

    @property
    def thresholds(self) -> Tensor | None:
        return self._balanced.thresholds

    def fit(self, batches: Iterable[tuple[Tensor, ...]]) -> "AdversarialGate":
        """Set both kinds of thresholds from a stream of (probs [B,C,H,W], confidence); read once.

        confidence: probabilities of source, one map [B,h,w] for every image, which is used as it is, or the maps
            [B,D,h,w] of D discriminators, which are normalised and averaged. Any h and w, such as H/32 and W/32.

        What survives t1 is known only after the last batch: until then 5 bytes per pixel and 4 per cell go to
        unnamed temporary files, and 5 bytes per surviving pixel after it, so let TMPDIR name a folder with room.

        Raises ValueError for an empty stream, other shapes, confidences outside 0..1, and probabilities that
        `ConfidenceHistogram` refuses.
        """
        self._start()
        with tempfile.TemporaryFile() as maps_file, tempfile.TemporaryFile() as pixels_file:
            channels = None, None
            for probs, confidence, *_ in batches:
                value, pred, maps = _checked(probs, confidence, *channels)
                channels = probs.shape[1], maps.shape[1]
                self._smallest = np.fmin(self._smallest, maps.min(axis=(0, 2, 3)))
                self._largest = np.fmax(self._largest, maps.max(axis=(0, 2, 3)))
                np.save(maps_file, maps)
                np.save(pixels_file, value.cpu().numpy())
                np.save(pixels_file, pred.cpu().numpy())
            if channels == (None, None):
                raise ValueError("batches is empty; pass a stream that has not been read yet")
            if self.normalise == "rank" and channels[1] > 1:
                cells = [maps.swapaxes(0, 1).reshape(maps.shape[1], -1) for maps in _arrays(maps_file)]
                self._sorted = np.sort(np.concatenate(cells, axis=1), axis=1)
            self._fit_gate(_arrays(maps_file))
            self._balanced.fit(self._survivors(_arrays(maps_file), _arrays(pixels_file), channels[0]))
        return self

    def label(self, probs: Tensor, confidence: Tensor) -> Tensor:
        """Return the labels of the pixels that pass both thresholds and 255 elsewhere, uint8 [B,H,W].

        `probs` is [B,C,H,W], `confidence` as in `fit`; the labels stay on the device of `probs`. Raises ValueError
        before `fit`, and otherwise as `fit` does.
        """
        if self.thresholds is None:
            raise ValueError("thresholds are not set; call fit before label")
        *_, maps = _checked(probs, confidence, len(self.thresholds), len(self._smallest))
        label = self._balanced.label(probs)
        return torch.where(self._passes(maps, label.shape[1:]).to(label.device), label, IGNORE)

    def adversarial_confidence(self, confidence: Tensor) -> Tensor:
        """What t1 is compared with at the cells: the normalised mean of the maps, float32 [B,h,w] on the CPU.

        `confidence` is as in `fit`. Raises ValueError before `fit`, and for another number of discriminators.
        """
        if self.thresholds is None:
            raise ValueError("what to scale by is not set; call fit before adversarial_confidence")
        return self._mean(_maps(confidence, len(self._smallest)))

    def _start(self) -> None:
        self.confidence_threshold: float | None = None
        self._balanced = ClassBalanced(self.portion)
        self._smallest, self._largest = np.float64("nan"), np.float64("nan")  # of each discriminator; fmin skips NaN
        self._sorted: np.ndarray | None = None

    def _fit_gate(self, cells: Iterator[np.ndarray]) -> None:
        histogram = ConfidenceHistogram(1)
        for maps in cells:
            histogram.update(self._mean(maps)[:, None])
        # With strict comparison the smallest value would be lost where all are to be kept.
        self.confidence_threshold = -math.inf if self.keep == 1 else histogram.threshold(self.keep)
        self._largest_mean = histogram.largest.item()

    def _survivors(
        self, cells: Iterator[np.ndarray], pixels: Iterator[np.ndarray], num_classes: int
    ) -> Iterator[tuple[Tensor]]:
        """Responses [1,C,1,n] of the pixels above t1: their confidence for the class predicted, 0 for the others."""
        for maps, value, pred in zip(cells, pixels, pixels, strict=True):
            passes = self._passes(maps, value.shape[1:])
            kept = torch.from_numpy(value)[passes], torch.from_numpy(pred)[passes].long()
            for part, classes in zip(*(values.split(_CHUNK) for values in kept), strict=True):
                yield (torch.zeros(num_classes, len(part)).scatter_(0, classes[None], part[None])[None, :, None],)

    def _mean(self, maps: np.ndarray) -> Tensor:
        """Adversarial confidence of the cells, float32 [B,h,w], from the maps [B,D,h,w] of the discriminators."""
        if maps.shape[1] == 1:
            return torch.from_numpy(maps[:, 0])
        if self.normalise == "rank":
            ranks = [np.searchsorted(of_all, maps[:, d], side="right") for d, of_all in enumerate(self._sorted)]
            scaled = np.stack(ranks, axis=1) / self._sorted.shape[1]
        else:
            spread = np.where(self._largest > self._smallest, self._largest - self._smallest, 1)
            scaled = (maps - self._smallest[:, None, None]) / spread[:, None, None]
        return torch.from_numpy(scaled.mean(axis=1)).float()

    def _passes(self, maps: np.ndarray, size: tuple[int, int]) -> Tensor:
        """Where the confidence of the pixels passes t1, bool [B,H,W] on the CPU."""
        # In float64, so that a pixel amid cells of one value has exactly this value after rounding to float32.
        enlarged = F.interpolate(self._mean(maps)[:, None].double(), size, mode="bilinear", align_corners=False)
        value = enlarged[:, 0].float()
        nothing = torch.zeros_like(value, dtype=torch.uint8)
        return label_above(nothing, value, self.confidence_threshold, self._largest_mean) != IGNORE


def _checked(
    probs: Tensor, confidence: Tensor, num_classes: int | None, num_maps: int | None
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Confidences and predictions [B,H,W] of valid `probs`, and the valid maps, float32 [B,D,h,w].

    num_classes, num_maps: what C and D have to be; None where any number will do.
    """
    if probs.ndim != 4 or num_classes not in (None, probs.shape[1]) or probs.numel() == 0:
        raise ValueError(f"probs has shape {list(probs.shape)}; pass [B,{num_classes or 'C'},H,W] with pixels")
    maps = _maps(confidence, num_maps)
    if len(maps) != len(probs):
        raise ValueError(f"confidence has {len(maps)} maps for {len(probs)} images; pass one for each image")
    value, pred = most_confident(probs)
    if not (probs.amin() >= 0 and value.amax() < math.inf):  # so phrased, NaN is refused too
        raise ValueError("probs has negative, infinite or NaN values; pass softmax output, not logits")
    return value, pred, maps


def _maps(confidence: Tensor, num_maps: int | None) -> np.ndarray:
    """The valid maps of the discriminators, float32 [B,D,h,w]. num_maps: what D has to be; None if any will do."""
    maps = confidence[:, None] if confidence.ndim == 3 else confidence
    if maps.ndim != 4 or num_maps not in (None, maps.shape[1]) or maps.numel() == 0:
        wanted = f"[B,{num_maps or 'D'},h,w]" + (" or [B,h,w]" if num_maps in (None, 1) else "")
        raise ValueError(f"confidence has shape {list(confidence.shape)}; pass {wanted}")
    if not (maps.amin() >= 0 and maps.amax() <= 1):
        raise ValueError("confidence has values outside 0..1; pass the sigmoid of the discriminators' scores")
    return maps.detach().float().cpu().numpy()


def _arrays(file: IO[bytes]) -> Iterator[np.ndarray]:
    """What `np.save` wrote to `file`, one array after the other."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    while file.tell() < end:
        yield np.load(file)
