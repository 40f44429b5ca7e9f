"""Every test session has its own home for data and runs, rendered once and thrown away at the end."""

import os
import shutil
import tempfile

import hypothesis
import pytest

# Before any test module is imported; notebooks and commands that tests start inherit it.
HOME = tempfile.mkdtemp(prefix="udalib-tests-")
os.environ["UDALIB_HOME"] = HOME
os.environ["UDALIB_PROFILE"] = "smoke"
os.environ["UDALIB_PRECISION"] = "float32"  # what tests compute by hand is equal to the last digits on any machine
os.environ["MPLBACKEND"] = "agg"
os.environ.pop("UDALIB_DATA_ROOT", None)  # tests need no dataset
# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("udalib", deadline=None)
hypothesis.settings.load_profile("udalib")


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(HOME, ignore_errors=True)
