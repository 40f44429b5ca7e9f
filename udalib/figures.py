"""Figures that need more than records: rendered streets, and what trained networks predict on them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from udalib import data, predict, recipes, runs, show
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


def write_qualitative(records: Iterable[str | Path], folder: str | Path, count: int = 4) -> None:
    """Write `self_training.png`: validation images with truth, source-only, ST and its pseudo-labels.

    records: files of finished runs, among them `source` and `st`; the smallest seed of both is shown.
    The networks are fetched like any run, so they are trained again where their folder is gone.
    count: images, spread evenly over the validation set, not picked by hand.

    Raises ValueError where one of the two records is missing, or was made by another version of the code.
    """
    source, st = (_fetch(record) for record in _pair([runs.read_record(Path(path)) for path in records]))
    bench = data.benchmark(st.record["benchmark"], st.record["profile"], st.record["seed"])
    places = np.linspace(0, len(bench.val) - 1, count).round().astype(int)
    batch = data.collate([bench.val[place] for place in places.tolist()])

    last = st.rounds[-1]
    before = recipes.load_network(st, last["round"] - 1) if last["round"] > 1 else recipes.load_network(source)
    confidence, pseudo_labels = _predict(before, batch)
    pseudo_labels[confidence <= last["thresholds"]] = IGNORE
    predictions = {
        "source-only": _predict(recipes.load_network(source), batch)[1],
        "ST": _predict(recipes.load_network(st), batch)[1],
        "pseudo-labels": pseudo_labels,
    }
    fig = show.qualitative(batch.images, batch.labels, predictions, bench.classes)
    title = "{benchmark}, a stand-in for {stands_for}; profile {profile}, seed {seed}".format(**st.record)
    fig.suptitle(title, fontsize="small")
    show.save(fig, Path(folder) / "self_training.png")


def _pair(records: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The records of source and st with the smallest seed that both have."""
    of = {(r["recipe"], r["seed"]): r for r in records}
    seeds = [seed for recipe, seed in of if recipe == "source" and ("st", seed) in of]
    if not seeds:
        raise ValueError("The figure compares source and st; give the records of both, with one seed.")
    return of["source", min(seeds)], of["st", min(seeds)]


def _fetch(record: dict[str, Any]) -> runs.Result:
    name, settings = record["recipe"], record["settings"]
    if record["code"] != runs.code_version(recipes.find(name).steps.__module__):
        raise ValueError(f"The record of {name} was made by another version of the code; run {name} again.")
    return recipes.run(name, record["benchmark"], record["profile"], record["seed"], **settings)


def _predict(net: nn.Module, batch: data.Batch) -> tuple[Tensor, Tensor]:
    """Confidence float32 [B,H,W] and predicted class int64 [B,H,W], on the CPU."""
    ((probs, _),) = predict.whole(net, [batch])
    confidence, label = probs.cpu().max(dim=1)
    return confidence, label
