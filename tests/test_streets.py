"""The streets benchmark: deterministic pictures, honest labels, a cache one can trust."""

import hashlib
import json
import multiprocessing

import numpy as np
import pytest

from udalib.data import streets
from udalib.data.streets.cache import SHARD
from udalib.data.streets.render import FEATURED
from udalib.labels import CITYSCAPES, IGNORE

SMALL = (64, 128)
CITY = streets.domain("city", appearance=0.5)


def checksum(*arrays) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


# pictures -----------------------------------------------------------------------------------------


def test_render_is_a_function_of_its_arguments():
    image, label = streets.render(CITY, "train", 3, 7, SMALL)
    again = streets.render(CITY, "train", 3, 7, SMALL)
    assert np.array_equal(image, again[0]) and np.array_equal(label, again[1])
    others = [
        streets.render(CITY, "val", 3, 7, SMALL),
        streets.render(CITY, "train", 4, 7, SMALL),
        streets.render(CITY, "train", 3, 8, SMALL),
        streets.render(streets.domain("rome", appearance=0.5), "train", 3, 7, SMALL),
    ]
    assert len({checksum(label), *(checksum(other) for _, other in others)}) == 5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("game", "5ef8c7da764978e9"),
        ("city", "691d60e2dadfd812"),
        ("dashcam", "5fe0e1425800a00c"),
        ("tokyo", "1ff8953eba53a9a4"),
    ],
)
def test_pictures_are_the_same_on_every_machine(name, expected):
    pictures = [streets.render(streets.domain(name), "val", 1, index) for index in (0, 5)]
    assert checksum(*(array for pair in pictures for array in pair)) == expected


@pytest.mark.parametrize("size", [(64, 128), (128, 256), (96, 100), (512, 1024)])
def test_sizes_and_types(size):
    image, label = streets.render(CITY, "train", 0, 0, size)
    assert image.shape == (*size, 3) and label.shape == size
    assert image.dtype == label.dtype == np.uint8
    assert set(np.unique(label)) <= {*range(19), IGNORE}
    assert (label == IGNORE).any(), "the own bonnet is void"


def classes_in(domain, split, count):
    labels = [streets.render(domain, split, 0, index, (32, 64))[1] for index in range(count)]
    return {CITYSCAPES.names[value] for value in np.unique(labels) if value != IGNORE}


@pytest.mark.parametrize("name", streets.DOMAINS)
def test_validation_shows_every_class_a_domain_has(name):
    domain = streets.domain(name)
    assert classes_in(domain, "val", 24) == {name for name in CITYSCAPES.names if domain.has(name)}


@pytest.mark.parametrize("domain", [streets.domain("game"), CITY], ids=lambda domain: domain.name)
def test_training_images_show_all_classes(domain):
    assert classes_in(domain, "train", 80) == set(CITYSCAPES.names)


def test_synth_lacks_three_classes():
    missing = [name for name in CITYSCAPES.names if not streets.domain("synth").has(name)]
    assert missing == ["terrain", "truck", "train"]


def test_validation_images_show_every_class_often_enough():
    labels = [streets.render(CITY, "val", 0, index, SMALL)[1] for index in range(80)]
    counts = np.array([np.bincount(label.ravel(), minlength=256)[:19] for label in labels])
    shown = (counts >= 0.001 * labels[0].size).sum(0)
    assert shown.min() >= 10, dict(zip(CITYSCAPES.names, shown.tolist(), strict=True))  # 40 of 320


def test_unusual_requests_are_refused():
    for arguments, word in (
        ((CITY, "test", 0, 0), "split 'test'"),
        ((CITY, "train", -1, 0), "seed"),
        ((CITY, "train", 0, -1), "index"),
        ((CITY, "train", 0, 0, (8, 16)), "size"),
    ):
        with pytest.raises(ValueError, match=word):
            streets.render(*arguments)


# domains --------------------------------------------------------------------------------------------


def test_strengths_move_from_game_to_the_named_domain():
    game, city = streets.DOMAINS["game"], streets.DOMAINS["city"]
    none, full = streets.domain("city", 0, 0, 0), streets.domain("city")
    for group in ("appearance", "layout", "frequency"):
        assert getattr(none, group) == getattr(game, group)
        assert getattr(full, group) == getattr(city, group)
    half = streets.domain("city", 0.5, 0.25, 0)
    assert half.appearance.noise == pytest.approx((game.appearance.noise + city.appearance.noise) / 2)
    assert half.layout.road[0] == pytest.approx(0.75 * game.layout.road[0] + 0.25 * city.layout.road[0])
    assert half.frequency == game.frequency


