"""The stage: sky, skyline, ground and the facades along the street."""

import cv2
import numpy as np

from udalib.data.streets.canvas import strip
from udalib.data.streets.scene import TRAIN_ID, Material, Scene, Street

HORIZON = 220.0  # metres; the ground ends here
BEND = 14  # steps in which long strips follow the road's bend
GLASS_LIT = (240, 220, 150)
ROOFS = ((110, 70, 60), (84, 84, 90), (130, 110, 96))
AWNINGS = ((170, 50, 44), (50, 90, 70), (60, 80, 130), (200, 190, 170), (90, 84, 84))


def sky(scene: Scene) -> None:
    """A gradient from zenith to horizon with a few clouds."""
    canvas, rng = scene.canvas, scene.rng
    zenith, horizon = (np.array(c) for c in scene.pick(scene.domain.appearance.sky))
    dim = 0.14 if scene.night else min(scene.sunlight, 1.0) ** 0.3
    height, width = canvas.pixels.shape[:2]
    fall = np.clip(np.linspace(0, 1.9, height), 0, 1)[:, None]
    rows = np.clip(dim * (zenith + (horizon - zenith) * fall), 0, 255)
    canvas.pixels[..., :3] = np.rint(rows).astype(np.uint8)[:, None]
    surface = scene.surface(TRAIN_ID["sky"], "sky")
    canvas.pixels[..., 3] = surface

    cloud = tuple(int(min(dim * 1.03 * c + 4, 255)) for c in horizon) + (surface,)
    for _ in range(rng.integers(0, 6)):
        size = rng.uniform(0.05, 0.2) * width
        x, y = rng.uniform(0, width), rng.uniform(0, max(canvas.camera.horizon, 1.0) * 0.7)
        for _ in range(5):
            centre = int(x + rng.normal(0, size / 2)), int(y + rng.normal(0, size / 10))
            axes = int(size * rng.uniform(0.2, 0.6)), int(size * rng.uniform(0.06, 0.16))
            cv2.ellipse(canvas.pixels, centre, axes, 0, 0, 360, cloud, -1)


def skyline(scene: Scene) -> None:
    """Distant houses and trees across the whole view."""
    rng, canvas = scene.rng, scene.canvas
    z = rng.uniform(150, 220)
    x = -1.3 * z - canvas.camera.curve * z * z
    end = x + 2.6 * z
    while x < end:
        width = rng.uniform(0.06, 0.24) * z
        height = rng.uniform(0.015, 0.11) * z
        name = "vegetation" if rng.random() < 0.5 else "building"
        paint = scene.paint(scene.material(name), z, 0.9)
        if name == "building":
            canvas.facing(x, x + width, 0, height, z, paint)
        else:
            for i in range(6):
                left = x + width * i / 6
                canvas.facing(left, left + width / 6, 0, height * rng.uniform(0.5, 1), z, paint)
        x += 0.9 * width


def ground(scene: Scene) -> None:
    """Road, kerbs, pavements and green, with markings and shadows; sets `scene.street`."""
    canvas, rng = scene.canvas, scene.rng
    layout, frequency = scene.domain.layout, scene.domain.frequency

    def lay(x1, x2, material, z1=1.0, z2=HORIZON, steps=BEND, shade=1.0):
        canvas.floor(min(x1, x2), max(x1, x2), z1, z2, scene.paint(material, 0, shade), steps=steps)

    # The own car drives on the right half of an asymmetric road.
    kerb = {-1: -1.1 * scene.between(layout.road), 1: 0.75 * scene.between(layout.road)}
    lane = rng.uniform(2.9, 3.6)
    field = scene.chance(frequency.terrain_field)
    canvas.ground(scene.paint(scene.material("terrain" if field else "sidewalk"), 0))

    pavement, facade = scene.material("sidewalk"), {}
    for side, x in kerb.items():
        edge = x + side * scene.between(layout.sidewalk)
        lay(x, edge, pavement)
        featured = "terrain" in scene.featured and side > 0
        if scene.chance(frequency.terrain_strip) or featured:
            grass = scene.material("terrain")
            width = rng.uniform(1.0, 3.0) + featured
            lay(edge, edge + side * width, grass)
            edge += side * width
            if rng.random() < 0.3:  # a second strip between kerb and pavement
                lay(x, x + side * 0.9, grass)
        facade[side] = edge + side * scene.between(layout.setback)
        lawn = rng.random() < 0.6 and frequency.terrain_field > 0
        if abs(facade[side] - edge) > 2.5 and not field and lawn:
            lay(edge + side * 0.5, facade[side] + side * 8, scene.material("terrain"))

    precinct = scene.chance(frequency.precinct)
    road = pavement if precinct else scene.material("road")
    lay(kerb[-1], kerb[1], road)
    crossing = None
    if scene.chance(layout.side_street):
        near = rng.uniform(14, 40)
        crossing = (near, near + rng.uniform(6, 10))
        for side in [(-1,), (1,), (-1, 1)][rng.integers(3)]:
            lay(kerb[side], side * 60.0, road, *crossing, steps=2)
    for _ in range(rng.poisson(2.0)):  # repaired asphalt
        x, z = rng.uniform(kerb[-1], kerb[1] - 1.5), scene.distance(4, 50)
        lay(x, min(x + rng.uniform(0.8, 3), kerb[1]), road, z, z * rng.uniform(1.1, 1.8), 2, rng.uniform(0.8, 1.1))
    for side, x in kerb.items():
        lay(x, x + side * 0.25, pavement, shade=1.08)

    scene.street = Street(kerb, facade, lane, precinct, crossing, road)
    if not precinct:
        _markings(scene, lay)
    _haze_over_ground(scene)
    if scene.looks.random() < scene.domain.appearance.shadows and not scene.night:
        _cast_shadows(scene)


