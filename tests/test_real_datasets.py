"""Real datasets in their true layouts and encodings, on trees that the tests write."""

import json
import shutil

import numpy as np
import pytest
import torchvision
import trees
from hypothesis import given
from hypothesis import strategies as st

from udalib import cli, labels, runs
from udalib.data import sets, verify
from udalib.data.decoded import decode_once
from udalib.data.sets import reading


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("UDALIB_HOME", str(tmp_path / "home"))


def report_of(dataset, root):
    return verify.verify(dataset, root)


# Reading ------------------------------------------------------------------------------------------------


def test_a_palette_is_read_as_ids(tmp_path):
    ids = trees.blocks((20, 30), trees.CITY_IDS, 0)
    path = trees.save(tmp_path / "a.png", ids, palette=True)
    assert reading.header(path) == ((20, 30), "P", 8)
    assert np.array_equal(reading.read_ids(path), ids)


def test_sixteen_bit_labels_are_read_from_the_red_channel(tmp_path):
    path = trees.synthia(tmp_path) / "GT/LABELS/0000002.png"
    assert reading.header(path).bits == 16
    assert np.array_equal(reading.read_synthia_ids(path), trees.blocks((38, 64), [*range(13), 15, 17, 19, 21, 22], 2))
    wrong = trees.high_bytes(path)
    assert not wrong[..., 0].any() and set(np.unique(wrong[..., 1])) == {976 >> 8}  # what other decoders see
    with pytest.raises(ValueError, match="is not a 16-bit PNG"):
        reading.read_synthia_ids(trees.save(tmp_path / "eight.png", wrong))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_half_a_file_is_refused_by_name(tmp_path, suffix):
    path = trees.save(tmp_path / f"half{suffix}", trees.noise((40, 40), 0))
    trees.cut_off(path)
    with pytest.raises(ValueError, match=f"half{suffix} can't be decoded"):
        reading.read_image(path)


def test_half_a_label_and_colours_for_ids_are_refused(tmp_path):
    path = trees.synthia(tmp_path) / "GT/LABELS/0000000.png"
    trees.cut_off(path)
    with pytest.raises(ValueError, match="0000000.png can't be decoded"):
        reading.read_synthia_ids(path)
    with pytest.raises(ValueError, match="has mode RGB; class ids lie in one 8-bit channel"):
        reading.read_ids(trees.save(tmp_path / "colours.png", trees.noise((8, 8), 0)))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_labels_are_resized_to_the_nearest_pixel(height, width, new_height, new_width):
    ids = np.random.default_rng(0).integers(0, 255, (height, width), np.uint8)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for old, new in ((height, new_height), (width, new_width))
    )
    resized = reading.fit_ids(ids, (new_height, new_width))
    ties = [np.isclose((np.arange(n) + 0.5) * o / n % 1, 0) for o, n in ((height, new_height), (width, new_width))]
    sure = ~(ties[0][:, None] | ties[1][None])
    assert np.array_equal(resized[sure], ids[rows][:, columns][sure])


def test_torchvision_and_we_mean_the_same_by_an_id():
    lut = labels.encoding("cityscapes").lut(labels.CITYSCAPES)
    for entry in torchvision.datasets.Cityscapes.classes:
        assert lut[entry.id % 256] == entry.train_id % 256, entry.name


# Layouts ------------------------------------------------------------------------------------------------


def test_every_layout_is_found_whatever_its_capitals(tmp_path):
    trees.everything(tmp_path)
    trees.synthia(tmp_path / "lower", "labels")
    trees.bdd100k(tmp_path / "first", first_release=True)
    found = {
        name: {split: len(dataset.images(dataset.locate(tmp_path), split).items) for split in dataset.splits}
        for name, dataset in sets.SETS.items()
        if name not in ("nthu-rio", "nthu-tokyo", "nthu-taipei")
    }
    assert found["gta5"] == {"all": 7, "iast24941": 8} and found["synthia"] == {"all": 6}
    assert found["cityscapes"] == {"train": 6, "val": 3, "test": 1}
    assert found["bdd100k"] == {"train": 4, "val": 2, "test": 1} and found["bddv"] == {"frames": 4}
    assert found["nthu-rome"] == {"train": 3, "test": 20}
    assert (
        found["camvid"] | {"train": 9, "test": 6, "day": 6, "dusk": 6, "day-even": 2, "day-odd": 1} == found["camvid"]
    )
    lower = sets.SYNTHIA.images(sets.SYNTHIA.locate(tmp_path / "lower"), "all")
    assert all(item.label for item in lower.items)
    old = sets.BDD100K.images(sets.BDD100K.locate(tmp_path / "first"), "train")
    assert [item.label.name for item in old.items] == [f"{item.name}_train_id.png" for item in old.items]
    assert sets.GTA5.locate(tmp_path / "GTA5") == sets.GTA5.locate(tmp_path)
    assert all(item.label is None for item in sets.CITYSCAPES.images(tmp_path / "cityscapes", "test").items)


