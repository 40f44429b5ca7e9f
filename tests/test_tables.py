"""Tables against figures worked out by hand."""

import csv
import dataclasses
import json
import re
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udalib import figures, papers, recipes, tables
from udalib.labels import CITYSCAPES
from udalib.recipes import gate_study

ROOT = Path(__file__).parents[1]
CLASSES = list(CITYSCAPES.names)
RECIPES = {"source": 40.0, "adabn": 45.0, "control": 41.0, "st": 50.0, "oracle": 70.0}


def record(recipe, seed, miou, **changes):
    iou = [miou / 100] * 18 + [None]
    last = {
        "round": 3,
        "iou": iou,
        "miou": miou / 100,
        "pixel_accuracy": 0.9,
        "confusion": [[1]],
        "curve": [[1, 2.0]],
    }
    return {
        "recipe": recipe,
        "benchmark": "game-city",
        "profile": "quick",
        "seed": seed,
        "settings": {"portion": 0.2},
        "code": f"code-{recipe}",
        "status": "finished",
        "date": f"2026-11-{20 + seed}",
        "versions": {"udalib": "0.1.0", "torch": "2.15.0"},
        "device": "CPU, 2 threads",
        "stands_for": "GTA5 to Cityscapes",
        "classes": CLASSES,
        "rounds": [last],
    } | changes


def records(seeds=(0, 1, 2), **changes):
    # Seed s adds s points to source and 2 s points to everything else.
    return [
        record(recipe, seed, miou + seed * (1 if recipe == "source" else 2), **changes)
        for recipe, miou in RECIPES.items()
        for seed in seeds
    ]


def rows_of(folder):
    with open(folder / "self_training.csv", newline="") as handle:
        return {row["row"]: row for row in csv.DictReader(handle)}


def test_means_spreads_and_paired_differences(tmp_path):
    tables.write("self_training", records(), tmp_path)
    rows = rows_of(tmp_path)
    assert [row["row"] for row in rows.values() if row["kind"] == "ours"] == [
        "source-only", "AdaBN", "control", "ST", "oracle",
    ]  # fmt: skip
    assert (rows["ST"]["mIoU"], rows["ST"]["mIoU_std"]) == ("52.00", "2.00")
    assert (rows["source-only"]["traffic_light"], rows["source-only"]["traffic_light_std"]) == (
        "41.00",
        "1.00",
    )
    assert (rows["ST"]["pixel_accuracy"], rows["ST"]["n_seeds"], rows["ST"]["profile"]) == (
        "90.00",
        "3",
        "quick",
    )
    assert (rows["ST"]["bicycle"], rows["ST"]["bicycle_std"]) == ("", ""), "absent from every seed"
    # ST - source is 10, 11, 12: the pairing halves the spread of ST alone. ST - control is 9 in every seed.
    assert (rows["ST minus source-only"]["mIoU"], rows["ST minus source-only"]["mIoU_std"]) == (
        "11.00",
        "1.00",
    )
    assert (rows["ST minus control"]["mIoU"], rows["ST minus control"]["mIoU_std"]) == ("9.00", "0.00")


def test_the_papers_rows_are_as_printed_and_the_doubtful_one_has_no_class_figures(tmp_path):
    tables.write("self_training", records(), tmp_path)
    rows = rows_of(tmp_path)
    paper = rows["ST, FCN8s-VGG16"]
    assert (paper["kind"], paper["road"], paper["mIoU"], paper["n_seeds"]) == ("paper", "83.8", "28.1", "")
    assert paper["benchmark"] == "GTA5 to Cityscapes" and paper["profile"] == ""
    doubtful = rows["ST, ResNet-38"]
    assert (doubtful["road"], doubtful["mIoU"]) == ("", "41.5")
    assert "average 48.36" in doubtful["note"]


