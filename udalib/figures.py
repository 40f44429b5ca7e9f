"""Figures that need more than records: rendered streets, and what trained networks predict on them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import Dataset

from udalib import data, indicators, predict, recipes, runs, select, show, tables, train
from udalib.data import streets
from udalib.labels import IGNORE


def write_streets(folder: str | Path, columns: int = 3, seed: int = 0) -> None:
    """Write `streets.png`: the first images of every embedded domain, each with its labels."""
    domains = {name: streets.domain(name) for name in streets.DOMAINS}
    domains["city at 0.5"] = streets.domain("city", appearance=0.5)  # the target of game-city
    rows = []
    for domain in domains.values():
        pairs = [streets.render(domain, "train", seed, index) for index in range(columns)]
        rows.append([picture for image, label in pairs for picture in (image.transpose(2, 0, 1), label)])
    fig = show.image_grid(rows, row_titles=list(domains), legend=True)
    show.save(fig, Path(folder) / "streets.png")


# Whose predictions stand beside those of source-only, and whose pseudo-labels come last, under which title.
QUALITATIVE = {
    "self_training": (("st",), "st", "pseudo-labels"),
    "class_balance": (("st", "cbst", "cbst-sp"), "cbst", "CBST labels"),
}


def write_qualitative(
    records: Iterable[str | Path], folder: str | Path, count: int = 4, name: str = "self_training"
) -> None:
    """Write `NAME.png`: validation images with truth, predictions of several recipes, and pseudo-labels of one.

    records: files of finished runs, among them `source` and the recipes that `QUALITATIVE` has under this name; the
    smallest seed of all is shown. The networks are fetched like any run, so they are trained again where their
    folder is gone.
    count: images, spread evenly over the validation set, not picked by hand.

    Raises ValueError where a record is missing, or was made by another version of the code.
    """
    shown, labelling, title = QUALITATIVE[name]
    found = _of_one_seed([runs.read_record(Path(path)) for path in records], ("source", *shown))
    results = {recipe: _fetch(record) for recipe, record in found.items()}
    labels = results[labelling]
    bench = data.benchmark(labels.record["benchmark"], labels.record["profile"], labels.record["seed"])
    batch = _evenly(bench.val, count)
    predictions = {
        tables.LABELS[recipe]: _predict(recipes.load_network(result), batch).argmax(dim=1)
        for recipe, result in results.items()
    }
    predictions[title] = _pseudo_labels(labels, results["source"], batch)
    fig = show.qualitative(batch.images, batch.labels, predictions, bench.classes)
    fig.suptitle(_subject(labels.record) + ", seed {seed}".format(**labels.record), fontsize="small")
    show.save(fig, Path(folder) / f"{name}.png")


@show.styled
def write_portions(records: Iterable[str | Path], folder: str | Path) -> None:
    """Write `portions.png`: mIoU over the rounds of ST-SP and CBST-SP, for each portion and step of their policy.

    A miniature of Zou et al., ECCV 2018, Figure 5.

    records: files of finished runs, those of table portions. Lines are means over the seeds, bands the sample
    standard deviation.

    Raises ValueError for records that don't make up the table.
    """
    _, by_row = tables.load("portions", records)
    methods = ("ST-SP", "CBST-SP")
    fig = Figure(figsize=(show.WIDTH, 3.4))
    for ax, method in zip(fig.subplots(1, 2, sharey=True), methods, strict=True):
        for setting, colour in zip(tables.PORTIONS, show.PALETTE, strict=False):
            row = by_row[tables.portion_label(method, *setting)]
            numbers = [entry["round"] for entry in row[0]["rounds"]]
            miou = [[entry["miou"] for entry in record["rounds"]] for record in row]
            _band(ax, numbers, miou, colour, "{:g} + {:g} per round".format(*setting))
        ax.set(title=method, xlabel="round", xticks=numbers)
        ax.grid()
    fig.axes[0].set_ylabel("mIoU [%]")
    fig.axes[1].legend(title="portion of labels", loc="lower left")
    fig.suptitle(f"{_subject(row[0])}, {_seeds(row)}", fontsize="small")
    show.save(fig, Path(folder) / "portions.png")


@show.styled
def write_agreement(records: Iterable[str | Path], folder: str | Path) -> None:
    """Write `agreement.png`: on how many pixels two decoders differ, epoch by epoch, and how right they are.

    records: files of finished runs, those of table agreement. Lines are means over the seeds, bands the sample
    standard deviation.

    Raises ValueError for records that don't make up the table.
    """
    _, by_row = tables.load("agreement", records)
    row = by_row[tables.agreement_label(tables.AGREEMENT_EPOCHS[-1])]
    fig = Figure(figsize=(show.WIDTH, 3.4))
    hard, right = fig.subplots(1, 2)
    for domain, colour in zip(("source", "target"), show.PALETTE, strict=False):
        shares = [[entry[f"{domain}_hard"] for entry in record["rounds"][-1]["epochs"]] for record in row]
        _band(hard, range(1, len(shares[0]) + 1), shares, colour, domain)
    for which, colour in zip(("easy", "hard"), show.PALETTE[2:], strict=False):
        shares = [[entry[f"{which}_precision"] for entry in record["rounds"][-1]["study"]] for record in row]
        _band(right, tables.AGREEMENT_EPOCHS, shares, colour, f"{which} pixels")
    hard.set(title="Pixels on which the decoders differ", xlabel="epoch", ylabel="share of the pixels [%]")
    right.set(title="Target pixels that are right", xlabel="after epoch", ylabel="precision [%]")
    for ax in (hard, right):
        ax.grid()
        ax.legend()
    fig.suptitle(f"{_subject(row[0])}, {_seeds(row)}", fontsize="small")
    show.save(fig, Path(folder) / "agreement.png")


@show.styled
def write_kept(records: Iterable[str | Path], folder: str | Path) -> None:
    """Write `instance_study.png`: how much of each class is labelled, for every gamma (Mei et al., Figure 6).

    records: files of finished runs, those of table instance_study. Marks are means over the seeds of the share of the
    pixels predicted as a class that is labelled; classes stand in the order of what they lose, as a share of it, from
    the first gamma to the last.

    Raises ValueError for records that don't make up the table.
    """
    table, by_row = tables.load("instance_study", records)
    rows = {row.label: row for row in table.rows}
    kept = {}
    for gamma in tables.GAMMAS:
        label = tables.instance_label(0.2, 0.9, gamma)
        shares = [tables.kept_shares(rows[label].scores(record)) for record in by_row[label]]
        kept[gamma] = 100 * np.nanmean(np.array(shares, float), axis=0)
    first, last = kept[tables.GAMMAS[0]], kept[tables.GAMMAS[-1]]
    order = np.argsort((first - last) / first, kind="stable")
    record = by_row[label][0]
    fig = Figure(figsize=(show.WIDTH, 3.4))
    ax = fig.subplots()
    for number, (gamma, shares) in enumerate(kept.items()):
        colour = matplotlib.colormaps["viridis"](0.9 * number / (len(kept) - 1))
        ax.plot(shares[order], "o", color=colour, label=f"gamma {gamma}")
    names = [record["classes"][index] for index in order]
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    ax.set(title="Labelled of the pixels predicted as a class", ylabel="share [%]", ylim=(0, None))
    ax.grid()
    fig.legend(loc="outside right center")
    fig.suptitle(f"{_subject(record)}, {_seeds(by_row[label])}", fontsize="small")
    show.save(fig, Path(folder) / "instance_study.png")


# The three ways of thresholding, and the rows of table instance_adaptive that have them.
_WAYS = {
    "constant": "+ constant ST",
    "class-balanced": "+ class-balanced ST",
    "instance": "+ instance adaptive selector",
}
# Classes whose thresholds are drawn, frequent and rare ones.
_FOLLOWED = ("road", "sky", "car", "person", "traffic sign", "motorcycle")


@show.styled
def write_thresholds(records: Iterable[str | Path], folder: str | Path) -> None:
    """Write `instance_adaptive.png`: thresholds over the images of round 1, in three ways (Mei et al., Figure 4).

    One for all classes, one per class, and one per class that moves from image to image. records: files of finished
    runs, those of table instance_adaptive; the smallest seed is shown.

    Raises ValueError for records that don't make up the table.
    """
    _, by_row = tables.load("instance_adaptive", records)
    fig = Figure(figsize=(show.WIDTH, 3.4))
    for ax, (title, label) in zip(fig.subplots(1, 3, sharex=True, sharey=True), _WAYS.items(), strict=True):
        record = by_row[label][0]
        first = record["rounds"][0]
        single = np.ndim(first["thresholds"]) == 0
        if single:
            ax.axhline(first["thresholds"], color="0.3", label="all classes")
        for name, colour in () if single else zip(_FOLLOWED, show.PALETTE, strict=False):
            place = record["classes"].index(name)
            if "trajectory" in first:
                path = [thresholds[place] for thresholds in first["trajectory"]["thresholds"]]
                ax.plot(path, color=colour, label=name)
            else:
                ax.axhline(first["thresholds"][place], color=colour)
        ax.set(title=title, xlabel="image")
        ax.grid()
    fig.axes[0].set_ylabel("threshold")
    fig.legend(loc="outside right center")
    fig.suptitle(_subject(record) + ", seed {seed}, round 1".format(**record), fontsize="small")
    show.save(fig, Path(folder) / "instance_adaptive.png")


def write_instance_labels(records: Iterable[str | Path], folder: str | Path, count: int = 3) -> None:
    """Write `instance_labels.png`: labels of round 1 in three ways, and what comes out (beside Mei et al., Figure 5).

    records: files of finished runs, those of table instance_adaptive; the smallest seed is shown, on `count` of the
    target's training images, spread evenly.

    Raises ValueError for records that don't make up the table, or were made by another version of the code.
    """
    _, by_row = tables.load("instance_adaptive", records)
    results = {label: _fetch(by_row[label][0]) for label in ("warm-up", *_WAYS.values(), "+ ignored region")}
    before, whole = results["warm-up"], results["+ ignored region"]
    bench = data.benchmark(*(whole.record[key] for key in ("benchmark", "profile", "seed"))).oracle()
    chosen = _spread(len(bench.target), count)
    batch = data.collate([bench.target[index] for index in chosen])
    columns = {
        "warm-up": _predict(recipes.load_network(before), batch).argmax(dim=1),
        **{way: indicators.pseudo_labels(results[label], 1, bench, chosen) for way, label in _WAYS.items()},
        "IAST": _predict(recipes.load_network(whole), batch).argmax(dim=1),
    }
    fig = show.qualitative(batch.images, batch.labels, columns, bench.classes)
    fig.suptitle(
        _subject(whole.record) + ", seed {seed}, labels of round 1 in three ways".format(**whole.record),
        fontsize="small",
    )
    show.save(fig, Path(folder) / "instance_labels.png")


def write_curriculum(records: Iterable[str | Path], folder: str | Path, count: int = 3) -> None:
    """Write `curriculum.png`: predictions before and after, and the pixels on which two decoders agree, early and late.

    records: files of finished runs, those of table curriculum; the smallest seed is shown, on `count`
    validation images, spread evenly. The last two columns are what both decoders of the whole method predict,
    where they agree, after the first and after the last epoch.

    Raises ValueError for records that don't make up the table, or were made by another version of the code.
    """
    _, by_row = tables.load("curriculum", records)
    rows = ("source-only", "self-training", "+ source hard mining")
    source, alone, whole = (_fetch(by_row[row][0]) for row in rows)
    bench = data.benchmark(*(whole.record[key] for key in ("benchmark", "profile", "seed")))
    batch = _evenly(bench.val, count)
    pair = recipes.load_network(whole)
    predictions = {
        "source-only": _predict(recipes.load_network(source), batch).argmax(dim=1),
        "self-training": _predict(recipes.load_network(alone), batch).argmax(dim=1),
        "curriculum": _predict(pair, batch).argmax(dim=1),
    }
    late = _agreed(pair, batch)
    pair.load_state_dict(train.load(whole.weights().parent / "epoch1.pt"))
    predictions["agreed, early"] = _agreed(pair, batch)
    predictions["agreed, late"] = late
    fig = show.qualitative(batch.images, batch.labels, predictions, bench.classes)
    fig.suptitle(_subject(whole.record) + ", seed {seed}".format(**whole.record), fontsize="small")
    show.save(fig, Path(folder) / "curriculum.png")


@torch.no_grad()
def _agreed(pair: nn.Module, batch: data.Batch) -> Tensor:
    """What both decoders of a network predict, uint8 [B,H,W], 255 where they differ."""
    device = next(pair.parameters()).device
    output = pair(batch.images.to(device))
    return select.ensemble_labels(recipes.curriculum.both_decoders(output, batch.labels.shape[-2:])).cpu()


def _evenly(dataset: Dataset, count: int) -> data.Batch:
    return data.collate([dataset[place] for place in _spread(len(dataset), count)])


def _spread(length: int, count: int) -> list[int]:
    """Places spread evenly over a dataset, not picked by hand."""
    return np.linspace(0, length - 1, count).round().astype(int).tolist()


def _band(ax: Axes, x: Iterable[float], shares: list[list[float | None]], colour, label: str) -> None:
    """Mean and sample standard deviation over the seeds of shares [seeds, points], where they are defined."""
    values = 100 * np.array(shares, float)
    mean = values.mean(axis=0)
    ax.plot(x, mean, "o-", color=colour, label=label)
    if len(values) > 1:
        std = values.std(axis=0, ddof=1)
        ax.fill_between(x, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)


def _seeds(row: list[dict[str, Any]]) -> str:
    return f"{len(row)} seed{'s' if len(row) > 1 else ''}"


def _subject(record: dict[str, Any]) -> str:
    return f"{tables.subject(record)}; profile {record['profile']}"


def _of_one_seed(records: list[dict[str, Any]], wanted: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The records of the recipes `wanted`, with the smallest seed that all of them have."""
    of = {(r["recipe"], r["seed"]): r for r in records}
    seeds = [seed for recipe, seed in of if all((other, seed) in of for other in wanted)]
    if not seeds:
        both = "both" if len(wanted) == 2 else "all"
        raise ValueError(f"The figure compares {' and '.join(wanted)}; give the records of {both}, with one seed.")
    return {recipe: of[recipe, min(seeds)] for recipe in wanted}


