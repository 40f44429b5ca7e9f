"""Tables against figures worked out by hand."""

import csv
import dataclasses
import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udalib import tables

CLASSES = list(tables.labels.CITYSCAPES.names)
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


def test_a_subset_takes_its_classes_and_its_mean(tmp_path, monkeypatch):
    table = dataclasses.replace(tables.TABLES["self_training"], name="sixteen", subset="16")
    monkeypatch.setitem(tables.TABLES, "sixteen", table)
    entries = records()
    for entry in entries:
        entry["rounds"][0]["miou16"] = 0.123
    tables.write("sixteen", entries, tmp_path)
    header, first = (tmp_path / "sixteen.csv").read_text().splitlines()[:2]
    assert "wall" in header and "terrain" not in header
    assert ",12.30," in first
    with open(tmp_path / "sixteen.csv", newline="") as handle:
        paper = [row for row in csv.DictReader(handle) if row["kind"] == "paper"]
    assert {row["mIoU"] for row in paper} == {""}, "the printed means are over 19 classes"


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
