import numpy as np
import pytest

from udalib import labels
from udalib.labels import CAMVID11, CITYSCAPES, IGNORE, NTHU13, SYNTHIA13, SYNTHIA16

CLASS_SETS = (CITYSCAPES, SYNTHIA16, SYNTHIA13, NTHU13, CAMVID11)
MERGES = (labels.CITYSCAPES_TO_NTHU13, labels.CITYSCAPES_TO_CAMVID11)

# Written out a second time, by train id, so that a slip in the tables of the package shows.
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
SYNTHIA_IDS = (3, 4, 2, 21, 5, 7, 15, 9, 6, 16, 1, 10, 17, 8, 18, 19, 20, 12, 11)
S16 = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)
S13 = (0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)
NATIVE = {
    ("cityscapes", "default"): (CITYSCAPES, CITYSCAPES_IDS),
    ("gta5", "default"): (CITYSCAPES, CITYSCAPES_IDS),
    ("synthia", "default"): (SYNTHIA16, tuple(SYNTHIA_IDS[t] for t in S16)),
    ("synthia", "lanes-are-road"): (SYNTHIA16, tuple(SYNTHIA_IDS[t] for t in S16)),
    ("bdd100k", "default"): (CITYSCAPES, tuple(range(19))),
    ("nthu", "default"): (NTHU13, (7, 8, 11, 19, 20, 21, 23, 24, 25, 26, 28, 32, 33)),
    ("camvid", "default"): (CAMVID11, tuple(range(11))),
}

each_class_set = pytest.mark.parametrize("classes", CLASS_SETS, ids=lambda c: c.name)
each_encoding = pytest.mark.parametrize("key", NATIVE, ids="-".join)
each_merge = pytest.mark.parametrize("merge", MERGES, ids=lambda m: m.target.name)


@each_class_set
def test_class_set_is_consistent(classes):
    assert len(classes) == len(set(classes.names)) == len(set(classes.train_ids))
    assert [classes.index(name) for name in classes.names] == list(range(len(classes)))
    assert classes.palette == tuple(CITYSCAPES.palette[t] for t in classes.train_ids)


def test_class_order():
    assert CITYSCAPES.train_ids == tuple(range(19))
    assert SYNTHIA16.train_ids == S16
    assert SYNTHIA13.train_ids == NTHU13.train_ids == S13
    assert CAMVID11.train_ids == (10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 12)
    assert CAMVID11.names[4:7] == ("pavement", "tree", "sign")
    assert [CITYSCAPES.names[t] for t in (0, 6, 16, 18)] == ["road", "traffic light", "train", "bicycle"]


def test_class_set_refuses_tables_of_different_length():
    with pytest.raises(ValueError, match="'mine' has 2 names, 1 colours and 1 train ids"):
        labels.ClassSet("mine", ("road", "sky"), ((0, 0, 0),), (0,))


def test_unknown_class_name_lists_the_choices():
    with pytest.raises(ValueError, match="nthu13 has no class 'wall'; choose from: road, sidewalk, building"):
        NTHU13.index("wall")


def test_colour():
    painted = CITYSCAPES.colour(np.array([[0, 13], [18, IGNORE]], np.uint8))
    assert painted.dtype == np.uint8
    assert painted.tolist() == [[[128, 64, 128], [0, 0, 142]], [[119, 11, 32], [0, 0, 0]]]
    assert len(set(CITYSCAPES.palette) | {(0, 0, 0)}) == 20


@each_encoding
def test_encoding_round_trip(key):
    encoding = labels.encoding(*key)
    classes, ids = NATIVE[key]
    indices = np.arange(len(classes))
    assert encoding.encode(np.array(ids), classes).tolist() == indices.tolist()
    assert encoding.decode(indices, classes).tolist() == list(ids)
    assert encoding.encode(np.array([IGNORE]), classes).tolist() == [IGNORE]
    assert encoding.decode(np.array([IGNORE]), classes).tolist() == [IGNORE]


