"""Files decoded once: an array on disk that is filled in parallel, continues after a kill, and is then memory-mapped.

A cache is one folder:

    array.npy       uint8 [N, ...]
    shards.log      start and checksum of each finished shard, while it grows
    manifest.json   what it was made from; written last, so a folder with it is complete

A process that fills it holds a lock, and others wait.
"""

import json
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from udalib import runs

SHARD = 32  # entries

Progress = Callable[[int, int], None]


def decode_once(
    folder: Path,
    recipe: dict[str, Any],
    entries: Sequence[Any],
    decode: Callable[[Any], np.ndarray],
    shape: tuple[int, ...],
    progress: Progress | None = None,
) -> np.ndarray:
    """The array [len(entries), *shape] of all `decode(entry)`, uint8: a read-only memory map.

    folder: of this cache alone. recipe: plain JSON values that tell what it is made from; kept in the manifest. decode:
    called in several threads at once. progress: called with (entries done, entries in all) while anything is decoded.

    Raises ValueError where the folder can't be written or has no room, where a finished cache was cut off or belongs to
    another recipe, and whatever `decode` raises.
    """
    count = len(entries)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not (folder / "manifest.json").exists():
                _fill(folder, recipe, entries, decode, (count, *shape), progress)
            return _open(folder, recipe, (count, *shape))
    except OSError as error:
        raise ValueError(
            f"The cache {folder} can't be written ({error.strerror or error}); set UDALIB_HOME to a folder with room."
        ) from error


def _open(folder: Path, recipe: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    remedy = f"delete the folder {folder} to decode the files again"
    try:
        known = json.loads((folder / "manifest.json").read_text())["recipe"]
        array = np.load(folder / "array.npy", mmap_mode="r")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is damaged ({error}); {remedy}.") from error
    if known != recipe or array.shape != shape or array.dtype != np.uint8:
        raise ValueError(f"{folder} was made from other files; {remedy}.")
    return array


def _fill(
    folder: Path,
    recipe: dict[str, Any],
    entries: Sequence[Any],
    decode: Callable[[Any], np.ndarray],
    shape: tuple[int, ...],
    progress: Progress | None,
) -> None:
    path, log = folder / "array.npy", folder / "shards.log"
    finished = _finished(path, log, shape)
    if not finished:
        log.unlink(missing_ok=True)
        size = int(np.prod(shape))
        if (free := shutil.disk_usage(folder).free) < size:
            raise OSError(f"{size / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")
        np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    count, each = shape[0], int(np.prod(shape[1:]))
    start_of_data = path.stat().st_size - count * each
    with ThreadPoolExecutor(_cores()) as pool, open(path, "r+b") as array, open(log, "a") as notes:
        for start in range(0, count, SHARD):
            if start not in finished:
                block = np.ascontiguousarray(np.stack(list(pool.map(decode, entries[start : start + SHARD]))))
                # Written, not mapped: on a full disk that is an error and not the end of the process.
                array.seek(start_of_data + start * each)
                array.write(block.data)
                array.flush()
                notes.write(f"{start} {zlib.crc32(block):08x}\n")
                notes.flush()
            if progress:
                progress(min(start + SHARD, count), count)
    runs.write_atomically(folder / "manifest.json", json.dumps({"recipe": recipe, "shape": shape}))
    log.unlink(missing_ok=True)


def _finished(path: Path, log: Path, shape: tuple[int, ...]) -> set[int]:
    """Starts of the shards whose bytes are those that the log speaks of."""
    try:
        array = np.load(path, mmap_mode="r")
        lines = [line.split() for line in log.read_text().splitlines()]
    except (OSError, ValueError):
        return set()
    if array.shape != shape:
        return set()
    noted = {int(line[0]): line[1] for line in lines if len(line) == 2}
    return {start for start, crc in noted.items() if f"{zlib.crc32(array[start : start + SHARD]):08x}" == crc}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
