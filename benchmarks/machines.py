"""How far apart the same runs end on other machines or in another number type, and which verdicts that changes.

Run: python benchmarks/machines.py FOLDER [OTHER]. Each is a folder like figures/, with tables/ and claims/ in it: that
of another checkout, say, after `make tables` and `make claims`. Runs are the same where recipe, benchmark, profile,
seed, settings and code are; within a folder, those that were made on several devices are compared.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np


def runs(folders: list[Path]) -> dict[str, dict[tuple[str, str], float]]:
    """From what makes a run the same, and from where it was made, to its mIoU after the last round, in per cent."""
    keys = ("recipe", "benchmark", "profile", "seed", "settings", "code")
    found = {}
    for folder in folders:
        for path in folder.glob("tables/*.records.json"):
            for record in json.loads(path.read_text()):
                if (miou := record["rounds"][-1]["miou"]) is not None:
                    same = json.dumps([record[key] for key in keys], sort_keys=True)
                    found.setdefault(same, {})[str(folder), record["device"]] = 100 * miou
    return found


def verdicts(folder: Path) -> dict[tuple[str, ...], str]:
    """From a ledger's comparison to its verdict."""
    return {
        (path.stem, *(row[key] for key in ("claim", "comparison", "table", "column"))): row["verdict"]
        for path in folder.glob("claims/*.csv")
        for row in csv.DictReader(path.read_text().splitlines())
        if row["verdict"] != "not measured"
    }


def main(*folders: Path) -> None:
    compared = {key: places for key, places in runs(folders).items() if len(places) > 1}
    if not compared:
        sys.exit("No run was made in two places; make the same tables with the same code elsewhere.")
    by_recipe: dict[str, list[float]] = {}
    for key in sorted(compared):
        by_recipe.setdefault(json.loads(key)[0], []).append(np.ptp(list(compared[key].values())))
    by_recipe["all"] = [gap for gaps in by_recipe.values() for gap in gaps]
    print("; ".join(sorted({device for places in compared.values() for _, device in places})), end="\n\n")
    print("| recipe | runs | mean difference in mIoU [points] | largest |\n| --- | ---: | ---: | ---: |")
    for recipe, gaps in by_recipe.items():
        print(f"| {recipe} | {len(gaps)} | {np.mean(gaps):.2f} | {max(gaps):.2f} |")
    if len(folders) == 2:
        before, after = map(verdicts, folders)
        both = before.keys() & after.keys()
        changed = sorted(key for key in both if before[key] != after[key])
        print(f"\nOf {len(both)} comparisons in the ledgers {len(changed)} have another verdict.")
        for key in changed:
            print(f"* {', '.join(key)}: {before[key]}, {after[key]}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