def test_markdown_says_what_it_shows(tmp_path):
    tables.write("self_training", records(), tmp_path)
    text = (tmp_path / "self_training.md").read_text()
    ours, paper = text.split("## The paper's figures for GTA5 to Cityscapes")
    assert ours.startswith("# Self-training on game-city, a stand-in for GTA5 to Cityscapes\n")
    for fact in (
        "profile: quick",
        "seeds: 0, 1, 2",
        "CPU, 2 threads",
        "2026-11-20 to 2026-11-22",
        "st code-st",
    ):
        assert fact in ours
    assert "| ST | 52.0 ± 2.0 | 90.0 ± 0.0 |" in ours
    assert "| ST minus source-only | +11.0 ± 1.0 | +0.0 ± 0.0 |" in ours
    assert "| ST, ResNet-38 † | 41.5 | – |" in paper
    assert "† ST, ResNet-38: printed mIoU 41.5 but the 19 printed class figures average 48.36" in paper
    assert "| road | 64.0 | 83.8 | 70.0 | – |" in paper


def test_one_seed_has_no_spread(tmp_path):
    tables.write("self_training", records(seeds=(0,)), tmp_path)
    text = (tmp_path / "self_training.md").read_text()
    assert "±" not in text and "| ST | 50.0 | 90.0 |" in text
    assert rows_of(tmp_path)["ST"]["mIoU_std"] == ""


def test_a_table_can_be_made_again_from_its_own_records(tmp_path):
    paths = []
    for number, entry in enumerate(records()):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(entry))
    tables.write("self_training", reversed(paths), tmp_path / "first")
    slim = json.loads((tmp_path / "first" / "self_training.records.json").read_text())
    assert "confusion" not in slim[0]["rounds"][0] and slim[0]["rounds"][0]["miou"] == 0.4
    tables.write("self_training", slim, tmp_path / "second")
    assert {p.name: p.read_text() for p in (tmp_path / "first").iterdir()} == {
        p.name: p.read_text() for p in (tmp_path / "second").iterdir()
    }


def runs_of(name, miou, seeds=(0, 1, 2)):
    """Records of all runs that a table needs. miou: from a row and a seed to mIoU in per cent."""
    made = {}
    for row in tables.TABLES[name].rows:
        for seed in seeds:
            key = (row.recipe, row.benchmark, seed, *row.settings.items())
            changes = {"benchmark": row.benchmark, "settings": dict(row.settings)}
            entry = made.setdefault(key, record(row.recipe, seed, miou(row, seed), **changes))
            last = entry["rounds"][-1]
            if row.test:
                last[row.test] = {**record(row.recipe, seed, miou(row, seed))["rounds"][-1]}
            if row.study:
                last.setdefault("study", []).append({**row.study, **LABELS})
    return list(made.values())


# Of four classes the fourth is never labelled, and the first third of four, one class, is the last of all.
LABELS = {
    "predicted_share": [0.5, 0.3, 0.15, 0.05],
    "class_share": [0.7, 0.1, 0.2, 0.0],
    "class_precision": [0.9, 0.6, 0.3, None],
    "class_recall": [0.5, 0.1, 0.2, 0.0],
    "class_iou": [0.4, 0.1, 0.1, None],
    "coverage": 0.4,
    "precision": 0.8,
    "recall": 0.3,
}


def lines_of(folder, name):
    with open(folder / f"{name}.csv", newline="") as handle:
        return {line["row"]: line for line in csv.DictReader(handle)}


def test_another_test_of_the_same_runs_is_a_row_and_their_records_are_kept_once(tmp_path):
    entries = runs_of("class_balance", lambda row, seed: 40 + seed + 5 * (row.test == "multi_scale"))
    tables.write("class_balance", entries, tmp_path)
    lines = lines_of(tmp_path, "class_balance")
    assert (lines["CBST-SP"]["mIoU"], lines["CBST-SP, multi-scale"]["mIoU"]) == ("41.00", "46.00")
    difference = lines["CBST-SP, multi-scale minus CBST-SP"]
    assert (difference["mIoU"], difference["mIoU_std"]) == ("5.00", "0.00")
    assert lines["CBST-SP, multi-scale, ResNet-38"]["mIoU"] == "47.0"
    slim = json.loads((tmp_path / "class_balance.records.json").read_text())
    assert len(slim) == 8 * 3 and "confusion" not in str(slim)
    tables.write("class_balance", slim, tmp_path / "again")
    assert lines_of(tmp_path / "again", "class_balance") == lines


