"""Selection by thresholds that move from image to image (IAST): Mei et al., ECCV 2020, Algorithm 1 and Eq. 4-7.

The work splits in three, so that several processes can share it in one forward pass:
(a) the confidences of an image by class, `class_confidences`, for any image at any time;
(b) the thresholds of each image, `InstanceAdaptive.update`, one image after the other;
(c) its labels, `InstanceAdaptive.label_with`, from its probabilities and thresholds alone.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from udalib.labels import IGNORE
from udalib.select.histogram import check_portion, label_above, most_confident

UNIT = {"paper": 1, "official": 2}  # images per update
START = 0.9
CEILING = 0.999  # of the official variant: nothing would pass 1, which float16 makes of 0.9998


class InstanceAdaptive:
    """Thresholds per class that follow the images, in the order in which they come.

    Of the n confidences of the pixels predicted as class c in an image, the one at the descending 0-based index
    floor(alpha * theta_c ** gamma * n), at most n - 1, moves the threshold by the share 1 - beta (Eq. 6, 7). The new
    threshold labels the same image: a pixel keeps its prediction strictly above it. Thresholds start at 0.9, and a
    class that is absent keeps its own. A new round takes a new object. The order is that of the images passed;
    `names` records it.

    alpha: share to keep of a class with theta = 1. beta: weight of the past; 0 selects by each image alone, 1 freezes
        the thresholds at 0.9. gamma: how much fewer pixels classes with low thresholds keep; 0 treats all alike.
    variant: "paper", or "official", the released code: two images share an update, the last one may be alone; the
        confidences are rounded to float16 and joined by the previous threshold, of which list the percentile
        100 * (1 - alpha * theta ** gamma) is interpolated linearly; a threshold of 1 or more becomes 0.999; equality
        keeps. That code visits the images in one fixed random order and raises alpha from 0.20 to 0.25 and 0.30
        with the rounds.

    `thresholds`, float64 [C], belong to the last image so far and are None before the first. In float32 the start
    would be less than 0.9 and could move the index.
    """

    def __init__(self, alpha: float = 0.2, beta: float = 0.9, gamma: float = 8.0, variant: str = "paper"):
        """Raise ValueError unless alpha is in (0, 1], beta in [0, 1], gamma at least 0, or for an unknown variant."""
        check_portion(alpha, "alpha")
        if not 0 <= beta <= 1:
            raise ValueError(f"beta is {beta}; choose a weight from 0 to 1")
        if not 0 <= gamma < math.inf:
            raise ValueError(f"gamma is {gamma}; choose a finite exponent of at least 0")
        if variant not in UNIT:
            raise ValueError(f"There is no variant {variant!r}; choose one of: {', '.join(UNIT)}.")
        self.alpha, self.beta, self.gamma, self.variant = alpha, beta, gamma, variant
        self._start()

    @property
    def trajectory(self) -> Tensor | None:
        """The thresholds that label each image so far, float64 [N,C], in the order of `names`."""
        return torch.stack(self._rows) if self._rows else None

    def fit(self, batches: Iterable[tuple]) -> "InstanceAdaptive":
        """Find the thresholds of all images of a stream of (probs [B,C,H,W], names); read once, names may be absent.

        Starts anew, and so does the first `label` or `update` afterwards: calling `label` on the same stream gives
        the same thresholds again, and `label_with` takes them from `trajectory`. How the stream is cut into batches
        does not matter. Raises ValueError for an empty stream and as `update` and `class_confidences` do.
        """
        self._start()
        self._finished = True
        self._scan(pair for probs, *rest in batches for pair in _named(class_confidences(probs), *rest[:1]))
        if not self._rows:
            raise ValueError("batches is empty; pass a stream that has not been read yet")
        return self

    def label(self, probs: Tensor, names: Sequence[str] | None = None) -> Tensor:
        """Move the thresholds by each image of `probs` [B,C,H,W] in turn and return its labels, uint8 [B,H,W].

        The labels, 255 where a pixel is ignored, stay on the device of `probs`. Raises ValueError as `update` and
        `class_confidences` do.
        """
        value, pred = _predictions(probs)
        return self._labels(value, pred, self.update(_by_class(value, pred, probs.shape[1]), names))

    def update(self, images: Sequence[Sequence[np.ndarray]], names: Sequence[str] | None = None) -> Tensor:
        """Move the thresholds by one image after the other and return those that label each, float64 [B,C].

        images: what `class_confidences` returns, for the images that come next. Raises ValueError where the
        number of names or of classes differs, and in the official variant where a pair would be torn: all calls but
        the last need an even number of images.
        """
        named = _named(images, names)
        if self._finished:
            self._start()
        if len(self._rows) % UNIT[self.variant]:
            raise ValueError(
                f"{len(self._rows)} images came before, and the official variant updates on pairs; pass an even number "
                "at a time, or call fit and label_with"
            )
        first = len(self._rows)
        self._scan(iter(named))
        return torch.stack(self._rows[first:])

    def label_with(self, probs: Tensor, thresholds: Tensor) -> Tensor:
        """Return the labels of `probs` [B,C,H,W] by `thresholds` [B,C], such as rows of `trajectory`: uint8 [B,H,W].

        Changes nothing. Raises ValueError for thresholds of another shape and as `class_confidences` does.
        """
        if thresholds.shape != probs.shape[:2]:
            raise ValueError(
                f"thresholds has shape {list(thresholds.shape)}, probs {list(probs.shape)}; pass one row an image"
            )
        return self._labels(*_predictions(probs), thresholds)

    def _start(self) -> None:
        self.thresholds: Tensor | None = None
        self.names: list[str | None] = []
        self._rows: list[Tensor] = []
        self._finished = False

    def _scan(self, named: Iterator[tuple[Sequence[np.ndarray], str | None]]) -> None:
        while group := list(islice(named, UNIT[self.variant])):
            images, names = zip(*group, strict=True)
            theta = [START] * len(images[0]) if self.thresholds is None else self.thresholds.tolist()
            for image in images:
                if len(image) != len(theta):
                    raise ValueError(
                        f"an image has {len(image)} classes, the images before {len(theta)}; start a new object for it"
                    )
            pooled = map(np.concatenate, zip(*images, strict=True))
            theta = [self._moved(t, values) for t, values in zip(theta, pooled, strict=True)]
            self.thresholds = torch.tensor(theta, dtype=torch.float64)
            self._rows += [self.thresholds] * len(group)
            self.names += names

    def _moved(self, theta: float, values: np.ndarray) -> float:
        """The threshold of one class after the confidences `values` [n] (Eq. 6, 7)."""
        count = len(values)
        if count == 0:
            return theta
        share = self.alpha * theta**self.gamma
        if self.variant == "official":
            joined = np.append(values.astype(np.float16), theta)  # float64, as theta is
            moved = self.beta * theta + (1 - self.beta) * float(np.percentile(joined, 100 * (1 - share)))
            return CEILING if moved >= 1 else moved
        ascending = count - 1 - min(math.floor(share * count), count - 1)
        return self.beta * theta + (1 - self.beta) * float(np.partition(values, ascending)[ascending])

    def _labels(self, value: Tensor, pred: Tensor, thresholds: Tensor) -> Tensor:
        """Labels [B,H,W] of confidences and predictions [B,H,W] by `thresholds` [B,C]."""
        # float64 is missing on some devices. The largest float32 number that does not pass a threshold decides alike.
        thresholds = thresholds.cpu().double()
        bound = thresholds.float()
        passes = bound >= thresholds if self.variant == "official" else bound > thresholds
        bound = torch.where(passes, bound.nextafter(torch.tensor(-math.inf)), bound).to(value.device)
        bound = bound.gather(1, pred.flatten(1).long()).view_as(value)
        return torch.where(value > bound, pred, IGNORE)


class ConstantThreshold:
    """Keep the predictions above one confidence that is given: the "constant" baseline of IAST (Table 2, Fig. 4a).

    The paper does not print its threshold, only that 38.6 % of the pixels pass; `SelfTraining` finds one by share.
    `thresholds` is that number.
    """

    def __init__(self, threshold: float):
        """Set the threshold; raise ValueError unless it is in [0, 1)."""
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold is {threshold}; choose a confidence of at least 0 and below 1")
        self.thresholds = threshold

    def label(self, probs: Tensor) -> Tensor:
        """Return the class of the pixels strictly above the threshold, else 255, uint8 [B,H,W]; probs [B,C,H,W]."""
        value, pred = _predictions(probs)
        return label_above(pred, value, self.thresholds, math.inf)


def class_confidences(probs: Tensor) -> list[list[np.ndarray]]:
    """Return, for every image, the confidences of the pixels predicted as each class: C arrays, float32 [n_c].

    probs: [B,C,H,W] on any device. All the arrays of an image take 4 bytes per pixel. Raises ValueError for another
    shape, more than 255 classes, and values outside 0..1.
    """
    return _by_class(*_predictions(probs), probs.shape[1])


def _predictions(probs: Tensor) -> tuple[Tensor, Tensor]:
    """Confidences, float32 [B,H,W], and predictions, uint8 [B,H,W], of valid `probs` [B,C,H,W]."""
    if probs.ndim != 4 or probs.numel() == 0 or probs.shape[1] > IGNORE:
        raise ValueError(
            f"probs has shape {list(probs.shape)}; pass [B,C,H,W] with pixels and at most {IGNORE} classes"
        )
    value, pred = most_confident(probs)
    if not (probs.amin() >= 0 and value.amax() <= 1):  # so phrased, NaN is refused too
        raise ValueError("probs has values outside 0..1; pass softmax output, not logits")
    return value, pred


def _by_class(value: Tensor, pred: Tensor, num_classes: int) -> list[list[np.ndarray]]:
    images = zip(value.cpu().numpy(), pred.cpu().numpy(), strict=True)
    return [[v[p == c] for c in range(num_classes)] for v, p in images]


def _named(images: Sequence, names: Sequence[str] | None = None) -> list[tuple]:
    """Each of the `images` with its name, or with None."""
    names = [None] * len(images) if names is None else names
    if len(names) != len(images):
        raise ValueError(f"{len(names)} names came with {len(images)} images; give each image one name")
    return list(zip(images, names, strict=True))
