"""Everything that stands or drives in the street, one painter per kind; lengths in metres.

A painter is called as painter(scene, x, z, ...): x across the street, z ahead, both at its near side.
"""

import numpy as np

from udalib.data.streets.backdrop import CIRCLE, crown
from udalib.data.streets.scene import Material, Scene

RUBBER = (28, 28, 30)
GLASS = (44, 52, 62)
STEEL = (120, 120, 122)
TAIL_LIGHT, HEAD_LIGHT = (210, 34, 30), (250, 245, 220)
SKIN = ((224, 180, 150), (190, 140, 110), (120, 84, 64))
HAIR = ((50, 38, 30), (30, 28, 28), (120, 90, 50), (150, 146, 140))
TROUSERS = ((56, 58, 78), (110, 96, 80), (40, 40, 44))
HELMETS = ((230, 230, 230), (50, 50, 54), (180, 40, 36))
WHITE, RED = (225, 225, 220), (200, 40, 40)


# poles, lights, signs, trees ---------------------------------------------------------------------


def pole(scene: Scene, x: float, z: float) -> None:
    """A lamp post or a plain pole."""
    rng, canvas = scene.rng, scene.canvas
    width, height, arm = rng.uniform(0.10, 0.20), rng.uniform(4.5, 8.5), rng.uniform(1.0, 2.5)
    steel = scene.material("pole")
    canvas.facing(x - width / 2, x + width / 2, 0, height, z, scene.paint(steel, z))
    if rng.random() < 0.6:
        tip = x - np.sign(x) * arm
        canvas.stroke([(x, height), (tip, height + 0.3)], z, 0.8 * width, scene.paint(steel, z))
        lamp = scene.paint(steel.tinted((210, 210, 200)), z, glow=scene.night)
        canvas.facing(tip - 0.35, tip + 0.35, height + 0.2, height + 0.42, z, lamp)


def wire_pole(scene: Scene, x: float, z: float) -> None:
    """A wooden or concrete pole with cross-arms and a transformer."""
    rng, canvas = scene.rng, scene.canvas
    steel, height = scene.material("pole"), rng.uniform(8.0, 11.0)
    paint = scene.paint(steel, z)
    canvas.facing(x - 0.15, x + 0.15, 0, height, z, paint)
    for y in (height - 0.6, height - 1.5):
        canvas.stroke([(x - 0.9, y), (x + 0.9, y)], z, 0.12, paint)
    if rng.random() < 0.5:
        canvas.facing(x - 0.35, x + 0.35, height - 3.2, height - 2.1, z, scene.paint(steel, z, 0.8))


def wires(scene: Scene, x: float, z1: float, z2: float) -> None:
    """Wires that sag between two poles; they belong to what is seen behind them."""
    threads = []
    for shift, height in ((-0.8, 9.0), (0.8, 9.0), (0.0, 8.0)):
        span = [(i / 6, height - 0.8 * (1 - (i / 3 - 1) ** 2)) for i in range(7)]
        points = [(x + shift, y, z1 + (z2 - z1) * t) for t, y in span]
        for (x1, y1, near), (x2, y2, far) in zip(points, points[1:], strict=False):
            threads.append([(x1, y1, near), (x2, y2, far), (x2, y2 + 0.03, far), (x1, y1 + 0.03, near)])
    scene.canvas.darken(threads, 0.4)


def traffic_light(scene: Scene, x: float, z: float) -> None:
    """A signal head on a pole, sometimes a second one on an arm over the road."""
    rng, canvas = scene.rng, scene.canvas
    width, height = rng.uniform(0.10, 0.18), rng.uniform(3.0, 4.4)
    steel = scene.paint(scene.material("pole"), z)
    canvas.facing(x - width / 2, x + width / 2, 0, height, z, steel)
    heads = [(x, height)]
    if rng.random() < 0.35:
        tip = x - np.sign(x) * rng.uniform(2.0, 4.5)
        canvas.facing(x - width / 2, x + width / 2, 0, 5.6, z, steel)
        canvas.stroke([(x, 5.6), (tip, 5.6)], z, width, steel)
        heads.append((tip, 5.0))
    case = scene.material("traffic light")
    lit = rng.integers(3)
    for u, v in heads:
        canvas.facing(u - 0.30, u + 0.30, v - 0.75, v + 0.65, z, scene.paint(case, z))
        for i, colour in enumerate(((240, 50, 40), (250, 190, 40), (60, 230, 120))):
            lamp = scene.paint(case.tinted(colour), z, 1.0 if i == lit else 0.25, glow=i == lit)
            canvas.blob(u, v + 0.42 - 0.45 * i, z, 0.17 * CIRCLE, lamp)


