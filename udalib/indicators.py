"""What a run's networks show on target images of which nobody knows the truth.

Three indicators that need no label: the coverage of the pseudo-labels, the entropy of the predictions, and the share of
pixels whose prediction changes from one network to the next. They say whether training settled, and how sure the
networks are; none of them says how many predictions are right.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from udalib import data, predict, recipes, runs, select, train
from udalib.labels import IGNORE
from udalib.recipes.real_experiment import left_out

# Recipes whose pseudo-labels follow from a network and from thresholds that the run keeps. That of `proxies` also takes
# the range of its discriminators, which no run keeps; `curriculum` labels in each step anew.
THRESHOLDED = ("st", "cbst", "st-sp", "cbst-sp", "sisc", "mlsl", "iast")


class Stage(NamedTuple):
    """A run's network on N target images.

    round: after which it was stored; 0 is the network that the run started from.
    predictions: uint8 [N,H,W], among the classes that count in the benchmark.
    labels: uint8 [N,H,W], 255 = ignore, the pseudo-labels that the network was trained on; None where there were none,
        or where they can't be made again.
    entropy: mean over the pixels, as a share of the largest possible: see `train.normalised_entropy`.
    changed: share of the pixels that the network before predicted as another class; None for the first network.
    coverage: share of the pixels that `labels` labels.
    """

    round: int
    predictions: Tensor
    labels: Tensor | None
    entropy: float
    changed: float | None
    coverage: float | None


def started_from(result: runs.Result) -> runs.Result | None:
    """The run whose network another one started from; None if there was none, or its folder is not beside."""
    path = result.record_path.parent.parent / (result.record.get("start") or "") / "record.json"
    return runs.Result(runs.read_record(path), path) if path.exists() else None


def stages(
    result: runs.Result,
    bench: data.Benchmark,
    indices: Sequence[int],
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Stage]:
    """Look at a run's networks in their order, on the target images `indices` of its benchmark.

    bench: opened as for the run; its target may be without labels, which are not read. progress: called with (images
        done, images in all), of all networks together.

    Raises ValueError where a file of the run is missing, damaged, or of another version of the code.
    """
    before = started_from(result)
    networks = [(0, before, None)] if before else []
    networks += [(entry["round"], result, entry["round"]) for entry in result.rounds]
    images, last, done = Subset(bench.target, indices), None, itertools.count(1)

    def advance() -> None:
        if progress:
            progress(next(done), len(networks) * len(indices))

    for number, owner, weights in networks:
        net = _network(owner, weights, device)
        predictions, entropy = _look(net, images, left_out(bench), advance)
        labels = pseudo_labels(result, number, bench, indices, device) if number else None
        yield Stage(
            number,
            predictions,
            labels,
            entropy,
            changed=None if last is None else _share(predictions != last),
            coverage=None if labels is None else _share(labels != IGNORE),
        )
        last = predictions


def pseudo_labels(
    result: runs.Result, number: int, bench: data.Benchmark, indices: Sequence[int], device: str | None = None
) -> Tensor | None:
    """Make the pseudo-labels of round `number` again for the target images `indices`: uint8 [N,H,W], 255 = ignore.

    They come from the network before the round and from the thresholds that the run kept. Where the run predicted on
    windows drawn at random, and `indices` are not all images, others are drawn: labels like those, but not the same.

    None where the recipe has no such labels, and where the run that this one started from is not there to make those of
    its first round. Raises ValueError as `stages` does.
    """
    label = _labelling(result, number)
    net = _labeller(result, number, device) if label else None
    if net is None:
        return None
    stream = _as_predicted(result, number, net, data.ordered_batches(Subset(bench.target, indices), batch_size=1))
    return torch.cat([label(probs, index).cpu() for (probs, _), index in zip(stream, indices, strict=True)])


def _labelling(result: runs.Result, number: int) -> Callable[[Tensor, int], Tensor] | None:
    """What turned the probabilities [1,C,H,W] of a target image, and its index, into labels in a round."""
    recipe, settings = result.record["recipe"], result.record["settings"]
    thresholds = result.rounds[number - 1].get("thresholds")
    if recipe not in THRESHOLDED or thresholds is None:
        return None
    if settings.get("selector") == "instance":
        walk = result.rounds[number - 1]["trajectory"]
        # float64, as they were: rounded to float32 a threshold can pass other pixels.
        of_image = torch.tensor(walk["thresholds"], dtype=torch.float64)[torch.tensor(walk["order"]).argsort()]
        adaptive = select.InstanceAdaptive(variant=settings["variant"])
        return lambda probs, index: adaptive.label_with(probs, of_image[index : index + 1])
    has_prior = settings.get("prior", "kernel" in settings)  # SISC's is an option
    prior = select.SpatialPrior.load(_stored(result, "prior.pt")) if has_prior else None
    if isinstance(thresholds, list):
        variant = "paper" if recipe == "iast" else settings["variant"]
        selector = select.ClassBalanced(settings["portion"], prior, variant)
        selector.thresholds = torch.tensor(thresholds)
    else:
        selector = select.SelfTraining(settings["portion"], prior)
        selector.thresholds = torch.tensor(thresholds)
    # A run does not keep the largest confidence; where a threshold can equal it, it is that of saturation.
    selector.largest = torch.ones_like(selector.thresholds)
    return lambda probs, index: selector.label(probs)


def _labeller(result: runs.Result, number: int, device: str | None) -> nn.Module | None:
    """The network that predicted for the labels of a round."""
    if number == 1:
        before = started_from(result)
        return _network(before, None, device) if before else None
    net = _network(result, number - 1, device)
    if result.record["settings"].get("labeller") == "middle":
        net.load_state_dict(train.load(_stored(result, f"round{number - 1}.middle.pt")))
    return net


def _as_predicted(
    result: runs.Result, number: int, net: nn.Module, batches: Iterable[data.Batch]
) -> Iterable[tuple[Tensor, list[str]]]:
    """Probabilities as a run made them for the labels of a round: of whole images, or of windows."""
    settings = result.record["settings"]
    if "windows" not in settings:
        return predict.whole(net, batches)
    height = next(iter(batches)).images.shape[-2]
    side = max(8, round(settings["window"] * height / 8) * 8)
    return predict.windows(
        net,
        batches,
        settings["windows"],
        size=(side, side),
        generator=data.seeded(result.record["seed"], number),
        **{key: settings[key] for key in ("include_full", "placement", "vote", "flip")},
    )


def _look(net: nn.Module, images: Dataset, dropped: list[int], advance: Callable[[], None]) -> tuple[Tensor, float]:
    """Predictions uint8 [N,H,W], and the mean entropy."""
    predictions, entropies = [], []
    for probs, _ in predict.whole(net, data.ordered_batches(images, batch_size=1)):
        entropies.append(train.normalised_entropy(probs).mean(dtype=torch.float64).item())
        probs[:, dropped] = -1
        predictions.append(probs.argmax(dim=1).byte().cpu())
        advance()
    return torch.cat(predictions), sum(entropies) / len(entropies)


def _network(result: runs.Result, number: int | None, device: str | None) -> nn.Module:
    _stored(result, result.weights(number).name)
    try:
        return recipes.load_network(result, number, device)
    except RuntimeError as error:  # names or shapes that don't fit
        raise ValueError(
            f"{result.weights(number)} was stored by another version of the code, whose network "
            f"{result.record['settings']['network']!r} had other weights; run {result.record['recipe']} again, "
            "or leave out what needs its networks."
        ) from error


def _stored(result: runs.Result, name: str) -> Path:
    path = result.record_path.parent / name
    if not path.exists():
        raise ValueError(f"{path} is missing; give the whole folder of the run, or leave out what needs its networks.")
    return path


def _share(mask: Tensor) -> float:
    return mask.sum().item() / mask.numel()
