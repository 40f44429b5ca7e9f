"""What stands where: how many of each object, on which side, at what distance."""

from udalib.data.streets import objects
from udalib.data.streets.scene import Scene

POLES = {
    "pole": (objects.pole, 55.0),  # painter and largest distance
    "traffic light": (objects.traffic_light, 34.0),
    "traffic sign": (objects.traffic_sign, 34.0),
}
TWO_WHEELERS = {
    "rider on bicycle": ("bicycle", True),
    "rider on motorcycle": ("motorcycle", True),
    "bicycle": ("bicycle", False),
    "motorcycle": ("motorcycle", False),
}
# How much more of a kind there is in a pedestrian precinct.
PRECINCT = {"person": 2.5, "bicycle": 2.0, "car": 0.3, "truck": 0.5, "traffic light": 0.3}
# A featured class stands this far away, so that it is large enough to count.
FEATURED_DISTANCE = {"traffic light": (6, 12), "rider": (5, 8), "motorcycle": (5, 8), "bicycle": (5, 8)}
FEATURED_VEHICLE = (9, 18)


def populate(scene: Scene) -> None:
    """Queue all objects of the street."""
    rates = scene.domain.frequency.objects
    if scene.street.precinct:
        rates = {kind: rate * PRECINCT.get(kind, 1.0) for kind, rate in rates.items()}
    for kind, (painter, reach) in POLES.items():
        for _ in range(scene.rng.poisson(rates[kind])):
            _at_kerb(scene, painter, scene.distance(5, reach))
    if "traffic light" in scene.featured:
        _at_kerb(scene, objects.traffic_light, scene.distance(*FEATURED_DISTANCE["traffic light"]))
    if scene.chance(scene.domain.layout.wires):
        _wires(scene)
    for _ in range(scene.rng.poisson(rates["vegetation"])):
        _at_kerb(scene, objects.tree, scene.distance(6, 70), (0.8, 2.5))
    _people(scene, rates)
    _two_wheelers(scene, rates)
    _vehicles(scene, rates)


def _side(scene: Scene) -> tuple[int, float]:
    side = 1 if scene.chance(0.5) else -1
    return side, scene.street.kerb[side]


def _at_kerb(scene: Scene, painter, z: float, off=(0.3, 1.2)) -> None:
    side, kerb = _side(scene)
    scene.put(z, painter, kerb + side * scene.between(off), z)


def _wires(scene: Scene) -> None:
    """Poles at equal distances along one kerb with wires between them."""
    rng = scene.rng
    side, kerb = _side(scene)
    x, spacing = kerb + side * 0.7, rng.uniform(16, 28)
    z = rng.uniform(4, 12)
    while z < 70:
        scene.put(z, objects.wire_pole, x, z)
        scene.put(z + spacing, objects.wires, x, z, z + spacing)
        z += spacing


def _people(scene: Scene, rates) -> None:
    rng, kerbs = scene.rng, scene.street.kerb
    for _ in range(rng.poisson(rates["person"])):
        side, kerb = _side(scene)
        z = scene.distance(4.5, 32)
        on_pavement = rng.random() < 0.82
        x = kerb + side * rng.uniform(0.3, 2.6) if on_pavement else rng.uniform(kerbs[-1] + 1, kerbs[1] - 0.5)
        for i in range(1 + (rng.random() < 0.25)):  # some walk in pairs
            scene.put(z + 0.3 * i, objects.person, x + 0.65 * i, z + 0.3 * i)


def _two_wheelers(scene: Scene, rates) -> None:
    rng = scene.rng

    def place(vehicle, ridden, z):
        side, kerb = _side(scene)
        x = kerb - side * rng.uniform(0.5, 2.2) if ridden else kerb + side * rng.uniform(-0.3, 1.5)
        for i in range(1 if ridden else rng.integers(1, 4)):  # parked ones come in rows
            scene.put(z + 0.4 * i, objects.two_wheeler, x + 0.8 * i, z + 0.4 * i, vehicle, ridden)

    for kind, (vehicle, ridden) in TWO_WHEELERS.items():
        for _ in range(rng.poisson(rates[kind])):
            place(vehicle, ridden, scene.distance(4.5, 20))
        if vehicle in scene.featured and not ridden or "rider" in scene.featured and ridden and rates[kind]:
            place(vehicle, ridden, scene.distance(*FEATURED_DISTANCE[vehicle]))


def _vehicles(scene: Scene, rates) -> None:
    """Cars and larger vehicles in lanes, parked at the kerb or crossing; none inside another."""
    rng, street = scene.rng, scene.street
    parking = 0.0 if street.precinct else scene.domain.layout.parking
    parked = [side for side in (-1, 1) if scene.chance(parking)]
    taken: list[tuple[float, float, float]] = []  # x, z, length

    def place(kind, near, far):
        for _ in range(6):
            z, length, across = scene.distance(near, far), objects.LENGTH[kind] * 1.15, False
            draw = rng.random()
            if kind == "train":
                x = street.kerb[-1] + 1.6 if rng.random() < 0.8 else street.kerb[1] - 1.6
                z = max(z, 9.0)
            elif street.crossing and draw < 0.2:
                x, z = rng.uniform(street.kerb[-1], street.kerb[1]), scene.between(street.crossing)
                length, across = 2.5, True
            elif parked and kind == "car" and draw < 0.6:
                side = parked[rng.integers(len(parked))]
                x = street.kerb[side] - side * 1.15
            else:
                lanes = int((-street.kerb[-1] + street.lane / 2) // street.lane)
                x = -street.lane * rng.integers(0, max(lanes, 1) + 1) + rng.uniform(-0.2, 0.2)
                x = max(x, street.kerb[-1] + 1.4)
                if abs(x) < 1.2:
                    z = max(z, 9.5)  # keep a distance to the one ahead
            if all(abs(x - a) > 2.3 or z > b + c or b > z + length for a, b, c in taken):
                taken.append((x, z, length))
                scene.put(z, objects.vehicle, x, z, kind, across)
                return

    for kind in ("train", "bus", "truck"):
        if kind in scene.featured:
            place(kind, *FEATURED_VEHICLE)
    for kind in ("train", "bus", "truck", "car"):
        for _ in range(rng.poisson(rates[kind])):
            place(kind, *((5.5, 60) if kind == "car" else (7.5, 40)))
