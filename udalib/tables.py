"""Results tables, made from run records and the papers' printed figures alone.

A table is a declaration: which runs are its rows, which rows are compared, which rows of a paper stand beside
them. `write` turns it into `NAME.csv` (everything), `NAME.md` (for reading) and `NAME.records.json` (what it
was made from).
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from udalib import labels, papers, runs

Record = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """Our runs of a recipe, one per seed, among them only those that have these settings."""

    label: str
    recipe: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def holds(self, record: Record) -> bool:
        return record["recipe"] == self.recipe and self.settings.items() <= record["settings"].items()


@dataclass(frozen=True)
class PaperRow:
    """A row of a paper's table, found by its method and backbone as printed."""

    label: str
    table: str
    method: str
    backbone: str


@dataclass(frozen=True)
class Table:
    """What a table shows.

    differences: pairs of row labels (one, other); "one minus other" is taken seed by seed.
    subset: "16" or "13" restricts class columns and mean IoU to those of 19 classes; None shows all.
    """

    name: str
    title: str
    benchmark: str
    rows: tuple[Row, ...]
    differences: tuple[tuple[str, str], ...]
    paper: tuple[PaperRow, ...]
    subset: str | None = None


_CBST_GTA5 = "001_cbst_table3_gta5_cityscapes"

TABLES = {
    table.name: table
    for table in (
        Table(
            name="self_training",
            title="Self-training",
            benchmark="game-city",
            rows=(
                Row("source-only", "source"),
                Row("AdaBN", "adabn"),
                Row("control", "control"),
                Row("ST", "st"),
                Row("oracle", "oracle"),
            ),
            differences=(
                ("AdaBN", "source-only"),
                ("control", "source-only"),
                ("ST", "source-only"),
                ("ST", "control"),
                ("oracle", "source-only"),
            ),
            paper=(
                PaperRow("source-only, FCN8s-VGG16", _CBST_GTA5, "Source only", "FCN8s-VGG16"),
                PaperRow("ST, FCN8s-VGG16", _CBST_GTA5, "ST", "FCN8s-VGG16"),
                PaperRow("source-only, ResNet-38", _CBST_GTA5, "Source only", "ResNet-38"),
                PaperRow("ST, ResNet-38", _CBST_GTA5, "ST", "ResNet-38"),
            ),
        ),
    )
}


def write(name: str, records: Iterable[str | Path | Record], folder: str | Path) -> None:
    """Write `NAME.csv`, `NAME.md` and `NAME.records.json` into `folder`.

    records: files of finished runs, or their contents, as stored in `NAME.records.json`. Every row needs one
    run for each of the same seeds, all on the table's benchmark and of one profile.

    Raises ValueError for an unknown table, for records that don't make up the table, and for a folder that
    can't be written.
    """
    if name not in TABLES:
        raise ValueError(f"There is no table {name!r}; choose one of: {', '.join(TABLES)}.")
    table = TABLES[name]
    loaded = [record if isinstance(record, dict) else runs.read_record(Path(record)) for record in records]
    by_row = _sorted_into_rows(table, loaded)
    lines = _lines(table, by_row)
    slim = [_slim(record) for row in by_row.values() for record in row]
    texts = {
        "csv": _csv(lines),
        "md": _markdown(table, by_row, lines),
        "records.json": json.dumps(slim, indent=1) + "\n",
    }
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for suffix, text in texts.items():
            runs.write_atomically(Path(folder) / f"{name}.{suffix}", text)
    except OSError as error:
        raise ValueError(
            f"Table {name} can't be written to {folder} ({error.strerror}); choose another folder."
        ) from error


# From records to rows -----------------------------------------------------------------------------------


def _sorted_into_rows(table: Table, records: list[Record]) -> dict[str, list[Record]]:
    """The records of each row, by ascending seed. Raises ValueError unless they make up the table exactly."""
    by_row: dict[str, list[Record]] = {row.label: [] for row in table.rows}
    for record in records:
        if record["status"] != "finished":
            raise ValueError(f"The run of {_title(record)} is {record['status']!r}; finish it with `udalib run` first.")
        if record["benchmark"] != table.benchmark:
            raise ValueError(f"Table {table.name} is about {table.benchmark}; leave out the run of {_title(record)}.")
        fitting = [row.label for row in table.rows if row.holds(record)]
        if not fitting:
            raise ValueError(f"Table {table.name} has no row for the run of {_title(record)}; leave it out.")
        for label in fitting:
            by_row[label].append(record)
    profiles = sorted({record["profile"] for record in records})
    if len(profiles) > 1:
        raise ValueError(f"The records mix the profiles {' and '.join(profiles)}; give those of one profile.")
    for label, row in by_row.items():
        row.sort(key=lambda record: record["seed"])
        _check_row(table, label, row, by_row[table.rows[0].label])
    return by_row