def traffic_sign(scene: Scene, x: float, z: float) -> None:
    """A round, triangular, square or wide sign on a pole."""
    rng, canvas = scene.rng, scene.canvas
    width, y, size = rng.uniform(0.08, 0.14), rng.uniform(2.2, 3.2), rng.uniform(0.36, 0.56)
    canvas.facing(x - width / 2, x + width / 2, 0, y, z, scene.paint(scene.material("pole"), z))
    plate = scene.material("traffic sign")
    white, red = (scene.paint(plate.tinted(scene.vary(colour)), z) for colour in (WHITE, RED))
    shape = rng.integers(4)
    if shape == 0:
        canvas.blob(x, y, z, size * CIRCLE, red)
        canvas.blob(x, y, z, 0.68 * size * CIRCLE, white)
    elif shape == 1:
        triangle = np.array([[-1.1, -0.8], [1.1, -0.8], [0, 1.0]])
        canvas.blob(x, y, z, size * triangle, red)
        canvas.blob(x, y - 0.05, z, 0.55 * size * triangle, white)
    else:
        half, tall = (size, size) if shape == 2 else (rng.uniform(0.6, 1.3), 0.35)
        canvas.facing(x - half, x + half, y - tall, y + tall, z, scene.paint(plate, z))
        canvas.facing(x - 0.65 * half, x + 0.65 * half, y - 0.1 * tall, y + 0.2 * tall, z, white)


def tree(scene: Scene, x: float, z: float) -> None:
    """A trunk below a crown of leaves."""
    rng, canvas = scene.rng, scene.canvas
    stem, width, radius = rng.uniform(1.8, 3.2), rng.uniform(0.2, 0.45), rng.uniform(1.2, 2.6)
    leaves = scene.material("vegetation")
    bark = scene.paint(leaves.tinted(scene.vary((94, 74, 54))), z, 0.9)
    canvas.facing(x - width / 2, x + width / 2, 0, stem + 0.5, z, bark)
    for _ in range(9):
        across, up = rng.normal(0, 0.45 * radius), rng.normal(0, 0.4 * radius)
        crown(scene, x + across, stem + 0.6 * radius + up, z, radius * rng.uniform(0.4, 0.75), leaves)


# people and two-wheelers -----------------------------------------------------------------------------

_LEG = np.array([[-0.02, 0.88], [0.2, 0.88], [0.16, 0], [0.02, 0]])  # the right one
_TORSO = np.array([[-0.27, 1.40], [-0.16, 1.46], [0.16, 1.46], [0.27, 1.40], [0.2, 0.75], [-0.2, 0.75]])
_COAT = np.array([[-0.27, 1.40], [-0.16, 1.46], [0.16, 1.46], [0.27, 1.40], [0.27, 0.5], [-0.27, 0.5]])
_HEAD = np.array([0.135, 0.17]) * CIRCLE
_HAIR = np.array([[-0.15, 1.60], [0.15, 1.60], [0.10, 1.77], [-0.10, 1.77]])


def person(scene: Scene, x: float, z: float) -> None:
    """Someone on foot."""
    rng, canvas = scene.rng, scene.canvas
    clothes, stride = scene.material("person"), rng.uniform(-0.15, 0.3)
    size = rng.uniform(0.9, 1.1) if rng.random() < 0.88 else rng.uniform(0.6, 0.8)
    trousers = clothes.tinted(scene.vary(scene.pick(TROUSERS)))
    shadow = [(x - 0.4, 0, z - 0.15), (x + 0.4, 0, z - 0.15), (x + 0.4, 0, z + 0.3), (x - 0.4, 0, z + 0.3)]
    canvas.darken([shadow], 0.7)
    for side in (-1, 1):
        leg = (_LEG + [[0, 0], [0, 0], [stride, 0], [stride, 0]]) * (side * size, size)
        canvas.blob(x, 0, z, leg, scene.paint(trousers, z))
    _upper_body(scene, x, 0.0, z, size, clothes, _COAT if rng.random() < 0.25 else _TORSO, HAIR)


