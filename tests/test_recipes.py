import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from udalib import data, predict, recipes, runs, score, select, train


def silent(text):
    pass


@pytest.fixture
def own_runs(tmp_path, monkeypatch):
    """A home of its own that shares the rendered images with the session's home."""
    (rendered := runs.home() / "streets").mkdir(parents=True, exist_ok=True)
    (tmp_path / "streets").symlink_to(rendered)
    monkeypatch.setenv("UDALIB_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_runs_and_leaves_a_whole_record(name):
    result = recipes.run(name, profile="smoke", seed=0, report=silent)
    record = result.record
    assert record["status"] == "finished" and record["device"] and record["seconds"] > 0
    for number, entry in enumerate(result.rounds, 1):
        assert entry["round"] == number and result.weights(number).exists()
        assert len(entry["iou"]) == len(record["classes"]) == 19
        assert 0 <= entry["miou"] <= 1 and 0 <= entry["pixel_accuracy"] <= 1
    assert recipes.load_network(result)(torch.zeros(1, 3, 64, 128)).logits.shape == (1, 19, 16, 32)
    assert not list(result.record_path.parent.glob("*.state.pt"))


def test_a_finished_run_is_not_repeated(monkeypatch):
    first = recipes.run("source", profile="smoke", seed=0, report=silent)
    monkeypatch.setattr(recipes.data, "benchmark", None)  # opening any data now would fail
    assert recipes.run("source", profile="smoke", seed=0, report=silent).record == first.record


def test_self_training_labels_the_portion_it_says():
    for number, entry in enumerate(recipes.run("st", profile="smoke", seed=0, report=silent).rounds, 1):
        assert entry["portion"] == pytest.approx(0.15 + 0.05 * number)
        assert 0 < entry["labels"]["coverage"] <= 1 and 0 <= entry["labels"]["precision"] <= 1


def test_the_self_paced_portion_never_overshoots():
    policy = recipes.self_training.SelfTraining()
    portions = [policy.portion_of(number) for number in range(1, 12)]
    assert portions[0] == 0.2 and max(portions) == 0.5 and portions == sorted(portions)


@pytest.mark.parametrize("name", ["st", "cbst", "st-sp", "cbst-sp"])
def test_labels_are_those_of_the_start_networks_thresholds(name):
    first = recipes.run(name, profile="smoke", seed=0, report=silent).rounds[0]
    net = recipes.load_network(recipes.run("source", profile="smoke", seed=0, report=silent))
    bench = data.benchmark("game-city", "smoke", 0)
    prior = None
    if name.endswith("-sp"):  # the paper's window: 70 of 1,024 pixels of height
        source = (bench.source[index].label for index in range(len(bench.source)))
        prior = select.SpatialPrior.from_labels(source, 19, bench.size, 70 * bench.size[0] / 1024)
    kind = select.ClassBalanced if name.startswith("cbst") else select.SelfTraining
    selector = kind(0.20, prior).fit(predict.whole(net, data.ordered_batches(bench.target)))
    labels = torch.cat([selector.label(probs) for probs, _ in predict.whole(net, data.ordered_batches(bench.target))])
    oracle = bench.oracle().target
    truth = torch.stack([oracle[index].label for index in range(len(oracle))])
    quality = score.label_quality(labels, truth, 19)
    assert first["thresholds"] == torch.as_tensor(selector.thresholds, dtype=torch.float64).tolist()
    assert first["predicted_share"] == pytest.approx(selector.shares.tolist())
    assert first["labels"]["coverage"] == pytest.approx(quality.coverage, abs=1e-6)
    assert first["labels"]["precision"] == pytest.approx(quality.overall_precision, abs=1e-6)


def test_class_balance_records_a_threshold_and_a_share_for_each_class():
    for entry in recipes.run("cbst", profile="smoke", seed=0, report=silent).rounds:
        assert len(entry["thresholds"]) == len(entry["predicted_share"]) == 19
        assert sum(entry["predicted_share"]) == pytest.approx(1)
        absent = [t for t, share in zip(entry["thresholds"], entry["predicted_share"], strict=True) if share == 0]
        assert all(t == 1 for t in absent) and 0 < entry["labels"]["coverage"] <= 1


def test_the_released_codes_choices_are_options():
    options = {"variant": "official", "mining": "official", "statistics": "frozen", "image_share": 0.5}
    shares = {"source_share": 0.1, "source_share_step": 0.1, "lr_factor": 0.5**0.5}
    result = recipes.run("cbst", profile="smoke", seed=0, report=silent, **options, **shares)
    assert [entry["images"] for entry in result.rounds] == [8, 8]
    before = train.load(recipes.run("source", profile="smoke", seed=0, report=silent).weights())
    after = train.load(result.weights())
    statistics = [key for key in before if "running" in key]
    assert statistics and all(torch.equal(before[key], after[key]) for key in statistics)
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])


