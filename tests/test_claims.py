"""Verdicts against figures worked out by hand."""

import csv
import itertools

import numpy as np
import pytest
from test_tables import runs_of

from udalib import claims, tables
from udalib.labels import CITYSCAPES


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([1, 2, 3], "holds"),  # mean 2, standard error 1 / sqrt(3) = 0.58
        ([2, 2, 2], "holds"),
        ([-1, -2, -3], "does not hold"),
        ([1, 1, 5], "undecided"),  # mean 2.33, standard error 2.31 / sqrt(3) = 1.33
        ([5, 5, 5, 5, -0.1], "undecided"),  # mean 3.98, standard error 1.02, but one seed disagrees
        ([0, 0, 0], "undecided"),
        ([8, 9], "undecided"),
        ([8], "undecided"),
        ([1, 2, np.nan], "undecided"),
    ],
)
def test_a_verdict_needs_every_seed_and_two_standard_errors(differences, verdict):
    opposite = {"holds": "does not hold", "does not hold": "holds"}
    assert claims.judge(np.array(differences, float), 1) == verdict
    assert claims.judge(np.array(differences, float), -1) == opposite.get(verdict, verdict)


def test_a_claim_stands_with_all_its_comparisons():
    assert claims.judge_all(["holds", "holds"]) == "holds"
    assert claims.judge_all(["holds", "undecided"]) == "undecided"
    assert claims.judge_all(["does not hold", "undecided", "holds"]) == "does not hold"
    assert claims.judge_all(["not measured", "does not hold"]) == "not measured"


def ledger(tmp_path, *made):
    """The ledger from tables made of these (name, records), by claim and comparison."""
    for name, records in made:
        tables.write(name, records, tmp_path / "tables")
    claims.write("class_balance", tmp_path / "tables", tmp_path / "claims")
    with open(tmp_path / "claims" / "class_balance.csv", newline="") as handle:
        return {(line["claim"], line["comparison"], line["column"]): line for line in csv.DictReader(handle)}


def test_differences_of_rows_beside_those_of_the_paper(tmp_path):
    """ST is 1, 2, 3 above source-only; CBST is below ST in every seed; tables that are not there are not measured."""
    miou = {"source": (30, 31, 32), "st": (31, 33, 35), "cbst": (29, 32, 33)}
    records = runs_of("class_balance", lambda row, seed: miou.get(row.recipe, (40, 40, 40))[seed])
    lines = ledger(tmp_path, ("class_balance", records))
    line = lines["B1", "ST minus source-only", "mIoU"]
    assert (line["mean"], line["std"], line["n_seeds"], line["seeds"]) == ("+2.00", "1.00", "3", "0 1 2")
    assert (line["differences"], line["verdict"]) == ("+1.00 +2.00 +3.00", "holds")
    assert line["paper"] == "28.1 - 24.3 = +3.8 (FCN8s-VGG16); 41.5 - 35.4 = +6.1 (ResNet-38) †"
    assert lines["B1", "CBST minus ST", "mIoU"]["verdict"] == "does not hold"
    assert lines["B1", "CBST-SP, multi-scale minus CBST-SP", "mIoU"]["paper"] == "47.0 - 46.2 = +0.8 (ResNet-38)"
    assert line["verdict_on_claim"] == "does not hold"
    line = lines["B3", "CBST, Rio minus ST, Rio", "mIoU"]
    assert (line["mean"], line["verdict"], line["paper"]) == ("", "not measured", "52.2 - 50.8 = +1.4 (ResNet-38)")

    text = (tmp_path / "claims" / "class_balance.md").read_text()
    assert "| 2 holds, 1 does not hold, 1 undecided | **does not hold** |" in text
    assert "† ST, ResNet-38: printed mIoU 41.5 but the 19 printed class figures average 48.36." in text
    assert "* profile: quick" in text and "Table `cross_city` has not been made yet." in text


def test_the_curriculums_steps_are_differences_of_neighbouring_rows():
    """mIoU 30, 32, 33, 38, 39: target easy mining adds 5, at most 2 the others; pixel accuracy rises by 10, not 2."""
    miou = dict(zip(tables.ABLATION, (30, 32, 33, 38, 39), strict=True))
    figures = {row: {"mIoU": np.array([value, value]), "pixel accuracy": np.full(2, 60)} for row, value in miou.items()}
    figures["self-training"]["pixel accuracy"] = np.full(2, 70)
    first, *_ = claims.LEDGERS["curriculum"].claims
    *steps, easy, pixels = (comparison.measure(figures).tolist() for comparison in first.comparisons)
    assert steps == [[2, 2], [1, 1], [5, 5], [1, 1]] and easy == [3, 3] and pixels == [8, 8]