def _upper_body(scene, x, y, z, size, clothes: Material, torso, headwear) -> None:
    canvas, swing = scene.canvas, scene.rng.uniform(-0.1, 0.25)
    jacket = scene.paint(clothes, z)
    canvas.blob(x, y, z, size * torso, jacket)
    for side in (-1, 1):
        arm = [(x + side * 0.25, y + 1.36 * size), (x + side * (0.3 + swing), y + 0.85 * size)]
        canvas.stroke(arm, z, 0.12, scene.paint(clothes, z, 0.9))
    canvas.blob(x, y + 1.59 * size, z, size * _HEAD, scene.paint(clothes.tinted(scene.pick(SKIN)), z))
    canvas.blob(x, y, z, size * _HAIR, scene.paint(clothes.tinted(scene.pick(headwear)), z))


def two_wheeler(scene: Scene, x: float, z: float, kind: str, ridden: bool) -> None:
    """A bicycle or motorcycle, seen from the side or from behind, parked or ridden."""
    rng, canvas = scene.rng, scene.canvas
    frame = scene.material(kind)
    rubber, body = scene.paint(frame.tinted(RUBBER), z), scene.paint(frame, z)
    motor = kind == "motorcycle"
    canvas.darken([[(x - 0.8, 0, z - 0.2), (x + 0.8, 0, z - 0.2), (x + 0.8, 0, z + 0.3), (x - 0.8, 0, z + 0.3)]], 0.7)
    if rng.random() < 0.6:
        (_motorcycle_side if motor else _bicycle_side)(scene, x, z, frame)
    else:
        half = 0.10 if motor else 0.05
        canvas.facing(x - half, x + half, 0, 0.66, z, rubber)
        if motor:
            canvas.facing(x - 0.22, x + 0.22, 0.4, 1.0, z, body)
            lamp = frame.tinted(scene.pick((TAIL_LIGHT, HEAD_LIGHT)))
            canvas.blob(x, 0.85, z, 0.1 * CIRCLE, scene.paint(lamp, z, glow=scene.night))
        canvas.stroke([(x - 0.32, 1.02), (x + 0.32, 1.02)], z, 0.07, rubber)
        canvas.stroke([(x, 0.6), (x, 1.0)], z, 0.08, body)
    if ridden:
        clothes = scene.material("rider")
        trousers = scene.paint(clothes.tinted(scene.vary(TROUSERS[0])), z)
        canvas.stroke([(x - 0.1, 0.98), (x + 0.16, 0.62), (x + 0.02, 0.3)], z, 0.16, trousers)
        _upper_body(
            scene, x - 0.05, 0.05 if motor else 0.18, z, 1.0, clothes, _TORSO, HELMETS if rng.random() < 0.7 else HAIR
        )


def _bicycle_side(scene: Scene, x: float, z: float, frame: Material) -> None:
    canvas, rubber = scene.canvas, scene.paint(frame.tinted(RUBBER), z)
    wheel, base = 0.33, 0.55
    for hub in (x - base, x + base):  # spokes are too thin to see, the label covers the disc
        rim = [(hub + wheel * c, wheel + wheel * s) for c, s in CIRCLE]
        canvas.relabel([(u, v, z) for u, v in rim], frame.surface)
        canvas.stroke([*rim, rim[0]], z, 0.07, rubber)
    body = scene.paint(frame, z)
    rear = (x - base, wheel)
    canvas.stroke([rear, (x - 0.1, 0.85), (x + 0.42, 0.88), (x, wheel), (x - 0.1, 0.85)], z, 0.07, body)
    canvas.stroke([(x + base, wheel), (x + 0.42, 0.9), (x + 0.5, 1.05)], z, 0.06, body)
    canvas.stroke([(x - 0.28, 0.92), (x + 0.02, 0.92)], z, 0.09, rubber)


_TANK = np.array(
    [[-0.75, 0.72], [-0.1, 0.78], [0.1, 0.95], [0.5, 0.92], [0.68, 0.5], [0.35, 0.3], [-0.3, 0.28], [-0.6, 0.45]]
)