def test_the_synthetic_source_has_two_means(tmp_path):
    entries = runs_of("class_balance_synth", lambda row, seed: 40 + seed)
    for entry in entries:
        entry["rounds"][-1]["miou13"] = 0.5
    tables.write("class_balance_synth", entries, tmp_path)
    lines = lines_of(tmp_path, "class_balance_synth")
    assert (lines["CBST"]["mIoU"], lines["CBST"]["mIoU_star"]) == ("41.00", "50.00")
    paper = lines["CBST, ResNet-38"]
    assert (paper["mIoU"], paper["mIoU_star"], paper["wall"]) == ("42.5", "48.4", "12.5")
    doubtful = lines["CBST, FCN8s-VGG16"]
    assert (doubtful["mIoU_star"], doubtful["wall"]) == ("36.1", "") and "average 40.73" in doubtful["note"]


def test_rows_of_several_benchmarks_stand_apart(tmp_path):
    """Of each city the scored classes, the pooled folds, and the mean over the folds beside."""
    entries = runs_of("cross_city", lambda row, seed: 40 + 10 * (row.recipe == "cbst"), seeds=(0,))
    thirteen = [name for name in CLASSES if name not in ("wall", "fence", "pole", "terrain", "truck", "train")]
    for entry in entries:
        entry |= {"scored_classes": thirteen, "stands_for": f"NTHU {entry['benchmark']}"}
        entry["rounds"][-1] |= {"iou": [0.3] * 13, "miou_of_folds": [0.1, 0.2, 0.6]}
    tables.write("cross_city", entries, tmp_path)
    lines = lines_of(tmp_path, "cross_city")
    assert (lines["CBST, Rio"]["mIoU"], lines["CBST, Rio"]["mean_of_folds"]) == ("50.00", "30.00")
    assert lines["CBST, Rio"]["benchmark"] == "city-rio" and "wall" not in lines["CBST, Rio"]
    assert lines["CBST, Rio minus ST, Rio"]["mIoU"] == "10.00"
    paper = lines["CBST, Rio, ResNet-38"]
    assert (paper["mIoU"], paper["mean_of_folds"], paper["sky"]) == ("52.2", "", "77.9")
    text = (tmp_path / "cross_city.md").read_text()
    rio = text.split("## On city-rio, a stand-in for NTHU city-rio\n")[1].split("## On city-tokyo")[0]
    assert "| CBST, Rio | 50.0 | 30.0 | 90.0 |" in rio and "Rome" not in rio and "| ST, Rio, ResNet-38 |" in rio


def test_labels_are_judged_without_training(tmp_path):
    """Distance: (0.2 + 0.2 + 0.05 + 0.05) / 2 = 25 %. Means over classes: (90 + 60 + 30) / 3 and 80 / 4."""
    tables.write("label_study", runs_of("label_study", lambda row, seed: 40), tmp_path)
    line = lines_of(tmp_path, "label_study")["CBST-SP (class) at 0.2, synth-city"]
    figures = ("coverage", "precision", "recall", "class_precision", "class_recall", "distance", "rare_share")
    assert [line[key] for key in figures] == ["40.00", "80.00", "30.00", "60.00", "20.00", "25.00", "0.00"]
    assert "road" not in line and line["n_seeds"] == "3"
    text = (tmp_path / "label_study.md").read_text()
    assert text.startswith("# Pseudo-labels of several selections\n") and "| IoU |" not in text
    assert len(json.loads((tmp_path / "label_study.records.json").read_text())) == 2 * 3