def test_families_are_compared_by_their_means_and_shares_by_their_gains():
    """AT 40 and 44, ST 45 and 47, AT + ST 49 and 50: 4 and 3.5 apart. Gains of 7 at 1/8 and of 9 at 1/2."""
    miou = dict(zip(itertools.chain(*tables.FAMILIES.values()), (40, 44, 45, 47, 49, 50), strict=True))
    shares = {"baseline, 1/8": 30, "IAST, 1/8": 37, "baseline, 1/2": 40, "IAST, 1/2": 49}
    figures = {row: {"mIoU": np.array([value, value])} for row, value in (miou | shares).items()}
    by_name = {claim.name: claim for claim in claims.LEDGERS["instance_adaptive"].claims}
    assert [c.measure(figures).tolist() for c in by_name["I9"].comparisons] == [[4, 4], [3.5, 3.5], [7.5, 7.5]]
    assert by_name["I6"].comparisons[-1].measure(figures).tolist() == [2, 2]


def test_a_sweep_of_one_seed_decides_nothing(tmp_path):
    records = runs_of("weights_sweep", lambda row, seed: 40 + 5 * (row.settings["entropy"] == 3.0), seeds=(0,))
    tables.write("weights_sweep", records, tmp_path)
    claims.write("instance_adaptive", tmp_path, tmp_path)
    with open(tmp_path / "instance_adaptive.csv", newline="") as handle:
        lines = [line for line in csv.DictReader(handle) if line["claim"] == "I3"]
    assert len(lines) == 7 and {(line["verdict"], line["n_seeds"], line["std"]) for line in lines} == {
        ("undecided", "1", "")
    }
    assert lines[0]["mean"] == "+5.00" and lines[0]["paper"] == "51.5 - 50.6 = +0.9"


def test_hard_classes_lose_more_than_easy_ones():
    """From 50 to 40 and to 47: 7 more. A share of 20.3 is within half a point of alpha, one of 21 is not."""
    kept = {0: (50, 50), 8: (40, 47)}
    figures = {
        tables.instance_label(0.2, 0.9, gamma): {"kept of hard": np.array([hard]), "kept of easy": np.array([easy])}
        for gamma, (hard, easy) in kept.items()
    }
    assert claims._lost_by_hard_classes(figures, 8).tolist() == [7]
    row = {"coverage in round 1": np.array([20.3, 21.0])}
    assert claims._share_of_alpha({tables.instance_label(0.2, 0.0, 0): row}) == pytest.approx([0.2, -0.5])


def test_votes_are_held_against_averages_at_the_same_share():
    """Votes label 50 %; between averages with 40 and 60 %, of which 90 and 80 are right, 85 are; 75 is 10 less."""
    averages = {0.2: (40, 90), 0.5: (60, 80), 0.8: (80, 70)}
    figures = {
        tables.window_label(50, "soft", portion): {"coverage": np.array([share]), "precision": np.array([precise])}
        for portion, (share, precise) in averages.items()
    }
    figures[tables.window_label(50, "hard", 0.2)] = {"coverage": np.array([50]), "precision": np.array([75])}
    assert claims._votes_at_equal_share(0.2, "precision").measure(figures).tolist() == [-10]


def test_saturation_is_what_the_last_step_adds_less():
    """From 70 to 76 to 77: 6 and then 1."""
    counts = dict(zip((25, 50, 100), (70, 76, 77), strict=True))
    figures = {tables.window_label(n, "soft", 0.5): {"precision": np.array([v])} for n, v in counts.items()}
    assert claims._saturation_of_labels(0.5).measure(figures).tolist() == [5]


def test_a_loud_head_moves_the_network_further_to_either_side():
    """From 36, by 2 down and by 1 up: 1 further."""
    miou = {"CBST": 36, tables.LOUD_PWL: 34, tables.WHOLE_PWL: 37}
    assert claims._moved_further({row: {"mIoU": np.array([value])} for row, value in miou.items()}).tolist() == [1]


def test_no_threshold_is_held_against_the_worst_of_the_others():
    miou = {
        tables.weak_label(0.025, eta): {"mIoU": np.array([value])}
        for eta, value in zip(tables.ETAS, (30, 33, 35, 32), strict=True)
    }
    assert claims._without_a_threshold(miou).tolist() == [-2]


