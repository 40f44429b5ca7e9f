"""The stored notebooks keep the course's form. `make test` also executes them, with nbval, under the smoke profile."""

import re
from pathlib import Path

import nbformat
import pytest

from udalib import headless

ROOT = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(ROOT.glob("[0-9]*.ipynb"))
SOLUTIONS = sorted((ROOT / "solutions").glob("[0-9]*.ipynb"))
TAGS = {"parameters", "setup", "nbval-check-output", "nbval-skip"}

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def text(path: Path) -> str:
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def test_every_notebook_has_solutions():
    assert NOTEBOOKS and [path.name for path in NOTEBOOKS] == [path.name for path in SOLUTIONS]


@each
def test_parameters_are_the_same_everywhere(path):
    assert list(headless.declarations(path)) == ["profile", "seed", "benchmark", "data_root", "device", "out"]


@each
def test_sections_stand_in_order(path):
    prose = text(path)
    places = [prose.find(title) for title in ("## Objectives", "## Exercises", "## Summary")]
    assert prose.startswith(f"# {path.stem[:2]} · ")
    assert -1 not in places and places == sorted(places)
    assert "@@" not in prose


@each
def test_check_cells_have_stored_outputs(path):
    """nbval passes a cell without stored output unseen, so their presence is checked here."""
    checks = [cell for cell in cells(path, "code") if "nbval-check-output" in cell.metadata.get("tags", [])]
    assert len(checks) >= 3 and all(printed(cell).strip() and cell.execution_count for cell in checks)


@each
def test_cells_are_small_and_tags_known(path):
    code = [[line for line in cell.source.splitlines() if line.strip()] for cell in cells(path, "code")]
    assert max(map(len, code)) <= 40
    assert sorted(map(len, code))[len(code) // 2] <= 8
    assert {tag for cell in cells(path, "code") for tag in cell.metadata.get("tags", [])} <= TAGS


@each
def test_cells_were_executed_in_order(path):
    counts = [cell.execution_count for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))


@each
def test_no_cell_ends_in_a_bare_value(path):
    """What a reader is to see is shown on purpose; a value that happens to be last is a dump."""
    kinds = {output.output_type for cell in cells(path, "code") for output in cell.outputs}
    assert "execute_result" not in kinds


@each
def test_links_resolve(path):
    for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text(path)):
        assert (path.parent / link).exists(), link


@each
def test_exercises_wait_for_the_reader(path):
    assert any("not done yet" in printed(cell) for cell in cells(path, "code"))


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_solutions_are_correct(path):
    output = "\n".join(printed(cell) for cell in cells(path, "code"))
    verdicts = re.findall(r": (correct|not right yet|not done yet)", output)
    assert len(verdicts) >= 3 and set(verdicts) == {"correct"}
