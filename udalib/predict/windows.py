"""Prediction on overlapping windows, averaged (SISC): Iqbal and Ali, MLSL, Section 3.2."""

import itertools
import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from udalib.predict.whole import whole

PLACEMENTS = ("uniform", "official", "grid")
VOTES = ("soft", "hard")


class WindowStream:
    """What `windows` returns: an iterator over (probs, names) that also measures its coverage."""

    def __init__(self, predictions: Iterator[tuple[Tensor, Tensor, list[str]]]):
        """predictions: (probs [B,C,H,W], bool [B,H,W] where a pixel lies in a window, names)."""
        self._predictions = predictions
        self._inside = self._pixels = 0

    def __iter__(self) -> "WindowStream":
        return self

    def __next__(self) -> tuple[Tensor, list[str]]:
        probs, inside, names = next(self._predictions)
        self._inside += int(inside.sum())
        self._pixels += inside.numel()
        return probs, names

    @property
    def coverage(self) -> float:
        """Share of the pixels read so far that lie in at least one window; NaN before the first.

        The whole image of `include_full` is no window: the share shows how much rests on it alone.
        """
        return self._inside / self._pixels if self._pixels else math.nan


def windows(
    net: nn.Module,
    batches: Iterable[tuple],
    count: int = 50,
    *,
    size: tuple[int, int],
    include_full: bool = False,
    generator: torch.Generator | None = None,
    placement: str = "uniform",
    vote: str = "soft",
    flip: bool = False,
    batch_size: int = 8,
) -> WindowStream:
    """Return a stream of (probs float32 [B,C,H,W], names), averaged over windows, on the network's device.

    Every window is predicted as an image of its own. A pixel's distribution is the mean over the windows that
    contain it; in the paper nothing else is averaged, and a pixel in no window is undefined. Such a pixel is 0 in
    all classes here: no selection labels it, and `probs.amax(dim=1) == 0` finds it. ST and CBST leave it out of
    their thresholds; the "official" variant of CBST alone counts it, as class 0 with confidence 0. `coverage` of the
    stream is the share of the other pixels.

    batches: tuples that start with images [B,3,H,W] in 0..255 and end with names, such as `data.Batch`.
    count: windows per image, 50 in the paper. size: their height and width in pixels, (512, 512) in the paper on
        images of 1024x2048; a side longer than the image's is cut to it. The network must accept windows so large.
    include_full: the prediction of the whole image counts as one more, so that every pixel is defined.
    generator, placement: see `window_corners`. An image's windows depend on the generator and on the images before
        it, not on the batches; a second stream needs a generator seeded alike to repeat the first.
    vote: "soft" averages distributions. "hard" gives each class the share of the windows that predict it (of equal
        ones the smallest class), which the paper tried and rejected (Sec. 4.3).
    flip: average each prediction with that of the mirrored window.
    batch_size: windows per forward pass. Memory depends on it, and not on `count`.

    The released code: count=25, include_full=True, placement="official", flip=True.

    The network is put in evaluation mode. Raises ValueError for an unknown vote, for a batch size below 1, and at
    the first image where `window_corners` does.
    """
    if vote not in VOTES:
        raise ValueError(f"There is no vote {vote!r}; choose one of: {', '.join(VOTES)}.")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give at least 1 window per forward pass")

    def predictions() -> Iterator[tuple[Tensor, Tensor, list[str]]]:
        device = next(net.parameters()).device
        for batch in batches:
            images, *_, names = batch
            predicted = []
            for image in images.to(device):
                corners = window_corners(image.shape[-2:], size, count, placement, generator)
                boxes = [
                    (..., slice(top, top + size[0]), slice(left, left + size[1])) for top, left in corners.tolist()
                ]
                groups = [boxes[start : start + batch_size] for start in range(0, len(boxes), batch_size)]
                if include_full:
                    groups.insert(0, [(...,)])
                probs, times = _average(net, image, groups, flip, vote)
                predicted.append((probs, times > int(include_full)))
            probs, inside = (torch.stack(parts) for parts in zip(*predicted, strict=True))
            yield probs, inside, names

    return WindowStream(predictions())