def test_cityscapes_are_named_by_city_and_frame_in_order(tmp_path):
    items = sets.CITYSCAPES.images(trees.cityscapes(tmp_path), "train").items
    assert [item.name for item in items] == sorted(item.name for item in items)
    assert items[0].name == "aachen_000000_000019" and items[0].label.name.startswith(items[0].name)


@pytest.mark.parametrize(
    ("suffix", "dataset"), [(".png", sets.NTHU["tokyo"]), (".jpg", sets.NTHU["rome"])], ids=["png", "jpg"]
)
def test_a_list_file_chooses_and_its_gaps_are_reported(tmp_path, suffix, dataset):
    folder = trees.nthu(tmp_path, dataset.folders[0].rpartition("/")[2], suffix)
    (folder / "List/test.txt").write_text("pano_00000_0_180\npano_00003_0_180\npano_99999_0_180\n")
    listing = dataset.images(folder, "test")
    assert [item.name for item in listing.items] == ["pano_00000_0_180", "pano_00003_0_180"]
    assert listing.excluded["pano_99999_0_180"] == "listed, but not there" and len(listing.excluded) == 19


@pytest.mark.parametrize("dataset", sets.SETS.values(), ids=list(sets.SETS))
def test_a_missing_dataset_is_one_sentence_that_says_where_to_get_it(tmp_path, dataset):
    with pytest.raises(ValueError, match="There is no .* in .*http") as caught:
        dataset.locate(tmp_path)
    assert "\n" not in str(caught.value) and dataset.title in str(caught.value)
    with pytest.raises(ValueError, match="give the folder that contains it"):
        dataset.locate(None)


def test_missing_parts_and_splits_are_named(tmp_path):
    folder = trees.cityscapes(tmp_path)
    shutil.rmtree(folder / "gtFine/val")
    with pytest.raises(ValueError, match="val is missing; unpack gtFine_trainvaltest.zip"):
        sets.CITYSCAPES.images(folder, "val")
    (folder / "leftImg8bit/train/.DS_Store").touch()
    with pytest.raises(ValueError, match=".DS_Store is a file among the folders of the cities; remove it"):
        sets.CITYSCAPES.images(folder, "train")
    with pytest.raises(ValueError, match="no split 'night'; choose one of: train, val, test"):
        sets.CITYSCAPES.images(folder, "night")
    with pytest.raises(ValueError, match="no dataset 'kitti'; choose one of: gta5, synthia"):
        sets.find("kitti")


# Verification -------------------------------------------------------------------------------------------


def test_verify_finds_what_is_wrong_and_leaves_it_out(tmp_path):
    folder = trees.gta5(tmp_path)
    (folder / "labels/00004.png").unlink()
    (folder / "images/00005.png").unlink()
    trees.cut_off(folder / "images/00006.png")
    trees.save(folder / "images/00007.png", np.full((52, 95, 3), 255, np.uint8))
    before = sorted(folder.rglob("*"))
    seen = []
    report = verify.verify(sets.GTA5, tmp_path, progress=lambda done, total: seen.append((done, total)))
    found = report["splits"]["all"]
    assert found["excluded"] == {"00005": "label without image", "15188": "blank image, known"}
    assert set(found["unusable"]) == {"00006", "00007"} and found["unusable"]["00007"] == "blank image"
    assert found["without_label"] == ["00004"] and found["label_of_other_size"] == ["00003"]
    assert found["sizes"] == {"95x52": 5, "63x34": 1} and found["incomplete"] == ["00005"]
    assert any("published are 24964" in problem for problem in report["problems"])
    assert any("without label: 00004" in problem for problem in report["problems"])
    assert found["ids_sha256"] == verify.ids_sha256(["00001", "00002", "00003", "00004"])
    assert seen[-1] == (7, 7) and sorted(folder.rglob("*")) == before  # 15188 belongs to the other list
    stored = json.loads(verify.report_path(sets.GTA5, folder).read_text())
    assert stored == report and verify.report_path(sets.GTA5, folder).is_relative_to(runs.home())
    assert [item.name for item in verify.usable(sets.GTA5, folder, "all").items] == ["00001", "00002", "00003", "00004"]


def test_verify_counts_pixels_by_class(tmp_path):
    folder = trees.camvid(tmp_path)
    found = report_of(sets.CAMVID, folder)["splits"]["val"]
    truth = np.concatenate([reading.read_ids(path).ravel() for path in sorted((folder / "valannot").iterdir())])
    assert found["pixels"]["sky"] == (truth == 0).sum() and found["pixels"]["no class"] == (truth == 11).sum()
    assert sum(found["pixels"].values()) == truth.size


