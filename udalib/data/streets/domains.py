"""The worlds of the streets benchmark, written down as tables of numbers.

A domain has three named groups of parameters, and each group can be moved on its own between `game`
(strength 0) and the named domain (strength 1): what things look like, how a street is laid out and seen,
and how often each class occurs.  Every domain below states only how it differs from `game`.
"""

from dataclasses import asdict, dataclass, replace

Range = tuple[float, float]  # a uniform draw between the two
Colour = tuple[float, float, float]  # RGB, 0 to 255
Colours = tuple[Colour, ...]  # one is drawn per object


@dataclass(frozen=True)
class Appearance:
    """Light, surfaces and camera: everything that leaves the label map unchanged."""

    palette: dict[str, Colours]  # class name -> colours of its surfaces
    sky: tuple[tuple[Colour, Colour], ...]  # (zenith, horizon) pairs
    marking: Colours  # lane paint
    window: Colour  # unlit glass
    window_lit: float  # share of windows with a light on
    variation: float  # spread of colour from object to object
    texture: float  # strength of surface texture
    sunlight: Range  # brightness of sunlit faces
    shadow: float  # share of light left in a shadow
    shadows: float  # share of images with cast shadows
    haze: float  # share of colour lost to haze, per metre
    haze_colour: Colour
    night: float  # share of images taken at night
    wet: float  # share of images with a wet, reflecting road
    saturation: float
    contrast: float
    brightness: float  # grey levels added
    tint: Colour  # gain of each channel
    noise: float  # standard deviation of sensor noise, grey levels
    blur: float  # 0 none to 1 a full [1 2 1] pass
    vignette: float  # light lost in the corners


@dataclass(frozen=True)
class Layout:
    """Where the camera is and how wide, bent and built-up the street is; lengths in metres."""

    camera_height: Range
    horizon: Range  # row of the horizon, as a share of the image height (0 top)
    focal: Range  # focal length, as a share of the image width
    roll: float  # spread of the camera's tilt to the side, radians
    road: Range  # half width of the road
    sidewalk: Range  # width of the pavement
    curve: float  # spread of the road's curvature
    setback: Range  # pavement to facade
    building_height: Range
    side_street: float  # share of images with a side street
    parking: float  # share of kerbs with parked cars
    left_hand: float  # share of images with traffic on the left
    wires: float  # share of images with overhead wires
    shop_signs: float  # boards on a facade, mean number per building
    bonnet: float  # height of the own bonnet, as a share of the image height


@dataclass(frozen=True)
class Frequency:
    """How often each class occurs, and how often it passes for another."""

    objects: dict[str, float]  # mean number per image
    facades: dict[str, float]  # what lines the street, in relative lengths
    terrain_strip: float  # share of pavements with a green strip
    terrain_field: float  # share of images whose open ground is terrain, not pavement
    precinct: float  # share of images in a pedestrian precinct: pavement from facade to facade
    lookalikes: dict[str, dict[str, float]]  # class -> class of `game` it passes for -> share of images


@dataclass(frozen=True)
class Domain:
    """A world: its name seeds the images, the three groups shape them."""

    name: str
    appearance: Appearance
    layout: Layout
    frequency: Frequency

    def parameters(self) -> dict:
        """All parameters as nested plain containers, for manifests and cache keys."""
        return asdict(self)

    def has(self, name: str) -> bool:
        """Whether the class `name` can occur at all."""
        frequency = self.frequency
        if name == "terrain":
            return frequency.terrain_strip + frequency.terrain_field > 0
        rates = [rate for kind, rate in frequency.objects.items() if name in kind.split(" on ")]
        return name in frequency.facades or any(rates) or not rates


