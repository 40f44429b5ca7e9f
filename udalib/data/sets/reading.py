"""Image and label files to arrays, and arrays to one size.

Labels are read as the ids that are stored in the file. Pillow reads images and one-channel labels: OpenCV expands a
palette to colours, and makes do with half a JPEG. OpenCV reads SYNTHIA's 16-bit labels: Pillow keeps their high byte,
which makes every class 0.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

PNG_DEPTH = 24  # position of the byte that holds the bits per channel


class Header(NamedTuple):
    """size: (height, width). mode: Pillow's, such as "RGB", "P" or "L". bits: per channel."""

    size: tuple[int, int]
    mode: str
    bits: int


def header(path: Path) -> Header:
    """What a file says about itself, without decoding it. Raises ValueError where it isn't an image."""
    try:
        with open(path, "rb") as file, Image.open(file) as image:
            size, mode, png = image.size[::-1], image.mode, image.format == "PNG"
            file.seek(PNG_DEPTH)
            return Header(size, mode, file.read(1)[0] if png else 8)
    except (OSError, SyntaxError) as error:
        raise _broken(path, error) from error


def read_image(path: Path) -> np.ndarray:
    """An image file as uint8 [H, W, 3], RGB. Raises ValueError where it can't be decoded to its last pixel."""
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise _broken(path, error) from error


def read_ids(path: Path) -> np.ndarray:
    """A label file with one 8-bit channel as uint8 [H, W], the stored values; a palette is left alone.

    Raises ValueError where it can't be decoded, or where it holds colours instead of ids.
    """
    try:
        with Image.open(path) as image:
            ids, mode = np.array(image), image.mode
    except (OSError, SyntaxError) as error:
        raise _broken(path, error) from error
    if mode not in ("L", "P"):
        raise ValueError(
            f"{path} has mode {mode}; class ids lie in one 8-bit channel (mode L or P), so take that file."
        )
    return ids


def read_synthia_ids(path: Path) -> np.ndarray:
    """A label file of SYNTHIA, 16 bits and three channels, as uint8 [H, W]: its red channel holds the class ids.

    Raises ValueError where it can't be decoded, has another format, or holds nothing but id 0 ("void"), which is what
    a decoder makes of it that keeps the high bytes.
    """
    stored = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise _broken(path, "the PNG is damaged or cut off")
    if stored.dtype != np.uint16 or stored.ndim != 3:
        raise ValueError(f"{path} is not a 16-bit PNG with three channels; take the files of GT/LABELS as they came.")
    ids = stored[..., -1]  # OpenCV's order is blue, green, red
    if not 0 < ids.max() < 256:
        raise ValueError(f"{path} has class ids up to {ids.max()}, not 1 to 22; take the files of GT/LABELS.")
    return ids.astype(np.uint8)


def fit_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 [H, W, 3] to `size` (height, width): areas are averaged where it shrinks, else linear."""
    if image.shape[:2] == size:
        return image
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def fit_ids(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 [H, W] to `size` (height, width): every pixel takes the id of the nearest one."""
    return ids if ids.shape == size else cv2.resize(ids, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _broken(path: Path, reason: object) -> ValueError:
    return ValueError(
        f"{path} can't be decoded ({reason}); fetch it again, or run `udalib verify`, which leaves such files out."
    )
