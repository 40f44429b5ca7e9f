"""The results tables of the five papers, one CSV file per table, every figure as it is printed.

An empty figure means that the paper prints a dash or has no such column. Class columns are in Cityscapes
train-id order; `mIoU_star` is the mean over 13 classes. No figure is ever corrected: the column `note` tells
what is odd about a row.
"""

import csv
import re
from importlib.resources import files
from typing import Any

from udalib.labels import CITYSCAPES

# The first three digits of a table's name, and what they stand for.
_PAPERS = {
    "000": "Chitta et al., Adaptive Semantic Segmentation with a Strategic Curriculum of Proxy Labels",
    "001": "Zou et al., Class-Balanced Self-Training, ECCV 2018",
    "002": "Shen et al., Regularizing Proxies with Multi-Adversarial Training",
    "003": "Iqbal and Ali, MLSL: Multi-Level Self-Supervised Learning",
    "004": "Mei et al., Instance Adaptive Self-Training, ECCV 2020",
}

# What the papers call one network, as patterns.
NETWORKS = {"VGG-16": "VGG|Dilation-F", "ResNet-101": "101|DeepLab-v2", "ResNet-38": "38", "ResNet-18": "ResNet-18"}
_MARK = re.compile(r"\[\d+\]|\(ours\)|\(of .*\)")  # whose row it is: a citation, or the authors' own


def names() -> list[str]:
    """The names of all tables, such as "001_cbst_table3_gta5_cityscapes"."""
    return sorted(entry.name.removesuffix(".csv") for entry in files(__name__).iterdir() if entry.name.endswith(".csv"))


def table(name: str) -> list[dict[str, str]]:
    """The rows of a table, each a dict from column to printed text.

    Raises ValueError, listing the choices, where there is no table of that name.
    """
    if name not in names():
        raise ValueError(f"There is no paper table {name!r}; choose one of: {', '.join(names())}.")
    with files(__name__).joinpath(f"{name}.csv").open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def row(name: str, **where: str) -> dict[str, str]:
    """The one row of a table with these values, as in row(name, method="ST", backbone="ResNet-38").

    Raises ValueError where no row fits, or several do.
    """
    found = [entry for entry in table(name) if all(entry.get(key) == value for key, value in where.items())]
    if len(found) != 1:
        wanted = ", ".join(f"{key} {value!r}" for key, value in where.items())
        raise ValueError(f"{len(found)} rows of paper table {name} have {wanted}; name columns that single one out.")
    return found[0]


def adds_up(entry: dict[str, str]) -> bool:
    """Whether the printed class figures of a row average to its printed mean, give or take 0.2.

    Where they don't, the note says so, and the class figures should not be quoted beside the mean.
    """
    return "class figures average" not in entry["note"]


def cite(name: str) -> str:
    """The paper and the number of a table in it."""
    number = name.split("_")[2].removeprefix("table")
    return f"{_PAPERS[name[:3]]}, Table {number}"


def author(name: str) -> str:
    """The first author of a table's paper."""
    return _PAPERS[name[:3]].split()[0]


def own_source(rows: list[dict[str, str]], index: int) -> dict[str, str] | None:
    """The source-only that a table prints for its row `index`: with the same citation, and the same encoder.

    It is the nearest such row above. None where there is none, as for most rows that are quoted from elsewhere.
    """
    row = rows[index]
    marks = {_mark(row), f"(of {row['method']})"}
    above = [other for other in rows[:index] if other["method"].startswith("Source") and _mark(other) in marks]
    fitting = [other for other in above if _encoder(other) == _encoder(row)]
    return fitting[-1] if fitting else None


def methods(ending: str, column: str = "mIoU") -> list[dict[str, Any]]:
    """What the tables whose names end so print of methods: neither source-only nor training on target labels.

    Each is a dict: "name"; "paper", the author; "network", one name for the papers' several, "not said" for none;
    "quoted", whether it is of other authors; "miou", as a number; "source", that of its own source-only, or None; and
    "row". Rows with the same figures in all classes are one, and that which has a source-only is kept.
    """
    found: dict[tuple[float, ...], dict[str, Any]] = {}
    for name in names():
        rows = table(name) if name.endswith(ending) else []
        for index, row in enumerate(rows):
            if row[column] and not row["method"].startswith(("Source", "Target")):
                source = own_source(rows, index)
                entry = {
                    "name": f"{_short(row['method'])}, {network(row)} ({author(name)})",
                    "paper": author(name),
                    "network": network(row),
                    "quoted": _mark(row) not in ("", "(ours)"),
                    "miou": float(row[column]),
                    "source": float(source[column]) if source else None,
                    "row": row,
                }
                figures = (entry["miou"], *(figure for figure in class_figures(row) if figure == figure))  # without NaN
                if found.setdefault(figures, entry)["source"] is None:
                    found[figures] = entry
    return list(found.values())


def network(row: dict[str, str]) -> str:
    """One name for what the papers call a network in several ways, "not said" where the table does not."""
    known = [name for name, pattern in NETWORKS.items() if re.search(pattern, row["backbone"])]
    return known[0] if known else row["backbone"] or "not said"


def class_figures(row: dict[str, str]) -> list[float]:
    """The printed figures of the classes of a row, in Cityscapes train-id order, NaN where there is none."""
    return [float(row.get(name.replace(" ", "_")) or "nan") for name in CITYSCAPES.names]


def _mark(row: dict[str, str]) -> str:
    found = _MARK.search(row["method"])
    return found[0] if found else ""


def _encoder(row: dict[str, str]) -> str:
    return row["backbone"].split(" + ")[0]


def _short(method: str) -> str:
    """Without citations; of a sum of parts the last one."""
    *before, last = method.split(" + ")
    return "+ " * bool(before) + _MARK.sub("", last).strip()
