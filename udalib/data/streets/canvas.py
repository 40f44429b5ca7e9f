"""A pinhole camera above a bending road, and a canvas on which world coordinates can be painted.

World coordinates in metres: x to the right of the camera, y above the ground, z ahead.
A *paint* is (red, green, blue, surface): one fill writes the picture and the label map together.

All fills go through `cv2.fillConvexPoly` and lines are two pixels or wider: these are the routines whose
pixels agree between OpenCV releases.  It takes any outline that crosses every row at most twice.
"""

from dataclasses import dataclass

import cv2
import numpy as np

NEAR = 0.6  # metres; nothing is drawn closer to the camera
_SHIFT = 3  # OpenCV fills polygons whose corners are given in 1/8 pixel

Point = tuple[float, float, float]
Paint = tuple[int, int, int, int]


@dataclass(frozen=True)
class Camera:
    """Lengths in pixels of the canvas unless said otherwise."""

    height: float  # above the ground, metres
    horizon: float  # row
    centre: float  # column
    focal: float
    curve: float  # the road bends to x = curve * z^2, 1/metre
    roll: float  # tilt to the side, radians (small)

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Column and row at which a world point is seen."""
        z = z if z > NEAR else NEAR
        right = self.focal * (x / z + self.curve * z)
        down = self.focal * (self.height - y) / z
        return self.centre + right - self.roll * down, self.horizon + down + self.roll * right

    def project_all(self, points: np.ndarray) -> np.ndarray:
        """`project` for points [..., 3]; returns [..., 2]."""
        x, y, z = points[..., 0], points[..., 1], np.maximum(points[..., 2], NEAR)
        right = self.focal * (x / z + self.curve * z)
        down = self.focal * (self.height - y) / z
        return np.stack([self.centre + right - self.roll * down, self.horizon + down + self.roll * right], axis=-1)

    def size_at(self, z: float) -> float:
        """Pixels per metre at distance z."""
        return self.focal / max(z, NEAR)


class Canvas:
    """`pixels` uint8 [H, W, 4]: red, green, blue and surface code, painted from far to near."""

    def __init__(self, camera: Camera, height: int, width: int):
        self.camera = camera
        self.pixels = np.zeros((height, width, 4), np.uint8)

    # shapes in world coordinates ---------------------------------------------------------------

    def polygon(self, points: list[Point], paint: Paint) -> None:
        """Fill the polygon through world points."""
        self._fill(self._outline(points), paint)

    def polygons(self, corners: np.ndarray, paint: Paint) -> None:
        """Fill many polygons at once; corners [N, K, 3]."""
        for outline in _fixed(self.camera.project_all(corners)):
            self._fill(outline, paint)

    def facing(self, x1: float, x2: float, y1: float, y2: float, z: float, paint: Paint) -> None:
        """An upright rectangle that faces the camera."""
        self.polygon([(x1, y1, z), (x2, y1, z), (x2, y2, z), (x1, y2, z)], paint)

    def along(self, x: float, z1: float, z2: float, y1: float, y2: float, paint: Paint, steps: int = 2) -> None:
        """An upright strip that runs along the road; more steps follow its bend."""
        z = _steps(z1, z2, steps)
        self.polygon([(x, y1, d) for d in z] + [(x, y2, d) for d in reversed(z)], paint)

    def ground(self, paint: Paint) -> None:
        """Everything below the horizon."""
        camera, (height, width) = self.camera, self.pixels.shape[:2]
        left, right = (camera.horizon + camera.roll * (u - camera.centre) for u in (0, width))
        self._fill(_fixed(np.array([[0, left], [width, right], [width, height], [0, height]])), paint)

    def floor(self, x1: float, x2: float, z1: float, z2: float, paint: Paint, y: float = 0.0, steps: int = 2) -> None:
        """A level strip that runs along the road."""
        self.polygon(strip(x1, x2, z1, z2, y, steps), paint)

    def blob(self, x: float, y: float, z: float, outline: np.ndarray, paint: Paint) -> None:
        """A shape facing the camera; outline [N, 2] in metres around (x, y), second axis up."""
        u, v = self.camera.project(x, y, z)
        scale = self.camera.size_at(z)
        self._fill(_fixed(outline * (scale, -scale) + (u, v)), paint)

    def stroke(self, points: list[tuple[float, float]], z: float, width: float, paint: Paint) -> None:
        """A line through points (x, y) at distance z, at least two pixels wide."""
        outline = self._outline([(x, y, z) for x, y in points])
        thickness = max(2, round(width * self.camera.size_at(z)))
        cv2.polylines(self.pixels, [outline], False, paint, thickness, shift=_SHIFT)

    # light and labels without paint ----------------------------------------------------------

    def darken(self, polygons: list[list[Point]], keep: float) -> None:
        """Leave only the share `keep` of the light inside the polygons (overlaps count once)."""
        for box, mask in self._covered(polygons):
            gain = 256 - mask.astype(np.uint16) * round(256 * (1 - keep))
            box[..., :3] = (box[..., :3] * gain[..., None]) >> 8

    def relabel(self, points: list[Point], surface: int) -> None:
        """Change the surface inside a polygon and leave the picture: things one can look through."""
        for box, mask in self._covered([points]):
            box[mask > 0, 3] = surface

    def _covered(self, polygons):
        """The part of `pixels` around the polygons and the mask of what they cover, unless outside."""
        outlines = [self._outline(points) for points in polygons]
        corners = np.concatenate(outlines) >> _SHIFT
        height, width = self.pixels.shape[:2]
        left, top = np.clip(corners.min(0), 0, (width, height))
        right, bottom = np.clip(corners.max(0) + 1, 0, (width, height))
        if right > left and bottom > top:
            mask = np.zeros((bottom - top, right - left), np.uint8)
            for outline in outlines:
                cv2.fillConvexPoly(mask, outline - (np.array([left, top], np.int32) << _SHIFT), 1, shift=_SHIFT)
            yield self.pixels[top:bottom, left:right], mask

    def _fill(self, outline: np.ndarray, paint: Paint) -> None:
        cv2.fillConvexPoly(self.pixels, outline, paint, shift=_SHIFT)

    def _outline(self, points: list[Point]) -> np.ndarray:
        project = self.camera.project
        return _fixed(np.array([project(*point) for point in points]))


def strip(x1: float, x2: float, z1: float, z2: float, y: float = 0.0, steps: int = 2) -> list[Point]:
    """Outline of a level strip between x1 and x2 from z1 to z2."""
    z = _steps(z1, z2, steps)
    return [(x1, y, d) for d in z] + [(x2, y, d) for d in reversed(z)]


def _steps(z1: float, z2: float, steps: int) -> list[float]:
    """Distances from z1 to z2 in equal ratios, as perspective wants them."""
    z1, z2 = max(z1, NEAR), max(z2, NEAR)
    ratio = (z2 / z1) ** (1 / (steps - 1))
    return [z1 * ratio**i for i in range(steps)]


def _fixed(corners: np.ndarray) -> np.ndarray:
    """Pixels to OpenCV's fixed-point corners."""
    return np.rint(corners * (1 << _SHIFT)).astype(np.int32)