def test_rare_classes_are_the_third_that_is_predicted_least():
    assert tables._rare([0.4, 0.1, 0.3, 0.0, 0.15, 0.05]) == [3, 5]
    assert [len(tables._rare([1.0] * count)) for count in (16, 19)] == [5, 6]


def test_kept_is_what_is_labelled_of_what_is_predicted():
    """0.4 * 0.7 / 0.5 = 0.56 of the first class; one that is predicted nowhere has no share."""
    kept = tables.kept_shares({**LABELS, "predicted_share": [0.5, 0.35, 0.15, 0.0]})
    assert kept[0] == pytest.approx(0.56) and kept[3] is None
    names = ["sky", "car", "wall", "fence", "pole", "motorcycle"]
    scores = {"names": names, "coverage": 0.3, "predicted_share": [0.2, 0.2, 0.1, 0.1, 0.4, 0.0]}
    scores["class_share"] = [0.5, 0.1, 0.2, 0.0, 0.2, 0.0]
    assert tables._TOTALS["kept of easy"](scores) == pytest.approx((0.75 + 0.15) / 2)
    assert tables._TOTALS["kept of hard"](scores) == pytest.approx((0.6 + 0.0 + 0.15) / 3)


def test_labels_of_the_first_round_stand_beside_the_network(tmp_path):
    entries = runs_of("selector_sweep", lambda row, seed: 40, seeds=(0,))
    for entry in entries:
        entry |= {"stands_for": "GTA5 to Cityscapes", "classes": CLASSES[:4]}
        entry["rounds"][0]["iou"] = [0.4] * 4
        entry["rounds"] = [{**entry["rounds"][0], "round": 1, "labels": LABELS}, *entry["rounds"]]
        for changed in entry["rounds"][1:]:
            changed["labels"] = {**LABELS, "coverage": 0.9}
    tables.write("selector_sweep", entries, tmp_path)
    with open(tmp_path / "selector_sweep.csv", newline="") as handle:
        lines = [line for line in csv.DictReader(handle) if line["row"] == tables.instance_label(0.2, 0.9, 0)]
    shown = [(line["coverage_in_round_1"], line["label_mIoU_in_round_1"], line["mIoU"]) for line in lines]
    assert shown == [("40.00", "20.00", "40.00"), ("36.5", "", "50.5"), ("", "65.6", "50.5")]


def test_agreement_of_decoders_is_a_table_and_a_picture(tmp_path):
    entries = runs_of("agreement", lambda row, seed: 40)
    for entry in entries:
        last = entry["rounds"][-1]
        last["study"] = [
            {"epoch": epoch, "easy": 0.5 + epoch / 100, "easy_precision": 0.8, "hard_precision": 0.4}
            | {"border": 0.2, "hard_border": None if epoch == 1 else 0.6}
            for epoch in tables.AGREEMENT_EPOCHS
        ]
        last["epochs"] = [{"source_hard": 0.5, "target_hard": None if e == 0 else 0.4} for e in range(20)]
        (tmp_path / f"{entry['seed']}.json").write_text(json.dumps(entry))
    tables.write("agreement", entries, tmp_path)
    lines = lines_of(tmp_path, "agreement")
    assert lines["after epoch 20 minus after epoch 1"]["easy"] == "19.00"
    assert (lines["after epoch 1"]["hard_border"], lines["after epoch 5"]["hard_border"]) == ("", "60.00")
    figures.write_agreement(sorted(tmp_path.glob("[0-9].json")), tmp_path)
    assert (tmp_path / "agreement.png").stat().st_size > 5000


