"""The two rules every selection shares: what a threshold is, and which pixels pass it.

A threshold is an order statistic of the confidences of a whole target set (Zou et al., ECCV 2018,
Algorithms 1 and 2): too many values to sort in memory, and a histogram small enough for it would be inexact.
A non-negative float32 sorts like its bit pattern read as an integer, so the value of a rank is found by
radix selection in two 16-bit digits: the upper digits are counted as the pixels stream by, the pixels
themselves go to disk, and one read of them counts the lower digits under the upper digit that holds the rank.
"""

import math
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from udalib.labels import IGNORE

_PIXEL = np.dtype([("bits", "<u4"), ("class", "u1")])  # float32 bit pattern and argmax class: 5 bytes
_CHUNK = 1 << 18  # pixels per read
_UPPER_DIGITS = 1 << 15  # the sign bit is never set
_LOWER_DIGITS = 1 << 16


def most_confident(probs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest response of every pixel, float32 [B,H,W], and its class, uint8 [B,H,W].

    `probs` is [B,C,H,W] on any device, with at most 255 classes; of equal responses the smallest class wins.
    """
    probs = probs.detach()
    # Torch's max(dim=1), which gives both at once, takes several times as long on a CPU.
    countdown = torch.arange(probs.shape[1], 0, -1, dtype=torch.uint8, device=probs.device).view(-1, 1, 1)
    if probs.device.type == "cpu" and probs.dtype == torch.float32:
        value, first = map(torch.from_numpy, _largest(probs.numpy(), countdown.numpy()))
    else:
        value = probs.amax(dim=1)
        first = ((probs == value[:, None]) * countdown).amax(dim=1)
    return value.float(), probs.shape[1] - first


def _largest(probs: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per pixel the largest of `probs` [B,C,H,W] and the largest `number` [C,1,1] of the classes that have it: uint8.

    NumPy compares three times as fast as torch. An image at a time is read from memory once and again from the cache.
    """
    value = np.empty((len(probs), *probs.shape[2:]), np.float32)
    first = np.empty(value.shape, np.uint8)
    equal = np.empty(probs.shape[1:], np.bool_)
    numbers = equal.view(np.uint8)
    for image, best, out in zip(probs, value, first, strict=True):
        image.max(axis=0, out=best)
        np.equal(image, best, out=equal)
        np.multiply(numbers, number, out=numbers)
        numbers.max(axis=0, out=out)
    return value, first


def label_above(pred: Tensor, value: Tensor, threshold: Tensor | float, largest: Tensor | float) -> Tensor:
    """Return `pred` where `value` passes `threshold` and 255 elsewhere, uint8 [B,H,W].

    A pixel passes strictly above its threshold. Where the threshold is the `largest` value seen (confidences
    saturated at 1.0), equality passes too: otherwise the surest class would silently lose all its labels.
    `threshold` and `largest` broadcast against `pred` and `value` [B,H,W].
    """
    keep = (value > threshold) | ((value == threshold) & (threshold == largest))
    return torch.where(keep, pred, IGNORE)


def check_portion(portion: float, name: str = "portion") -> None:
    """Raise ValueError unless `portion` is in (0, 1]."""
    if not 0 < portion <= 1:
        raise ValueError(f"{name} is {portion}; choose a share above 0 and at most 1")


class ConfidenceHistogram:
    """Confidences per predicted class, from which thresholds are read exactly to the last bit.

    The confidence of a pixel is its largest response; it is counted for the class that has it. The result
    does not depend on how the stream is cut into batches, ordered, or spread over merged histograms.
    Memory is constant; 5 bytes per pixel go to an unnamed temporary file that vanishes with the object: 31 GB
    for the 2,975 full-size images of Cityscapes, so let TMPDIR name a folder with room on a disk.
    """

    def __init__(self, num_classes: int):
        """Start empty; raise ValueError unless `num_classes` is 1 to 255."""
        if not 1 <= num_classes <= IGNORE:
            raise ValueError(f"num_classes is {num_classes}; choose 1 to {IGNORE}, since train ids are bytes")
        self.num_classes = num_classes
        self._upper = np.zeros((num_classes, _UPPER_DIGITS), np.int64)
        self._largest = np.zeros(num_classes, np.float32)
        self._pixels = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the object
        weakref.finalize(self, self._pixels.close)

    @classmethod
    def of(cls, stream: Iterable[Tensor], every: int = 1, skip_zeros: bool = False) -> "ConfidenceHistogram":
        """The histogram of a whole stream of responses [B,C,H,W], read once; arguments and errors of `update`.

        Raises ValueError for an empty stream.
        """
        histogram = None
        for probs in stream:
            histogram = histogram or cls(probs.shape[1])
            histogram.update(probs, every, skip_zeros)
        if histogram is None:
            raise ValueError("batches is empty; pass a stream that has not been read yet")
        return histogram

    @property
    def counts(self) -> Tensor:
        """Pixels per predicted class, int64 [C]."""
        return torch.from_numpy(self._upper.sum(axis=1))

    @property
    def largest(self) -> Tensor:
        """Largest confidence per class, float32 [C]; 0 for a class without pixels."""
        return torch.from_numpy(self._largest.copy())

    def update(self, probs: Tensor, every: int = 1, skip_zeros: bool = False) -> None:
        """Count the pixels of `probs` [B,C,H,W]: probabilities, or any other finite non-negative responses.

        every: count, of each image and class, only every so-manyth pixel in raster order, the first included.
        skip_zeros: leave out pixels whose responses are all 0.
        Raises ValueError for another shape, and for negative, infinite or NaN responses.
        """
        if probs.ndim != 4 or probs.shape[1] != self.num_classes:
            raise ValueError(f"probs has shape {list(probs.shape)}; pass [B,{self.num_classes},H,W]")
        if probs.numel() == 0:
            return
        value, pred = most_confident(probs)
        if not (probs.amin() >= 0 and value.amax() < math.inf):  # so phrased, NaN is refused too
            raise ValueError("probs has negative, infinite or NaN values; pass softmax output, not logits")
        pixels = np.empty(value.shape, _PIXEL)
        # abs() turns -0.0, whose bit pattern is large, into 0.0.
        pixels["bits"] = value.abs().cpu().numpy().view(np.uint32)
        pixels["class"] = pred.cpu().numpy()
        if every > 1:
            pixels = np.concatenate([_every_nth(image.ravel(), every) for image in pixels])
        if skip_zeros and value.amin() == 0:
            pixels = pixels[pixels["bits"] > 0]
        self._append(pixels.ravel())

    def merge(self, other: "ConfidenceHistogram") -> None:
        """Add everything `other` has counted; `other` stays usable.

        Raises ValueError if the numbers of classes differ.
        """
        if other.num_classes != self.num_classes:
            raise ValueError(f"other has {other.num_classes} classes; merge one that has {self.num_classes}")
        for pixels in other._chunks():
            self._append(pixels)

    def thresholds(self, portion: float) -> Tensor:
        """Return the threshold of every class, float32 [C]: its value at descending rank round(portion * n).

        Ranks start at 1, n is the number of pixels of the class, and halves round to even. A class whose
        rank is 0 (absent or tiny) gets 1.0. Raises ValueError for a portion outside (0, 1].
        """
        check_portion(portion)
        return self.values_at([round(portion * n) for n in self.counts.tolist()])

    def threshold(self, portion: float) -> float:
        """Return the one threshold of all classes pooled, by the rule of `thresholds`."""
        check_portion(portion)
        upper = self._upper.sum(axis=0, keepdims=True)
        rank = np.array([round(portion * int(upper.sum()))])
        return float(self._values_at(rank, upper, group=np.zeros(self.num_classes, np.int64))[0])

    def values_at(self, rank: Sequence[int]) -> Tensor:
        """Return the value of every class at its descending rank, float32 [C].

        rank: per class, from 1 to its number of pixels; where it is 0, the value returned is 1.0.
        """
        return torch.from_numpy(self._values_at(np.array(rank), self._upper, group=np.arange(self.num_classes)))

    def _append(self, pixels: np.ndarray) -> None:
        if len(pixels) == 0:
            return
        self._pixels.seek(0, os.SEEK_END)
        self._pixels.write(pixels)
        bits = np.ascontiguousarray(pixels["bits"])  # ufunc.at is far slower on unaligned fields
        digit = bits >> 16
        # Confidences occupy a few hundred neighbouring digits: counting only those keeps small batches cheap.
        first, stop = int(digit.min()), int(digit.max()) + 1
        index = pixels["class"].astype(np.int64) * (stop - first) + (digit - first)
        counts = np.bincount(index, minlength=self.num_classes * (stop - first))
        counts = counts.reshape(self.num_classes, -1)
        self._upper[:, first:stop] += counts
        # ufunc.at is slow: only pixels with the upper digit of their class's largest go through it.
        top = counts.shape[1] - 1 - np.argmax(counts[:, ::-1] > 0, axis=1) + first
        highest = np.flatnonzero(digit == top[pixels["class"]])
        np.maximum.at(self._largest, pixels["class"][highest], bits[highest].view(np.float32))

    def _chunks(self) -> Iterator[np.ndarray]:
        for start in range(0, self._pixels.seek(0, os.SEEK_END), _CHUNK * _PIXEL.itemsize):
            self._pixels.seek(start)
            yield np.frombuffer(self._pixels.read(_CHUNK * _PIXEL.itemsize), _PIXEL)

    def _values_at(self, rank: np.ndarray, upper: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Return the values, float32 [G], of groups of classes at their ranks; class c belongs to `group[c]`.

        Both `upper` [G,32768] and the result of `_lower_counts` are sums over pixels, so several processes
        could add theirs before the rank is looked up.
        """
        upper_digit, rank_within = _digit_at(upper, rank)
        lower_digit, _ = _digit_at(self._lower_counts(upper_digit, group), rank_within)
        value = (upper_digit << 16 | lower_digit).astype(np.uint32).view(np.float32)
        return np.where(rank == 0, np.float32(1), value)

    def _lower_counts(self, upper_digit: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Count the lower digits, int64 [G,65536], of the pixels whose upper digit is that of their group."""
        counts = np.zeros((len(upper_digit), _LOWER_DIGITS), np.int64)
        wanted = upper_digit[group].astype(np.uint16)
        for pixels in self._chunks():
            lower, upper = np.ascontiguousarray(pixels["bits"]).view("<u2").reshape(-1, 2).T
            inside = np.flatnonzero(upper == wanted[pixels["class"]])
            np.add.at(counts, (group[pixels["class"][inside]], lower[inside]), 1)
        return counts


def _every_nth(pixels: np.ndarray, every: int) -> np.ndarray:
    """Every so-manyth of the `pixels` [n] of each class, in their order, starting with its first."""
    by_class = np.argsort(pixels["class"], kind="stable")
    first_of_class = np.searchsorted(pixels["class"][by_class], pixels["class"][by_class])
    return pixels[by_class[(np.arange(len(pixels)) - first_of_class) % every == 0]]


def _digit_at(counts: np.ndarray, rank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the digit [G] that holds the descending 1-based `rank` [G], and the rank among its own values.

    `counts` [G,D] is the number of values per digit.
    """
    running = counts[:, ::-1].cumsum(axis=1)
    position = (running < rank[:, None]).sum(axis=1)
    digit = counts.shape[1] - 1 - position
    group = np.arange(len(rank))
    return digit, rank - running[group, position] + counts[group, digit]