def window_corners(
    image_size: tuple[int, int],
    size: tuple[int, int],
    count: int,
    placement: str = "uniform",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the upper left corners (top, left) of windows in an image, int64 [K,2], in pixels.

    image_size, size: (height, width) of the image and of the windows; a longer window starts at 0.
    placement: "uniform" draws `count` corners, all that keep the window inside the image alike. "official" draws
        as the released code, which never reaches the last row and the last column of these. "grid", ours, draws
        nothing: evenly spaced rows and columns from border to border, at most `count` windows in all, with
        the shape whose wider spacing is the smallest. It covers every pixel. 50 random windows of 512x512 leave
        13 % of a 1024x2048 image out, along its borders; a grid of 50 has 5 rows and 10 columns.
    generator: on the CPU; the two random placements need it.

    Raises ValueError for an unknown placement, a count or side below 1, a random placement without a generator, and
    a grid that needs more than `count` windows.
    """
    if placement not in PLACEMENTS:
        raise ValueError(f"There is no placement {placement!r}; choose one of: {', '.join(PLACEMENTS)}.")
    if min(count, *size) < 1:
        raise ValueError(f"count is {count} and size {tuple(size)}; give at least one window of at least one pixel")
    room = [max(outer - inner, 0) for outer, inner in zip(image_size, size, strict=True)]
    if placement == "grid":
        rows, columns = _grid_shape(image_size, size, count)
        return torch.tensor(list(itertools.product(_spread(room[0], rows), _spread(room[1], columns))))
    if generator is None:
        raise ValueError(
            f"placement {placement!r} draws at random; pass generator=torch.Generator().manual_seed(0), "
            "or choose placement 'grid'"
        )
    positions = [last + 1 if placement == "uniform" else max(last, 1) for last in room]
    return torch.stack([torch.randint(n, (count,), generator=generator) for n in positions], dim=1)


def _average(net: nn.Module, image: Tensor, groups: list[list[tuple]], flip: bool, vote: str) -> tuple[Tensor, Tensor]:
    """The mean prediction, float32 [C,H,W], over parts of `image` [3,H,W], and the number of parts, int64 [H,W].

    groups: indices of the parts; those of a group are predicted together and have one size.
    """
    total = None
    times = torch.zeros(image.shape[-2:], dtype=torch.int64, device=image.device)
    crops = ((torch.stack([image[box] for box in boxes]), boxes) for boxes in groups)
    for probs, boxes in whole(net, crops, flip=flip):
        if vote == "hard":
            probs = torch.zeros_like(probs).scatter_(1, probs.argmax(dim=1, keepdim=True), 1)
        if total is None:
            total = probs.new_zeros(probs.shape[1], *times.shape, dtype=torch.float64)
        for part, box in zip(probs, boxes, strict=True):
            total[box] += part
            times[box] += 1
    return (total / times.clamp(min=1)).float(), times


def _grid_shape(image_size: tuple[int, int], size: tuple[int, int], count: int) -> tuple[int, int]:
    """Rows and columns of the covering grid of at most `count` windows whose wider spacing is the smallest."""
    room = [max(outer - inner, 0) for outer, inner in zip(image_size, size, strict=True)]
    fewest = [math.ceil(outer / inner) for outer, inner in zip(image_size, size, strict=True)]
    shapes = []
    for rows in range(fewest[0], min(count, room[0] + 1) + 1):
        columns = min(count // rows, room[1] + 1)
        if columns >= fewest[1]:
            shapes.append((rows, columns))
    if not shapes:
        raise ValueError(
            f"{count} windows of {size[0]}x{size[1]} can't cover an image of {image_size[0]}x{image_size[1]}; "
            f"give at least {fewest[0] * fewest[1]}, or larger ones"
        )

    def spacings(shape: tuple[int, int]) -> list[float]:
        return sorted((last / max(n - 1, 1) for last, n in zip(room, shape, strict=True)), reverse=True)

    return min(shapes, key=spacings)


def _spread(last: int, count: int) -> list[int]:
    """`count` integers from 0 to `last`, evenly spaced; neighbours differ by at most the spacing rounded up."""
    return [step * last // max(count - 1, 1) for step in range(count)]