def test_shares_and_thresholds_of_iast_are_pictures(tmp_path):
    study = runs_of("instance_study", lambda row, seed: 40)
    for entry in study:
        for judged in entry["rounds"][-1]["study"]:
            judged |= {key: [0.05] * 19 for key in ("predicted_share", "class_share")}
    figures.write_kept([*_files(tmp_path, study)], tmp_path)
    trained = runs_of("instance_adaptive", lambda row, seed: 40)
    ways = {"constant": 0.9, "class_balanced": [0.8] * 19, "instance": [0.7] * 19}
    for entry in trained:
        first, selector = entry["rounds"][0], entry["settings"].get("selector")
        if selector:
            first["thresholds"] = ways[selector]
        if selector == "instance":
            first["trajectory"] = {"order": [1, 0], "thresholds": [[0.9] * 19, [0.7] * 19]}
    figures.write_thresholds([*_files(tmp_path, trained)], tmp_path)
    assert all((tmp_path / f"{name}.png").stat().st_size > 5000 for name in ("instance_study", "instance_adaptive"))


def _files(folder, entries):
    for number, entry in enumerate(entries):
        path = folder / f"{number}.json"
        path.write_text(json.dumps(entry))
        yield path


def test_proxies_stand_beside_the_papers_modules(tmp_path):
    """One run for the plain and the multi-scale test; Table 3 for the modules, Table 1 for the two ends."""
    order = [row.label for row in tables.TABLES["proxies"].rows]
    entries = runs_of("proxies", lambda row, seed: 30 + order.index(row.label))
    for entry in entries:
        entry["stands_for"] = "GTA5 to Cityscapes"
    tables.write("proxies", entries, tmp_path)
    lines = lines_of(tmp_path, "proxies")
    steps = order.index(tables.PROXIES_SCALES) - order.index("two + proxies")
    assert lines["two + proxies, multi-scale minus two + proxies"]["mIoU"] == f"{steps:.2f}"
    assert lines["two + proxies, no gate, ResNet101"]["mIoU"] == "47.7"
    assert [lines[f"{row}, ResNet101"]["mIoU"] for row in tables._SHEN_MODULES] == ["41.5", "42.7", "47.1", "49.8"]
    ends = [lines[f"{row}, {net}"] for net in ("VGG16", "ResNet101") for row in (order[0], tables.PROXIES_SCALES)]
    assert [(line["mIoU"], line["road"]) for line in ends] == [
        ("27.9", "53.3"), ("39.0", "87.3"), ("38.1", "64.3"), ("50.4", "90.7"),
    ]  # fmt: skip
    assert len(json.loads((tmp_path / "proxies.records.json").read_text())) == (len(order) - 1) * 3


def test_gates_are_compared_at_the_share_and_at_the_product(tmp_path):
    tables.write("gate_study", runs_of("gate_study", lambda row, seed: 40), tmp_path)
    differences = [row for row, line in lines_of(tmp_path, "gate_study").items() if line["kind"] == "difference"]
    assert "p1 0.6, p2 0.8 minus no gate, share of p1 0.6, p2 0.8" in differences
    assert "p1 0.6, p2 0.8 minus p1 1, p2 0.48" in differences
    assert len(differences) == 10 + 6 + 1  # of every gate, of equal products, of the gate alone
    printed = {(float(row["p1"]), float(row["p2"])) for row in papers.table("002_shen_table4_p1_p2")}
    assert printed == {*tables.GATES, *((1.0, portion) for portion in tables.UNGATED)}
    assert {*gate_study.GRID} == printed | {tables.GATE_ALONE, tables.NO_SELECTION}


def test_settings_tell_rows_of_one_recipe_apart(tmp_path):
    entries = runs_of("portions", lambda row, seed: 100 * row.settings["portion"])
    for entry in entries:
        entry["rounds"] = [{**entry["rounds"][0], "miou": miou} for miou in (0.3, 0.4, entry["rounds"][0]["miou"])]
    figures = tables.per_seed("portions", entries)
    assert figures["CBST-SP, 0.3 + 0.05"]["mIoU"] == pytest.approx([30, 30, 30])
    assert figures["ST-SP, 0.2 + 0.1"]["round 1"] == pytest.approx([30, 30, 30])
    assert figures["ST-SP, 0.2 + 0.1"]["round 2"] == pytest.approx([40, 40, 40])


