"""Build the stored notebooks from their sources.

A source, `source/NN_name.py`, is a percent script (jupytext) that holds the course and its solutions in one text. It
becomes two executed notebooks:

* `NN_name.ipynb`: the text between `# BEGIN SOLUTION` and `# END SOLUTION` is replaced by `return None`;
* `solutions/NN_name.ipynb`: title, parameters, set-up and the exercises, with the solutions.

Usage: python notebooks/build.py [NAME ...] [--profile quick] [--data-root DIR] [--check]
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from udalib import runs

FOLDER = Path(__file__).resolve().parent
SOLUTION = re.compile(r"^( *)# BEGIN SOLUTION\n(.*?)^ *# END SOLUTION$", re.MULTILINE | re.DOTALL)
WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
MAX_BYTES = 2_000_000
CELL_TIMEOUT = 3600  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the stored notebooks from notebooks/source.")
    parser.add_argument("names", nargs="*", help="such as 02_self_training; default: all")
    parser.add_argument("--profile", default="quick", help="default: %(default)s")
    parser.add_argument("--data-root", type=Path, help="folder of the real datasets, for the notebooks that show some")
    parser.add_argument("--check", action="store_true", help="only compare the stored notebooks with their sources")
    options = parser.parse_args()
    if options.data_root:  # by the environment, so that the stored parameters name no folder of this machine
        os.environ["UDALIB_DATA_ROOT"] = str(options.data_root.expanduser().resolve())
    try:
        for name in options.names or names():
            if options.check:
                check(name)
            else:
                build(name, options.profile)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def names() -> list[str]:
    return sorted(path.stem for path in (FOLDER / "source").glob("*.py"))


def build(name: str, profile: str) -> None:
    """Execute both notebooks of a source and store them. Raises ValueError for outputs that must not be stored."""
    os.environ["UDALIB_PROFILE"] = profile
    for path, notebook in notebooks(name).items():
        print(f"{path.relative_to(FOLDER)} ...", flush=True)
        NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=CELL_TIMEOUT,
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],  # the kernel warns about TCP on this very machine
            resources={"metadata": {"path": str(FOLDER)}},
        ).execute()
        tidy(notebook)
        text = nbformat.writes(notebook)
        if problems := [*unwanted(notebook), *too_large(text)]:
            raise ValueError(f"{path.name} is not stored:\n" + "\n".join(problems))
        path.parent.mkdir(exist_ok=True)
        runs.write_atomically(path, text)


def check(name: str) -> None:
    """Raises ValueError where a stored notebook does not say what its source says; outputs are not compared."""
    for path, notebook in notebooks(name).items():
        stored = nbformat.read(path, as_version=4).cells if path.exists() else []
        if [_content(cell) for cell in stored] != [_content(cell) for cell in notebook.cells]:
            raise ValueError(f"{path.relative_to(FOLDER.parent)} is not what its source makes; run `make notebooks`.")


def _content(cell: NotebookNode) -> tuple[str, str, list[str]]:
    return cell.cell_type, cell.source, cell.metadata.get("tags", [])


# From source to notebooks -------------------------------------------------------------------------------


def notebooks(name: str) -> dict[Path, NotebookNode]:
    """The two notebooks of a source, not executed, by the path they are stored at."""
    path = FOLDER / "source" / f"{name}.py"
    if not path.exists():
        raise ValueError(f"There is no source {path.name}; choose one of: {', '.join(names())}.")
    return {
        FOLDER / f"{name}.ipynb": _notebook(_exercises(cell) for cell in _cells(path)),
        FOLDER / "solutions" / f"{name}.ipynb": _notebook(_solutions(_cells(path), name)),
    }


def _cells(source: Path) -> list[NotebookNode]:
    return jupytext.read(source, fmt="py:percent").cells


def _notebook(cells: Iterator[NotebookNode]) -> NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=list(cells), metadata=METADATA)
    for position, cell in enumerate(notebook.cells):
        cell.id = f"cell-{position:03d}"  # random ones would change with every build
    return notebook


def _exercises(cell: NotebookNode) -> NotebookNode:
    cell.source = SOLUTION.sub(r"\1return None", cell.source)
    return cell


def _solutions(cells: list[NotebookNode], name: str) -> Iterator[NotebookNode]:
    first, last = _section(cells, "## Exercises"), _section(cells, "## Summary")
    title = cells[0].source.splitlines()[0]
    yield nbformat.v4.new_markdown_cell(f"{title}: solutions\n\nThe exercises of [the notebook](../{name}.ipynb).")
    for position, cell in enumerate(cells[:last]):
        if position >= first or {"parameters", "setup"} & set(cell.metadata.get("tags", [])):
            if cell.cell_type == "markdown":
                cell.source = re.sub(r"\]\((?!https?:|#)", "](../", cell.source)
            cell.source = SOLUTION.sub(lambda match: match[2].rstrip("\n"), cell.source)
            yield cell


def _section(cells: list[NotebookNode], heading: str) -> int:
    for position, cell in enumerate(cells):
        if cell.cell_type == "markdown" and cell.source.startswith(heading):
            return position
    raise ValueError(f"{cells[0].source.splitlines()[0]!r} has no section {heading!r}; every source needs one.")


# What is stored -----------------------------------------------------------------------------------------


def tidy(notebook: NotebookNode) -> None:
    """Remove what differs between two executions, and widgets, which are blank without a kernel."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.tags} if "tags" in cell.metadata else {})
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]


def unwanted(notebook: NotebookNode) -> Iterator[str]:
    """What must not be stored: warnings, paths of this machine, addresses of objects."""
    here = {FOLDER.parent, Path.home(), Path(sys.prefix), Path(tempfile.gettempdir()), runs.home()}
    here |= {Path(root) for root in [os.environ.get("UDALIB_DATA_ROOT")] if root}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        if cell.execution_count != number:
            yield f"cell [{cell.execution_count}] is out of order, or empty"
        for output in cell.outputs:
            text = output.get("text") or "\n".join(
                value for kind, value in output.get("data", {}).items() if kind.startswith("text/")
            )
            if output.get("name") == "stderr" or "Warning" in text:
                yield f"cell [{number}] warns: {text.strip()}"
            yield from (f"cell [{number}] shows the path {path}" for path in here if str(path) in text)
            yield from (f"cell [{number}] shows an address: {found}" for found in re.findall(r"<.* at 0x\w+>", text))


def too_large(text: str) -> Iterator[str]:
    if (size := len(text.encode())) > MAX_BYTES:
        yield f"it has {size / 1e6:.1f} MB, and at most {MAX_BYTES / 1e6:.0f} are allowed; save smaller images"


if __name__ == "__main__":
    sys.exit(main())