def _motorcycle_side(scene: Scene, x: float, z: float, frame: Material) -> None:
    canvas, rubber = scene.canvas, scene.paint(frame.tinted(RUBBER), z)
    for hub in (x - 0.68, x + 0.68):
        canvas.blob(hub, 0.34, z, 0.34 * CIRCLE, rubber)
        canvas.blob(hub, 0.34, z, 0.17 * CIRCLE, scene.paint(frame.tinted(STEEL), z))
    canvas.blob(x, 0, z, _TANK, scene.paint(frame, z))
    canvas.stroke([(x + 0.5, 0.92), (x + 0.42, 1.15)], z, 0.07, rubber)


# vehicles --------------------------------------------------------------------------------------------

LENGTH = {"car": 4.4, "truck": 8.5, "bus": 11.5, "train": 26.0}


def vehicle(scene: Scene, x: float, z: float, kind: str, across: bool) -> None:
    """A car, truck, bus or train, seen from behind, from the front, or from the side where it crosses."""
    rng = scene.rng
    length = LENGTH[kind] * rng.uniform(0.85, 1.15)
    body = scene.material(kind)
    width = {"car": 1.8, "truck": 2.4, "bus": 2.5, "train": 2.6}[kind]
    oncoming = x < -0.5 * scene.street.lane
    wide, deep = (length, width) if across else (width, length)
    left, right, far = x - wide / 2, x + wide / 2, z + deep
    under = [(left - 0.2, 0, z - 0.25), (right + 0.2, 0, z - 0.25), (right + 0.2, 0, far), (left - 0.2, 0, far)]
    scene.canvas.darken([under], 0.42)
    painters = _ACROSS if across else _ALONG
    painters[kind](scene, left, right, z, far, body, HEAD_LIGHT if oncoming else TAIL_LIGHT)


def _box(scene, left, right, z, far, low, high, body: Material) -> float | None:
    """The visible faces of a box; returns the x of the long side in view, or None."""
    canvas = scene.canvas
    bend = canvas.camera.curve * z * z
    side = right if right + bend < 0 else left if left + bend > 0 else None
    if high < canvas.camera.height:
        canvas.floor(left, right, z, far, scene.paint(body, z, 1.1), y=high)
    if side is not None:
        canvas.along(side, z, far, low, high, scene.paint(body, z, 0.8))
    canvas.facing(left, right, low, high, z, scene.paint(body, z))
    return side


def _lamps(scene, left, right, low, high, z, body, colour, width=0.34) -> None:
    paint = scene.paint(body.tinted(colour), z, glow=scene.night)
    for x in (left + 0.06, right - 0.06 - width):
        scene.canvas.facing(x, x + width, low, high, z, paint)


def _wheels(scene, side, starts, z, body, size) -> None:
    if side is not None:
        rubber = scene.paint(body.tinted(RUBBER), z)
        for start in starts:
            scene.canvas.along(side, start, start + size, 0.0, size * 0.95, rubber)


def _car_along(scene, left, right, z, far, body, lamp) -> None:
    rng, canvas = scene.rng, scene.canvas
    tall = rng.random()
    height = rng.uniform(1.4, 1.6) if tall < 0.7 else rng.uniform(1.65, 2.05)  # saloons; off-roaders and vans
    belt, length = 0.58 * min(height, 1.7), far - z
    front, back = (z + 0.35, z + 0.68 * length) if tall < 0.85 else (z + 0.1, z + 0.8 * length)
    glass = scene.paint(body.tinted(GLASS).times(scene.looks.uniform(0.8, 1.3)), z)
    rubber = scene.paint(body.tinted(RUBBER), z)
    side = _box(scene, left, right, z, far, 0.22, belt, body)
    if height < canvas.camera.height + 0.3:
        canvas.floor(left + 0.2, right - 0.2, front, back, scene.paint(body, z, 1.06), y=height)
    if side is not None:
        x = side + (0.12 if side == left else -0.12)
        cabin = [(x, belt, front - 0.3), (x, belt, back + 0.9), (x, height, back), (x, height, front + 0.2)]
        canvas.polygon(cabin, scene.paint(body, z, 0.78))
        low, high = belt + 0.03, height - 0.1
        canvas.polygon([(x, low, front), (x, low, back + 0.5), (x, high, back - 0.1), (x, high, front + 0.3)], glass)
    for inset, slope, low, high, paint in (
        (0.05, 0.20, belt, height, scene.paint(body, z)),
        (0.20, 0.15, belt + 0.04, height - 0.1, glass),
    ):
        a, b = left + inset, right - inset
        canvas.polygon([(a, low, front), (b, low, front), (b - slope, high, front), (a + slope, high, front)], paint)
    _lamps(scene, left, right, 0.62 * belt, 0.86 * belt, z, body, lamp)
    middle = (left + right) / 2
    plate = scene.paint(body.tinted((220, 220, 215)), z)
    canvas.facing(middle - 0.28, middle + 0.28, 0.42 * belt, 0.6 * belt, z, plate)
    canvas.facing(left + 0.05, right - 0.05, 0.22, 0.34, z, scene.paint(body, z, 0.55))
    for x in (left + 0.08, right - 0.34):
        canvas.facing(x, x + 0.26, 0.0, 0.3, z, rubber)
    _wheels(scene, side, (z + 0.5, far - 1.2), z, body, 0.65)