@pytest.mark.parametrize("root", ["", "datasets"])
def test_the_batch_makes_every_table(tmp_path, root):
    """No run twice, however many rows show it, no run that no row shows, and for a sweep no more than its one seed.

    Tables on real images are left out where nobody says where these are.
    """
    config = f"--config profile=smoke seeds=2 tables=all root={root}"
    command = f"{sys.executable} -m snakemake --dry-run --quiet rules --cores 1 {config}"
    done = subprocess.run(shlex.split(command) + ["--directory", tmp_path], cwd=ROOT, capture_output=True, text=True)
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    made = [table for table in tables.TABLES.values() if root or "camvid" not in table.name]
    runs = {
        (seed, row.recipe, row.benchmark, *row.settings.items())
        for table in made
        for seed in range(2)[: table.seeds]
        for row in table.rows
    }
    assert (jobs["run"], jobs["table"]) == (str(len(runs)), str(len(made))), done.stderr


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_papers_rows_can_be_found(name):
    for row in tables.TABLES[name].paper:
        assert row.printed().get("mIoU") or row.printed()["mIoU_star"]


def test_a_share_of_labels_stands_beside_the_papers_column_of_that_share(tmp_path):
    miou = {"labelled": 30, "oracle": 60, "iast": 40}
    entries = runs_of(
        "semi_supervised", lambda row, seed: miou[row.recipe] + 10 * row.settings.get("labelled_share", 0)
    )
    for entry in entries:
        entry["stands_for"] = "GTA5 to Cityscapes"
    tables.write("semi_supervised", entries, tmp_path)
    lines = lines_of(tmp_path, "semi_supervised")
    assert lines["baseline, 1/4"]["kind"] == "paper", "the last row of a label is the paper's"
    assert [lines[f"IAST, {share} minus baseline, {share}"]["mIoU"] for share in tables.SHARES] == ["10.00"] * 3
    text = (tmp_path / "semi_supervised.md").read_text()
    ours, paper = text.split("## The paper's figures")
    assert "| baseline, 1/4 | 32.5 ± 0.0 |" in ours and "| baseline, 1/4 | 59.0 |" in paper
    assert "| IAST, 1/2 | 45.0 ± 0.0 |" in ours and "| IAST, 1/2 † | 69.8 |" in paper
    assert "| oracle | 60.0 ± 0.0 |" in ours and "| oracle | 70.2 |" in paper


def test_gains_over_the_source_stand_beside_the_papers(tmp_path):
    entries = runs_of("multi_level_synth", lambda row, seed: 30)
    for entry in entries:
        entry["stands_for"] = "SYNTHIA to Cityscapes"
        entry["rounds"][-1]["miou13"] = 0.3 + (0.1 if entry["recipe"] == "sisc" else 0.0)
    tables.write("multi_level_synth", entries, tmp_path)
    lines = lines_of(tmp_path, "multi_level_synth")
    assert lines["SISC minus source-only"]["mIoU_star"] == "10.00"
    printed = lines["SISC minus source-only, as printed"]
    assert (printed["mIoU_star"], printed["mIoU"], printed["kind"]) == ("17.2", "", "paper")
    assert lines["SISC-PWL, ResNet-38"]["mIoU_star"] == "51.0"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("weights_sweep", {"lambda_i": "entropy", "lambda_c": "flatness"}), ("selector_sweep", {"gamma": "gamma"})],
)
def test_a_sweep_has_the_papers_settings_and_one_seed(name, wanted):
    table = tables.TABLES[name]
    ours = {row.label: row.settings for row in table.rows}
    for row in table.paper:
        for printed, key in wanted.items():
            if printed in row.where:
                assert float(row.where[printed]) == ours[row.label][key]
    assert table.seeds == 1 and {row.label for row in table.paper} <= set(ours)
    assert len(papers.table("004_iast_table3_lambda")) == len(tables.WEIGHTS)


