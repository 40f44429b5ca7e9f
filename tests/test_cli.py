"""The command line: what it prints, what it refuses, and what it can do without."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from udalib import claims, cli, doctor, runs

ROOT = Path(__file__).parents[1]


def refusal(capsys, *arguments: object) -> str:
    """The one line that a refused command prints."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in err and err.startswith("udalib: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "choice"),
    [
        (["run", "magic"], "adabn"),
        (["run", "source", "--benchmark", "mars"], "game-city"),
        (["run", "source", "--profile", "huge"], "smoke"),
        (["run", "source", "--set", "colour=red"], "steps"),
        (["run", "source", "--set", "steps=many"], "give a value like"),
        (["run", "source", "--device", "abacus"], "cpu"),
        (["table", "periodic", "a.json", "--out", "."], "self_training"),
        (["claims", "periodic", "--tables", ".", "--out", "."], "class_balance"),
        (["figure", "portions", "--out", "."], "portions"),
        (["notebook", "99_nothing", "--out", "."], "choose"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_that_names_the_choices(capsys, arguments, choice):
    assert choice in refusal(capsys, *arguments)


def test_an_unwritable_home_is_refused(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("UDALIB_HOME", str(tmp_path / "file"))
    assert "UDALIB_HOME" in refusal(capsys, "run", "source", "--profile", "smoke")


def test_a_setting_is_key_equals_value(capsys):
    assert cli._setting("steps=3") == ("steps", 3)
    assert cli._setting("scale=(0.5, 2)") == ("scale", (0.5, 2))
    assert cli._setting("start=source") == ("start", "source")
    with pytest.raises(SystemExit, match="2"):
        cli.main(["run", "source", "--set", "steps"])
    assert "key=value" in capsys.readouterr().err


def test_run_prints_the_score_and_copies_the_record(capsys, tmp_path):
    record = tmp_path / "deep" / "source.json"
    arguments = ["run", "source", "--profile", "smoke", "--set", "steps=2", "--record", str(record)]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    assert "step 2/2" in out and "mIoU" in out.splitlines()[-2]
    assert runs.read_record(Path(out.splitlines()[-1].removeprefix("record: "))) == json.loads(record.read_text())

    assert cli.main(arguments) == 0
    assert "step" not in capsys.readouterr().out  # a finished run is not repeated


ABSENT = """
import importlib.machinery, importlib.metadata

absent = {"IPython", "ipykernel", "ipywidgets", "jinja2", "jupyter_client", "jupyterlab", "jupytext", "matplotlib",
          "nbclient", "nbformat", "pandas", "papermill", "seaborn", "snakemake"}
find_spec, from_name = importlib.machinery.PathFinder.find_spec, importlib.metadata.Distribution.from_name

def find_module(name, *path):
    return None if name.partition(".")[0] in absent else find_spec(name, *path)

def find_package(name):
    if name in absent:
        raise importlib.metadata.PackageNotFoundError(name)
    return from_name(name)

importlib.machinery.PathFinder.find_spec, importlib.metadata.Distribution.from_name = find_module, find_package
"""


def test_run_needs_no_notebook_plotting_or_batch_package(tmp_path):
    """A stand-in for an environment with the core packages alone: Python can't find the others."""
    (tmp_path / "sitecustomize.py").write_text(ABSENT)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}

    def udalib(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "udalib", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)

    done = udalib("run", "source", "--profile", "smoke", "--set", "steps=1")
    assert done.returncode == 0, done.stderr
    refused = udalib("notebook", "00_tour", "--out", "here")
    assert refused.returncode == 2 and "needs nbformat" in refused.stderr and "Traceback" not in refused.stderr


def test_help_does_not_import_torch():
    code = "import sys\nfrom udalib.cli import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_claims_are_written_from_the_tables_there_are(tmp_path):
    assert cli.main(["claims", "class_balance", "--tables", str(tmp_path), "--out", str(tmp_path / "claims")]) == 0
    assert "**not measured**" in (tmp_path / "claims" / "class_balance.md").read_text()
    assert not (tmp_path / "claims" / "curriculum.md").exists()
    assert cli.main(["claims", "--tables", str(tmp_path), "--out", str(tmp_path / "claims")]) == 0
    assert {path.stem for path in (tmp_path / "claims").glob("*.md")} == set(claims.LEDGERS)


def test_list_names_everything(capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    assert {"source", "st", "game-city", "quick"} <= set(out.split()) and "stands in for GTA5" in out


# The doctor ---------------------------------------------------------------------------------------------


def test_the_doctor_finds_this_machine_healthy(capsys):
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} <= {"OK", "--"}
    for subject in ("torch", "device: ", "memory: ", "disk: ", "data: ", "--profile quick`"):
        assert any(subject in line for line in lines), subject


def test_the_doctor_names_what_is_missing_and_what_brings_it(monkeypatch):
    required = [("numpy", "999", None), ("no-such-core", "1", None), ("no-such-extra", "1", "batch")]
    monkeypatch.setattr(doctor, "requirements", lambda: required)
    findings = list(doctor.packages())
    assert [status for status, _ in findings] == ["OK", "FAIL", "FAIL", "--"]
    assert "older than 999" in findings[1][1] and "udalib[batch]" in findings[3][1]
    assert doctor.run() == 1


def test_the_doctor_sees_an_unwritable_home(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("UDALIB_HOME", str(tmp_path / "file"))
    ((status, text),) = doctor.home()
    assert status == "FAIL" and "UDALIB_HOME" in text


def test_the_doctor_sees_an_unknown_number_type(monkeypatch):
    monkeypatch.setenv("UDALIB_PRECISION", "half")
    ((status, text),) = doctor.device()
    assert status == "FAIL" and "float32 or bfloat16" in text


def test_versions_compare_as_numbers():
    assert doctor._numbers("2.11.0+cpu") == (2, 11, 0)
    assert doctor._numbers("2.9") < doctor._numbers("2.11.0rc1")