def test_an_image_list_chooses_the_target_images(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("city-train-0-00003\ncity-train-0-00005\n")
    result = recipes.run("st", profile="smoke", seed=0, report=silent, image_list=str(names), rounds=1)
    assert result.rounds[0]["images"] == 2
    names.write_text("nobody")
    with pytest.raises(ValueError, match="names no image of game-city"):
        recipes.run("st", profile="smoke", seed=0, report=silent, image_list=str(names), rounds=1, epochs=0.1)
    with pytest.raises(ValueError, match="can't be read"):
        recipes.run("st", profile="smoke", seed=0, report=silent, image_list=str(tmp_path / "none"), rounds=1)


def test_folds_are_run_and_pooled():
    result = recipes.run("adabn", "city-rome", profile="smoke", seed=0, report=silent)
    folds = [recipes.run("adabn", "city-rome", profile="smoke", seed=0, report=silent, fold=k) for k in range(10)]
    last = result.rounds[-1]
    assert last["miou_of_folds"] == [fold.miou for fold in folds]
    pooled = torch.tensor([fold.rounds[-1]["confusion"] for fold in folds]).sum(dim=0)
    assert last["confusion"] == pooled.tolist() and pooled.shape == (13, 14)
    hits = pooled.diag()
    assert result.iou[0] == pytest.approx((hits[0] / (pooled[0].sum() + pooled[:, 0].sum() - hits[0])).item(), abs=1e-6)
    with pytest.raises(ValueError, match="one network per fold"):
        recipes.load_network(result)


def test_label_quality_of_folds_is_the_mean_of_those_that_have_it():
    parts = [
        {"precision": 0.5, "class_precision": [1.0, 0.5, None]},
        {"precision": 1.0, "class_precision": [0.5, None, None]},
    ]
    assert recipes._means(parts) == {"precision": 0.75, "class_precision": [0.75, 0.5, None]}


def test_benchmarks_with_one_source_share_its_training():
    first, other = (recipes.run("source", name, "smoke", report=silent) for name in ("game-city", "game-city-hard"))
    assert other.record["start"] == first.record_path.parent.name
    assert all(
        torch.equal(a, b) for a, b in zip(*(train.load(r.weights()).values() for r in (first, other)), strict=True)
    )
    assert other.iou != first.iou


def test_adabn_changes_statistics_and_nothing_else():
    before, after = (
        train.load(recipes.run(name, profile="smoke", seed=0, report=silent).weights()) for name in ("source", "adabn")
    )
    for name in before:
        same = torch.equal(before[name], after[name])
        assert same != ("running" in name) or "num_batches" in name, name


def test_the_control_sees_no_pseudo_label():
    result = recipes.run("control", profile="smoke", seed=0, report=silent)
    assert all("labels" not in entry for entry in result.rounds)


def test_seeds_change_everything():
    first, second = (recipes.run("source", profile="smoke", seed=seed, report=silent) for seed in (0, 1))
    assert first.rounds != second.rounds


def test_a_run_in_another_home_gives_the_same_figures(own_runs, monkeypatch):
    here = recipes.run("st", profile="smoke", seed=0, report=silent)
    monkeypatch.undo()
    there = recipes.run("st", profile="smoke", seed=0, report=silent)
    assert here.record_path != there.record_path
    for mine, theirs in zip(here.rounds, there.rounds, strict=True):
        assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}