GAME = Domain(
    name="game",
    appearance=Appearance(
        palette={
            "road": ((96, 96, 102), (84, 86, 92), (108, 104, 100)),
            "sidewalk": ((186, 176, 160), (170, 164, 152), (196, 186, 176)),
            "building": (
                (196, 150, 104),
                (168, 84, 60),
                (208, 192, 160),
                (120, 130, 150),
                (150, 170, 186),
                (224, 206, 150),
            ),
            "wall": ((176, 168, 156), (150, 138, 120), (190, 180, 170)),
            "fence": ((90, 90, 96), (130, 96, 60), (170, 170, 176)),
            "pole": ((70, 72, 78), (110, 112, 118)),
            "traffic light": ((222, 178, 30), (40, 44, 40)),
            "traffic sign": ((30, 140, 60), (240, 240, 240), (230, 190, 20)),
            "vegetation": ((52, 128, 36), (76, 150, 44), (40, 104, 40)),
            "terrain": ((120, 168, 64), (164, 148, 92), (100, 156, 60)),
            "person": (
                (200, 40, 40),
                (40, 60, 190),
                (230, 220, 80),
                (50, 50, 60),
                (235, 235, 235),
                (60, 150, 80),
                (96, 94, 98),
                (126, 104, 84),
                (70, 90, 124),
            ),
            "rider": ((200, 40, 40), (40, 60, 190), (240, 160, 40), (50, 50, 60), (104, 100, 100)),
            "car": (
                (200, 20, 24),
                (20, 50, 190),
                (240, 200, 30),
                (235, 235, 235),
                (30, 30, 34),
                (30, 150, 70),
                (160, 165, 170),
            ),
            "truck": ((235, 235, 235), (190, 60, 30), (60, 100, 170), (220, 170, 50)),
            "bus": ((230, 190, 40), (220, 220, 225), (40, 90, 180)),
            "train": ((180, 185, 195), (60, 90, 160), (190, 50, 50)),
            "motorcycle": ((40, 40, 44), (180, 30, 30), (40, 60, 150)),
            "bicycle": ((200, 40, 40), (40, 60, 180), (50, 50, 50)),
        },
        sky=(
            ((70, 140, 230), (190, 220, 250)),
            ((90, 150, 235), (225, 232, 245)),
            ((110, 120, 200), (250, 200, 160)),
        ),
        marking=((245, 245, 245), (240, 200, 60)),
        window=(70, 100, 140),
        window_lit=0.20,
        variation=0.07,
        texture=0.35,
        sunlight=(0.85, 1.08),
        shadow=0.72,
        shadows=0.30,
        haze=1 / 900,
        haze_colour=(200, 220, 245),
        night=0.0,
        wet=0.0,
        saturation=1.15,
        contrast=1.05,
        brightness=0.0,
        tint=(1.0, 1.0, 1.0),
        noise=2.0,
        blur=0.0,
        vignette=0.0,
    ),
    layout=Layout(
        camera_height=(1.5, 2.0),
        horizon=(0.44, 0.54),
        focal=(0.43, 0.55),
        roll=0.0,
        road=(4.0, 7.5),
        sidewalk=(2.0, 4.5),
        curve=0.0015,
        setback=(1.0, 7.0),
        building_height=(6, 32),
        side_street=0.30,
        parking=0.45,
        left_hand=0.0,
        wires=0.0,
        shop_signs=0.2,
        bonnet=0.0,
    ),
    frequency=Frequency(
        objects={
            "pole": 5.0,
            "traffic light": 1.6,
            "traffic sign": 1.6,
            "vegetation": 3.5,
            "person": 2.2,
            "rider on bicycle": 0.22,
            "rider on motorcycle": 0.20,
            "bicycle": 0.16,
            "motorcycle": 0.18,
            "car": 3.2,
            "truck": 0.50,
            "bus": 0.22,
            "train": 0.12,
        },
        facades={"building": 0.52, "wall": 0.16, "fence": 0.12, "vegetation": 0.12, "open": 0.08},
        terrain_strip=0.35,
        terrain_field=0.45,
        precinct=0.0,
        lookalikes={},
    ),
)


