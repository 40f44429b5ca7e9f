"""The results tables of the five papers, one CSV file per table, every figure as it is printed.

An empty figure means that the paper prints a dash or has no such column. Class columns are in Cityscapes
train-id order; `mIoU_star` is the mean over 13 classes. No figure is ever corrected: the column `note` tells
what is odd about a row.
"""

import csv
from importlib.resources import files

# The first three digits of a table's name, and what they stand for.
_PAPERS = {
    "000": "Chitta et al., Adaptive Semantic Segmentation with a Strategic Curriculum of Proxy Labels",
    "001": "Zou et al., Class-Balanced Self-Training, ECCV 2018",
    "002": "Shen et al., Regularizing Proxies with Multi-Adversarial Training",
    "003": "Iqbal and Ali, MLSL: Multi-Level Self-Supervised Learning",
    "004": "Mei et al., Instance Adaptive Self-Training, ECCV 2020",
}


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
