"""Benchmarks on real datasets: opened, trained on for a round and scored, on trees that the tests write."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import trees

from udalib import cli, data, evaluation, labels, models, recipes, train
from udalib.data import sets, verify
from udalib.data.real import Part, RealPair

# Benchmarks that together have every dataset, and where in a folder of all of them they lie.
TRAINED = {
    "gta5-cityscapes": "",
    "synthia-cityscapes": "",
    "gta5-bdd": "first",
    "gta5-bddv": "",
    "cityscapes-bdd": "",
    "cityscapes-nthu-rome": "",
    "camvid-day2dusk": "",
    "own/garden.toml": "",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return trees.everything(tmp_path_factory.mktemp("datasets"))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A folder of all datasets with damage in whatever is trained on; the names of it, and the reports of `verify`.

    Only CamVid's target is left alone: it has three images.
    """
    root, wrong = trees.everything(tmp_path_factory.mktemp("damaged")), {}
    trees.bdd100k(root / "first", first_release=True)
    (root / "first/GTA5").symlink_to(root / "GTA5")
    for name, where in TRAINED.items():
        for part, place in trained_on(name, root, where):
            if place not in wrong and part.split != "dusk-train":
                names = trees.damage(part.dataset, place[0], part.split)
                wrong[place] = names, verify.verify(part.dataset, place[0])
    return root, wrong


def trained_on(name, root, where):
    """Source and target of a benchmark, each with what tells it from others: folder, dataset and split."""
    pair = data.find_pair(str(root / name) if name.endswith(".toml") else name)
    for part in (pair.source, pair.target):
        yield part, (part.dataset.locate(root / where).resolve(), part.dataset.name, part.split)


def silent(text):
    pass


def st(benchmark, root, **options):
    return recipes.run("st", benchmark, "smoke", root=root, report=silent, rounds=1, test_scales=(1.0,), **options)


ALL = [*data.REAL_PAIRS, *(f"{pair.name}-{word}" for pair in data.REAL_PAIRS.values() for word in pair.variants)]
HERE = [name for name in ALL if not any(town in name for town in ("rio", "tokyo", "taipei"))]


@pytest.mark.parametrize("name", HERE)
def test_the_target_keeps_its_labels_to_itself(name, root):
    bench = data.benchmark(name, "smoke", 0, root)
    for dataset, labelled in ((bench.source, True), (bench.target, False), (bench.val, True)):
        sample = dataset[len(dataset) - 1]
        assert sample.image.dtype == torch.uint8 and sample.image.ndim == 3
        assert (sample.label is not None) == labelled
        if labelled:
            assert sample.label.shape == sample.image.shape[1:]
            labels.check(sample.label.numpy(), bench.classes, sample.name)
    assert bench.target[0].image.shape[1:] == bench.size
    opened = data.benchmark(name, "smoke", 0, root, oracle=True)
    assert opened.target[0].label is not None and torch.equal(opened.target[0].label, bench.oracle().target[0].label)
    assert (opened.target[0].label == labels.IGNORE).all() == (not data.find_pair(name).target_has_labels)
    assert set(bench.protocol) == {
        "experiment", "classes", "scored", "source", "target", "val", "resizing", "checkpoint"
    }  # fmt: skip