def _vary(base: Domain, name: str, appearance: dict, layout: dict, frequency: dict) -> Domain:
    """`base` under a new name; dictionaries are updated key by key, everything else is replaced."""

    def vary(group, changes):
        merged = {k: {**getattr(group, k), **v} if isinstance(v, dict) else v for k, v in changes.items()}
        return replace(group, **merged)

    return Domain(
        name,
        vary(base.appearance, appearance),
        vary(base.layout, layout),
        vary(base.frequency, frequency),
    )


# What a camera mistakes for something else after training in `game`: class -> what it looks like -> in which
# share of the images.  Context tells them apart, colour and texture do not.
LOOKALIKES = {
    "road": {"sidewalk": 0.15},  # concrete slabs
    "sidewalk": {"road": 0.35, "terrain": 0.10},  # asphalt, bound gravel
    "terrain": {"sidewalk": 0.20, "vegetation": 0.25},  # gravel, ground cover
    "building": {"sky": 0.20, "vegetation": 0.20},  # glass, ivy
    "wall": {"building": 0.25, "vegetation": 0.20},
    "fence": {"vegetation": 0.20, "wall": 0.20},
    "vegetation": {"building": 0.20, "terrain": 0.10},  # autumn, dry grass
    "pole": {"vegetation": 0.10},  # painted green
    "traffic light": {"pole": 0.20},
    "traffic sign": {"building": 0.20, "traffic light": 0.15},
    "person": {"traffic sign": 0.15, "building": 0.15, "vegetation": 0.10},  # clothes
    "rider": {"vegetation": 0.15, "car": 0.15},
    "car": {"building": 0.20, "vegetation": 0.10, "road": 0.10},  # vans
    "truck": {"building": 0.20, "bus": 0.20},
    "bus": {"truck": 0.20, "train": 0.15},
    "train": {"bus": 0.20, "building": 0.15},
    "motorcycle": {"vegetation": 0.20},
    "bicycle": {"pole": 0.20},
}

# A grey-green camera in a dense European city: noise, vignette, muted vehicles, many bicycles.
CITY = _vary(
    GAME,
    "city",
    appearance=dict(
        palette={
            "road": ((104, 104, 104), (122, 120, 118), (86, 88, 90)),
            "sidewalk": ((140, 136, 136), (152, 142, 140), (124, 124, 128)),
            "building": (
                (150, 140, 126),
                (128, 112, 100),
                (172, 164, 150),
                (104, 100, 98),
                (142, 120, 104),
                (186, 176, 160),
            ),
            "wall": ((120, 116, 112), (134, 122, 112), (100, 98, 96)),
            "fence": ((84, 92, 84), (112, 106, 100), (72, 72, 76)),
            "pole": ((104, 106, 104), (130, 130, 126), (84, 84, 82)),
            "traffic light": ((44, 46, 44), (60, 58, 54), (36, 36, 40)),
            "traffic sign": ((60, 90, 170), (220, 216, 206), (190, 60, 56), (210, 190, 90)),
            "vegetation": ((66, 84, 52), (84, 98, 64), (52, 68, 46)),
            "terrain": ((110, 120, 78), (126, 118, 90), (92, 108, 70)),
            "person": (
                (60, 60, 70),
                (96, 80, 76),
                (70, 84, 110),
                (130, 126, 124),
                (44, 44, 48),
                (140, 70, 66),
            ),
            "rider": ((60, 60, 70), (96, 80, 76), (120, 60, 56), (70, 84, 110)),
            "car": (
                (150, 152, 154),
                (56, 58, 62),
                (188, 188, 186),
                (36, 38, 42),
                (70, 82, 110),
                (120, 50, 48),
                (100, 102, 98),
            ),
            "truck": ((190, 188, 182), (120, 124, 130), (80, 100, 90), (160, 110, 70)),
            "bus": ((190, 160, 70), (170, 60, 56), (180, 178, 176)),
            "train": ((196, 190, 170), (150, 60, 54), (90, 110, 110)),
            "motorcycle": ((40, 40, 42), (84, 50, 48), (100, 100, 102)),
            "bicycle": ((56, 56, 60), (90, 70, 66), (110, 112, 114)),
        },
        sky=(
            ((196, 204, 212), (232, 234, 234)),
            ((170, 188, 208), (226, 230, 232)),
            ((206, 206, 200), (236, 232, 222)),
        ),
        marking=((206, 206, 200), (190, 190, 186)),
        window=(70, 74, 80),
        window_lit=0.10,
        variation=0.12,
        texture=0.75,
        sunlight=(0.75, 1.05),
        shadow=0.55,
        shadows=0.60,
        haze=1 / 210,
        haze_colour=(206, 210, 210),
        wet=0.10,
        saturation=0.8,
        contrast=0.92,
        brightness=4.0,
        tint=(1.0, 1.03, 0.97),
        noise=5.0,
        blur=0.5,
        vignette=0.25,
    ),
    layout=dict(
        camera_height=(1.15, 1.4),
        horizon=(0.38, 0.46),
        focal=(0.55, 0.66),
        road=(3.2, 6.0),
        sidewalk=(1.5, 4.0),
        curve=0.0025,
        setback=(0.5, 4.0),
        building_height=(7, 20),
        parking=0.65,
        shop_signs=0.6,
        bonnet=0.06,
    ),
    frequency=dict(
        objects={
            "pole": 7.0,
            "traffic sign": 2.6,
            "vegetation": 5.5,
            "person": 3.2,
            "rider on bicycle": 0.40,
            "rider on motorcycle": 0.14,
            "bicycle": 0.50,
            "motorcycle": 0.20,
            "car": 5.5,
            "truck": 0.26,
            "train": 0.12,
        },
        facades={"building": 0.50, "wall": 0.10, "fence": 0.14, "vegetation": 0.22, "open": 0.04},
        terrain_strip=0.25,
        precinct=0.08,
        lookalikes=LOOKALIKES,
    ),
)

