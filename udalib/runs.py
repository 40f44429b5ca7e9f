"""A run's record: what was run, on what, how long it took, what came out. Caching and resuming by folder.

A run lives in `home()/runs/<recipe>-<benchmark>-<profile>-seed<n>-<key>`, where the key is a hash of its
settings and of the code it depends on. Its folder holds `record.json`, the weights after every round, and
while it runs the state to resume from. A record with the status "finished" is never run again.
"""

import ast
import dataclasses
import datetime
import hashlib
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from udalib import __version__


def home() -> Path:
    """The folder of rendered data and runs: $UDALIB_HOME, else ~/.cache/udalib."""
    return Path(os.environ.get("UDALIB_HOME") or Path.home() / ".cache" / "udalib").expanduser()


def write_atomically(path: Path, text: str) -> None:
    """Replace the file `path`; a kill at any moment leaves the old content or the new, never a part."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text)
    os.replace(partial, path)


class Run:
    """One run's folder, opened by `open_run`. Recipes write through it; everyone else reads a `Result`."""

    def __init__(self, folder: Path, identity: dict[str, Any]):
        self.folder = folder
        self.identity = identity
        self.rounds: list[dict[str, Any]] = []
        self.notes: dict[str, Any] = {}
        self._seconds_before, self._started = 0.0, time.monotonic()
        if (record := self._read()) is not None:
            self.rounds = record["rounds"]
            self.notes = record["notes"]
            self._seconds_before = record["seconds"]

    @property
    def record_path(self) -> Path:
        return self.folder / "record.json"

    @property
    def finished(self) -> bool:
        record = self._read()
        return record is not None and record["status"] == "finished"

    def weights(self, number: int) -> Path:
        """File of the network after round `number` (0: before the first)."""
        return self.folder / f"round{number}.pt"

    def state(self, number: int) -> Path:
        """File of the interrupted training of round `number`."""
        return self.folder / f"round{number}.state.pt"

    def add_round(self, scores: dict[str, Any]) -> None:
        """Append one round's scores and write the record, so that a kill loses no finished round."""
        self.rounds.append(scores)
        self.write("running")

    def write(self, status: str, **facts: Any) -> None:
        record = {
            **self.identity,
            "status": status,
            "date": datetime.date.today().isoformat(),
            "versions": versions(),
            "seconds": round(self._seconds_before + time.monotonic() - self._started, 1),
            "peak_memory_mb": peak_memory(),
            **facts,
            "notes": self.notes,
            "rounds": self.rounds,
        }
        write_atomically(self.record_path, json.dumps(record, indent=1))

    def _read(self) -> dict[str, Any] | None:
        return read_record(self.record_path) if self.record_path.exists() else None


@contextmanager
def open_run(identity: dict[str, Any]) -> Iterator[Run]:
    """The run with this identity, held by this process alone until the context ends; a second process waits.

    identity: recipe, benchmark, profile, seed, settings and code, all plain JSON values.
    Raises ValueError where the folder can't be written.
    """
    folder = home() / "runs" / folder_name(identity)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire()
    except OSError as error:
        raise ValueError(
            f"The run folder {folder} can't be written ({error.strerror}); set UDALIB_HOME to a folder that can."
        ) from error
    try:
        yield Run(folder, identity)
    finally:
        lock.release()


def folder_name(identity: dict[str, Any]) -> str:
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    fold = "" if identity.get("fold") is None else f"-fold{identity['fold']}"
    return "{recipe}-{benchmark}{fold}-{profile}-seed{seed}-".format(**{**identity, "fold": fold}) + key