def _markings(scene: Scene, lay) -> None:
    """Lane lines, and sometimes a zebra crossing: part of the road."""
    rng, street = scene.rng, scene.street
    left, right = street.kerb[-1], street.kerb[1]
    paint = street.road.tinted(scene.vary(scene.pick(scene.domain.appearance.marking)))
    if rng.random() < 0.85:
        first = -street.lane / 2 + rng.uniform(-0.3, 0.3)
        first -= street.lane * ((first - left - 1.5) // street.lane)
        for x in np.arange(first, right - 1.0, street.lane):
            if rng.random() < 0.25:
                lay(x - 0.08, x + 0.08, paint, z2=120.0)
            else:
                period = rng.uniform(6.5, 7.5)
                for z in np.arange(rng.uniform(1, 4), 70, period):
                    lay(x - 0.08, x + 0.08, paint, z, z + 3.0, steps=2)
    if rng.random() < 0.25:
        z = rng.uniform(8, 30)
        for x in np.arange(left + 0.3, right - 0.5, 1.0):
            lay(x, x + 0.5, paint, z, z + 3.0, steps=2)


def _haze_over_ground(scene: Scene) -> None:
    camera, pixels = scene.canvas.camera, scene.canvas.pixels
    first = int(np.clip(camera.horizon + 1, 0, len(pixels)))
    depth = camera.focal * camera.height / np.maximum(np.arange(first, len(pixels)) - camera.horizon, 0.5)
    clear = np.full((len(depth), 1, 4), 256, np.uint16)  # the surface code stays
    clear[..., :3] = np.rint(256 * np.exp(-depth * scene.domain.appearance.haze))[:, None, None]
    haze = np.rint((*scene.haze_colour, 0)).astype(np.uint16)
    pixels[first:] = (pixels[first:] * clear + haze * (256 - clear)) >> 8


def _cast_shadows(scene: Scene) -> None:
    """Shadows that the houses of one side throw across the street."""
    rng, street = scene.looks, scene.street
    side = (-1, 1)[rng.integers(2)]
    reach = rng.uniform(0, 1.3) * abs(street.kerb[-side])
    house, shadows, z = street.facade[side], [], 1.0
    while z < 80:
        end = z * rng.uniform(1.3, 2.6) + 2
        tip = house - side * (abs(house) + reach * rng.uniform(0.2, 1))
        shadows.append(strip(min(house, tip), max(house, tip), z, end, steps=4))
        z = end + (rng.uniform(1, 6) if rng.random() < 0.5 else 0)
    scene.canvas.darken(shadows, scene.domain.appearance.shadow)


# facades -------------------------------------------------------------------------------------------


def facades(scene: Scene) -> None:
    """Queue what lines both sides of the street, segment by segment."""
    rng, street = scene.rng, scene.street
    shares = scene.domain.frequency.facades
    kinds, weights = list(shares), np.cumsum(list(shares.values()))
    wanted = [name for name in ("wall", "fence") if name in scene.featured]
    for side in (-1, 1):
        z = rng.uniform(-3, 2)
        while z < 130:
            kind = kinds[int(np.searchsorted(weights, rng.random() * weights[-1]))]
            length = rng.uniform(8, 24) if kind == "building" else rng.uniform(6, 22)
            if wanted and z > 1:
                kind, length = wanted.pop(), max(length, 12.0)
            end = z + length
            if street.crossing and end > street.crossing[0] - 1 and z < street.crossing[1]:
                if z >= street.crossing[0] - 4:
                    z = street.crossing[1] + 0.5
                    continue
                end = street.crossing[0] - 1
            if end > 1.5:
                near = max(z, 1.0)
                if kind in ("wall", "fence", "open"):  # low enough to see what is behind
                    behind = hedge if rng.random() < 0.6 else building
                    scene.put(end + 0.5, behind, side, near, end, rng.uniform(5, 12))
                if kind != "open":
                    scene.put(end, FACADES[kind], side, near, end)
            z = end


def building(scene: Scene, side: int, z1: float, z2: float, behind: float = 0.0) -> None:
    """A house from z1 to z2, with windows, sometimes shops, a roof and boards."""
    rng, looks, canvas = scene.rng, scene.looks, scene.canvas
    x = scene.street.facade[side] + side * (behind + rng.uniform(0, 0.6))
    deep = x + side * 14.0
    height = scene.between(scene.domain.layout.building_height)
    middle = (z1 * z2) ** 0.5
    wall = scene.material("building")
    shade = looks.uniform(0.72, 1.0)
    storey, bay = rng.uniform(2.8, 3.6), rng.uniform(2.2, 4.0)
    ribbons, shops, roof, boards = rng.random() < 0.2, rng.random() < 0.4, rng.random() < 0.35, rng.random()

    canvas.facing(x, deep, 0, height, z1, scene.paint(wall, z1, 0.92))
    canvas.along(x, z1, z2, 0, height, scene.paint(wall, middle, shade), steps=4)
    if roof:
        tiles, eaves = wall.tinted(scene.vary(scene.pick(ROOFS))), height + rng.uniform(0.6, 1.8)
        canvas.along(x, z1, z2, height, eaves, scene.paint(tiles, middle, shade), steps=4)
        canvas.facing(x, deep, height, eaves, z1, scene.paint(tiles, z1, 0.92))
    if shops:
        canvas.along(x, z1, z2, 0, 0.85 * storey, scene.paint(wall, middle, shade * 0.65), steps=4)
        if middle < 60:
            awning = wall.tinted(scene.vary(scene.pick(AWNINGS)))
            canvas.along(x - side * 0.1, z1, z2, 0.72 * storey, 0.9 * storey, scene.paint(awning, middle, shade))

    glass = wall if wall.disguised else wall.tinted(scene.domain.appearance.window)
    glass = glass.times(looks.uniform(0.85, 1.2))
    if ribbons:
        for y in np.arange(0.35 * storey, height - 1, storey):
            canvas.along(x, z1, z2, y, y + 0.42 * storey, scene.paint(glass, middle), steps=4)
            canvas.facing(x, deep, y, y + 0.42 * storey, z1, scene.paint(glass, z1))
    elif middle < 80:
        _windows(scene, glass, x, deep, z1, z2, storey, bay, height)
    for _ in range(rng.poisson(scene.domain.layout.shop_signs) if boards < 0.8 else 0):
        z, y = rng.uniform(z1, z2), rng.uniform(2.4, max(height * 0.6, 3.0))
        board = wall.tinted(scene.vary(scene.pick(AWNINGS)))
        canvas.facing(x - side * rng.uniform(0.6, 1.1), x, y, y + rng.uniform(0.7, 2.6), z, scene.paint(board, z))


def _windows(scene, glass: Material, x, deep, z1, z2, storey, bay, height) -> None:
    """Rows of windows on the long side and on the face towards the camera, some of them lit."""
    looks, canvas = scene.looks, scene.canvas
    lit_share = 0.55 if scene.night else 0.0 if glass.disguised else scene.domain.appearance.window_lit
    width, tall = 0.55 * bay, 0.5 * storey
    y = np.arange(0.35 * storey, height - 0.5 * storey, storey)[:8]
    z = np.arange(z1 + 0.25 * bay, z2 - 0.5 * bay, bay)
    z = z[canvas.camera.focal * bay * abs(x) / (z * z) > 3.0]  # narrower than a pixel or two: leave out
    rows = np.repeat(y, len(z)), np.tile(z, len(y))
    corners = np.empty((len(rows[0]), 4, 3))
    corners[..., 0] = x
    corners[..., 1] = rows[0][:, None] + np.array([0, 0, tall, tall])
    corners[..., 2] = rows[1][:, None] + np.array([0, width, width, 0])
    lit = looks.random(len(corners)) < lit_share
    distance = (z1 * z2) ** 0.5
    canvas.polygons(corners[~lit], scene.paint(glass, distance))
    canvas.polygons(corners[lit], scene.paint(glass.tinted(GLASS_LIT), distance, glow=True))
    if z1 > 4:
        low, high = min(x, deep), max(x, deep)
        columns = np.arange(low + 0.8, high - 1, bay)
        rows = np.repeat(y, len(columns)), np.tile(columns, len(y))
        corners = np.empty((len(rows[0]), 4, 3))
        corners[..., 0] = rows[1][:, None] + np.array([0, width, width, 0])
        corners[..., 1] = rows[0][:, None] + np.array([0, 0, tall, tall])
        corners[..., 2] = z1
        canvas.polygons(corners, scene.paint(glass, z1))


def wall(scene: Scene, side: int, z1: float, z2: float) -> None:
    """A garden or retaining wall with a coping and sometimes pillars."""
    rng, canvas = scene.rng, scene.canvas
    x = scene.street.facade[side] + side * rng.uniform(0, 0.6)
    height, middle = rng.uniform(1.2, 3.2), (z1 * z2) ** 0.5
    stone = scene.material("wall")
    canvas.along(x, z1, z2, 0, height, scene.paint(stone, middle, 0.95), steps=4)
    canvas.along(x, z1, z2, 0.92 * height, height, scene.paint(stone, middle, 1.12), steps=4)
    if rng.random() < 0.5:
        for z in np.arange(z1, z2, rng.uniform(1.5, 3.0)):
            canvas.along(x, z, z + 0.12, 0, height, scene.paint(stone, z, 0.8))


def fence(scene: Scene, side: int, z1: float, z2: float) -> None:
    """A fence of boards or of bars; between bars one sees through, the label covers the whole panel."""
    rng, canvas = scene.rng, scene.canvas
    x = scene.street.facade[side] + side * rng.uniform(0, 0.6)
    height, middle = rng.uniform(1.0, 2.2), (z1 * z2) ** 0.5
    bars = scene.material("fence")
    if rng.random() < 0.35:
        canvas.along(x, z1, z2, 0, height, scene.paint(bars, middle), steps=4)
    else:
        panel = [(x, 0, z1), (x, 0, middle), (x, 0, z2), (x, height, z2), (x, height, middle), (x, height, z1)]
        canvas.relabel(panel, bars.surface)
    for y in (0.1, 0.5, 0.93):
        canvas.along(x, z1, z2, height * y, height * y + 0.1, scene.paint(bars, middle, 1.05), steps=4)
    z = z1
    while z < min(z2, 60):
        canvas.along(x, z, z + 0.13, 0, height, scene.paint(bars, z, 0.85))
        z += max(0.35, 0.045 * z)


def hedge(scene: Scene, side: int, z1: float, z2: float, behind: float = 0.0) -> None:
    """Bushes, or a row of trees grown together."""
    rng, canvas = scene.rng, scene.canvas
    x = scene.street.facade[side] + side * (behind + rng.uniform(0, 0.6))
    height = rng.uniform(4, 9) if rng.random() < 0.5 else rng.uniform(1.2, 3.0)
    leaves = scene.material("vegetation")
    canvas.along(x + side * 0.5, z1, z2, 0, 0.7 * height, scene.paint(leaves, (z1 * z2) ** 0.5, 0.75), steps=4)
    count = int(6 + min(z2 - z1, 10))
    for i in reversed(range(count)):
        z = z1 * (z2 / z1) ** (i / (count - 1)) * rng.uniform(0.95, 1.05)
        radius = height * rng.uniform(0.25, 0.45)
        crown(scene, x + side * radius * 0.6, height * rng.uniform(0.35, 0.85), z, radius, leaves)


_ANGLES = np.linspace(0, 2 * np.pi, 12, endpoint=False)
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=-1)
_UNEVEN = np.sort(np.random.Generator(np.random.PCG64(1)).uniform(0, 2 * np.pi, (24, 11)))
CROWNS = np.stack([1.1 * np.cos(_UNEVEN), np.sin(_UNEVEN)], axis=-1)  # convex, no two alike


def crown(scene: Scene, x: float, y: float, z: float, radius: float, leaves: Material) -> None:
    """A clump of leaves, with a lighter top."""
    outline = radius * CROWNS[scene.rng.integers(len(CROWNS))]
    shade = scene.looks.uniform(0.62, 1.08)
    scene.canvas.blob(x, y, z, outline, scene.paint(leaves, z, shade))
    if scene.canvas.camera.size_at(z) * radius > 20:  # pixels
        light = 0.6 * outline + (-0.15 * radius, 0.25 * radius)
        scene.canvas.blob(x, y, z, light, scene.paint(leaves, z, 1.14 * shade))


FACADES = {"building": building, "wall": wall, "fence": fence, "vegetation": hedge}