@each_encoding
def test_encoding_ignores_every_other_id(key):
    classes, ids = NATIVE[key]
    used = set(ids) | ({13, 22} if key[1] == "lanes-are-road" else set())
    assert set(np.flatnonzero(labels.encoding(*key).lut(classes) != IGNORE)) == used


@each_encoding
@each_class_set
def test_encoding_tables_are_in_range_and_keep_the_train_id(key, classes):
    encoding = labels.encoding(*key)
    lut, inverse = encoding.lut(classes), encoding.inverse(classes)
    assert lut.dtype == inverse.dtype == np.uint8 and lut.shape == inverse.shape == (256,)
    assert set(lut) <= {*range(len(classes)), IGNORE}
    assert (inverse[len(classes) :] == IGNORE).all()
    train_id = encoding.lut(CITYSCAPES)
    for file_id in np.flatnonzero(lut != IGNORE):
        assert classes.train_ids[lut[file_id]] == train_id[file_id]
        assert lut[inverse[lut[file_id]]] == lut[file_id]


def test_synthia_variants_and_rare_classes():
    ids = np.array([13, 14, 22, 16, 18, 20], np.uint16)
    default, lanes = labels.encoding("synthia"), labels.encoding("synthia", variant="lanes-are-road")
    assert default.encode(ids, SYNTHIA16).tolist() == [IGNORE] * 6
    assert default.encode(ids, CITYSCAPES).tolist() == [IGNORE] * 3 + [9, 14, 16]
    assert lanes.encode(ids, SYNTHIA16).tolist() == [0, IGNORE, 0] + [IGNORE] * 3
    assert lanes.inverse(SYNTHIA16)[0] == 3


def test_encode_and_decode_keep_shape_and_return_uint8():
    ids = np.full((2, 3, 5), 26, np.int64)
    label = labels.encoding("gta5").encode(ids, CITYSCAPES)
    assert label.dtype == np.uint8 and label.shape == ids.shape and (label == 13).all()
    back = labels.encoding("gta5").decode(label, CITYSCAPES)
    assert back.dtype == np.uint8 and (back == ids).all()


@pytest.mark.parametrize("dataset, variant", [("kitti", "default"), ("gta5", "lanes-are-road")])
def test_unknown_encoding_lists_the_choices(dataset, variant):
    with pytest.raises(ValueError, match=rf"{dataset} \({variant}\); choose from: cityscapes \(default\)"):
        labels.encoding(dataset, variant)


@pytest.mark.parametrize("file_id", [-1, 256, 976])
def test_encode_refuses_what_cannot_be_a_class_id(file_id):
    with pytest.raises(ValueError, match=rf"0001\.png contains id {file_id}, but synthia stores ids 0\.\."):
        labels.encoding("synthia").encode(np.array([3, file_id]), SYNTHIA16, "0001.png")


@pytest.mark.parametrize("value", [-1, 19, 42, 254, 256])
def test_labels_outside_the_class_set_are_refused(value):
    label = np.array([[0, 18], [IGNORE, value]])
    message = rf"contains label {value}, but cityscapes has classes 0\.\.18 and 255; "
    with pytest.raises(ValueError, match=rf"^a\.png {message}"):
        labels.check(label, CITYSCAPES, "a.png")
    with pytest.raises(ValueError, match=message):
        labels.encoding("gta5").decode(label, CITYSCAPES)
    with pytest.raises(ValueError, match=message):
        CITYSCAPES.colour(label)


@each_class_set
def test_check_accepts_every_class_and_ignore(classes):
    labels.check(np.array([*range(len(classes)), IGNORE], np.uint8), classes, "a.png")
    labels.check(np.empty((0, 4), np.uint8), classes, "a.png")