@pytest.mark.parametrize("name", tables.TABLES)
def test_settings_of_a_row_have_the_types_of_the_recipe(name):
    """An 8 in place of 8.0 would be another run of the same settings."""
    for row in tables.TABLES[name].rows:
        chosen = recipes.settings(row.recipe, **row.settings)
        kinds = {field.name: field.type for field in dataclasses.fields(chosen)}
        assert all(type(value) is kinds[key] for key, value in row.settings.items())


@pytest.mark.parametrize("name", tables.TABLES)
def test_no_row_takes_the_run_of_another(name):
    """A run's record has all settings; those that a row names must be enough to find its own run among them."""
    runs = {}
    for row in tables.TABLES[name].rows:
        chosen = dataclasses.asdict(recipes.settings(row.recipe, **row.settings))
        key = (row.recipe, row.benchmark, str(chosen))
        runs[key] = {"recipe": row.recipe, "benchmark": row.benchmark, "settings": chosen}
    for row in tables.TABLES[name].rows:
        assert sum(row.holds(record) for record in runs.values()) == 1, row.label


def test_weak_labels_are_swept_as_in_the_paper():
    """The chosen pair stands in both blocks of the printed table, and with the same figure."""
    table = tables.TABLES["weak_labels_sweep"]
    printed = {row.label: row.printed()["mIoU"] for row in table.paper}
    assert [printed[tables.weak_label(weight, 0.05)] for weight in tables.WEAK_WEIGHTS] == [
        "46.0", "48.1", "49.0", "48.24",
    ]  # fmt: skip
    assert [printed[tables.weak_label(0.025, eta)] for eta in tables.ETAS] == ["45.5", "46.0", "49.0", "47.33"]
    assert printed["SISC"] == "48.7" and len(papers.table("003_mlsl_table4_lambda_eta")) == len(tables.WEAK) + 1


def test_tables_share_the_run_of_the_whole_method():
    labels = {
        "instance_adaptive": "+ ignored region",
        "instance_adaptive_game": "IAST",
        "decorator": tables.decorated_label("adaptseg"),
        "families": tables.decorated_label("adaptseg"),
        "weights_sweep": tables.weights_label(*tables.CHOSEN_WEIGHTS),
    }
    rows = [next(r for r in tables.TABLES[name].rows if r.label == label) for name, label in labels.items()]
    assert len({(row.recipe, row.benchmark, *row.settings.items()) for row in rows}) == 1


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: r[0].update(status="running"), "source on game-city, profile quick, seed 0 is 'running'"),
        (lambda r: r[0].update(profile="smoke"), "mix the profiles quick and smoke"),
        (lambda r: r[0].update(benchmark="game-city-hard"), "is about game-city; leave out"),
        (lambda r: r[0].update(recipe="cbst"), "has no row for the run of cbst"),
        (lambda r: r[1].update(seed=0), "'source-only' .* two records of one seed"),
        (lambda r: r.pop(), "'oracle' .* has the seeds 0, 1, but the first row 0, 1, 2"),
        (lambda r: [r.pop() for _ in range(3)], "'oracle' .* has no record"),
        (lambda r: r[0]["settings"].update(portion=0.3), "'source-only' .* different settings"),
        (lambda r: r.clear(), "'source-only' .* has no record"),
    ],
)
def test_records_that_do_not_make_up_the_table_are_refused(change, message, tmp_path):
    entries = records()
    change(entries)
    with pytest.raises(ValueError, match=message):
        tables.write("self_training", entries, tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_table_and_unwritable_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no table 'cbst'; choose one of: self_training"):
        tables.write("cbst", [], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="can't be written"):
        tables.write("self_training", records(), tmp_path / "file" / "tables")


@given(st.lists(st.floats(0, 100), min_size=2, max_size=6))
def test_spread_is_that_of_the_standard_library(values):
    mean, std = tables._spread(tables.np.array(values)[:, None])
    assert mean == pytest.approx([statistics.mean(values)])
    assert std == pytest.approx([statistics.stdev(values)], abs=1e-9)
