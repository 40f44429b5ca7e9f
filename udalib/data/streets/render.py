"""From a domain and an index to a picture and its label map.

Everything is a function of (domain, split, seed, index), bit for bit and on every machine: own random
streams, OpenCV's fixed-point filling, integer or elementwise arithmetic afterwards.
"""

import hashlib
from functools import cache
from math import isqrt

import numpy as np

from udalib.data.streets.backdrop import facades, ground, sky, skyline
from udalib.data.streets.domains import Appearance, Domain
from udalib.data.streets.population import populate
from udalib.data.streets.scene import SUPERSAMPLING, TRAIN_ID, Scene
from udalib.labels import IGNORE

SPLITS = ("train", "val")
MIN_SIZE = 32
# Rare classes take turns in validation images, so that every IoU rests on enough of them.
FEATURED = (
    "train",
    "bus",
    "truck",
    "motorcycle",
    "bicycle",
    "rider",
    "wall",
    "fence",
    "terrain",
    "traffic light",
)
FEATURED_SHARE = 0.001  # of the image; less does not count as shown
ATTEMPTS = 12


def render(domain: Domain, split: str, seed: int, index: int, size=(128, 256)) -> tuple[np.ndarray, np.ndarray]:
    """One street scene.

    Args:
        domain: from `domains.domain`.
        split: "train", or "val", in which two rare classes are featured per image.
        seed: of the whole data set.
        index: of the image in its split.
        size: (height, width) in pixels.

    Returns:
        image uint8 [H, W, 3] RGB and label uint8 [H, W] with train ids, 255 on the own bonnet.

    Raises:
        ValueError: split, seed, index or size make no sense.
    """
    check(split, seed, size)
    if index < 0:
        raise ValueError(f"image index is {index}; indices start at 0")
    featured = _featured(domain, index) if split == "val" else ()
    wanted = [TRAIN_ID[name] for name in featured]
    for attempt in range(ATTEMPTS):
        scene = Scene(domain, _seed(domain.name, split, seed, index, attempt), size, featured)
        for paint in (sky, skyline, ground, facades, populate):
            paint(scene)
        scene.paint_queue()
        image, label = develop(scene)
        counts = np.bincount(label.ravel(), minlength=256)
        if all(counts[wanted] >= FEATURED_SHARE * label.size):
            break  # else they are hidden behind something: try other draws
    return image, label


def check(split: str, seed: int, size: tuple[int, int]) -> None:
    """Refuse a split, seed or size that makes no sense."""
    if split not in SPLITS:
        raise ValueError(f"unknown streets split '{split}'; choose one of {', '.join(SPLITS)}")
    if seed < 0:
        raise ValueError(f"seed of the streets is {seed}; choose 0 or more")
    if len(size) != 2 or min(size) < MIN_SIZE:
        raise ValueError(f"image size is {size}; give (height, width), each {MIN_SIZE} or more")