def _check_row(table: Table, label: str, row: list[Record], first: list[Record]) -> None:
    seeds, wanted = [r["seed"] for r in row], sorted({r["seed"] for r in first})
    if not row:
        raise ValueError(f"Row {label!r} of table {table.name} has no record; run its recipe first.")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"Row {label!r} of table {table.name} has two records of one seed; give one per seed.")
    if seeds != wanted:
        raise ValueError(
            f"Row {label!r} of table {table.name} has the seeds {_listed(seeds)}, but the first row "
            f"{_listed(wanted)}; give the same seeds for every row."
        )
    if any(record["settings"] != row[0]["settings"] for record in row):
        raise ValueError(f"Row {label!r} of table {table.name} mixes runs with different settings; give those of one.")


def _title(record: Record) -> str:
    return "{recipe} on {benchmark}, profile {profile}, seed {seed}".format(**record)


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))


def _slim(record: Record) -> Record:
    """A record without the bulk that no table needs."""
    bulk = ("confusion", "curve")
    return record | {"rounds": [{k: v for k, v in r.items() if k not in bulk} for r in record["rounds"]]}


# From rows to figures -----------------------------------------------------------------------------------

Figures = dict[str, float | str]  # by column; per cent as a number, or as a paper prints it; NaN or "" if there is none


@dataclass(frozen=True)
class _Line:
    """One line of the CSV; kind: see `_KINDS`."""

    label: str
    kind: str
    facts: dict[str, Any]
    mean: Figures
    std: Figures
    note: str = ""


def _lines(table: Table, by_row: dict[str, list[Record]]) -> list[_Line]:
    records = by_row[table.rows[0].label]
    names = records[0]["classes"]
    chosen = range(len(names)) if table.subset is None else labels.subset(len(names), table.subset)
    columns = [*(names[c] for c in chosen), "mIoU", "pixel accuracy"]

    def scores(record: Record) -> list[float | None]:
        last = record["rounds"][-1]
        return [*(last["iou"][c] for c in chosen), last[f"miou{table.subset or ''}"], last["pixel_accuracy"]]

    # [seeds, columns] in per cent; None becomes NaN
    values = {label: 100 * np.array([scores(r) for r in row], float) for label, row in by_row.items()}
    ours = [_ours(label, "ours", by_row[label], columns, values[label]) for label in by_row]
    differences = [
        _ours(f"{one} minus {other}", "difference", by_row[one], columns, values[one] - values[other])
        for one, other in table.differences
    ]
    return ours + differences + [_from_paper(row, records[0]["stands_for"], columns) for row in table.paper]


def _ours(label: str, kind: str, records: list[Record], columns: list[str], values: np.ndarray) -> _Line:
    facts = {
        "benchmark": records[0]["benchmark"],
        "profile": records[0]["profile"],
        "n_seeds": len(records),
        "seeds": " ".join(str(record["seed"]) for record in records),
    }
    mean, std = _spread(values)
    return _Line(label, kind, facts, dict(zip(columns, mean, strict=True)), dict(zip(columns, std, strict=True)))


