"""Rendered streets on disk: rendered once, in parallel, resumable, and refused when damaged.

A cache is one folder per (domain parameters, split, seed, size, count, version of the renderer's source):

    images.npy      uint8 [N, 3, H, W]
    labels.npy      uint8 [N, H, W]
    manifest.json   parameters, file sizes and the checksum of every shard

It grows under the name `<folder>.partial`, where `shards.log` notes each finished shard, and is renamed when
complete.  Processes that render the same cache write the same bytes, so they may share that folder.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import numpy as np

from udalib.data.streets.domains import Domain
from udalib.data.streets.render import check, render

SHARD = 32  # images
FILES = ("images.npy", "labels.npy")

Progress = Callable[[int, int], None]


def load(
    domain: Domain,
    split: str,
    count: int,
    size: tuple[int, int] = (128, 256),
    seed: int = 0,
    cache_dir: str | os.PathLike | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` images of a split, from the cache if they are there, else rendered into it.

    Args:
        domain: from `domains.domain`.
        split: "train" or "val".
        count: number of images.
        size: (height, width) in pixels.
        seed: of the data set.
        cache_dir: folder that holds the caches; without one, images are rendered into memory.
        workers: rendering processes, by default one per core; the result does not depend on it.
        progress: called as progress(images done, images in all).

    Returns:
        images uint8 [N, 3, H, W] RGB and labels uint8 [N, H, W] (train ids, 255 = ignore); read-only
        memory maps where a cache is used.

    Raises:
        ValueError: an argument makes no sense, the cache folder cannot be written, or a finished cache
            does not match its manifest.
    """
    check(split, seed, size)
    if count < 1:
        raise ValueError(f"number of images is {count}; ask for 1 or more")
    recipe = {
        "domain": domain.parameters(),
        "split": split,
        "seed": seed,
        "size": list(size),
        "count": count,
        "version": renderer_version(),
    }
    job = (domain, split, seed, size, count)
    if cache_dir is None:
        with tempfile.TemporaryDirectory() as folder:
            return tuple(
                np.array(array) for array in _render_into(Path(folder) / "streets", recipe, job, workers, progress)
            )
    folder = Path(cache_dir) / _name(recipe)
    try:
        if folder.exists():
            return _open(folder)
        return _render_into(folder, recipe, job, workers, progress)
    except OSError as error:
        if folder.exists():  # another process finished first
            shutil.rmtree(_partial(folder), ignore_errors=True)
            return _open(folder)
        raise ValueError(
            f"cannot write the streets cache {folder} ({error.strerror or error}); choose a folder with space "
            "that you may write to"
        ) from error


