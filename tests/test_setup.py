"""Set-up files agree with each other."""

import os
import re
import tomllib
from pathlib import Path

import yaml

from udalib import doctor

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
README = (ROOT / "README.md").read_text()
COMMANDS = set(re.findall(r"^(\w+):.*##", MAKEFILE, re.MULTILINE))


def test_conda_environment_takes_its_packages_from_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert environment["name"] == PROJECT["name"]
    assert f"python{PROJECT['requires-python']}" in conda and {"pip", "git", "make"} <= set(conda)
    extras = ",".join(PROJECT["optional-dependencies"])
    assert pip == {"pip": [f"-e .[{extras}]"]}
    assert f"'.[{extras}]'" in MAKEFILE


def test_every_package_has_a_lower_bound_that_the_doctor_can_read():
    listed = [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]
    assert sorted(f"{name}>={bound}" for name, bound, _ in doctor.requirements()) == sorted(listed)


def test_ci_runs_the_test_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    commands = [line for line in script.read_text().splitlines() if line and not line.startswith(("#", "set", "cd"))]
    assert commands == ["make test"] and os.access(script, os.X_OK)
    assert "make test" in README


def test_the_readme_names_commands_and_files_that_exist():
    assert set(re.findall(r"\bmake (\w+)", README)) <= COMMANDS
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / link).exists(), link
