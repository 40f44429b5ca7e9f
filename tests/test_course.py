"""What notebooks start and end with."""

import json

import pytest
import torch

from udalib import course, runs

GIVEN = {"profile": "smoke", "seed": 0, "data_root": None, "device": "cpu", "out": None, "expected": {"smoke": "1 s"}}


def begin(**changes):
    return course.begin("07_test", **{"benchmark": "game-city", **GIVEN, **changes})


def test_begin_says_what_will_happen(capsys):
    begin()
    out = capsys.readouterr().out
    assert "game-city, profile smoke, seed 0, on CPU" in out and "expected time: 1 s" in out


def test_the_profile_is_the_parameter_else_the_environment_else_quick(monkeypatch, capsys):
    monkeypatch.setenv("UDALIB_PROFILE", "full")
    assert begin(profile=None).profile == "full" and begin(profile="smoke").profile == "smoke"
    monkeypatch.delenv("UDALIB_PROFILE")
    assert begin(profile=None).profile == "quick"


def test_real_datasets_lie_where_the_parameter_says_else_the_environment(monkeypatch, capsys):
    monkeypatch.setenv("UDALIB_DATA_ROOT", "datasets")
    assert begin(benchmark="camvid-day2dusk").data_root == "datasets"
    assert begin(benchmark="camvid-day2dusk", data_root="here").data_root == "here"
    assert begin().data_root is None, "for rendered streets a root is where they are rendered to"
    monkeypatch.setenv("UDALIB_DATA_ROOT", "")
    assert begin(benchmark="camvid-day2dusk").data_root is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"profile": "huge"}, "smoke"),
        ({"benchmark": "mars"}, "game-city"),
        ({"seed": -1}, "seed"),
        ({"seed": "1"}, "seed"),
    ],
)
def test_bad_parameters_are_refused_in_one_sentence(change, named):
    with pytest.raises(ValueError, match=named) as caught:
        begin(**change)
    assert "\n" not in str(caught.value)


def test_begin_seeds_the_global_random_state(capsys):
    begin(seed=5)
    first = torch.rand(3)
    begin(seed=5)
    assert torch.equal(first, torch.rand(3))


def test_finish_writes_the_parameters_and_findings(tmp_path, capsys):
    path = begin(out=str(tmp_path)).finish(miou=0.5, classes=["road"])
    record = json.loads(path.read_text())
    assert record["findings"] == {"miou": 0.5, "classes": ["road"]}
    assert record["profile"] == "smoke" and record["versions"] == runs.versions() and record["seconds"] >= 0


@pytest.mark.parametrize(
    ("answer", "expected", "verdict"),
    [
        (None, 1.0, "not done yet"),
        (1.0, 1.0, "correct"),
        (1.1, 1.0, "not right yet"),
        (torch.tensor([1, 2]), torch.tensor([1, 2]), "correct"),
        (torch.tensor([1, 2]), torch.tensor([1, 2, 3]), "not right yet"),
        ("adabn", "adabn", "correct"),
        (3, lambda value: value > 2, "correct"),
        ("text", lambda value: value > 2, "not right yet (TypeError"),
    ],
)
def test_checks_tell_how_an_exercise_stands(capsys, answer, expected, verdict):
    course.check("1. exercise", answer, expected)
    assert capsys.readouterr().out.startswith(f"1. exercise: {verdict}")