def _spread(values: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and sample standard deviation over the seeds of [seeds, columns]; absent classes are left out."""
    count = (~np.isnan(values)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=0) / count
        variance = np.nansum((values - mean) ** 2, axis=0) / (count - 1)
    return mean.tolist(), np.sqrt(np.where(count > 1, variance, np.nan)).tolist()


def _from_paper(row: PaperRow, experiment: str, columns: list[str]) -> _Line:
    printed = papers.row(row.table, method=row.method, backbone=row.backbone)
    *classes, miou, accuracy = columns
    figures = {name: printed.get(_key(name), "") if papers.adds_up(printed) else "" for name in classes}
    # A printed mean belongs here only if it is over the classes shown.
    same_classes = len(classes) == sum(_key(name) in printed for name in labels.CITYSCAPES.names)
    mean = "mIoU" if same_classes else "mIoU_star" if len(classes) == 13 else ""
    figures |= {miou: printed.get(mean, ""), accuracy: printed.get("pixel_acc", "")}
    note = printed["note"] if papers.adds_up(printed) else f"{printed['note']}; the class figures are left out"
    facts = {"benchmark": experiment, "reference": papers.cite(row.table)}
    return _Line(row.label, "paper", facts, figures, {}, note)


def _key(column: str) -> str:
    return column.replace(" ", "_")


# From figures to text -----------------------------------------------------------------------------------


_KINDS = ("ours", "difference", "paper")


def _csv(lines: list[_Line]) -> str:
    columns = [name for column in lines[0].mean for name in (_key(column), f"{_key(column)}_std")]
    header = ["row", "kind", "benchmark", "profile", "n_seeds", "seeds", *columns, "reference", "note"]
    out = io.StringIO()
    writer = csv.DictWriter(out, header, restval="", lineterminator="\n")
    writer.writeheader()
    for line in lines:
        means = {_key(column): _text(value, 2) for column, value in line.mean.items()}
        stds = {f"{_key(column)}_std": _text(value, 2) for column, value in line.std.items()}
        writer.writerow({"row": line.label, "kind": line.kind, **line.facts, **means, **stds, "note": line.note})
    return out.getvalue()


def _markdown(table: Table, by_row: dict[str, list[Record]], lines: list[_Line]) -> str:
    records = [record for row in by_row.values() for record in row]
    experiment = records[0]["stands_for"]
    ours, differences, paper = ([line for line in lines if line.kind == kind] for kind in _KINDS)
    parts = [
        f"# {table.title} on {table.benchmark}, a stand-in for {experiment}",
        f"IoU and accuracy in per cent{_spread_in_words(ours[0])}.",
        _provenance(records),
        *_section(ours),
    ]
    if differences:
        parts += ["## Paired differences", "In points, taken seed by seed.", *_section(differences, sign="+")]
    for row in by_row.values():
        parts += _labels_section(table, row)
    if paper:
        references = _listed(dict.fromkeys(line.facts["reference"] for line in paper))
        parts += [f"## The paper's figures for {experiment}", f"As printed, on real images: {references}."]
        parts += _section(paper)
        parts += [f"† {line.label}: {line.note}." for line in paper if line.note]
    return "\n\n".join(parts) + "\n"


def _labels_section(table: Table, row: list[Record]) -> list[str]:
    """How good the pseudo-labels of each round were, overall and per class; nothing for a row without any."""
    rounds = [
        [record["rounds"][i]["labels"] for record in row]
        for i in range(len(row[0]["rounds"]))
        if "labels" in row[0]["rounds"][i]
    ]
    if not rounds:
        return []
    label = next(r.label for r in table.rows if r.holds(row[0]))

    def cells(values: list[list[float | None]]) -> list[str]:
        """[seeds, columns] of shares -> one text per column."""
        return [_mean_and_std(m, s) for m, s in zip(*_spread(100 * np.array(values, float)), strict=True)]

    overall = ("coverage", "precision", "recall")
    totals = [
        [f"round {i}", *cells([[labels_[key] for key in overall] for labels_ in seeds])]
        for i, seeds in enumerate(rounds, 1)
    ]
    shares = ("class_share", "class_precision", "class_recall")
    columns = [cells([labels_[key] for labels_ in seeds]) for seeds in (rounds[0], rounds[-1]) for key in shares]
    header = [f"{key.removeprefix('class_')}, round {i}" for i in (1, len(rounds)) for key in shares]
    return [
        f"## The pseudo-labels of {label}",
        "In per cent, over the target training images, held against the truth afterwards. Coverage: of the pixels "
        "with truth, those labelled. Share: of the labelled pixels, those given this class.",
        _grid(["", *overall], totals),
        _grid(["class", *header], [list(line) for line in zip(row[0]["classes"], *columns, strict=True)]),
    ]


def _spread_in_words(line: _Line) -> str:
    seeds = line.facts["n_seeds"]
    return (
        f", mean ± sample standard deviation over {seeds} seeds" if seeds > 1 else " from one seed, so without a spread"
    )


def _provenance(records: list[Record]) -> str:
    dates = sorted({record["date"] for record in records})
    versions = {f"{package} {version}": None for record in records for package, version in record["versions"].items()}
    code = {f"{record['recipe']} {record['code']}": None for record in records}
    facts = {
        "profile": records[0]["profile"],
        "seeds": _listed(sorted({record["seed"] for record in records})),
        "device": _listed(dict.fromkeys(record["device"] for record in records)),
        "date": " to ".join(dict.fromkeys((dates[0], dates[-1]))),
        "versions": _listed(versions),
        "code": _listed(code),
    }
    return "\n".join(f"* {name}: {text}" for name, text in facts.items())


def _section(lines: list[_Line], sign: str = "") -> list[str]:
    """Two tables: the totals with a row per line, and the classes with a column per line."""
    *classes, miou, accuracy = lines[0].mean
    titles = [line.label + (" †" if line.note else "") for line in lines]
    totals = [
        [label, *(_cell(line, c, sign) for c in (miou, accuracy))] for label, line in zip(titles, lines, strict=True)
    ]
    by_class = [[name, *(_cell(line, name, sign) for line in lines)] for name in classes]
    return [_grid(["", miou, accuracy], totals), _grid(["IoU", *titles], by_class)]


def _grid(header: list[str], body: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *body))


def _cell(line: _Line, column: str, sign: str) -> str:
    return _mean_and_std(line.mean[column], line.std.get(column, ""), sign)


def _mean_and_std(mean: float | str, std: float | str, sign: str = "") -> str:
    first, second = _text(mean, 1, sign), _text(std, 1)
    return f"{first} ± {second}" if second else first or "–"


def _text(value: float | str, digits: int, sign: str = "") -> str:
    """A figure as text: our own rounded, a paper's as printed, "" for none."""
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:{sign}z.{digits}f}"