@cache
def renderer_version() -> str:
    """Short checksum of the source that decides what a picture looks like."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in ("__init__", "cache"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _name(recipe: dict) -> str:
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
    height, width = recipe["size"]
    name, split = recipe["domain"]["name"], recipe["split"]
    return f"{name}-{split}-{recipe['count']}x{height}x{width}-seed{recipe['seed']}-{key}"


# a finished cache ----------------------------------------------------------------------------------


def _open(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of a finished cache after checking them against its manifest."""
    remedy = f"delete the folder {folder} to render it again"
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        sizes, checksums = manifest["files"], manifest["shards"]
        count = manifest["recipe"]["count"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{folder / 'manifest.json'} is missing or unreadable; {remedy}") from error
    for name in FILES:
        path = folder / name
        if not path.exists() or path.stat().st_size != sizes.get(name):
            raise ValueError(f"{path} is cut off; {remedy}")
    try:
        arrays = _map(folder)
    except ValueError as error:
        raise ValueError(f"{folder} holds a damaged array; {remedy}") from error
    for start in range(0, count, SHARD):
        if _checksum(arrays, start) != checksums.get(str(start)):
            raise ValueError(f"{folder} is damaged (images {start} to {start + SHARD - 1}); {remedy}")
    return arrays


def _map(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.load(folder / name, mmap_mode="r") for name in FILES)


def _checksum(arrays, start: int) -> str:
    value = 0
    for array in arrays:
        value = zlib.crc32(array[start : start + SHARD], value)
    return f"{value:08x}"


# rendering -------------------------------------------------------------------------------------------


def _render_into(folder: Path, recipe: dict, job, workers: int | None, progress: Progress | None):
    """Render what is missing in the partial folder, then give it its final name."""
    count = recipe["count"]
    partial = _partial(folder)
    _prepare(partial, count, tuple(recipe["size"]))
    finished = _finished_shards(partial)
    todo = [start for start in range(0, count, SHARD) if start not in finished]

    def report():
        if progress:
            progress(min(SHARD * len(finished), count), count)

    report()
    for start, checksum in _render_shards(todo, partial, job, workers):
        finished[start] = checksum
        with open(partial / "shards.log", "a") as log:
            log.write(f"{start} {checksum}\n")
        report()

    manifest = {
        "recipe": recipe,
        "files": {name: (partial / name).stat().st_size for name in FILES},
        "shards": {str(start): checksum for start, checksum in sorted(finished.items())},
    }
    draft = partial / f"manifest-{os.getpid()}.json"
    draft.write_text(json.dumps(manifest, indent=1))
    os.replace(draft, partial / "manifest.json")
    os.rename(partial, folder)
    (folder / "shards.log").unlink()
    return _map(folder)


def _partial(folder: Path) -> Path:
    return folder.with_name(folder.name + ".partial")


def _prepare(partial: Path, count: int, size: tuple[int, int]) -> None:
    """Make the partial folder with empty arrays of full size, unless a usable one is there."""
    shapes = ((count, 3, *size), (count, *size))
    try:
        if tuple(array.shape for array in _map(partial)) == shapes:
            return
    except (OSError, ValueError):
        shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    fresh = partial.with_name(f"{partial.name}-{os.getpid()}")
    fresh.mkdir(exist_ok=True)
    for name, shape in zip(FILES, shapes, strict=True):
        np.lib.format.open_memmap(fresh / name, mode="w+", dtype=np.uint8, shape=shape)
    try:
        os.rename(fresh, partial)
    except OSError:
        shutil.rmtree(fresh)
        if not partial.exists():
            raise


def _finished_shards(partial: Path) -> dict[int, str]:
    """Shards whose bytes match what the log says about them."""
    log = partial / "shards.log"
    noted = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    arrays = _map(partial)
    entries = {int(entry[0]): entry[1] for entry in noted if len(entry) == 2}
    return {start: checksum for start, checksum in entries.items() if _checksum(arrays, start) == checksum}


def _render_shards(starts: list[int], partial: Path, job, workers: int | None):
    """Yield (start, checksum) of each shard once it is on disk, in any order."""
    workers = min(workers or _cores(), len(starts))
    if workers <= 1:
        for start in starts:
            yield _render_shard(start, partial, job)
        return
    # Forking needs no importable main module, so scripts, notebooks and tests all work alike.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        futures = [pool.submit(_render_shard, start, partial, job) for start in starts]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _render_shard(start: int, partial: Path, job) -> tuple[int, str]:
    """Render one shard into the arrays on disk; written, not mapped, so that a full disk is an error."""
    domain, split, seed, size, count = job
    pairs = [render(domain, split, seed, index, size) for index in range(start, min(start + SHARD, count))]
    images = np.ascontiguousarray(np.stack([image for image, _ in pairs]).transpose(0, 3, 1, 2))
    labels = np.stack([label for _, label in pairs])
    checksum = 0
    for name, shard in zip(FILES, (images, labels), strict=True):
        path, bytes_per_image = partial / name, shard[0].nbytes
        with open(path, "r+b") as file:
            file.seek(path.stat().st_size - (count - start) * bytes_per_image)
            file.write(shard.data)
        checksum = zlib.crc32(shard, checksum)
    return start, f"{checksum:08x}"