def test_label_maps_must_be_integers():
    with pytest.raises(ValueError, match=r"a\.png has dtype float32; convert it"):
        labels.check(np.zeros((2, 2), np.float32), CITYSCAPES, "a.png")
    with pytest.raises(ValueError, match=r"a\.png has dtype float64; convert it"):
        labels.encoding("gta5").encode(np.zeros((2, 2)), CITYSCAPES, "a.png")


def test_merge_to_nthu_follows_cbst():
    merge = labels.CITYSCAPES_TO_NTHU13
    merged = [merge.lut()[CITYSCAPES.index(name)] for name in CITYSCAPES.names]
    #                 wall fence pole           terrain           truck   train
    assert merged == [0, 1, 2, 2, 2, 2, 3, 4, 5, 5, 6, 7, 8, 9, 9, 10, 13, 11, 12]
    assert merge.nothing == 13 and merge.truth_lut()[CITYSCAPES.index("train")] == IGNORE


def test_merge_to_camvid():
    lut = labels.CITYSCAPES_TO_CAMVID11.lut()
    members = {name: tuple(np.flatnonzero(lut == i)) for i, name in enumerate(CAMVID11.names)}
    assert members == {
        "sky": (10,),
        "building": (2, 3),
        "pole": (5,),
        "road": (0,),
        "pavement": (1,),
        "tree": (8, 9),
        "sign": (6, 7),
        "fence": (4,),
        "car": (13, 14, 15, 16),
        "pedestrian": (11,),
        "bicyclist": (12, 17, 18),
    }


@each_merge
def test_merge_tables_are_in_range(merge):
    lut, truth = merge.lut(), merge.truth_lut()
    assert lut.dtype == truth.dtype == np.uint8 and lut.shape == truth.shape == (256,)
    assert (lut[: len(merge.source)] <= merge.nothing).all()
    assert (lut[len(merge.source) :] == IGNORE).all()
    assert set(truth) == {*range(len(merge.target)), IGNORE}
    assert (lut == truth)[lut != merge.nothing].all()


def test_a_prediction_of_nothing_is_a_miss_and_no_false_positive():
    merge = labels.CITYSCAPES_TO_NTHU13
    bus, train = CITYSCAPES.index("bus"), CITYSCAPES.index("train")
    truth, pred = merge.truth_lut()[[bus, bus, train]], merge.lut()[[bus, train, bus]]
    counted = truth != IGNORE
    matrix = np.zeros((13, 14), int)
    np.add.at(matrix, (truth[counted], pred[counted]), 1)
    assert matrix.sum(1)[NTHU13.index("bus")] == 2 and matrix.sum(0)[:13].sum() == 1


def test_merge_refuses_unknown_names():
    with pytest.raises(ValueError, match="nthu13 has no class 'house'"):
        labels.Merge(CITYSCAPES, NTHU13, (("wall", "house"),)).lut()


@pytest.mark.parametrize(
    "classes, which, expected",
    [
        (19, "19", tuple(range(19))),
        (19, "16", S16),
        (19, "13", S13),
        (16, "16", tuple(range(16))),
        (16, "13", (0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
        (13, "13", tuple(range(13))),
    ],
)
def test_subset(classes, which, expected):
    assert labels.subset(classes, which) == expected
    assert list(expected) == sorted(set(expected))
    assert labels.subset({19: CITYSCAPES, 16: SYNTHIA16, 13: NTHU13}[classes], which) == expected


@pytest.mark.parametrize(
    "classes, which, message",
    [
        (19, "14", "no class subset '14'; choose from: '19', '16', '13'"),
        (11, "13", "no class subset '13' of 11 classes; pass a ClassSet or one of 19, 16, 13"),
        (16, "19", "'19' of synthia16: it lacks terrain, truck, train"),
        (NTHU13, "16", "'16' of nthu13: it lacks wall, fence, pole"),
        (CAMVID11, "13", "'13' of camvid11: it lacks traffic light, bus, motorcycle, bicycle"),
    ],
)
def test_impossible_subsets_are_refused(classes, which, message):
    with pytest.raises(ValueError, match=message):
        labels.subset(classes, which)