@pytest.mark.parametrize("name", TRAINED)
def test_every_dataset_is_verified_cached_trained_on_for_a_round_and_scored(name, damaged, tmp_path, capsys):
    (root, wrong), where, toml = damaged, TRAINED[name], name.endswith(".toml")
    used = {}
    for role, (part, place) in zip(("source", "target"), trained_on(name, root, where), strict=True):
        if place in wrong:
            (cut, lonely, odd), report = wrong[place]
            found = report["splits"][part.split]
            assert f"{part.split}: unusable and left out from now on: {cut}" in report["problems"]
            if found["labels"]:
                assert f"{part.split}: incomplete: {lonely}" in report["problems"]
                assert odd in found["label_of_other_size"]
            used[role] = {item.name for item in verify.usable(part.dataset, place[0], part.split).items}
            assert odd in used[role] and not used[role] & {cut, lonely}

    benchmark, data_root = (str(root / name), None) if toml else (name, root / where)
    options = {"fold": 1} if "nthu" in name else {}
    bench = data.benchmark(benchmark, "smoke", 0, data_root, **options)
    for role, names in used.items():
        assert {sample.name for sample in getattr(bench, role)} <= names
        assert len(getattr(bench, role)) == len(names) or options

    if name == "camvid-day2dusk":
        (tmp_path / "chosen.txt").write_text(f"{bench.target[0].name}\nnobody\n")
        options["image_list"] = str(tmp_path / "chosen.txt")
    result = st(benchmark, data_root, **options)
    record, (entry,) = result.record, result.rounds
    assert record["status"] == "finished" and 0 <= result.miou <= 1
    assert set(record["data"]) == {"code", "source", "target", "val"}
    assert "last round also" in record["protocol"]["test"]
    assert "excluded" in record["protocol"]["source"]
    told = "; trained on the 1 of them that chosen.txt lists"
    assert record["protocol"]["target"] == bench.protocol["target"] + (told if "image_list" in options else "")
    hidden = "bddv" in name or toml
    assert (entry["labels"]["precision"] is None) == hidden
    if name == "synthia-cityscapes":
        assert len(result.iou) == 16 and "miou13" in entry and "miou16" not in entry
    if "nthu" in name:
        assert np.shape(entry["confusion"]) == (13, 14)
        assert (
            cli.main(["evaluate", str(result.weights()), "--root", str(data_root)]) == 0
        )  # the run's fold, if not told
        assert f"mIoU {100 * result.miou:.1f} % over" in capsys.readouterr().out


def test_sizes_follow_the_profile_and_the_shape_of_the_dataset(root):
    pair = data.find_pair("gta5-cityscapes")
    assert [pair.size(role, "quick") for role in ("source", "target", "val")] == [(160, 288), (160, 320), (160, 320)]
    assert pair.size("source", "paper") == (1052, 1914) and pair.size("val", "paper") == (1024, 2048)
    assert data.find_pair("camvid-day2dusk").size("target", "quick") == (180, 240)
    bench = data.benchmark("camvid-day2dusk", "quick", 0, root)
    assert bench.size == (180, 240) and len(bench.source) == 6
    assert data.benchmark("camvid-day2dusk", "paper-released", 0, root).size == (360, 480)
    with pytest.raises(ValueError, match="no profile 'huge'; choose one of: smoke, quick, full, paper"):
        data.benchmark("camvid-day2dusk", "huge", 0, root)
    settings = recipes.settings("source", "quick")
    assert all(side % 8 == 0 for side in settings.augmentation(bench.size).crop)


def test_labels_of_a_sample_are_those_of_its_file(root):
    bench = data.benchmark("camvid-day2dusk", "full", 0, root)  # published at 360x480, and here ten times smaller
    sample = bench.val[1]
    assert sample.name == "0001TP_00855" + "1"
    ids = trees.blocks((36, 48), list(range(12)), 1)
    assert torch.equal(sample.label[5::10, 5::10], torch.from_numpy(np.where(ids == 11, 255, ids)))


