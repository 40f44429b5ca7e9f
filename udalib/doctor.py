"""`udalib doctor`: does this machine have what it takes, and how long will it take?"""

import importlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from udalib import runs

GB = 1024**3
MEMORY_NEEDED = 4 * GB  # of the machine; a run itself stays well below
DISK_NEEDED = 2 * GB  # one seed of one benchmark with the runs of all recipes, rounded up

OK, NOTE, FAIL = "OK", "--", "FAIL"
Finding = tuple[str, str]

# Where the name to import is not the name to install.
MODULES = {"opencv-python-headless": "cv2", "pillow": "PIL"}


def run() -> int:
    """Print one line per finding: OK, FAIL, or -- for what is optional. Return 1 if anything failed, else 0."""
    failed = _print(packages())
    if failed:
        print("The other checks need these packages.")
    else:
        failed = any([_print(check()) for check in (device, memory, home, data, times)])
    return int(failed)


def _print(findings: Iterator[Finding]) -> bool:
    failed = False
    for status, text in findings:
        print(f"{status:<5} {text}", flush=True)
        failed |= status == FAIL
    return failed


def packages() -> Iterator[Finding]:
    """Python and the packages of pyproject.toml; those of an extra are optional."""
    yield OK, f"python {platform.python_version()} at {sys.executable}"
    for name, bound, extra in requirements():
        source = f"udalib[{extra}]" if extra else "udalib"
        try:
            version = metadata.version(name)
            if not extra:
                importlib.import_module(MODULES.get(name, name))  # finds missing system libraries too
        except ImportError as error:
            problem = "is missing" if isinstance(error, metadata.PackageNotFoundError) else f"is broken ({error})"
            yield NOTE if extra else FAIL, f"{name} {problem}: pip install '{source}'"
            continue
        if _numbers(version) < _numbers(bound):
            yield FAIL, f"{name} {version} is older than {bound}: pip install --upgrade '{source}'"
        else:
            yield OK, f"{name} {version}"


def requirements() -> list[tuple[str, str, str | None]]:
    """(name, lower bound, extra or None) of every package, from the installation or else from the clone."""
    try:
        lines = metadata.requires("udalib")
    except metadata.PackageNotFoundError:
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"].items()
        lines = project["dependencies"] + [f'{line}; extra == "{extra}"' for extra, each in extras for line in each]
    pattern = re.compile(r"""([\w.-]+)>=([\d.]+)(?:;\s*extra == ["'](\w+)["'])?""")
    return [pattern.fullmatch(line.replace(" ;", ";")).groups() for line in lines]


def _numbers(version: str) -> tuple[int, ...]:
    """The release part of a version: "2.11.0+cpu" -> (2, 11, 0)."""
    return tuple(int(number) for number in re.match(r"[\d.]*\d", version)[0].split("."))


def device() -> Iterator[Finding]:
    from udalib.device import describe, pick

    try:
        yield OK, f"device: {describe(pick())}"
    except ValueError as error:
        yield FAIL, str(error)


def memory() -> Iterator[Finding]:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    yield _enough(total, MEMORY_NEEDED), f"memory: {total / GB:.1f} GB, {MEMORY_NEEDED / GB:.0f} needed"


def home() -> Iterator[Finding]:
    """Is the folder of data and runs writable, and is there room?"""
    folder = runs.home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        yield FAIL, f"{folder} can't be written ({error.strerror}): set UDALIB_HOME to a folder that can"
        return
    yield OK, f"data and runs go to {folder} ($UDALIB_HOME)"
    free = shutil.disk_usage(folder).free
    yield _enough(free, DISK_NEEDED), f"disk: {free / GB:.1f} GB free there, {DISK_NEEDED / GB:.0f} needed"


def data() -> Iterator[Finding]:
    """What has been rendered so far."""
    folder = runs.home() / "streets"
    manifests = list(folder.glob("*/manifest.json"))
    finished = [manifest.parent for manifest in manifests if not manifest.parent.name.endswith(".partial")]
    if finished:
        size = sum(file.stat().st_size for split in finished for file in split.iterdir())
        yield OK, f"data: {len(finished)} rendered splits, {size / GB:.1f} GB"
    else:
        yield NOTE, "data: nothing rendered yet; the first run does it"


def _enough(there: int, needed: int) -> str:
    return OK if there >= needed else FAIL


def times() -> Iterator[Finding]:
    """How long self-training from nothing takes, extrapolated from a few seconds of the same work."""
    from udalib import data

    rates = _rates()
    for profile in data.PROFILES.values():
        seconds = sum(rates[kind] * pixels for kind, pixels in _work(profile).items())
        yield (
            OK,
            f"expected time of `udalib run st --profile {profile.name}`, first time: {_rounded(seconds)}",
        )


def _work(profile) -> dict[str, int]:
    """Pixels to render, to train on and to predict for a source-only network and self-training from it."""
    from udalib import recipes

    source, st = recipes.settings("source", profile.name), recipes.settings("st", profile.name)
    area = profile.size[0] * profile.size[1]
    images_trained_on = source.steps * source.batch_size + st.rounds * 2 * st.epochs * profile.target
    images_predicted = st.rounds * 2 * profile.target + (st.rounds + 1) * profile.val
    return {
        "render": area * (profile.source + profile.target + profile.val),
        "train": round(area * source.crop**2 * images_trained_on),
        "predict": area * images_predicted,
    }


def _rates() -> dict[str, float]:
    """Seconds per pixel of rendering, training and prediction, measured at the size of the quick profile."""
    import torch

    from udalib import models, predict, recipes, train
    from udalib.data import PROFILES, Batch, streets
    from udalib.device import pick

    profile, settings, chosen = PROFILES["quick"], recipes.settings("source", "quick"), pick()
    images = torch.randint(256, (settings.batch_size, 3, *profile.size), dtype=torch.uint8)
    batch = Batch(images, torch.randint(19, (settings.batch_size, *profile.size), dtype=torch.uint8), [])
    net, fabric = models.build(settings.network, 19).to(chosen), train.make_fabric(chosen)
    augmentation = settings.augmentation(profile.size)
    cropped = augmentation.crop[0] * augmentation.crop[1] * settings.batch_size

    def loss(net, batch: Batch, step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(step)
        images, labels = augmentation(batch.images.to(chosen), batch.labels.to(chosen), generator)
        return train.cross_entropy(net(images).logits, labels)

    def training(steps: int) -> float:
        return _timed(lambda: train.fit(net, lambda start: iter([batch] * steps), loss, settings.plan(steps), fabric))

    def prediction() -> float:
        return _timed(lambda: [probs.sum().item() for probs, _ in predict.whole(net, [batch])])

    def rendering() -> float:
        domain = streets.domain("city")
        return _timed(lambda: [streets.render(domain, "train", 0, index, profile.size) for index in range(8)])

    training(2), prediction(), rendering()  # warm up
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "train": training(8) / (8 * cropped),
        "predict": prediction() / images[:, 0].numel(),
        "render": rendering() / (8 * images[0, 0].numel() * cores),
    }


def _timed(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _rounded(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