def _car_across(scene, left, right, z, far, body, lamp) -> None:
    canvas, height = scene.canvas, scene.rng.uniform(1.4, 1.7)
    belt, length = 0.58 * height, right - left
    glass = scene.paint(body.tinted(GLASS), z)
    canvas.facing(left, right, 0.25, belt, z, scene.paint(body, z, 0.9))
    for inset, low, high, paint in (
        (0.0, belt, height, scene.paint(body, z, 0.9)),
        (0.05, belt + 0.02, height - 0.1, glass),
    ):
        a, b = left + (0.10 + inset) * length, right - (0.20 + inset) * length
        top_a, top_b = left + (0.20 + 0.6 * inset) * length, right - (0.36 + 0.4 * inset) * length
        canvas.polygon([(a, low, z), (b, low, z), (top_b, high, z), (top_a, high, z)], paint)
    for hub in (left + 0.2 * length, right - 0.2 * length):
        canvas.blob(hub, 0.32, z, 0.33 * CIRCLE, scene.paint(body.tinted(RUBBER), z))


def _truck_along(scene, left, right, z, far, body, lamp) -> None:
    rng, canvas = scene.rng, scene.canvas
    height, cab = rng.uniform(2.8, 3.8), 2.2
    cabin = body.tinted(scene.material("truck").colour)
    glass, dark = scene.paint(body.tinted(GLASS), z), body.tinted((50, 50, 52))
    if lamp == HEAD_LIGHT:  # the cab comes first
        _box(scene, left, right, z + cab + 0.1, far, 0.9, height, body)
        side = _box(scene, left + 0.08, right - 0.08, z, z + cab, 0.5, 0.8 * height, cabin)
        canvas.facing(left + 0.2, right - 0.2, 0.47 * height, 0.74 * height, z, glass)
        canvas.facing(left + 0.4, right - 0.4, 0.6, 0.4 * height, z, scene.paint(dark, z))
        window = z + 0.4
    else:
        _box(scene, left + 0.08, right - 0.08, far - cab, far, 0.5, 0.8 * height, cabin)
        side = _box(scene, left, right, z, far - cab - 0.1, 0.9, height, body)
        middle = (left + right) / 2
        canvas.facing(middle - 0.02, middle + 0.02, 0.9, height, z, scene.paint(body, z, 0.7))
        window = far - cab + 0.6
    canvas.facing(left + 0.05, right - 0.05, 0.4, 0.9, z, scene.paint(dark, z))
    for x in (left + 0.1, right - 0.5):
        canvas.facing(x, x + 0.4, 0.0, 0.5, z, scene.paint(body.tinted(RUBBER), z))
    _lamps(scene, left, right, 0.55, 0.78, z, body, lamp, 0.4)
    _wheels(scene, side, (z + 0.6, z + 1.9, far - 1.6), z, body, 0.9)
    if side is not None:
        canvas.along(side, window, window + 1.1, 0.5 * height, 0.72 * height, glass)