@pytest.mark.parametrize(
    ("write", "dataset", "spoil", "problem"),
    [
        (
            trees.camvid,
            sets.CAMVID,
            lambda f: trees.save(f / "valannot/0016E5_07950.png", np.full((36, 48), 12, np.uint8)),
            "label values that mean nothing here: 12",
        ),
        (
            trees.cityscapes,
            sets.CITYSCAPES,
            lambda f: trees.save(
                f / "gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png", np.zeros((51, 102), np.uint8)
            ),
            "empty labels: lindau_000000_000019",
        ),
        (
            trees.synthia,
            sets.SYNTHIA,
            lambda f: trees.save(f / "GT/LABELS/0000001.png", np.ones((38, 64), np.uint8)),
            "unusable and left out from now on: 0000001",
        ),
        (
            trees.gta5,
            sets.GTA5,
            lambda f: trees.save(f / "labels/00001.png", np.full((52, 95), 7, np.uint8)),
            "other format: 00001",
        ),
        (
            trees.nthu,
            sets.NTHU["rome"],
            lambda f: trees.cut_off(f / "Images/Test/pano_00007_0_180.jpg"),
            "unusable and left out from now on: pano_00007_0_180",
        ),
        (trees.bdd100k, sets.BDD100K, lambda f: next((f / "images/10k/val").iterdir()).unlink(), "incomplete: 0000"),
    ],
    ids=["camvid", "cityscapes", "synthia", "gta5", "nthu", "bdd100k"],
)
def test_verify_names_each_kind_of_damage(tmp_path, write, dataset, spoil, problem):
    folder = write(tmp_path)
    assert not any(problem in sentence for sentence in report_of(dataset, folder)["problems"])
    spoil(folder)
    assert any(problem in sentence for sentence in report_of(dataset, folder)["problems"])


def test_verify_from_the_command_line(tmp_path, capsys):
    trees.everything(tmp_path)
    assert cli.main(["verify", "gta5", "--root", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "GTA5 all: 7 images of 95x52 and 1 other sizes, 7 labels, 1 excluded" in out
    assert "PROBLEM all: 7 images, published are 24964" in out and "verify.json" in out
    assert cli.main(["verify", str(tmp_path / "own/garden.toml")]) == 1
    assert "PROBLEM all: label values that mean nothing here: 200" in capsys.readouterr().out
    assert cli.main(["verify", "bddv", "--root", str(tmp_path)]) == 0
    assert cli.main(["verify", "kitti", "--root", str(tmp_path)]) == 2
    assert "choose one of: gta5" in capsys.readouterr().err


# The cache ----------------------------------------------------------------------------------------------


def number(entry: int) -> np.ndarray:
    return np.full((2, 3), entry % 251, np.uint8)


def test_a_cache_goes_on_where_it_was_killed(tmp_path):
    decoded, killed_at = [], 70

    def decode(entry: int) -> np.ndarray:
        if len(decoded) == killed_at:
            raise KeyboardInterrupt
        decoded.append(entry)
        return number(entry)

    with pytest.raises(KeyboardInterrupt):
        decode_once(tmp_path / "cache", {"a": 1}, range(100), decode, (2, 3))
    first, killed_at = len(decoded), -1
    seen = []
    array = decode_once(
        tmp_path / "cache", {"a": 1}, range(100), decode, (2, 3), lambda done, total: seen.append((done, total))
    )
    assert first >= 64 and sorted(set(decoded[first:])) == list(range(64, 100)) and seen[-1] == (100, 100)
    assert np.array_equal(array, np.stack([number(entry) for entry in range(100)])) and not array.flags.writeable
    again = decode_once(tmp_path / "cache", {"a": 1}, range(100), lambda entry: 1 / 0, (2, 3))
    assert np.array_equal(array, again)


def test_a_damaged_shard_is_decoded_again(tmp_path):
    def decode(entry: int) -> np.ndarray:
        return number(entry) if entry < 90 else 1 / 0

    with pytest.raises(ZeroDivisionError):
        decode_once(tmp_path / "cache", {}, range(100), decode, (2, 3))
    array = np.load(tmp_path / "cache/array.npy", mmap_mode="r+")
    array[40] = 0
    array.flush()
    assert (decode_once(tmp_path / "cache", {}, range(100), number, (2, 3))[40] == 40).all()


def test_a_cut_off_or_foreign_cache_is_refused(tmp_path):
    decode_once(tmp_path / "cache", {"a": 1}, range(5), number, (2, 3))
    with pytest.raises(ValueError, match="was made from other files; delete the folder"):
        decode_once(tmp_path / "cache", {"a": 2}, range(5), number, (2, 3))
    trees.cut_off(tmp_path / "cache/array.npy")
    with pytest.raises(ValueError, match="is damaged .*; delete the folder"):
        decode_once(tmp_path / "cache", {"a": 1}, range(5), number, (2, 3))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="can't be written .*set UDALIB_HOME"):
        decode_once(tmp_path / "file/cache", {}, range(5), number, (2, 3))
