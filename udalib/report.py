"""One page about one finished run: what was run, scores, curves, label quality, indicators without labels, samples.

The page is a single HTML file with its pictures inside, for a browser, for printing, and for sending. All figures are
from the run's record, but for those that need no truth, which `indicators` computes from the stored networks.
"""

import base64
import dataclasses
import datetime
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from matplotlib.figure import Figure

from udalib import data, indicators, labels, recipes, runs, show, tables
from udalib.data import own, real
from udalib.labels import IGNORE

SAMPLES = 4  # images shown, spread evenly over those that were looked at
DPI = 2 * show.DPI  # sharp on paper
UNDEFINED = "–"
NEEDED = ("recipe", "benchmark", "profile", "seed", "settings", "code", "classes")

Progress = Callable[[int, int], None]


class Picture(NamedTuple):
    """A figure inside the page. data: a data URI. width: in pixels of a screen."""

    data: str
    alt: str
    width: int


class Table(NamedTuple):
    """Rows of numbers and text, as text. The first cell of a row is its name."""

    header: list[str]
    rows: list[list[str]]


@dataclasses.dataclass(frozen=True)
class Target:
    """What the stored networks showed on target images.

    images, available: how many were looked at, and how many there are. samples: None without a picture.
    """

    images: int
    available: int
    indicators: Table
    samples: Picture
    names: list[str]
    has_truth: bool
    has_labels: bool