def _featured(domain: Domain, index: int) -> tuple[str, ...]:
    names = [name for name in FEATURED if domain.has(name)]
    return names[index % len(names)], names[(index + len(names) // 2) % len(names)]


def _seed(*key) -> np.random.SeedSequence:
    """A stable seed from any plain values; strengths are left out, so that sliders keep the scene."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.SeedSequence(int.from_bytes(digest[:16], "big"))


# developing: from painted canvas to camera image -------------------------------------------------


def develop(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Texture, reflections, lens and sensor; returns image [H, W, 3] and label [H, W], both uint8."""
    appearance, looks = scene.domain.appearance, scene.looks
    _bonnet(scene)
    pixels = scene.canvas.pixels[:, ::-1] if scene.mirrored else scene.canvas.pixels
    labels, look_ids = scene.tables()
    surface = pixels[::SUPERSAMPLING, ::SUPERSAMPLING, 3]
    label = labels[surface]

    image = _average(pixels[..., :3]).astype(np.float32)
    image += _texture(scene, label, look_ids[surface])[..., None]
    if scene.wet:
        _reflect(scene, image, label)
    image = _blur(image, appearance.blur * looks.uniform(0.6, 1.0))
    image = _tone(image, appearance, looks)
    if appearance.vignette:
        y, x = (np.linspace(-1, 1, side) ** 2 for side in label.shape)
        image *= (1 - appearance.vignette / 2 * (y[:, None] + x)).astype(np.float32)[..., None]
    if appearance.noise:
        image += _noise(label.shape, looks) * np.float32(appearance.noise * looks.uniform(0.6, 1.3))
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8), label


def _bonnet(scene: Scene) -> None:
    """The front of the own car at the lower edge: void, as in Cityscapes."""
    height, width = scene.canvas.pixels.shape[:2]
    rise = scene.domain.layout.bonnet * height
    if rise >= SUPERSAMPLING:
        first = height - int(rise) - 1
        across = np.linspace(-1, 1, width)
        below = np.arange(first, height)[:, None] - (height - rise * (1 - 0.55 * across**2 - 0.4 * across**8))
        shade = np.rint((52 - np.clip(below, 0, 6) * 3) * (0.4 if scene.night else 1.0))
        covered = below >= 0
        bonnet = scene.canvas.pixels[first:]
        bonnet[covered, :3] = shade[covered, None].astype(np.uint8)
        bonnet[covered, 3] = scene.surface(IGNORE, "car")


def _average(pixels: np.ndarray) -> np.ndarray:
    """Mean over blocks of SUPERSAMPLING^2 pixels."""
    step = SUPERSAMPLING
    total = sum(pixels[i::step, j::step].astype(np.uint16) for i in range(step) for j in range(step))
    return total / np.float32(step * step)


TILE = 256  # texels; textures repeat
TEXELS_PER_METRE = 12
# Grey levels of fine, middle and coarse grain per class, at texture strength 1.
GRAIN = {
    "road": (5, 4, 5),
    "sidewalk": (5, 8, 5),
    "building": (4, 8, 9),
    "wall": (5, 11, 8),
    "fence": (12, 6, 2),
    "pole": (3, 2, 2),
    "traffic light": (2, 2, 0),
    "traffic sign": (3, 3, 0),
    "vegetation": (14, 16, 9),
    "terrain": (10, 9, 7),
    "sky": (0, 1, 6),
    "person": (5, 6, 0),
    "rider": (5, 6, 0),
    "car": (2, 5, 6),
    "truck": (2, 5, 6),
    "bus": (2, 5, 5),
    "train": (2, 4, 5),
    "motorcycle": (6, 5, 0),
    "bicycle": (6, 5, 0),
}
LEVEL_GROUND = ("road", "sidewalk", "terrain")


def _grain(rng: np.random.Generator, size: int) -> np.ndarray:
    """Periodic noise int64 [TILE, TILE] with blobs of `size` texels, standard deviation 64; exact."""
    blobs = -(-TILE // size)
    noise = rng.integers(-100, 101, (blobs, blobs)).repeat(size, 0).repeat(size, 1)[:TILE, :TILE]
    for axis in (0, 1):
        noise = sum(np.roll(noise, shift, axis) for shift in range(size))
    return noise * 64 // max(isqrt(int((noise**2).mean())), 1)


@cache
def _tiles() -> np.ndarray:
    """Texture of every class, int16 [19, TILE, TILE] in 1/64 grey levels."""
    rng = np.random.Generator(np.random.PCG64(2718))
    grains = [_grain(rng, size) for size in (1, 3, 12)]
    tiles = [sum(a * g for a, g in zip(GRAIN[name], grains, strict=True)) for name in TRAIN_ID]
    slabs = tiles[TRAIN_ID["sidewalk"]]
    slabs[::8] -= 64 * 16
    slabs[:, ::8] -= 64 * 16
    return np.stack(tiles).astype(np.int16)


def _texture(scene: Scene, label: np.ndarray, look: np.ndarray) -> np.ndarray:
    """Surface texture in grey levels, float32 [H, W]: lying on level ground, upright elsewhere."""
    height, width = label.shape
    camera, scale = scene.canvas.camera, SUPERSAMPLING
    row_0, column_0 = scene.looks.integers(0, TILE, 2)
    y = np.arange(row_0, row_0 + height)
    x = np.arange(column_0, column_0 + width)
    rows, columns = np.broadcast_arrays(y[:, None], x)
    rows, columns = rows.copy(), columns.copy()

    below = np.maximum(np.arange(height) * scale - camera.horizon, 1.0)
    depth = (camera.focal * camera.height / below)[:, None]
    across = (np.arange(width) * scale - camera.centre) * depth / camera.focal - camera.curve * depth**2
    lying = np.isin(label, [TRAIN_ID[name] for name in LEVEL_GROUND])
    rows[lying] = np.floor(depth * TEXELS_PER_METRE + 0 * across).astype(np.int64)[lying]
    columns[lying] = np.floor(across * TEXELS_PER_METRE).astype(np.int64)[lying]
    fade = np.where(lying, np.minimum(1.0, 24 / (depth + 6)), 1.0) * (scene.domain.appearance.texture / 80)
    return (_tiles()[look, rows % TILE, columns % TILE] * fade).astype(np.float32)


def _reflect(scene: Scene, image: np.ndarray, label: np.ndarray) -> None:
    """A wet road mirrors what is above the horizon."""
    height = len(image)
    horizon = int(np.clip(scene.canvas.camera.horizon / SUPERSAMPLING, 1, height - 1))
    rows = np.arange(horizon, height)
    mirrored = image[np.clip(2 * horizon - rows, 0, horizon - 1)]
    mirrored = (mirrored + np.roll(mirrored, 1, 1) + np.roll(mirrored, -1, 1)) / np.float32(3)
    share = np.float32(scene.looks.uniform(0.3, 0.6)) * (label[horizon:] == TRAIN_ID["road"])[..., None]
    image[horizon:] += share * (mirrored - np.float32(0.25) * mirrored - np.float32(0.8) * image[horizon:])


def _blur(image: np.ndarray, strength: float) -> np.ndarray:
    """A [1 2 1] filter in both directions, mixed in with the given strength."""
    for axis in (0, 1) if strength > 0 else ():
        side = np.float32(strength / 4)
        padded = np.concatenate([image.take([0], axis), image, image.take([-1], axis)], axis)
        before, after = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        image = image * (1 - 2 * side) + (before + after) * side
    return image


def _tone(image: np.ndarray, appearance: Appearance, looks: np.random.Generator) -> np.ndarray:
    """Saturation, gamma, contrast, brightness and tint of the camera."""
    if appearance.saturation != 1:
        grey = image[..., :1] * np.float32(0.3) + image[..., 1:2] * np.float32(0.59) + image[..., 2:] * np.float32(0.11)
        image = grey + (image - grey) * np.float32(appearance.saturation)
    gamma, gain = looks.uniform(0.85, 1.15), appearance.contrast * looks.uniform(0.9, 1.1)
    lift = appearance.brightness + 5 * looks.standard_normal()
    curve = ((np.arange(256) / 255) ** gamma * 255 - 127.5) * gain + 127.5 + lift
    levels = np.round(curve[:, None] * np.array(appearance.tint), 3).astype(np.float32)
    index = np.rint(np.clip(image, 0, 255)).astype(np.uint8)
    return np.stack([levels[index[..., c], c] for c in range(3)], axis=-1)


@cache
def _sensor() -> np.ndarray:
    """White noise int8 [4, 512, 512], nearly normal with standard deviation 32: a stock of sensor noise."""
    rng = np.random.Generator(np.random.PCG64(3141))
    return rng.integers(-18, 19, (9, 4, 512, 512), dtype=np.int8).sum(0, dtype=np.int16).clip(-127, 127).astype(np.int8)


def _noise(shape: tuple[int, int], looks: np.random.Generator) -> np.ndarray:
    """Sensor noise float32 [H, W, 3] of unit strength: grey and colour grain."""
    grains = []
    for stock in _sensor():
        rows, columns = (
            np.arange(start, start + side) % 512 for start, side in zip(looks.integers(0, 512, 2), shape, strict=True)
        )
        grains.append(stock[rows][:, columns].astype(np.float32))
    grey, *colours = grains
    return np.stack([0.7 / 32 * grey + 0.5 / 32 * colour for colour in colours], axis=-1).astype(np.float32)
