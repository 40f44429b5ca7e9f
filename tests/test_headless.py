"""Notebooks without a browser: what is refused, what a failure leaves behind, and how notebooks are built."""

import importlib.util
from pathlib import Path

import nbformat
import papermill
import pytest

from udalib import cli, headless

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PARAMETERS = (
    "profile: str = None  # smoke | quick | full\nseed: int = 0\nrate: float | None = 0.5\nflip = True\nname = 'x'"
)


def notebook(folder: Path, *sources: str, parameters: str = PARAMETERS, tags: tuple[str, ...] = ()) -> Path:
    """A notebook of a parameters cell and these code cells, each with these tags."""
    cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]
    path = folder / "toy.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_parameters_reach_the_notebook_in_their_types(tmp_path, capfd):
    path = notebook(tmp_path, "print((profile, seed, rate, flip, name))")
    parameters = {"profile": "None", "seed": "3", "rate": "1", "flip": "false", "name": "3"}
    finished = headless.run(str(path), parameters, tmp_path / "out")
    assert finished == tmp_path / "out" / "toy.ipynb" and list(finished.parent.iterdir()) == [finished]
    assert "(None, 3, 1.0, False, '3')" in finished.read_text()
    assert "(None, 3, 1.0, False, '3')" in capfd.readouterr().out  # shown while it runs


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("sede", "1", "profile, seed, rate, flip, name"),
        ("seed", "1.5", "int"),
        ("seed", "None", "int"),
        ("rate", "fast", "float"),
        ("flip", "2", "bool"),
    ],
)
def test_bad_parameters_are_refused_before_a_kernel_starts(tmp_path, monkeypatch, capsys, key, value, named):
    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: pytest.fail("a kernel was started"))
    path = notebook(tmp_path)
    assert cli.main(["notebook", str(path), "-p", key, value, "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert named in err and key in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "parameters", ["size = (1, 2)", "import os", "a = b = 1", "n = 1 + 1", "f: Path = None", "x = None"]
)
def test_a_parameters_cell_holds_literals_only(tmp_path, parameters):
    with pytest.raises(ValueError, match="write `name: type = literal`"):
        headless.declarations(notebook(tmp_path, parameters=parameters))


def test_a_notebook_without_parameters_cell_is_refused(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "toy.ipynb")
    with pytest.raises(ValueError, match="0 cells tagged"):
        headless.check(tmp_path / "toy.ipynb", {})


def test_an_unwritable_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="can't be written"):
        headless.run(str(notebook(tmp_path)), {}, tmp_path / "file")


def test_a_cell_may_not_wait_for_ever(tmp_path):
    with pytest.raises(ValueError, match="at least 1"):
        headless.run(str(notebook(tmp_path)), {}, tmp_path / "out", timeout=0)


@pytest.mark.parametrize("tags", [(), ("raises-exception",)])
def test_a_failing_cell_is_shown_and_leaves_no_finished_notebook(tmp_path, capfd, tags):
    path = notebook(tmp_path, "print('before')", "answer = 1 / 0", "print('never' + ' here')", tags=tags)
    out = tmp_path / "out"
    assert cli.main(["notebook", str(path), "--out", str(out)]) == 1
    stdout, stderr = capfd.readouterr()
    assert "answer = 1 / 0" in stderr and "ZeroDivisionError" in stderr and "toy.partial.ipynb" in stderr
    assert "before" in stdout and "never here" not in stdout
    assert [file.name for file in out.iterdir()] == ["toy.partial.ipynb"]


def test_a_hanging_cell_is_stopped(tmp_path):
    path = notebook(tmp_path, "import time\ntime.sleep(600)")
    with pytest.raises(headless.NotebookFailed, match="time.sleep"):
        headless.run(str(path), {}, tmp_path / "out", timeout=1)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["toy.partial.ipynb"]


def test_a_dying_kernel_is_reported(tmp_path):
    path = notebook(tmp_path, "import os\nos._exit(1)")
    with pytest.raises(headless.NotebookFailed, match="lost its kernel"):
        headless.run(str(path), {}, tmp_path / "out")


# The builder --------------------------------------------------------------------------------------------

SOURCE = '''# %% [markdown]
# # 42 · A toy
#
# About [others](41_other.ipynb).

# %% tags=["parameters"]
profile: str = None

# %% tags=["setup"]
import os

# %%
shown = "in the course only"

# %% [markdown]
# ## Exercises
#
# See [others](41_other.ipynb) and [elsewhere](https://example.org).

# %%
def double(x):
    """Twice x."""
    # BEGIN SOLUTION
    y = x + x
    return y
    # END SOLUTION


# %% tags=["nbval-check-output"]
print(double(2), os.environ["UDALIB_PROFILE"])

# %% [markdown]
# ## Summary
'''