def read_record(path: Path) -> dict[str, Any]:
    """A record as a dict. Raises ValueError where the file is missing or not a whole record."""
    try:
        record = json.loads(Path(path).read_text())
        record["status"], record["rounds"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a run's record ({error}); delete its folder and run again.") from error
    return record


def code_version(*modules: str) -> str:
    """Hash of the code a run depends on: `modules` and whatever of this package they use, however indirectly.

    Of a package's `__init__` only the functions that are used count, not the names and tables it passes on, so that a
    new method does not repeat the runs of the others. Comments, docstrings and layout do not count, so that better
    prose does not either.
    """
    found: dict[str, str] = {}
    for module in modules:
        _collect(module, found)
    text = "\n".join(f"{name}: {found[name]}" for name in sorted(found))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _collect(name: str, found: dict[str, str]) -> None:
    """Add a module, or one function of a package's `__init__` ("udalib.models.build"), and what it uses to `found`."""
    if name in found:
        return
    source = _source_of(name)
    tree = ast.parse(source.read_text()) if source else _definition(*name.rsplit(".", 1))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    found[name] = ast.unparse(tree)
    for used in _used(tree):
        _collect(used, found)


def _definition(package: str, name: str) -> ast.Module:
    """The function or class `name` of a package's `__init__`, with the imports that it uses."""
    top = ast.parse(_source_of(package).read_text()).body
    body = [n for n in top if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name]
    mentioned = {n.id for n in ast.walk(ast.Module(body, [])) if isinstance(n, ast.Name)}
    for node in (n for n in top if isinstance(n, ast.ImportFrom)):
        node.names = [alias for alias in node.names if (alias.asname or alias.name) in mentioned]
        body += [node] if node.names else []
    return ast.Module(body, [])


def _used(tree: ast.Module) -> set[str]:
    """What `tree` uses of this package: modules, and functions of packages."""
    used = set()
    for package, alias in _imports(tree):
        module = f"{package}.{alias.name}"
        if (source := _source_of(module)) is None or source.name != "__init__.py":
            used.add(_definer(package, alias.name))
            continue
        for node in ast.walk(tree):  # `from udalib import select` and somewhere `select.ClassBalanced`
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == (alias.asname or alias.name):
                used.add(_definer(module, node.attr))
    return used


def _definer(package: str, name: str) -> str:
    """Where what `package` calls `name` is defined: a module, or `package.name` if it is in a package's `__init__`."""
    if _source_of(f"{package}.{name}"):
        return f"{package}.{name}"
    if _source_of(package).name != "__init__.py":
        return package
    for origin, alias in _imports(ast.parse(_source_of(package).read_text())):
        if name == (alias.asname or alias.name):
            return _definer(origin, alias.name)
    return f"{package}.{name}"


def _imports(tree: ast.Module) -> Iterator[tuple[str, ast.alias]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "udalib":
            yield from ((node.module, alias) for alias in node.names)


def _source_of(module: str) -> Path | None:
    """The file of a module of this package, found without importing it; None where the name is no module."""
    path = Path(__file__).parent.joinpath(*module.split(".")[1:])
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def versions() -> dict[str, str]:
    """Versions of what a result can depend on."""
    loaded = {name: sys.modules[name].__version__ for name in ("torch", "numpy", "cv2") if name in sys.modules}
    return {"udalib": __version__, "python": platform.python_version(), **loaded}


def peak_memory() -> int:
    """Peak memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB on Linux, bytes on macOS
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024))


@dataclasses.dataclass(frozen=True)
class Result:
    """What a finished run left behind.

    record: the whole record. The figures below are those of the last round: the last is reported, never the
        best.
    """

    record: dict[str, Any]
    record_path: Path

    @property
    def rounds(self) -> list[dict[str, Any]]:
        return self.record["rounds"]

    @property
    def miou(self) -> float:
        """Mean IoU over the classes, 0..1."""
        return self.rounds[-1]["miou"]

    @property
    def iou(self) -> list[float | None]:
        """IoU of each class, 0..1; None for a class that occurs neither in truth nor in prediction."""
        return self.rounds[-1]["iou"]

    @property
    def pixel_accuracy(self) -> float:
        return self.rounds[-1]["pixel_accuracy"]

    def weights(self, number: int | None = None) -> Path:
        """File of the network after round `number`, by default the last."""
        return self.record_path.parent / f"round{self.rounds[-1]['round'] if number is None else number}.pt"
