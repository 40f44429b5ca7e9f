"""Scoring a trained network, a run's or one that its authors released, on a benchmark's validation set."""

import collections
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Subset

from udalib import data, labels, models, predict, processes, recipes, runs, score
from udalib.data.sets import bdd100k
from udalib.recipes.real_experiment import AnyClasses, left_out

# Scores a network of the 19 classes on truth in fewer of them.
MERGES = {
    labels.SYNTHIA16: labels.Merge(labels.CITYSCAPES, labels.SYNTHIA16, ()),
    labels.CAMVID11: labels.CITYSCAPES_TO_CAMVID11,
}


def network_of_run(checkpoint: Path, classes: labels.ClassSet) -> nn.Module:
    """The network in a file `round<n>.pt` of a run's folder, in evaluation mode on the CPU.

    Raises ValueError where the file is no such file, and where the network was trained for other classes.
    """
    record_path, number = checkpoint.parent / "record.json", re.fullmatch(r"round(\d+)\.pt", checkpoint.name)
    if number is None or not checkpoint.exists() or not record_path.exists():
        raise ValueError(
            f"{checkpoint} is not a network in a run's folder, round<number>.pt beside record.json; "
            "for a released one say which form it has (--released)."
        )
    result = runs.Result(runs.read_record(record_path), record_path)
    trained_for = result.record.get("classes")
    if trained_for != list(classes.names):
        raise ValueError(
            f"{checkpoint} belongs to a run that is not finished, or was trained for other classes than "
            f"{classes.name}; choose a benchmark with the classes of {result.record['benchmark']}."
        )
    return recipes.load_network(result, int(number[1]), "cpu")


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
