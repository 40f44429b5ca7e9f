"""Set-up files agree with each other."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from udalib import doctor
from udalib.tables import TABLES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LISTED = [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]
MAKEFILE = (ROOT / "Makefile").read_text()
README = (ROOT / "README.md").read_text()
COMMANDS = set(re.findall(r"^(\w+):.*##", MAKEFILE, re.MULTILINE))


def test_conda_environment_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert environment["name"] == PROJECT["name"]
    assert f"python{PROJECT['requires-python']}" in conda and {"pip", "git", "make"} <= set(conda)
    assert pip == {"pip": [*LISTED, "-e ."]}


def test_make_installs_every_extra():
    assert f"'.[{','.join(PROJECT['optional-dependencies'])}]'" in MAKEFILE


def test_every_package_has_a_lower_bound_that_the_doctor_can_read():
    assert sorted(f"{name}>={bound}" for name, bound, _ in doctor.requirements()) == sorted(LISTED)


def test_ci_runs_the_test_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    commands = [line for line in script.read_text().splitlines() if line and not line.startswith(("#", "set", "cd"))]
    assert commands == ["make test"] and os.access(script, os.X_OK)
    assert "make test" in README


def test_the_readme_names_commands_and_files_that_exist():
    assert set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE)) <= COMMANDS
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / link).exists(), link


def test_the_batch_covers_every_row_seed_and_notebook(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "42_toy.ipynb").touch()
    command = f"{sys.executable} -m snakemake --dry-run --quiet rules --cores 1 --config profile=smoke seeds=2"
    done = subprocess.run(shlex.split(command) + ["--directory", tmp_path], cwd=ROOT, capture_output=True, text=True)
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE))
    jobs.pop("total")
    runs = str(2 * len(TABLES["self_training"].rows))
    assert jobs == {"run": runs, "table": "1", "figure": "1", "streets": "1", "notebook": "1", "all": "1"}