def test_what_rounds_add_is_of_the_settings_asked_for():
    figures = {
        tables.portion_label("CBST", *setting): {"mIoU": np.array([40 + number]), "round 1": np.array([38])}
        for number, setting in enumerate(tables.PORTIONS)
    }
    assert claims._growth(figures, "CBST", (tables.DEFAULT_PORTION,)).tolist() == [3]


def test_sensitivity_is_the_spread_over_the_settings(tmp_path):
    """Last rounds of CBST-SP: 40, 41, 42, 41, a spread of 2; of ST-SP: 30, 33, 36, 35, a spread of 6.

    Round 1 is at 38 and at 33: CBST-SP gains 41 - 38 = 3 on average, ST-SP 33.5 - 33 = 0.5.
    """
    last = {
        "cbst": {tables.DEFAULT_PORTION: 39},
        "st": {tables.DEFAULT_PORTION: 35},
        "cbst-sp": dict(zip(tables.PORTIONS, (40, 41, 42, 41), strict=True)),
        "st-sp": dict(zip(tables.PORTIONS, (30, 33, 36, 35), strict=True)),
    }
    records = runs_of("portions", lambda row, seed: last[row.recipe][row.settings["portion"], row.settings["step"]])
    for record in records:
        first = {**record["rounds"][0], "round": 1, "miou": 0.38 if record["recipe"].startswith("cbst") else 0.33}
        record["rounds"] = [first, first, *record["rounds"]]
    lines = [line for (claim, *_), line in ledger(tmp_path, ("portions", records)).items() if claim == "B5"]
    assert [line["mean"] for line in lines] == ["-4.00", "+3.00", "+2.50"]
    assert {line["verdict_on_claim"] for line in lines} == {"holds"} and {line["paper"] for line in lines} == {""}


def test_no_gain_is_claimed_where_the_viewpoints_differ(tmp_path):
    """The prior makes labels more precise by 1, 2, 3 points, as claimed on game-city and CamVid, not on synth-city."""
    made = {name: runs_of(name, lambda row, seed: 40) for name in ("label_study", "label_study_camvid")}
    for record in itertools.chain(*made.values()):
        for entry in record["rounds"][-1]["study"]:
            entry["precision"] += (record["seed"] + 1) / 100 * (entry["selection"] == "CBST-SP")
    lines = ledger(tmp_path, *made.items())
    here = lines["B7", "CBST-SP (class) at 0.2, game-city minus CBST at 0.2, game-city", "precision"]
    there = lines["B7", "CBST-SP (class) at 0.2, synth-city minus CBST at 0.2, synth-city", "precision"]
    assert (here["mean"], here["claimed"], here["verdict"]) == ("+2.00", "+", "holds")
    real = lines["B7", here["comparison"].replace("game-city", tables.REAL), "precision"]
    assert (real["table"], real["mean"], real["verdict"]) == ("label_study_camvid", "+2.00", "holds")
    assert lines["B7", here["comparison"], "class precision"]["mean"] == "+0.00"
    assert (there["mean"], there["claimed"], there["verdict"]) == ("+2.00", "not +", "does not hold")
    assert lines["B6", "CBST at 0.5, game-city, against zero", "rare share"]["verdict"] == "undecided"


@pytest.mark.parametrize("name", claims.LEDGERS)
def test_every_comparison_finds_its_rows_and_columns(name):
    for claim in claims.LEDGERS[name].claims:
        assert bool(claim.why) == bool(claim.evidence)
        for comparison in (*claim.comparisons, *claim.evidence):
            table = tables.find(comparison.table)
            columns = table.totals + (CITYSCAPES.names if "mIoU" in table.totals else ())
            figures = {row.label: {column: np.arange(3.0) for column in columns} for row in table.rows}
            assert comparison.measure(figures).shape == (3,) and comparison.column in columns
            assert {*comparison.rows} <= {row.label for row in (*table.rows, *table.paper)}


def test_what_cannot_be_read_or_written_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="no ledger 'st'; choose one of: multi_level, instance_adaptive, curriculum, class_balance"
    ):
        claims.write("st", tmp_path, tmp_path)
    (tmp_path / "portions.records.json").write_text("[")
    with pytest.raises(ValueError, match="make its table again"):
        claims.write("class_balance", tmp_path, tmp_path / "claims")
    (tmp_path / "portions.records.json").unlink()
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="can't be written"):
        claims.write("class_balance", tmp_path, tmp_path / "file" / "claims")
