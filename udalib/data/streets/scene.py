"""What all painters of one image share: the street's geometry, its light and its materials."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from udalib.data.streets.canvas import Camera, Canvas, Paint
from udalib.data.streets.domains import GAME, Colours, Domain, Range
from udalib.labels import CITYSCAPES, IGNORE

SUPERSAMPLING = 2
DISGUISED = 0.75  # share of a class's objects that look like another, in images where some do
TRAIN_ID = {name: index for index, name in enumerate(CITYSCAPES.names)}


class Material(NamedTuple):
    """A colour (RGB, unlit) on a surface (code into `Scene.surfaces`)."""

    colour: tuple[float, float, float]
    surface: int
    disguised: bool = False  # passes for another class

    def tinted(self, colour) -> "Material":
        """The same surface in another colour: details, markings, glass."""
        return self._replace(colour=tuple(colour))

    def times(self, gain: float) -> "Material":
        return self._replace(colour=tuple(gain * c for c in self.colour))


class Street(NamedTuple):
    """Where things stand; metres, side -1 is left and +1 right."""

    kerb: dict[int, float]  # side -> x at which the road ends
    facade: dict[int, float]  # side -> x at which the houses begin
    lane: float  # width of a lane
    precinct: bool  # for pedestrians
    crossing: Range | None  # near and far end of a side street
    road: Material  # what the traffic would drive on


class Scene:
    """One image in the making.

    Geometry, looks and lookalikes draw from streams of their own: changing a colour does not move a car.
    """

    def __init__(self, domain: Domain, seed: np.random.SeedSequence, size: tuple[int, int], featured=()):
        self.domain = domain
        self.featured = featured
        self.rng, self.looks, disguises = (np.random.Generator(np.random.PCG64(s)) for s in seed.spawn(3))
        self.surfaces: dict[tuple[int, str], int] = {}  # (label, class it looks like) -> code

        height, width = (SUPERSAMPLING * side for side in size)
        layout = domain.layout
        camera = Camera(
            height=self.between(layout.camera_height),
            horizon=self.between(layout.horizon) * height,
            centre=(0.5 + self.between((-0.04, 0.04))) * width,
            focal=self.between(layout.focal) * width,
            curve=layout.curve * self.rng.standard_normal(),
            roll=layout.roll * self.rng.standard_normal(),
        )
        self.canvas = Canvas(camera, height, width)
        self.mirrored = self.rng.random() < layout.left_hand

        appearance = domain.appearance
        night, wet, sunlight, gloom = self.looks.random(4)
        self.night = night < appearance.night
        self.wet = wet < appearance.wet
        low, high = appearance.sunlight
        self.sunlight = low + (high - low) * sunlight
        if self.night:
            self.sunlight = 0.22 + 0.18 * gloom
        self.haze_colour = tuple(c * (0.12 if self.night else 1.0) for c in appearance.haze_colour)
        self.worn = _choose_disguises(domain.frequency.lookalikes, disguises)
        self.queue: list[tuple[float, Callable, tuple]] = []
        self.street: Street | None = None  # set once the ground is painted

    # randomness --------------------------------------------------------------------------------

    def between(self, limits: Range) -> float:
        """A uniform draw of geometry."""
        return self.rng.uniform(*limits)

    def chance(self, share: float) -> bool:
        """True in this share of draws of geometry."""
        return self.rng.random() < share

    def distance(self, near: float, far: float) -> float:
        """A distance along the road, uniform in perspective (log-uniform in metres)."""
        return near * (far / near) ** self.rng.random()

    def pick(self, options):
        """One of a sequence, by looks."""
        return options[self.looks.integers(len(options))]

    # materials -----------------------------------------------------------------------------------

    def surface(self, label: int, look: str) -> int:
        """Code under which the canvas keeps a label and the class whose texture it wears."""
        return self.surfaces.setdefault((label, look), len(self.surfaces))

    def material(self, name: str) -> Material:
        """The material of a new object of class `name`, or of what it is mistaken for in this image."""
        disguised = self.looks.random() < DISGUISED
        look = self.worn.get(name, name) if disguised else name
        palette = self.domain.appearance.palette[name] if look == name else _game_colours(look)
        return Material(self.vary(self.pick(palette)), self.surface(TRAIN_ID[name], look), look != name)

    def vary(self, colour) -> tuple[float, float, float]:
        """The colour with this domain's spread from object to object."""
        spread = self.domain.appearance.variation
        gain, *shift = self.looks.standard_normal(4)
        return tuple(c * (1 + spread * gain) + 40 * spread * s for c, s in zip(colour, shift, strict=True))

    def paint(self, material: Material, z: float, shade: float = 1.0, glow: bool = False) -> Paint:
        """Light and haze on a material at distance z; what glows needs no sun."""
        light = shade if glow else shade * self.sunlight
        clear = math.exp(-z * self.domain.appearance.haze)
        gain, lost = light * clear, 1 - clear
        (r, g, b), (haze_r, haze_g, haze_b) = material.colour, self.haze_colour
        return (
            _byte(r * gain + haze_r * lost),
            _byte(g * gain + haze_g * lost),
            _byte(b * gain + haze_b * lost),
            material.surface,
        )

    # order -----------------------------------------------------------------------------------------

    def put(self, z: float, painter: Callable, *args) -> None:
        """Queue a painter to be called as painter(scene, *args) when its distance comes up."""
        self.queue.append((z, painter, args))

    def paint_queue(self) -> None:
        """Paint everything that was queued, from far to near."""
        for _, painter, args in sorted(self.queue, key=lambda entry: -entry[0]):
            painter(self, *args)

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Label and look (both train ids, uint8 [256]) of every surface code."""
        labels, looks = np.full(256, IGNORE, np.uint8), np.zeros(256, np.uint8)
        for (label, look), code in self.surfaces.items():
            labels[code], looks[code] = label, TRAIN_ID[look]
        return labels, looks


def _game_colours(look: str) -> Colours:
    """What a class looks like in `game`, so that a disguise deceives whoever was trained there."""
    if look == "sky":
        return tuple(colour for gradient in GAME.appearance.sky for colour in gradient)
    return GAME.appearance.palette[look]


def _choose_disguises(lookalikes: dict[str, dict[str, float]], rng: np.random.Generator) -> dict[str, str]:
    """Class -> class it looks like, for those that look like another in this image."""
    worn = {}
    for name, looks in sorted(lookalikes.items()):
        draw = rng.random()
        for look, share in sorted(looks.items()):
            if 0 <= draw < share:
                worn[name] = look
            draw -= share
    return worn


def _byte(level: float) -> int:
    return 0 if level < 0 else 255 if level > 255 else int(level)
