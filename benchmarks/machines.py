"""How far apart the same runs end on two machines or in two number types, and which verdicts that changes.

Run: python benchmarks/machines.py ONE OTHER. Each is a folder like figures/, with tables/ and claims/ in it: that of
another checkout, say, after `make tables` and `make claims`. Runs are the same where recipe, benchmark, profile, seed,
settings and code are.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np


def runs(folder: Path) -> dict[str, float]:
    """From what makes a run the same to its mIoU after the last round, in per cent."""
    keys = ("recipe", "benchmark", "profile", "seed", "settings", "code")
    records = [record for path in folder.glob("tables/*.records.json") for record in json.loads(path.read_text())]
    return {
        json.dumps([record[key] for key in keys], sort_keys=True): 100 * miou
        for record in records
        if (miou := record["rounds"][-1]["miou"]) is not None
    }


def verdicts(folder: Path) -> dict[tuple[str, ...], str]:
    """From a ledger's comparison to its verdict."""
    return {
        (path.stem, *(row[key] for key in ("claim", "comparison", "table", "column"))): row["verdict"]
        for path in folder.glob("claims/*.csv")
        for row in csv.DictReader(path.read_text().splitlines())
        if row["verdict"] != "not measured"
    }


def main(one: str, other: str) -> None:
    ours, theirs = runs(Path(one)), runs(Path(other))
    same = sorted(ours.keys() & theirs.keys())
    if not same:
        sys.exit("The two folders have no run in common; make the same tables with the same code in both.")
    by_recipe: dict[str, list[float]] = {}
    for key in same:
        by_recipe.setdefault(json.loads(key)[0], []).append(abs(ours[key] - theirs[key]))
    by_recipe["all"] = [gap for gaps in by_recipe.values() for gap in gaps]
    print("| recipe | runs | mean difference in mIoU [points] | largest |\n| --- | ---: | ---: | ---: |")
    for recipe, gaps in by_recipe.items():
        print(f"| {recipe} | {len(gaps)} | {np.mean(gaps):.2f} | {max(gaps):.2f} |")
    before, after = verdicts(Path(one)), verdicts(Path(other))
    compared = before.keys() & after.keys()
    changed = sorted(key for key in compared if before[key] != after[key])
    print(f"\nOf {len(compared)} comparisons in the ledgers {len(changed)} have another verdict.")
    for key in changed:
        print(f"* {', '.join(key)}: {before[key]}, {after[key]}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