def test_appearance_leaves_the_label_map_alone():
    weak, strong = (streets.domain("city", appearance=strength) for strength in (0.1, 0.9))
    for index in range(4):
        image, label = streets.render(weak, "train", 0, index, SMALL)
        other_image, other_label = streets.render(strong, "train", 0, index, SMALL)
        assert np.array_equal(label, other_label)
        assert not np.array_equal(image, other_image)


def test_unknown_domains_and_strengths_are_refused():
    with pytest.raises(ValueError, match="choose one of game, city"):
        streets.domain("paris")
    with pytest.raises(ValueError, match="strength of layout is 2"):
        streets.domain("city", layout=2)


# the cache ------------------------------------------------------------------------------------------

COUNT, TINY = SHARD + 3, (32, 64)


def load(folder, **changes):
    return streets.load(CITY, "train", **{"count": COUNT, "size": TINY, "cache_dir": folder, "workers": 1, **changes})


def only_folder(root):
    (folder,) = root.iterdir()
    return folder


def test_cache_holds_what_render_returns(tmp_path):
    calls = []
    images, labels = load(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert images.shape == (COUNT, 3, *TINY) and labels.shape == (COUNT, *TINY)
    assert images.dtype == labels.dtype == np.uint8
    image, label = streets.render(CITY, "train", 0, COUNT - 1, TINY)
    assert np.array_equal(images[-1].transpose(1, 2, 0), image) and np.array_equal(labels[-1], label)
    assert calls == [(0, COUNT), (SHARD, COUNT), (COUNT, COUNT)]
    manifest = json.loads((only_folder(tmp_path) / "manifest.json").read_text())
    assert manifest["recipe"]["domain"]["name"] == "city"
    assert not images.flags.writeable


def test_workers_and_memory_give_the_same_pictures(tmp_path):
    one = load(tmp_path / "one")
    two = load(tmp_path / "two", workers=2)
    memory = load(None)
    for arrays in (two, memory):
        assert all(np.array_equal(a, b) for a, b in zip(one, arrays, strict=True))


def test_an_interrupted_cache_is_resumed(tmp_path):
    class Stop(Exception):
        pass

    def stop(done, total):
        if done:
            raise Stop

    with pytest.raises(Stop):
        load(tmp_path, progress=stop)
    assert only_folder(tmp_path).name.endswith(".partial")
    calls = []
    images, _ = load(tmp_path, progress=lambda done, total: calls.append(done))
    assert calls == [SHARD, COUNT]
    assert np.array_equal(images, load(None)[0])


def test_a_damaged_shard_of_an_interrupted_cache_is_rendered_again(tmp_path):
    with pytest.raises(ZeroDivisionError):
        load(tmp_path, progress=lambda done, total: 1 / (done == 0))
    with open(only_folder(tmp_path) / "images.npy", "r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    assert np.array_equal(load(tmp_path)[0], load(None)[0])


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
def test_a_cut_off_cache_is_refused(tmp_path, name):
    load(tmp_path)
    path = only_folder(tmp_path) / name
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 100)
    with pytest.raises(ValueError, match=f"{name} is cut off; delete the folder .* to render it again"):
        load(tmp_path)


def test_a_damaged_or_unlisted_cache_is_refused(tmp_path):
    load(tmp_path)
    folder = only_folder(tmp_path)
    with open(folder / "labels.npy", "r+b") as file:
        file.seek(3000)
        file.write(b"damage")
    with pytest.raises(ValueError, match="is damaged .* delete the folder"):
        load(tmp_path)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="manifest.json is missing or unreadable; delete the folder"):
        load(tmp_path)


def test_an_unwritable_folder_is_one_clear_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write the streets cache .* choose a folder"):
        load(tmp_path / "file" / "below")


def test_two_processes_may_render_the_same_cache(tmp_path):
    context = multiprocessing.get_context("fork")
    twins = [context.Process(target=load, args=(tmp_path,)) for _ in range(3)]
    for twin in twins:
        twin.start()
    for twin in twins:
        twin.join(60)
    assert [twin.exitcode for twin in twins] == [0, 0, 0]
    assert np.array_equal(load(tmp_path)[0], load(None)[0])
    assert not only_folder(tmp_path).name.endswith(".partial")


def test_featured_classes_have_names():
    assert set(FEATURED) <= set(CITYSCAPES.names)