def _truck_across(scene, left, right, z, far, body, lamp) -> None:
    canvas, height, cab = scene.canvas, scene.rng.uniform(2.8, 3.6), right - 2.2
    canvas.facing(left, cab, 0.8, height, z, scene.paint(body, z, 0.95))
    canvas.facing(left, right, 0.45, 0.8, z, scene.paint(body.tinted((50, 50, 52)), z))
    canvas.facing(cab + 0.05, right, 0.5, 0.8 * height, z, scene.paint(body, z, 0.75))
    canvas.facing(cab + 0.9, right - 0.1, 0.5 * height, 0.74 * height, z, scene.paint(body.tinted(GLASS), z))
    for hub in (left + 0.8, left + 1.9, right - 1.0):
        canvas.blob(hub, 0.45, z, 0.46 * CIRCLE, scene.paint(body.tinted(RUBBER), z))


def _bus_along(scene, left, right, z, far, body, lamp) -> None:
    canvas, height = scene.canvas, scene.rng.uniform(2.9, 3.3)
    glass = scene.paint(body.tinted(GLASS).times(scene.looks.uniform(0.8, 1.3)), z)
    side = _box(scene, left, right, z, far, 0.3, height, body)
    canvas.facing(left + 0.15, right - 0.15, 0.46 * height, 0.84 * height, z, glass)
    display = scene.paint(body.tinted(scene.pick(((30, 30, 30), (240, 160, 40)))), z, glow=scene.night)
    canvas.facing(left + 0.4, right - 0.4, 0.87 * height, 0.97 * height, z, display)
    _lamps(scene, left, right, 0.5, 0.78, z, body, lamp)
    for x in (left + 0.1, right - 0.45):
        canvas.facing(x, x + 0.35, 0.0, 0.35, z, scene.paint(body.tinted(RUBBER), z))
    if side is not None:
        _window_row(scene, side, z + 0.4, far, 1.5, 0.48 * height, 0.82 * height, glass)
        _wheels(scene, side, (z + 1.8, far - 3.0), z, body, 1.0)


def _train_along(scene, left, right, z, far, body, lamp) -> None:
    canvas, height = scene.canvas, scene.rng.uniform(3.3, 3.8)
    glass = scene.paint(body.tinted(GLASS).times(scene.looks.uniform(0.8, 1.3)), z)
    stripe = scene.paint(body.tinted(scene.vary(scene.pick(((190, 40, 40), (60, 80, 130), (200, 180, 80))))), z)
    side = _box(scene, left, right, z, far, 0.25, height, body)
    canvas.facing(left + 0.25, right - 0.25, 0.5 * height, 0.83 * height, z, glass)
    canvas.facing(left, right, 0.30 * height, 0.38 * height, z, stripe)
    board = scene.paint(body.tinted((240, 200, 90)), z, glow=scene.night)
    canvas.facing(left + 0.9, right - 0.9, 0.86 * height, 0.96 * height, z, board)
    middle = (left + right) / 2
    canvas.stroke([(middle - 0.7, height + 0.9), (middle, height + 0.1), (middle + 0.7, height + 0.9)], z, 0.09, stripe)
    _lamps(scene, left, right, 0.5, 0.75, z, body, lamp)
    if side is not None:
        canvas.along(side, z, far, 0.28 * height, 0.36 * height, stripe)
        _window_row(scene, side, z + 0.4, far, 2.4, 0.5 * height, 0.8 * height, glass)
        canvas.along(side, z, far, 0.05, 0.35, scene.paint(body.tinted(RUBBER), z))


def _window_row(scene, side, z1, z2, step, low, high, glass) -> None:
    for z in np.arange(z1, z2 - step, step):
        scene.canvas.along(side, z, z + 0.82 * step, low, high, glass)


def _coach_across(scene, left, right, z, far, body, lamp) -> None:
    """A bus or a tram that crosses."""
    canvas, height = scene.canvas, scene.rng.uniform(2.9, 3.4)
    canvas.facing(left, right, 0.3, height, z, scene.paint(body, z, 0.95))
    glass = scene.paint(body.tinted(GLASS), z)
    for x in np.arange(left + 0.4, right - 1.5, 1.5):
        canvas.facing(x, x + 1.23, 0.5 * height, 0.82 * height, z, glass)
    for hub in (left + 2.0, right - 2.0):
        canvas.blob(hub, 0.46, z, 0.46 * CIRCLE, scene.paint(body.tinted(RUBBER), z))


_ALONG = {"car": _car_along, "truck": _truck_along, "bus": _bus_along, "train": _train_along}
_ACROSS = {"car": _car_across, "truck": _truck_across, "bus": _coach_across}
