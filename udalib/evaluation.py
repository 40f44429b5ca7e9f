"""Scoring a trained network, a run's or one that its authors released, on a benchmark's validation set."""

import collections
import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Subset

from udalib import data, labels, models, predict, processes, recipes, runs, score
from udalib.data.sets import bdd100k
from udalib.recipes.paper_experiment import Seen
from udalib.recipes.real_experiment import AnyClasses, left_out

# Scores a network of the 19 classes on truth in fewer of them.
MERGES = {
    labels.SYNTHIA16: labels.Merge(labels.CITYSCAPES, labels.SYNTHIA16, ()),
    labels.CAMVID11: labels.CITYSCAPES_TO_CAMVID11,
}


def run_of(checkpoint: Path) -> tuple[runs.Result, int]:
    """The run that a file `round<n>.pt` in its folder belongs to, and n. Raises ValueError where it is no such file."""
    record_path, number = checkpoint.parent / "record.json", re.fullmatch(r"round(\d+)\.pt", checkpoint.name)
    if number is None or not checkpoint.exists() or not record_path.exists():
        raise ValueError(
            f"{checkpoint} is not a network in a run's folder, round<number>.pt beside record.json; "
            "for a released one say which form it has (--released)."
        )
    return runs.Result(runs.read_record(record_path), record_path), int(number[1])


def network_of_run(checkpoint: Path, bench: data.Benchmark) -> nn.Module:
    """The network in a file `round<n>.pt` of a run's folder, in evaluation mode on the CPU, as the run tested it.

    bench: what it is to be scored on. A run with a `target_size` shows its network the images at that size.

    Raises ValueError where the file is no such file, and where the network was trained for other classes.
    """
    result, number = run_of(checkpoint)
    if result.record.get("classes") != list(bench.classes.names):
        raise ValueError(
            f"{checkpoint} belongs to a run that is not finished, or was trained for other classes than "
            f"{bench.classes.name}; choose a benchmark with the classes of {result.record['benchmark']}."
        )
    net = recipes.load_network(result, number, "cpu")
    seen, size = result.record["settings"].get("target_size"), bench.val[0].image.shape[-2:]
    return Seen(net, tuple(a / b for a, b in zip(seen, size, strict=True))) if seen else net


def by_time_of_day(bench: data.Benchmark, path: Path) -> dict[str, data.Benchmark]:
    """A benchmark for each time of day, with the validation images of that time; of the others it is "unknown".

    path: see `bdd100k.times_of_day`. Raises ValueError where the file knows none of the images.
    """
    times, members = bdd100k.times_of_day(path), collections.defaultdict(list)
    for index in range(len(bench.val)):
        members[times.get(bench.val[index].name, "unknown")].append(index)
    if members.keys() == {"unknown"}:
        raise ValueError(f"{path} has no validation image of {bench.name}; give the labels of that split of BDD100K.")
    return {time: dataclasses.replace(bench, val=Subset(bench.val, members[time])) for time in sorted(members)}


@torch.no_grad()
def confusion(
    net: nn.Module,
    bench: data.Benchmark,
    flip: bool = False,
    scales: tuple[float, ...] = (1.0,),
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> score.ConfusionMatrix:
    """The confusion matrix of `net` on the validation set of `bench`.

    flip, scales: see `predict.whole`. batch_size: images predicted at once; their sizes must be equal. progress:
        called with (images done, images in all).

    Several processes share the images and return the same matrix; see `processes`.
    Predictions are among the classes that the benchmark keeps, if it names any.
    A network of the 19 Cityscapes classes is also scored on benchmarks with the classes of SYNTHIA or CamVid: a
    prediction of a class that they don't have is then wrong for its pixel, and a false positive of no class.

    Raises ValueError where the network's classes can't be scored on the benchmark's.
    """
    outputs, classes = net.num_classes, bench.classes
    to_outputs, dropped = torch.arange(256, dtype=torch.uint8), []
    if outputs == len(classes):
        matrix, dropped = AnyClasses(outputs, bench.merge), left_out(bench)
    elif outputs == len(labels.CITYSCAPES) and classes in MERGES:
        matrix = AnyClasses(outputs, MERGES[classes])
        to_outputs[: len(classes)] = torch.tensor(classes.train_ids, dtype=torch.uint8)
    else:
        raise ValueError(
            f"The network has {outputs} classes and {bench.name} {len(classes)}; choose a benchmark with its classes."
        )
    done, images = 0, processes.share_of(bench.val)
    for batch in data.ordered_batches(images, batch_size):
        for probs, _ in predict.whole(net, [batch], flip=flip, scales=scales):
            probs[:, dropped] = -1
            matrix.update(probs.argmax(dim=1).cpu(), to_outputs[batch.labels.long()])
        done += len(batch.names)
        if progress:
            progress(done, len(images))
    matrix.matrix = processes.summed(matrix.matrix)
    return matrix


def released(checkpoint: Path, form: str, branches: int | None, height: int | None) -> nn.Module:
    """A released network, set up as its authors test it: see `models.load_released` and `models.AsReleased`.

    height: of the image that the network sees, in pixels, in place of its authors'.
    """
    net = models.load_released(checkpoint, form, branches)
    return models.AsReleased(net, height or models.find_form(form).test_height)


def protocol(
    net: nn.Module, bench: data.Benchmark, flip: bool = False, scales: tuple[float, ...] = (1.0,)
) -> dict[str, str]:
    """What the score that `confusion` gives depends on, in words, for the command line."""
    size, classes = bench.val[0].image.shape[-2:], bench.merge.target if bench.merge else bench.classes
    known = getattr(bench, "protocol", {})  # of a benchmark on real datasets
    scored = known.get("scored", f"{len(classes)} classes ({classes.name})")
    if net.num_classes != len(bench.classes):
        scored = f"{len(classes)} classes ({classes.name}): predictions of the network's others are errors (strict)"
    val = known.get("val", f"{len(bench.val)} images of {_by(size)}, seed {bench.seed}")
    if bench.fold is not None:
        val += f"; fold {bench.fold} alone, {len(bench.val)} images"
    seen, corners = "", False
    if isinstance(net, models.AsReleased):
        seen, corners = f"a height of {net.height}" if net.height else "", True
    elif isinstance(net, Seen):
        seen = _by([round(side * factor) for side, factor in zip(size, net.factors, strict=True)])
    resizing = "images by area (linear where they grow), labels nearest; " if known else ""
    resizing += f"for the network bicubic to {seen}; " if seen else ""
    return {
        "scored": scored,
        "val": val,
        "resizing": f"{resizing}logits bilinear, align_corners={corners}",
        "test": f"scales {', '.join(f'{scale:g}' for scale in scales)}; mirror images: {'yes' if flip else 'no'}",
    }


def _by(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
