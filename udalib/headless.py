"""Notebooks without a browser: a strict front end to papermill.

papermill alone warns about an unknown parameter and goes on, waits for a hanging cell for ever, and leaves a
broken notebook under the final name. Here parameters are checked before a kernel starts, every cell has a
time limit, and the final name means success.

The kernel works in the caller's folder, so that paths among the parameters mean what they mean in the shell.
"""

import ast
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

TYPES = {kind.__name__: kind for kind in (str, int, float, bool)}


class NotebookFailed(Exception):
    """A cell raised an exception or took too long, or the kernel died; the message says where and why."""


def run(name: str, parameters: Mapping[str, str], out: Path, timeout: int = 3600) -> Path:
    """Execute a notebook from top to bottom and return the file of the executed one, `out/<its name>`.

    name: a file, or the stem of one in `notebooks/`. parameters: values as text, to replace those of the cell
    tagged `parameters`. timeout: seconds each cell may take.

    While it runs, and after a failure, the notebook lies in `out` under the name `<stem>.partial.ipynb`.

    Raises ValueError, before a kernel starts, for an unknown notebook or parameter, a value of the wrong type,
    or a folder that can't be written; NotebookFailed where the notebook does not run to its end.
    """
    source = find(name)
    values = check(source, parameters)
    if timeout < 1:
        raise ValueError(f"timeout={timeout} can't be used; give the seconds that a cell may take, at least 1.")
    finished, partial = out / source.name, out / f"{source.stem}.partial.ipynb"
    try:
        out.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(source.read_bytes())
    except OSError as error:
        raise ValueError(f"The folder {out} can't be written ({error.strerror}); choose another one.") from error
    try:
        papermill.execute_notebook(
            str(source),
            str(partial),
            values,
            kernel_name="python3",
            language="python",
            execution_timeout=timeout,
            force_raise_errors=True,  # also in cells tagged raises-exception
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            progress_bar=False,
            extra_arguments=["--log-level=ERROR"],  # the kernel warns about TCP on this very machine
        )
    except PapermillExecutionError as error:
        raise NotebookFailed(f"{source.name} failed, see {partial}.\n\n{error.source}\n{error}") from None
    except CellTimeoutError as error:
        raise NotebookFailed(f"{source.name} was stopped, see {partial}.\n\n{error}") from None
    except DeadKernelError as error:
        raise NotebookFailed(f"{source.name} lost its kernel, out of memory perhaps; see {partial}. {error}") from None
    os.replace(partial, finished)
    return finished


def find(name: str) -> Path:
    """The file of a notebook given by its path or its stem. Raises ValueError, listing the choices."""
    folder = Path("notebooks")
    for path in (Path(name), folder / f"{name}.ipynb"):
        if path.suffix == ".ipynb" and path.is_file():
            return path
    choices = ", ".join(sorted(path.stem for path in folder.glob("*.ipynb"))) or "none in this folder"
    raise ValueError(f"There is no notebook {name!r}; choose a file or one of: {choices}.")


def check(notebook: Path, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The parameters in the types the notebook declares. Raises ValueError for what it does not take."""
    declared = declarations(notebook)
    values = {}
    for key, text in parameters.items():
        if key not in declared:
            raise ValueError(f"{notebook.name} has no parameter {key!r}; its parameters are: {', '.join(declared)}.")
        kind, default = declared[key]
        if default is None and text == "None":
            continue
        try:
            values[key] = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"Parameter {key!r} of {notebook.name} can't be {text!r}; give a value of type {kind.__name__}."
            ) from error
    return values


def declarations(notebook: Path) -> dict[str, tuple[type, Any]]:
    """Type and default of each parameter, read from the cell tagged `parameters` without running it.

    Its lines are `name: type = literal`; the type is one of str, int, float, bool and need not be said where
    the literal shows it.

    Raises ValueError for anything else.
    """
    cells = nbformat.read(notebook, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{notebook.name} has {len(tagged)} cells tagged `parameters`; it needs exactly one.")
    declared = {}
    for statement in ast.parse(tagged[0].source).body:
        line = ast.unparse(statement)
        try:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=value):
                    declared[name] = TYPES[ast.unparse(kind).removesuffix(" | None")], ast.literal_eval(value)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    default = ast.literal_eval(value)
                    declared[name] = TYPES[type(default).__name__], default
                case _:
                    raise KeyError(line)
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(
                f"The parameters cell of {notebook.name} holds {line!r}; write `name: type = literal` with one "
                f"of the types {', '.join(TYPES)}."
            ) from error
    return declared