def test_bfloat16_rounds_otherwise_and_is_in_the_record(own_runs, monkeypatch):
    monkeypatch.setenv("UDALIB_PRECISION", "bfloat16")
    rounded = recipes.run("source", profile="smoke", seed=0, report=silent)
    batches = data.ordered_batches(data.benchmark("game-city", "smoke", 0).val)
    predicted = list(predict.whole(recipes.load_network(rounded), batches))
    monkeypatch.undo()
    exact = recipes.run("source", profile="smoke", seed=0, report=silent)
    assert rounded.record["device"].endswith(", bfloat16") and exact.record["device"].endswith(", float32")
    losses, others = (dict(result.rounds[-1]["curve"]) for result in (rounded, exact))
    assert losses != others and losses == pytest.approx(others, rel=0.1)
    assert all(weight.dtype != torch.bfloat16 for weight in train.load(rounded.weights()).values())
    assert all(probs.dtype == torch.float32 for probs, _ in predicted)


def test_another_number_type_is_refused_before_any_work(own_runs, monkeypatch):
    monkeypatch.setenv("UDALIB_PRECISION", "half")
    with pytest.raises(ValueError, match="UDALIB_PRECISION is 'half'; choose float32 or bfloat16, or leave it out"):
        recipes.run("source", profile="smoke")
    assert not (own_runs / "runs").exists()


@pytest.mark.timeout(900)  # four processes, on what may be a busy machine
def test_a_run_killed_at_three_random_moments_ends_with_the_same_bits(own_runs, monkeypatch):
    """SIGKILL, not an exception: nothing in the process gets to clean up."""
    program = "from udalib import recipes; recipes.run('st', profile='smoke', seed=0, epochs=12.0)"
    command = [sys.executable, "-c", program]
    picker = random.Random(5)
    recipes.run("source", profile="smoke", seed=0, report=silent)
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(picker.randint(1, 12)):  # lines of progress; each run gets further than the last
            process.stdout.readline()
        time.sleep(picker.random() / 5)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    resumed = recipes.run("st", profile="smoke", seed=0, epochs=12.0)
    monkeypatch.undo()
    whole = recipes.run("st", profile="smoke", seed=0, epochs=12.0, report=silent)
    for number in (1, 2):
        mine, theirs = (train.load(result.weights(number)) for result in (resumed, whole))
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
        assert resumed.rounds[number - 1]["confusion"] == whole.rounds[number - 1]["confusion"]
        assert resumed.rounds[number - 1]["curve"] == whole.rounds[number - 1]["curve"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "magic"}, "no recipe 'magic'; choose one of: source"),
        ({"name": "st", "benchmark": "mars"}, "no benchmark 'mars'; choose one of"),
        ({"name": "st", "profile": "huge"}, "no profile 'huge'; choose one of"),
        ({"name": "cbst", "portion": 1.5}, "portion is 1.5; choose a share above 0 and at most 1"),
        ({"name": "st", "max_portion": 0.0}, "max_portion is 0.0; choose a share above 0"),
        ({"name": "st", "step": -0.1}, "step is -0.1; choose a growth per round of at least 0"),
        ({"name": "st", "max_source_share": 0.0}, "max_source_share is 0.0; choose a share above 0"),
        ({"name": "st", "portions": 0.3}, "no setting 'portions'; its settings are"),
        ({"name": "st", "portion": "much"}, "can't be 'much'; give a value like 0.2"),
        ({"name": "st", "mining": "gold"}, "no mining 'gold'; choose one of: none, paper, official"),
        ({"name": "cbst", "statistics": "mine"}, "no statistics 'mine'; choose one of: target, frozen"),
        ({"name": "st", "image_share": 0.0}, "image_share is 0.0; choose a share above 0"),
        ({"name": "st", "test_scales": 1.0}, "can't be 1.0; give a value like"),
        ({"name": "st", "device": "abacus"}, "Device 'abacus' can't be used"),
    ],
)
def test_bad_input_is_refused_before_any_work(arguments, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        recipes.run(**arguments)
    assert "\n" not in str(caught.value)