@pytest.fixture
def build(monkeypatch, tmp_path):
    """notebooks/build.py, working in a folder of its own with one toy source."""
    spec = importlib.util.spec_from_file_location("build", NOTEBOOKS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path / "notebooks"
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "42_toy.py").write_text(SOURCE)
    monkeypatch.setattr(module, "FOLDER", folder)
    monkeypatch.setenv("UDALIB_PROFILE", "")
    return module


def stored(build, *path: str) -> nbformat.NotebookNode:
    return nbformat.read(build.FOLDER.joinpath(*path), as_version=4)


def test_one_source_makes_exercises_and_solutions(build):
    build.build("42_toy", "smoke")
    course, solutions = stored(build, "42_toy.ipynb"), stored(build, "solutions", "42_toy.ipynb")

    stub = 'def double(x):\n    """Twice x."""\n    return None'
    assert course.cells[5].source == stub
    assert course.cells[6].outputs[0].text == "None smoke\n"
    assert [cell.execution_count for cell in course.cells if cell.cell_type == "code"] == [1, 2, 3, 4, 5]
    assert course.metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert course.cells[6].metadata == {"tags": ["nbval-check-output"]}

    first_words = [cell.source.splitlines()[0] for cell in solutions.cells]
    assert first_words[0] == "# 42 · A toy: solutions" and "](../42_toy.ipynb)" in solutions.cells[0].source
    assert first_words[1:] == [
        "profile: str = None",
        "import os",
        "## Exercises",
        "def double(x):",
        'print(double(2), os.environ["UDALIB_PROFILE"])',
    ]
    assert "](../41_other.ipynb)" in solutions.cells[3].source
    assert "](https://example.org)" in solutions.cells[3].source
    assert solutions.cells[4].source.endswith('"""\n    y = x + x\n    return y')
    assert solutions.cells[5].outputs[0].text == "4 smoke\n"


def test_building_twice_gives_the_same_bytes(build):
    path = build.FOLDER / "42_toy.ipynb"
    build.build("42_toy", "smoke")
    first = path.read_bytes()
    build.build("42_toy", "smoke")
    assert path.read_bytes() == first


def test_drift_is_noticed(build, monkeypatch, capsys):
    source = build.FOLDER / "source" / "42_toy.py"
    monkeypatch.setattr("sys.argv", ["build.py", "--check"])
    assert build.main() == 1 and "make notebooks" in capsys.readouterr().err  # nothing stored yet
    for path, made in build.notebooks("42_toy").items():
        path.parent.mkdir(exist_ok=True)
        nbformat.write(made, path)
    assert build.main() == 0
    source.write_text(SOURCE.replace("y = x + x", "y = 2 * x"))
    assert build.main() == 1 and "solutions/42_toy.ipynb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("import warnings; warnings.warn('old')", "warns"),
        ("import os; print(os.path.expanduser('~/data'))", "shows the path"),
        ("object()", "shows an address"),
        ("print('x' * 10_000)", "MB"),
    ],
)
def test_outputs_that_must_not_be_stored_are_refused(build, monkeypatch, line, complaint):
    monkeypatch.setattr(build, "MAX_BYTES", 10_000)
    source = build.FOLDER / "source" / "42_toy.py"
    source.write_text(SOURCE.replace('shown = "in the course only"', line))
    with pytest.raises(ValueError, match=complaint):
        build.build("42_toy", "smoke")
    assert not (build.FOLDER / "42_toy.ipynb").exists()


def test_the_folder_of_the_datasets_is_passed_on_and_not_stored(build, monkeypatch, capsys):
    monkeypatch.setenv("UDALIB_DATA_ROOT", "")
    monkeypatch.setattr("sys.argv", ["build.py", "42_toy", "--profile", "smoke", "--data-root", "/datasets"])
    source = build.FOLDER / "source" / "42_toy.py"
    source.write_text(SOURCE.replace('shown = "in the course only"', 'print(os.environ["UDALIB_DATA_ROOT"])'))
    assert build.main() == 1
    assert f"shows the path {Path('/datasets').resolve()}" in capsys.readouterr().err


@pytest.mark.parametrize("source", sorted(NOTEBOOKS.glob("source/*.py")), ids=lambda path: path.stem)
def test_the_stored_notebooks_say_what_their_sources_say(source):
    spec = importlib.util.spec_from_file_location("build", NOTEBOOKS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.check(source.stem)