# A simulator: other viewpoints (higher, tilted), flat surfaces, and no terrain, truck or train.
SYNTH = _vary(
    GAME,
    "synth",
    appearance=dict(
        palette={
            "road": ((72, 72, 80), (92, 88, 90), (62, 66, 72)),
            "sidewalk": ((150, 120, 104), (166, 158, 150), (136, 130, 140)),
            "building": ((176, 120, 96), (190, 176, 150), (110, 96, 100), (150, 150, 164), (214, 200, 180)),
            "vegetation": ((38, 92, 28), (60, 110, 30), (88, 116, 40)),
            "car": ((180, 30, 30), (30, 40, 120), (210, 210, 214), (24, 24, 30), (90, 110, 60), (200, 130, 40)),
        },
        sky=(((96, 150, 214), (170, 200, 226)), ((150, 166, 190), (206, 210, 214)), ((60, 84, 140), (210, 160, 140))),
        window=(46, 60, 80),
        variation=0.10,
        texture=0.10,
        sunlight=(0.70, 1.05),
        shadows=0.15,
        saturation=1.05,
        contrast=1.0,
        noise=0.6,
    ),
    layout=dict(
        camera_height=(1.6, 4.2),
        horizon=(0.26, 0.50),
        focal=(0.40, 0.62),
        roll=0.035,
        road=(3.6, 8.5),
        sidewalk=(2.5, 6.0),
        curve=0.002,
        setback=(0.5, 3.0),
        building_height=(6, 24),
    ),
    frequency=dict(
        objects={
            "pole": 8.0,
            "traffic light": 1.8,
            "traffic sign": 2.0,
            "person": 5.0,
            "rider on bicycle": 0.5,
            "rider on motorcycle": 0.4,
            "bicycle": 0.4,
            "motorcycle": 0.4,
            "car": 4.2,
            "truck": 0.0,
            "bus": 0.45,
            "train": 0.0,
        },
        facades={"building": 0.60, "wall": 0.12, "fence": 0.12, "vegetation": 0.16, "open": 0.0},
        terrain_strip=0.0,
        terrain_field=0.0,
    ),
)