def write(
    run: str | Path,
    out: str | Path | None = None,
    *,
    benchmark: str | None = None,
    root: str | Path | None = None,
    images: int = 64,
    device: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the page about a finished run and return its file.

    run: the run's folder, or its record. out: the file; default: that of the record, ending with .html. benchmark: the
    .toml file of a benchmark of one's own, whose records don't say where it is. root: folder that contains the
    datasets, for real ones. images: of the target that networks look at, spread evenly over all; 0 leaves out whatever
    needs networks or images. progress: called with (images done, images in all).

    Raises ValueError for a run that is not there or not finished, for another benchmark or other images than the
    run's, where its files are not whole, and where the page can't be written.
    """
    result = find(run)
    path = Path(out) if out else result.record_path.with_suffix(".html")
    with _refusing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    page = render(result, benchmark=benchmark, root=root, images=images, device=device, progress=progress)
    with _refusing(path):
        runs.write_atomically(path, page)
    return path


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"The report can't be written to {path} ({error.strerror}); choose another file.") from error


def find(run: str | Path) -> runs.Result:
    """The finished run in a folder, or of a record's file. Raises ValueError where there is none."""
    path = Path(run)
    if path.is_dir():
        path = path / "record.json"
    if path.suffix != ".json" or not path.is_file():
        raise ValueError(f"There is no run in {run}; give a run's folder, or the record.json in it.")
    record = runs.read_record(path)
    if record["status"] != "finished":
        raise ValueError(
            f"{path} is of a run that is {record['status']}, not finished; the command that began it goes on."
        )
    if missing := [key for key in NEEDED if key not in record]:
        raise ValueError(f"{path} has no {missing[0]!r}; give the record of a run.")
    return runs.Result(record, path)


def render(
    result: runs.Result,
    *,
    benchmark: str | None = None,
    root: str | Path | None = None,
    images: int = 64,
    device: str | None = None,
    progress: Progress | None = None,
) -> str:
    """The page about a finished run; arguments and errors as of `write`."""
    if images < 0:
        raise ValueError(f"images is {images}; give the number of target images to look at, or 0.")
    left_out, target = _left_out(result, images), None
    if not left_out:
        bench = _opened(result, benchmark, root)
        target = _on_target(result, bench, images, device, progress)
        left_out += _not_computed(result, target)
    record = result.record
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("udalib"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        title=f"{_method(record)} on {record['benchmark']}",
        result=result,
        subject=_subject(record),
        facts=_facts(result),
        same_code=_same_code(record),
        settings={key: _plain(value) for key, value in record["settings"].items()},
        protocol=record.get("protocol", {}),
        scores=_scores(result),
        per_class=_per_class(result),
        score_pictures=_score_pictures(result),
        curves=_curves(record),
        warnings=[text for entry in result.rounds for text in entry.get("game", {}).get("warnings", [])],
        quality=_quality(record),
        studies=_studies(record),
        target=target,
        left_out=left_out,
        percent=_percent,
    )


# What was run -------------------------------------------------------------------------------------------


def _method(record: dict[str, Any]) -> str:
    return tables.LABELS.get(record["recipe"], record["recipe"])


def _subject(record: dict[str, Any]) -> str:
    stands_for = record.get("stands_for", "itself")
    if stands_for != "itself":
        return f"generated streets, a stand-in for {stands_for}"
    return record.get("protocol", {}).get("experiment", record["benchmark"])


def _facts(result: runs.Result) -> dict[str, str]:
    record = result.record
    recipe, profile = recipes.RECIPES.get(record["recipe"]), data.PROFILES.get(record["profile"])
    folds = record.get("folds")
    # A run in folds is the sum of its parts; its own time and memory are those of adding them.
    seconds = sum(entry["seconds"] for entry in result.rounds) if folds else record["seconds"]
    return {
        "recipe": record["recipe"] + (f": {recipe.purpose}" if recipe else ""),
        "benchmark": f"{record['benchmark']}: {_subject(record)}",
        "profile": record["profile"] + (f": {profile.purpose}" if profile else ""),
        "seed": str(record["seed"]),
        **({"fold": str(record["fold"])} if record.get("fold") is not None else {}),
        **({"folds": f"{len(folds)}, their confusion matrices added"} if folds else {}),
        **({"started from": record["start"]} if record.get("start") else {}),
        "finished on": record["date"],
        "time": f"{datetime.timedelta(seconds=round(seconds))} (hours:minutes:seconds)",
        "hardware": record.get("device", "not recorded"),
        **({} if folds else {"peak memory": f"{record['peak_memory_mb']} MB"}),
        "code": record["code"] + ("" if _same_code(record) else ", another version than the one that wrote this page"),
        "versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
        "record": f"{result.record_path.parent.name}/{result.record_path.name}",
    }


def _same_code(record: dict[str, Any]) -> bool:
    """Whether the code that is here is the one that made the run."""
    try:
        chosen = recipes.settings(record["recipe"], record["profile"], **record["settings"])
    except ValueError:  # a recipe or setting that has another name by now
        return False
    return record["code"] == recipes.code_version(record["recipe"], chosen)


def _class_set(names: Sequence[str]) -> labels.ClassSet:
    known = (labels.CITYSCAPES, labels.SYNTHIA16, labels.SYNTHIA13, labels.NTHU13, labels.CAMVID11)
    same = (classes for classes in known if classes.names == tuple(names))
    return next(same, None) or own.class_set(tuple(names))


# From the record ----------------------------------------------------------------------------------------


def _start(result: runs.Result) -> runs.Result | None:
    """The run that this one started from, if its score is one on the same images."""
    before = indicators.started_from(result)
    same = before and all(before.record.get(key) == result.record.get(key) for key in ("benchmark", "profile", "fold"))
    return before if same else None


def _scores(result: runs.Result) -> Table:
    before, last = _start(result), result.rounds[-1]
    columns: dict[str, Callable[[dict[str, Any]], str]] = {"mIoU [%]": lambda entry: _percent(entry["miou"])}
    for which in ("16", "13"):
        if f"miou{which}" in last:
            columns[f"mIoU{which} [%]"] = lambda entry, key=f"miou{which}": _percent(entry.get(key))
    if "multi_scale" in last:
        columns["mIoU, multi-scale [%]"] = lambda entry: _percent(entry.get("multi_scale", {}).get("miou"))
    if "miou_of_folds" in last:
        columns["mIoU, mean and spread over folds [%]"] = lambda entry: _spread(entry["miou_of_folds"])
    columns["pixel accuracy [%]"] = lambda entry: _percent(entry["pixel_accuracy"])
    columns["classes present"] = lambda entry: str(entry["present"])
    columns["time [s]"] = lambda entry: f"{entry['seconds']:.1f}"
    entries = {str(entry["round"]): entry for entry in result.rounds}
    if before and "miou_of_folds" not in last:
        entries = {f"start ({_method(before.record)})": before.rounds[-1], **entries}
    rows = [[name, *(show_of(entry) for show_of in columns.values())] for name, entry in entries.items()]
    return Table(["round", *columns], rows)


def _per_class(result: runs.Result) -> Table:
    record, before = result.record, _start(result)
    columns = {"start": before.iou} if before else {}
    columns |= {f"round {entry['round']}": entry["iou"] for entry in result.rounds}
    names = record.get("scored_classes", record["classes"])
    rows = [[name, *map(_percent, ious)] for name, *ious in zip(names, *columns.values(), strict=True)]
    return Table(["class", *columns], rows)


def _score_pictures(result: runs.Result) -> list[Picture]:
    record, before = result.record, _start(result)
    bars = {"start": before.iou} if before else {}
    bars[f"round {result.rounds[-1]['round']}"] = result.iou
    classes = _class_set(record.get("scored_classes", record["classes"]))
    pictures = [_picture(show.class_bars(bars, classes), "IoU per class; the figures are in the table.")]
    points = [{"round": 0, "miou": before.miou}] if before else []
    for entry in result.rounds:
        points.append({key: value for key, value in entry.items() if key != "labels" or _has_truth(entry)})
    if len(points) > 1:
        curve = _picture(
            show.rounds({_method(record): points}), "Scores over the rounds; the figures are in the tables."
        )
        pictures.insert(0, curve)
    return pictures


def _curves(record: dict[str, Any]) -> list[Picture]:
    pictures = []
    if of_rounds := {f"round {entry['round']}": entry["curve"] for entry in record["rounds"] if "curve" in entry}:
        pictures.append(_picture(show.curves(of_rounds), "The loss over the training steps."))
    for entry in record["rounds"]:
        if "game" in entry:
            pictures += _of_game(entry["game"], record["settings"]["steps"])
    return pictures


def _of_game(game: dict[str, Any], steps: int) -> Iterator[Picture]:
    """What happened between a network and its discriminators, one or two of them."""
    ends = np.linspace(0, steps, len(game["accuracy"]) + 1)[1:]

    def over_steps(series: dict[str, Sequence[float]]) -> dict[str, list[tuple[float, float]]]:
        return {name: list(zip(ends, values, strict=True)) for name, values in series.items()}

    names = ["segmentation", "network against discriminator", "discriminator"]
    losses, accuracy = list(zip(*game["losses"], strict=True)), {"discriminator": game["accuracy"]}
    if "aux_losses" in game:
        names += ["network against second discriminator", "second discriminator"]
        losses += zip(*game["aux_losses"], strict=True)
        accuracy["second discriminator"] = game["aux_accuracy"]
    figure = show.curves(over_steps(dict(zip(names, losses, strict=True))))
    yield _picture(figure, "The losses of the network and of the discriminators.")
    figure = show.curves(over_steps(accuracy), ylabel="share of right answers")
    yield _picture(figure, "How often each discriminator tells source from target; a half is chance.")


def _has_truth(entry: dict[str, Any]) -> bool:
    """Whether a round's pseudo-labels were compared with truth."""
    return entry.get("labels", {}).get("coverage") is not None


def _quality(record: dict[str, Any]) -> tuple[Table, Picture] | None:
    entries = [entry for entry in record["rounds"] if _has_truth(entry)]
    if not entries:
        return None
    header, rows = ["round", "coverage [%]", "precision [%]", "recall [%]"], []
    for entry in entries:
        rows.append([str(entry["round"]), *(_percent(entry["labels"][k]) for k in ("coverage", "precision", "recall"))])
    of_class = {f"round {entry['round']}": entry["labels"]["class_precision"] for entry in entries}
    heat = show.class_heat(of_class, "Precision of the labels", "right", _class_set(record["classes"]))
    return Table(header, rows), _picture(heat, "Share of the pixels labelled as each class that are right, per round.")


def _studies(record: dict[str, Any]) -> dict[str, Table]:
    """Tables that a recipe puts in its rounds, such as the settings that a study compares; lists are left out."""
    studies = {}
    for entry in record["rounds"]:
        for key in ("epochs", "study"):
            if entries := entry.get(key):
                columns = [name for name, value in entries[0].items() if not isinstance(value, list)]
                rows = [[str(n + 1), *(_plain(row[name]) for name in columns)] for n, row in enumerate(entries)]
                studies[f"{key} of round {entry['round']}"] = Table(["", *columns], rows)
    return studies


# From the networks --------------------------------------------------------------------------------------


def _left_out(result: runs.Result, images: int) -> list[str]:
    """Why nothing can be computed from networks, in one sentence; none if it can."""
    wanted = "indicators without labels, and samples"
    if folds := result.record.get("folds"):
        return [
            f"Training curves, label quality, {wanted}: the run is the sum of its folds, and each fold has its own. "
            f"Write the reports of: {', '.join(folds)}."
        ]
    if not images:
        return [f"{wanted.capitalize()}: no images were asked for."]
    if not any(result.weights(entry["round"]).exists() for entry in result.rounds):
        return [f"{wanted.capitalize()}: the run's networks (round<n>.pt) do not lie beside the record."]
    return []


def _not_computed(result: runs.Result, target: Target) -> list[str]:
    record, missing = result.record, []
    if record.get("start") and indicators.started_from(result) is None:
        missing.append(f"Whatever needs the network before the first round: {record['start']} is not beside the run.")
    if "labels" in result.rounds[-1] and not target.has_labels:
        missing.append(
            "Pseudo-labels among the samples, and their coverage: the run does not keep what would make them again."
        )
    return missing


def _opened(result: runs.Result, benchmark: str | None, root: str | Path | None) -> data.Benchmark:
    """The run's benchmark, with the images that the run had."""
    record, path = result.record, result.record_path
    if benchmark is None and record["benchmark"] not in data.PAIRS and real.find_real(record["benchmark"]) is None:
        raise ValueError(
            f"{path} is of {record['benchmark']!r}, a benchmark of one's own; give its .toml file with --benchmark, "
            "or leave out all images with --images 0."
        )
    chosen = benchmark or record["benchmark"]
    pair = data.find_pair(chosen)
    if (name := getattr(pair, "name", chosen)) != record["benchmark"]:
        raise ValueError(
            f"{path} is of {record['benchmark']!r}, not of {name!r}; leave out --benchmark, or give its own."
        )
    if isinstance(pair, data.RealPair):
        prints = data.fingerprint(pair, record["profile"], root)
        for role in ("target", "val"):
            if prints[role] != record["data"][role]:
                raise ValueError(
                    f"{path} was made from other images: those of its {role} set have changed, or lie in another "
                    "folder; give that with --root, or leave out all images with --images 0."
                )
    return data.benchmark(chosen, record["profile"], record["seed"], root, fold=record.get("fold"))


def _on_target(
    result: runs.Result, bench: data.Benchmark, images: int, device: str | None, progress: Progress | None
) -> Target:
    available = len(bench.target)
    chosen = _spread_over(available, images)
    places = _spread_over(len(chosen), SAMPLES)
    rows, columns, last_labels = [], {}, None
    for stage in indicators.stages(result, bench, chosen, device, progress):
        name = "start" if stage.round == 0 else str(stage.round)
        rows.append([name, *map(_percent, (stage.entropy, stage.changed, stage.coverage))])
        # A loop, so that one network's predictions are held at a time; those of the first and the last are shown.
        columns["before" if stage.round == 0 else "after"] = stage.predictions[places]
        last_labels = None if stage.labels is None else stage.labels[places]
    if last_labels is not None:
        columns["labels"] = last_labels
    shown = [chosen[place] for place in places]
    samples = [bench.target[index] for index in shown]
    with_truth = bench.oracle().target
    truth = [with_truth[index].label for index in shown]
    has_truth = any((label != IGNORE).any() for label in truth)
    pictures = [sample.image for sample in samples]
    if has_truth:
        figure = show.qualitative(pictures, truth, columns, bench.classes)
    else:
        grid = list(zip(pictures, *columns.values(), strict=True))
        figure = show.image_grid(grid, ["input", *columns], classes=bench.classes, legend=True)
    return Target(
        images=len(chosen),
        available=available,
        indicators=_indicators(rows),
        samples=_picture(figure, "Target images with what the networks predict."),
        names=[sample.name for sample in samples],
        has_truth=has_truth,
        has_labels=last_labels is not None,
    )


def _indicators(rows: list[list[str]]) -> Table:
    """The table of the indicators; without coverage where the run had no pseudo-labels that can be made again."""
    header = ["round", "entropy [% of the largest]", "changed [%]", "coverage [%]"]
    width = len(header) if any(row[-1] != UNDEFINED for row in rows) else len(header) - 1
    return Table(header[:width], [row[:width] for row in rows])


def _spread_over(count: int, wanted: int) -> list[int]:
    """At most `wanted` of the indices 0 .. count - 1, evenly spaced."""
    return np.linspace(0, count - 1, min(wanted, count)).round().astype(int).tolist()


# As text ------------------------------------------------------------------------------------------------


def _picture(figure: Figure, alt: str) -> Picture:
    image, kind = show.encode(figure, DPI)
    encoded = base64.b64encode(image).decode()
    return Picture(f"data:image/{kind};base64,{encoded}", alt, round(figure.get_figwidth() * show.DPI))


def _percent(share: float | None) -> str:
    return UNDEFINED if share is None else f"{100 * share:.1f}"


def _spread(shares: list[float | None]) -> str:
    known = [100 * share for share in shares if share is not None]
    return f"{np.mean(known):.1f} ± {np.std(known, ddof=1):.1f}"


def _plain(value: Any) -> str:
    if value is None:
        return UNDEFINED
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)