def _fetch(record: dict[str, Any]) -> runs.Result:
    name, settings = record["recipe"], record["settings"]
    if record["code"] != recipes.code_version(name, recipes.settings(name, record["profile"], **settings)):
        raise ValueError(f"The record of {name} was made by another version of the code; run {name} again.")
    return recipes.run(name, record["benchmark"], record["profile"], record["seed"], **settings)


def _pseudo_labels(labels: runs.Result, source: runs.Result, batch: data.Batch) -> Tensor:
    """The labels int64 [B,H,W] that the thresholds of the last round select: one for all classes, or one for each."""
    last = labels.rounds[-1]
    before = recipes.load_network(labels, last["round"] - 1) if last["round"] > 1 else recipes.load_network(source)
    thresholds = torch.tensor(last["thresholds"]).view(-1, 1, 1)
    quotient, label = (_predict(before, batch) / thresholds).max(dim=1)
    label[quotient <= 1] = IGNORE
    return label


def _predict(net: nn.Module, batch: data.Batch) -> Tensor:
    """Probabilities float32 [B,C,H,W], on the CPU."""
    ((probs, _),) = predict.whole(net, [batch])
    return probs.cpu()


# Pictures that show the records of a table, most of them that of their name.
WRITERS = {
    "portions": write_portions,
    "curriculum": write_curriculum,
    "agreement": write_agreement,
    "instance_study": write_kept,
    "instance_adaptive": write_thresholds,
    "instance_labels": write_instance_labels,
}
# The table whose records a picture shows, where it has another name.
TABLE_OF = {"instance_labels": "instance_adaptive"}