# American roads through a windscreen: wide, at all hours and in all weathers, washed-out colours.
DASHCAM = _vary(
    GAME,
    "dashcam",
    appearance=dict(
        palette={
            "road": ((110, 110, 114), (130, 126, 120), (76, 78, 84)),
            "sidewalk": ((168, 164, 158), (150, 146, 140), (136, 136, 140)),
            "building": (
                (170, 150, 126),
                (140, 90, 74),
                (196, 188, 176),
                (112, 116, 124),
                (90, 84, 84),
                (210, 200, 176),
            ),
            "traffic light": ((200, 160, 40), (46, 46, 46), (60, 56, 40)),
            "traffic sign": ((40, 110, 70), (214, 214, 210), (190, 60, 50), (214, 180, 50)),
            "vegetation": ((60, 90, 50), (92, 104, 56), (46, 66, 44)),
            "terrain": ((140, 136, 84), (112, 124, 72), (160, 144, 108)),
            "person": ((54, 54, 62), (90, 90, 96), (120, 60, 60), (60, 76, 110), (170, 166, 160)),
            "car": (
                (160, 162, 166),
                (46, 48, 52),
                (206, 206, 206),
                (30, 32, 36),
                (84, 30, 34),
                (50, 66, 100),
                (130, 120, 104),
            ),
            "truck": ((210, 208, 204), (120, 40, 36), (70, 84, 110), (150, 140, 110)),
            "bus": ((226, 176, 30), (200, 200, 204), (80, 110, 150)),
        },
        sky=(
            ((150, 176, 206), (214, 222, 228)),
            ((186, 190, 196), (222, 222, 222)),
            ((96, 116, 150), (236, 196, 150)),
        ),
        marking=((220, 220, 214), (214, 176, 70)),
        window=(60, 70, 84),
        variation=0.12,
        texture=0.7,
        sunlight=(0.70, 1.12),
        shadow=0.60,
        shadows=0.40,
        haze=1 / 260,
        haze_colour=(206, 212, 220),
        night=0.18,
        wet=0.25,
        saturation=0.85,
        contrast=0.90,
        brightness=8.0,
        tint=(0.98, 1.0, 1.04),
        noise=5.0,
        blur=0.7,
        vignette=0.12,
    ),
    layout=dict(
        camera_height=(1.25, 1.6),
        horizon=(0.40, 0.52),
        focal=(0.48, 0.62),
        roll=0.008,
        road=(5.0, 9.0),
        sidewalk=(1.5, 3.0),
        setback=(2.0, 9.0),
        building_height=(4, 18),
        wires=0.25,
        bonnet=0.045,
    ),
    frequency=dict(
        objects={"pole": 6.0, "traffic sign": 2.0, "vegetation": 4.5, "person": 1.4, "car": 5.0, "truck": 0.55},
        facades={"building": 0.42, "wall": 0.12, "fence": 0.14, "vegetation": 0.20, "open": 0.12},
        terrain_strip=0.45,
        terrain_field=0.55,
        precinct=0.06,
        lookalikes=LOOKALIKES,
    ),
)

# Ochre plaster and basalt setts, narrow streets, scooters.
ROME = _vary(
    CITY,
    "rome",
    appearance=dict(
        palette={
            "road": ((96, 92, 92), (112, 106, 104), (82, 80, 82)),
            "sidewalk": ((158, 150, 138), (134, 128, 122), (172, 164, 150)),
            "building": ((206, 150, 92), (196, 120, 84), (222, 190, 140), (180, 140, 110), (214, 170, 120)),
            "wall": ((160, 124, 92), (182, 150, 116), (140, 120, 104)),
            "vegetation": ((60, 82, 44), (84, 96, 50), (50, 64, 40)),
            "bus": ((190, 50, 44), (160, 156, 150), (206, 200, 190)),
        },
        sky=(((96, 150, 214), (206, 222, 234)), ((130, 170, 216), (228, 226, 216))),
        haze=1 / 320,
        saturation=1.0,
        tint=(1.05, 1.0, 0.93),
        wet=0.0,
        noise=4.0,
    ),
    layout=dict(road=(2.9, 5.2), sidewalk=(1.0, 2.6), setback=(0.2, 2.0), building_height=(8, 18), parking=0.8),
    frequency=dict(
        objects={
            "person": 4.5,
            "rider on motorcycle": 0.6,
            "motorcycle": 1.0,
            "bicycle": 0.2,
            "bus": 0.3,
            "vegetation": 3.5,
        },
        facades={"building": 0.62, "wall": 0.14, "fence": 0.06, "vegetation": 0.15, "open": 0.03},
    ),
)