def test_small_profiles_take_evenly_spaced_images(root):
    listing = sets.NTHU["rome"].images(sets.NTHU["rome"].locate(root), "test")
    spaced = data.real._spaced(listing, 8).items
    assert [item.name for item in spaced] == [listing.items[n * 20 // 8].name for n in range(8)]


def test_folds_are_disjoint_and_cover_the_city(root):
    folds = [data.benchmark("cityscapes-nthu-rome", "smoke", 0, root, fold=k) for k in range(10)]
    names = [[sample.name for sample in fold.val] for fold in folds]
    assert sorted(sum(names, [])) == sorted(
        s.name for s in data.benchmark("cityscapes-nthu-rome", "smoke", 0, root).val
    )
    for fold, held_out in zip(folds, names, strict=True):
        assert not set(held_out) & {sample.name for sample in fold.target} and len(fold.target) == 18
    with pytest.raises(ValueError, match="has no fold 10; choose 0 to 9"):
        data.benchmark("cityscapes-nthu-rome", "smoke", 0, root, fold=10)


def test_one_source_network_serves_all_folds_and_policies(root):
    first, second, strict, unfolded = (
        recipes.run("source", name, "smoke", root=root, report=silent, fold=fold)
        for name, fold in (
            ("cityscapes-nthu-rome", 0),
            ("cityscapes-nthu-rome", 1),
            ("cityscapes-nthu-rome-masked19", 1),
            ("cityscapes-nthu-rome-train", None),
        )
    )
    assert second.record["start"] == first.record_path.parent.name
    assert strict.record["start"] == second.record_path.parent.name
    assert unfolded.record["start"] == first.record_path.parent.name
    weights = [train.load(result.weights()) for result in (first, second, strict)]
    assert all(torch.equal(weights[0][key], other[key]) for other in weights[1:] for key in weights[0])
    masked = np.array(strict.rounds[-1]["confusion"])
    assert not masked[:, -1].any()  # no prediction outside the 13 classes
    assert masked[:, :-1].sum() == np.sum(second.rounds[-1]["confusion"])
    bench = data.benchmark("cityscapes-nthu-rome-masked19", "smoke", 0, root, fold=1)
    assert evaluation.confusion(recipes.load_network(strict), bench).matrix.tolist() == masked.tolist()


def test_a_network_is_shared_only_where_no_further_dataset_is_needed():
    assert data.first_with("camvid-day2day", "source") == "camvid-day2dusk"
    assert data.first_with("gta5-bddv", "source") == "gta5-bdd"
    assert data.first_with("gta5-bdd", "source") == "gta5-bdd"
    assert data.first_with("synthia-cityscapes-19", "source") == "synthia-cityscapes-19"
    assert data.first_with("game-city-hard", "source") == "game-city"


@torch.no_grad()
def test_the_masked_score_chooses_among_the_16_classes_alone(root):
    bench = data.benchmark("synthia-cityscapes-masked19", "smoke", 0, root)
    net, kept = models.build("mini", 19).eval(), list(labels.SYNTHIA16.train_ids)
    by_hand = np.zeros((16, 17), int)
    for image, label, _ in (bench.val[index] for index in range(len(bench.val))):
        logits = F.interpolate(net(image[None]).logits, label.shape, mode="bilinear", align_corners=False)
        for truth, guess in zip(label.flatten().tolist(), logits[0, kept].argmax(0).flatten().tolist(), strict=True):
            if truth in kept:
                by_hand[kept.index(truth), guess] += 1
    found = evaluation.confusion(net, bench)
    assert np.abs(found.matrix.numpy() - by_hand).sum() <= 2  # but for ties
    assert found.miou("13") == pytest.approx(found.iou()[list(labels.subset(labels.SYNTHIA16, "13"))].nanmean().item())


def test_scores_by_time_of_day(root, tmp_path, capsys):
    bench = data.benchmark("gta5-bdd", "smoke", 0, root)
    first, second = (sample.name for sample in (bench.val[0], bench.val[1]))
    frames = [
        {"name": f"{first}.jpg", "attributes": {"timeofday": "night"}},
        {"name": f"{second}.jpg", "attributes": None},
    ]
    path = tmp_path / "labels.json"
    for stored in (frames, {"frames": frames}):
        path.write_text(json.dumps(stored))
        found = evaluation.by_time_of_day(bench, path)
        assert {time: [sample.name for sample in part.val] for time, part in found.items()} == {
            "night": [first],
            "unknown": [second],
        }
    checkpoint = recipes.run("source", "gta5-bdd", "smoke", root=root).weights()
    net = evaluation.network_of_run(checkpoint, bench)
    arguments = ["evaluate", str(checkpoint), "--root", str(root)]
    assert cli.main([*arguments, "--attributes", str(path)]) == 0
    out = capsys.readouterr().out
    assert "night: mIoU" in out and out.count("classes, 1 images") == 2
    assert f"mIoU {100 * evaluation.confusion(net, bench).miou():.1f} % over" in out.splitlines()[-1]
    path.write_text(json.dumps(frames[1:]))
    assert cli.main([*arguments, "--attributes", str(path)]) == 2
    assert "has no validation image of gta5-bdd" in capsys.readouterr().err
    path.write_text("[1]")
    with pytest.raises(ValueError, match="labels.json can't be read as labels of BDD100K"):
        evaluation.by_time_of_day(bench, path)


def test_the_protocol_says_when_nothing_kept_tested_drives_out(tmp_path):
    trees.camvid(tmp_path)
    trees.bddv(tmp_path)
    pair = RealPair("mine", "mine", Part(sets.CAMVID, "day"), Part(sets.BDDV, "frames"), None)
    target = data.open_real(pair, "smoke", root=tmp_path).protocol["target"]
    assert "5 images, labels hidden" in target
    assert target.endswith("; no val or test images of BDD100K 10K found whose drives to exclude")
    trees.bdd100k(tmp_path)
    target = data.open_real(pair, "smoke", root=tmp_path).protocol["target"]
    assert "4 images, 1 excluded, labels hidden" in target and "no val" not in target


def test_an_oracle_needs_labels(root):
    for name in ("gta5-bddv", "cityscapes-nthu-rome-train"):
        with pytest.raises(ValueError, match=f"{name} has no oracle, since its target has no labels"):
            recipes.run("oracle", name, "smoke", root=root)


def test_other_files_are_another_run_and_another_cache(tmp_path):
    folder = trees.camvid(tmp_path)
    pair = data.find_pair("camvid-day2dusk")
    before = data.fingerprint(pair, "smoke", tmp_path), data.benchmark(pair.name, "smoke", 0, tmp_path).source[0]
    trees.save(folder / "train/0006R0_f00930.png", trees.noise((37, 48), 5))
    trees.save(folder / "trainannot/0006R0_f00930.png", trees.blocks((37, 48), [0, 1], 5))
    after = data.fingerprint(pair, "smoke", tmp_path), data.benchmark(pair.name, "smoke", 0, tmp_path).source[0]
    assert {key for key in before[0] if before[0][key] != after[0][key]} == {"source"}
    assert not torch.equal(before[1].image, after[1].image)
    others = replace(pair, heights={"smoke": 40}), replace(pair, classes=labels.CITYSCAPES)
    for other in others:
        prints = data.fingerprint(other, "smoke", tmp_path)
        assert {key for key in after[0] if after[0][key] != prints[key]} == {"source", "target", "val"}


def test_a_file_that_is_cut_off_is_named_and_left_out_after_verify(tmp_path):
    trees.camvid(tmp_path)
    trees.cut_off(tmp_path / "CamVid/train/0001TP_006691.png")
    with pytest.raises(ValueError, match="0001TP_006691.png can't be decoded .*udalib verify"):
        data.benchmark("camvid-day2dusk", "smoke", 0, tmp_path)
    verify.verify(sets.CAMVID, tmp_path)
    bench = data.benchmark("camvid-day2dusk", "smoke", 0, tmp_path)
    assert [sample.name for sample in bench.target] == ["0001TP_006690", "0001TP_006692"]
    assert "1 excluded" in bench.protocol["target"]


def test_missing_labels_of_the_source_are_left_out_and_of_the_target_ignored(tmp_path):
    folder = trees.camvid(tmp_path)
    (folder / "trainannot/0006R0_f00930.png").unlink()
    (folder / "trainannot/0001TP_006690.png").unlink()
    bench = data.benchmark("camvid-day2dusk", "smoke", 0, tmp_path)
    assert len(bench.source) == 5 and len(bench.target) == 3
    assert [bool((sample.label == labels.IGNORE).all()) for sample in bench.oracle().target] == [True, False, False]


def test_the_command_line_prints_the_protocol(root, capsys):
    arguments = ["run", "source", "--benchmark", "camvid-day2dusk", "--profile", "smoke", "--data-root", str(root)]
    assert cli.main([*arguments, "--set", "steps=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("target     CamVid dusk-train, 3 images, labels hidden; 60x80") for line in lines)
    assert any(line.startswith("checkpoint that of the last round") for line in lines)
    assert cli.main(arguments[:-2]) == 2
    assert "give the folder that contains it as root" in capsys.readouterr().err
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    assert "cityscapes-nthu-rome" in out and "also with -train, -drop, -strict19, -masked19" in out and "bddv" in out


# One's own images ---------------------------------------------------------------------------------------


def test_own_classes_keep_the_order_of_the_table(root):
    bench = data.benchmark(str(root / "own/garden.toml"), "quick")
    assert bench.classes.names == ("road", "lawn", "pond") and bench.name == "garden" and bench.size == (40, 52)
    assert bench.classes.palette[0] == labels.CITYSCAPES.palette[0] and len(set(bench.classes.palette)) == 3
    assert bench.source[0].name == "0" and set(bench.source[0].label.unique().tolist()) == {0, 1, 2, 255}


def test_without_labels_of_the_target_the_source_is_scored(root, tmp_path):
    for number in range(12):
        trees.save(tmp_path / f"images/{number:02d}.png", trees.noise((40, 40), number))
        trees.save(tmp_path / f"labels/{number:02d}.png", trees.blocks((40, 40), list(range(15)), number))
    names = json.dumps([f"class {index}" for index in range(15)])  # neither 13, 16 nor 19
    path = tmp_path / "blind.toml"
    path.write_text(
        f'size = [40, 48]\nclasses = {names}\n[source]\nimages = "images"\nlabels = "labels"\n'
        '[target]\nimages = "images"\n'
    )
    bench = data.benchmark(str(path), "quick")
    assert [sample.name for sample in bench.val] == ["00", "10"] and len(bench.source) == 10
    assert "says nothing about the target" in bench.protocol["val"]
    result = recipes.run("source", str(path), "smoke", report=silent, steps=1)
    assert len(result.iou) == 15 and result.rounds[0]["miou13"] is None
    assert result.record_path.parent.name.startswith("source-blind-smoke")
    with pytest.raises(ValueError, match="both have an image called '01', and weak labels are kept by name; rename"):
        recipes.run("mlsl", str(path), "smoke", report=silent, rounds=1)
    assert recipes.run("mlsl", str(path), "smoke", report=silent, rounds=1, presence="crop").rounds


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("size = 3", r"has size = 3; give \[height, width\]"),
        ("size = [40, 52]\nsizes = 1", "has the unknown key 'sizes'"),
        ("size = [40, 52]", r"has no \[source\]"),
        ('size = [40, 52]\n[ids]\nroad = "road"', r"has a value in \[ids\] that is not a number"),
        ('size = [40, 52]\nclasses = ["a", "b"]\n[ids]\n1 = "c"', "has the class 'c' in .* not in classes"),
        ('size = [40, 52]\nclasses = ["a"]', "give two or more different names"),
        ('size = [40, 52]\n[source]\nimages = "a"', r"has no labels in \[source\]"),
        ('size = [40, 52]\n[source]\nimage = "a"', r"has a \[source\] that is not images and labels"),
        ('name = "a/b"\nsize = [40, 52]', "has name = 'a/b'"),
        ("size = ", "is not TOML"),
    ],
)
def test_a_description_that_can_not_be_used_is_refused_in_one_sentence(text, sentence, tmp_path):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ValueError, match=sentence) as caught:
        data.find_pair(str(tmp_path / "x.toml"))
    assert "\n" not in str(caught.value) and "x.toml" in str(caught.value)


def test_folders_that_are_not_there_are_named(tmp_path):
    (tmp_path / "x.toml").write_text(
        'size = [40, 52]\n[source]\nimages = "no"\nlabels = "no"\n[target]\nimages = "no"\n'
    )
    with pytest.raises(ValueError, match="no is not there; paths in a benchmark's file"):
        data.benchmark(str(tmp_path / "x.toml"), "smoke")
    with pytest.raises(ValueError, match="can't be read"):
        data.find_pair(str(tmp_path / "y.toml"))


def test_names_are_refused_with_all_choices():
    assert data.find_pair("game-city").stands_for == "GTA5 to Cityscapes"
    with pytest.raises(ValueError, match="no benchmark 'mars'; choose one of: game-city.*camvid-day2dusk.*toml"):
        data.find_pair("mars")
