"""Real datasets in their true layouts and encodings, on trees that the tests write."""

import json
import shutil
from dataclasses import replace

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


@pytest.mark.parametrize("first_release", [False, True])
def test_frames_of_tested_drives_are_excluded_wherever_the_10k_set_lies(tmp_path, first_release):
    beside, inside = tmp_path / "beside", tmp_path / "inside"
    trees.bdd100k(beside, first_release).rename(beside / "BDD100K")
    trees.bddv(beside)
    trees.bddv(trees.bdd100k(inside, first_release))  # and so in the folder that is given as root
    for root in (beside, beside / "bddv", inside / "bdd100k"):
        listing = sets.BDDV.images(sets.BDDV.locate(root), "frames")
        assert listing.excluded == {"frames/part0/00000001-00000003-0000001": "in the 10K val split"}
        assert len(listing.items) == 4 and not listing.notes
    shutil.rmtree(beside / "BDD100K")
    listing = sets.BDDV.images(sets.BDDV.locate(beside), "frames")
    assert len(listing.items) == 5 and "no val or test images of BDD100K 10K" in listing.notes[0]


def test_the_variants_of_synthia_change_the_classes_they_name():
    default, lanes, no_wall = (
        dataset.encoding.lut(labels.SYNTHIA16) for dataset in (sets.SYNTHIA, sets.LANES_ARE_ROAD, sets.NO_WALL)
    )
    assert list(np.flatnonzero(default != lanes)) == [13, 22]
    assert list(np.flatnonzero(default != no_wall)) == [21] and no_wall[21] == labels.IGNORE


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


def test_known_defects_are_no_problem_and_stay_in_a_named_list(tmp_path, monkeypatch, capsys):
    folder = trees.gta5(tmp_path)
    small = replace(sets.GTA5, splits={"all": 7, "iast24941": 8}, names=None)
    monkeypatch.setitem(sets.SETS, "gta5", small)
    assert cli.main(["verify", "gta5", "--root", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "note all: excluded, blank image, known: 15188" in out
    assert "note iast24941: blank, as is known, but part of this list: 15188" in out
    assert len(verify.usable(small, folder, "iast24941").items) == 8
    trees.cut_off(folder / "images/15188.png")  # that is not what is known of it
    assert report_of(small, folder)["problems"] == ["iast24941: unusable and left out from now on: 15188"]


def test_labels_of_another_size_are_left_out_on_request(tmp_path, capsys):
    folder = trees.gta5(tmp_path)
    cli.main(["verify", "gta5", "--root", str(tmp_path), "--exclude-other-sizes"])
    out = capsys.readouterr().out
    assert "note all: label of another size, left out from now on as asked: 00003" in out and "stretched" not in out
    assert "00003" not in {item.name for item in verify.usable(sets.GTA5, folder, "all").items}
    cli.main(["verify", "gta5", "--root", str(tmp_path)])
    assert "1 labels have another size" in capsys.readouterr().out
    assert "00003" in {item.name for item in verify.usable(sets.GTA5, folder, "all").items}


def test_missing_and_foreign_names_do_not_cancel(tmp_path):
    folder = trees.synthia(tmp_path)
    published = replace(sets.SYNTHIA, splits={"all": 6}, names=lambda split: frozenset(f"{n:07d}" for n in range(6)))
    assert report_of(published, folder)["problems"] == []
    for part in ("RGB", "GT/LABELS"):
        (folder / part / "0000004.png").rename(folder / part / "0009400.png")
    assert report_of(published, folder)["problems"] == ["all: missing: 0000004", "all: not published: 0009400"]
    assert "0000004" in report_of(sets.SYNTHIA, folder)["splits"]["all"]["missing"]
    assert len(sets.SYNTHIA.names("all")) == 9400
    for split, count in sets.GTA5.splits.items():
        assert len(sets.GTA5.names(split)) == count


def test_cities_and_drives_are_counted_one_by_one(tmp_path):
    trees.cityscapes(tmp_path)
    small = replace(sets.CITYSCAPES, splits={"train": 6}, groups={"train": {"aachen": 4, "ulm": 2}})
    assert report_of(small, tmp_path)["problems"] == []
    for file in list(tmp_path.rglob("ulm_000001_*")):
        city = file.parent.with_name("bonn")
        city.mkdir(exist_ok=True)
        file.rename(city / file.name.replace("ulm", "bonn"))
    assert report_of(small, tmp_path)["problems"] == [
        "train: other counts: bonn 1 (published: 0), ulm 1 (published: 2)"
    ]
    assert {split: sum(groups.values()) for split, groups in sets.CITYSCAPES.groups.items()} == {
        "train": 2975,
        "val": 500,
    }
    for split, groups in sets.CAMVID.groups.items():
        assert sum(groups.values()) == sets.CAMVID.splits[split]


@pytest.mark.parametrize(("published", "sentence"), [(21, "notes"), (30, "problems")])
def test_a_round_figure_may_be_off_by_a_tenth(tmp_path, published, sentence):
    trees.nthu(tmp_path)
    rome = replace(sets.NTHU["rome"], splits={"test": published}, about=("test",))
    report = report_of(rome, tmp_path)
    assert {key: report[key] for key in ("problems", "notes")} == {
        **{"problems": [], "notes": []},
        sentence: [f"test: 20 images, published are about {published}"],
    }


def test_a_label_of_one_value_is_worth_a_note(tmp_path):
    folder = trees.camvid(tmp_path)
    trees.save(folder / "valannot/0016E5_07950.png", np.zeros((36, 48), np.uint8))
    report = report_of(sets.CAMVID, folder)
    assert report["splits"]["val"]["single_valued_labels"] == ["0016E5_07950"]
    assert report["notes"] == ["val: one value in the whole label: 0016E5_07950"]


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
            trees.gta5,
            sets.GTA5,
            lambda f: trees.save(f / "images/00001.png", trees.noise((52, 95), 1)[..., 0]),
            "other image format: 00001",
        ),
        (
            trees.nthu,
            sets.NTHU["rome"],
            lambda f: trees.cut_off(f / "Images/Test/pano_00007_0_180.jpg"),
            "unusable and left out from now on: pano_00007_0_180",
        ),
        (trees.bdd100k, sets.BDD100K, lambda f: next((f / "images/10k/val").iterdir()).unlink(), "incomplete: 0000"),
    ],
    ids=["camvid", "cityscapes", "synthia", "gta5", "grey", "nthu", "bdd100k"],
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