# Bright light, lush green, pastel towers, many buses.
RIO = _vary(
    CITY,
    "rio",
    appearance=dict(
        palette={
            "road": ((120, 118, 116), (98, 98, 100), (134, 130, 124)),
            "sidewalk": ((176, 172, 166), (196, 190, 182), (150, 148, 146)),
            "building": ((214, 206, 190), (226, 190, 150), (190, 206, 200), (230, 224, 216), (206, 150, 130)),
            "vegetation": ((44, 96, 40), (70, 118, 44), (36, 78, 40)),
            "terrain": ((112, 140, 70), (170, 140, 100), (96, 126, 60)),
            "car": ((226, 226, 222), (176, 178, 180), (40, 42, 46), (240, 206, 60), (150, 40, 40)),
            "bus": ((60, 110, 170), (220, 200, 70), (200, 70, 50), (90, 150, 90)),
        },
        sky=(((80, 146, 224), (204, 224, 240)), ((170, 186, 204), (226, 230, 234))),
        sunlight=(0.9, 1.15),
        haze=1 / 240,
        saturation=1.05,
        contrast=1.05,
        tint=(1.02, 1.02, 0.97),
        noise=4.5,
    ),
    layout=dict(road=(4.5, 8.0), building_height=(9, 34), setback=(1.0, 6.0), curve=0.003),
    frequency=dict(
        objects={"bus": 0.5, "vegetation": 7.5, "bicycle": 0.25, "person": 3.6, "truck": 0.3},
        facades={"building": 0.46, "wall": 0.16, "fence": 0.12, "vegetation": 0.22, "open": 0.04},
        terrain_strip=0.4,
    ),
)

# Traffic on the left, narrow streets under wires, boards on every facade, pale small cars.
TOKYO = _vary(
    CITY,
    "tokyo",
    appearance=dict(
        palette={
            "road": ((94, 96, 100), (110, 110, 112), (80, 84, 90)),
            "sidewalk": ((146, 140, 138), (160, 146, 134), (130, 128, 130)),
            "building": ((196, 196, 192), (168, 170, 174), (214, 206, 194), (130, 126, 124), (180, 156, 136)),
            "pole": ((140, 138, 132), (156, 152, 146), (120, 120, 118)),
            "traffic sign": ((40, 80, 180), (236, 236, 232), (210, 50, 44), (240, 190, 40)),
            "car": ((236, 236, 236), (206, 208, 212), (36, 38, 42), (170, 190, 206), (226, 214, 180)),
            "truck": ((220, 222, 226), (110, 130, 160), (190, 196, 190)),
        },
        sky=(((176, 194, 216), (228, 232, 236)), ((206, 208, 210), (234, 234, 232))),
        haze=1 / 210,
        saturation=0.9,
        contrast=1.0,
        tint=(0.98, 1.0, 1.03),
        noise=4.0,
    ),
    layout=dict(
        road=(2.8, 6.0),
        sidewalk=(1.0, 2.8),
        setback=(0.2, 1.8),
        building_height=(6, 30),
        left_hand=1.0,
        wires=0.8,
        shop_signs=2.5,
    ),
    frequency=dict(
        objects={
            "pole": 9.0,
            "traffic sign": 3.4,
            "traffic light": 2.2,
            "vegetation": 3.0,
            "person": 4.0,
            "bicycle": 0.6,
            "truck": 0.4,
            "car": 4.2,
        },
        facades={"building": 0.66, "wall": 0.10, "fence": 0.12, "vegetation": 0.10, "open": 0.02},
        terrain_strip=0.08,
        terrain_field=0.15,
    ),
)

# Scooters everywhere, grey tiles behind bright boards, haze.
TAIPEI = _vary(
    CITY,
    "taipei",
    appearance=dict(
        palette={
            "road": ((100, 100, 104), (86, 88, 94), (118, 116, 116)),
            "sidewalk": ((136, 120, 112), (150, 144, 140), (120, 116, 118)),
            "building": ((150, 146, 140), (170, 160, 146), (126, 118, 112), (184, 180, 176), (146, 126, 116)),
            "vegetation": ((50, 90, 46), (70, 104, 50), (44, 74, 44)),
            "traffic sign": ((30, 120, 80), (226, 226, 222), (206, 50, 46), (40, 80, 170)),
            "car": ((220, 220, 218), (240, 200, 50), (60, 62, 66), (150, 154, 158), (34, 36, 40)),
            "bus": ((230, 230, 226), (60, 130, 100), (70, 100, 170)),
            "motorcycle": ((46, 46, 50), (170, 40, 40), (216, 214, 210), (50, 80, 140)),
        },
        haze=1 / 140,
        haze_colour=(212, 212, 204),
        saturation=0.88,
        tint=(1.02, 1.01, 0.96),
        noise=5.0,
    ),
    layout=dict(road=(4.0, 8.0), setback=(0.3, 2.5), building_height=(8, 28), wires=0.25, shop_signs=2.2),
    frequency=dict(
        objects={
            "rider on motorcycle": 1.6,
            "motorcycle": 1.5,
            "rider on bicycle": 0.2,
            "bicycle": 0.2,
            "person": 2.4,
            "bus": 0.35,
            "vegetation": 4.5,
        },
        facades={"building": 0.62, "wall": 0.10, "fence": 0.10, "vegetation": 0.15, "open": 0.03},
    ),
)

DOMAINS = {d.name: d for d in (GAME, CITY, SYNTH, DASHCAM, ROME, RIO, TOKYO, TAIPEI)}


def domain(name: str, appearance: float = 1.0, layout: float = 1.0, frequency: float = 1.0) -> Domain:
    """The domain `name` with each group of parameters at its own strength.

    Strength 0 is `game`, 1 the named domain, anything between a linear mixture.  The scenes keep their
    random draws, so that a slider changes one thing at a time.

    Raises:
        ValueError: the name is unknown or a strength is outside 0 to 1.
    """
    if name not in DOMAINS:
        raise ValueError(f"unknown streets domain '{name}'; choose one of {', '.join(DOMAINS)}")
    strengths = {"appearance": appearance, "layout": layout, "frequency": frequency}
    for group, strength in strengths.items():
        if not 0 <= strength <= 1:
            raise ValueError(f"strength of {group} is {strength}; choose a number from 0 (game) to 1 ({name})")
    groups = {g: _mix_group(getattr(GAME, g), getattr(DOMAINS[name], g), t) for g, t in strengths.items()}
    return Domain(name, **groups)


def _mix_group(a, b, t: float):
    return type(a)(**{key: _mix(value, getattr(b, key), t) for key, value in vars(a).items()})


def _mix(a, b, t: float):
    """Linear mixture of numbers inside nested containers; shorter tuples repeat, missing keys count as 0."""
    if t in (0, 1):
        return b if t else a
    if isinstance(a, dict):
        return {
            key: _mix(a.get(key, type(b.get(key))()), b.get(key, type(a.get(key))()), t) for key in sorted({*a, *b})
        }
    if isinstance(a, tuple):
        return tuple(_mix(a[i % len(a)], b[i % len(b)], t) for i in range(max(len(a), len(b))))
    return (1 - t) * a + t * b
