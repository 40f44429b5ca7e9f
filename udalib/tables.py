"""Results tables, made from run records and the papers' printed figures alone.

A table is a declaration: which runs are its rows, which rows are compared, which rows of a paper stand beside
them. `write` turns it into `NAME.csv` (everything), `NAME.md` (for reading) and `NAME.records.json` (what it
was made from).
"""

import csv
import io
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from udalib import papers, runs

Record = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """Our runs of a recipe on a benchmark, one per seed, among them only those that have these settings.

    test: another test of the same network, "multi_scale". study: of a run that judges labels in several ways, or at
    several times, the one entry with these values.
    """

    label: str
    recipe: str
    benchmark: str = "game-city"
    settings: Mapping[str, Any] = field(default_factory=dict)
    test: str = ""
    study: Mapping[str, Any] = field(default_factory=dict)

    def holds(self, record: Record) -> bool:
        return (record["recipe"], record["benchmark"]) == (self.recipe, self.benchmark) and (
            self.settings.items() <= record["settings"].items()
        )

    def scores(self, record: Record) -> dict[str, Any]:
        """What the row shows of a record: its last round, or the part of it that `test` or `study` names.

        And of the record as a whole: its classes, the mIoU of its rounds, and the labels of the first and of the last,
        if it has any.
        """
        shown = record["rounds"][-1]
        if self.test:
            shown = shown[self.test]
        if self.study:
            shown = next(entry for entry in shown["study"] if self.study.items() <= entry.items())
        return {
            **shown,
            "names": record["classes"],
            "miou_of_rounds": [entry["miou"] for entry in record["rounds"]],
            "first_labels": record["rounds"][0].get("labels"),
            "last_labels": record["rounds"][-1].get("labels"),
        }


@dataclass(frozen=True)
class PaperRow:
    """A row of a paper's table, found by its method and backbone (and city) as printed.

    The label is `paper_label` of our row and the backbone; benchmark: ours beside which it stands. columns: from a
    column of ours to the printed one, where `printed_column` does not find it.
    """

    label: str
    table: str
    benchmark: str
    where: Mapping[str, str]
    columns: Mapping[str, str] = field(default_factory=dict)

    def printed(self) -> dict[str, str]:
        """The row as printed, under our names of the columns."""
        found = papers.row(self.table, **self.where)
        return {**found, **{printed_column(ours): found[theirs] for ours, theirs in self.columns.items()}}


@dataclass(frozen=True)
class Table:
    """What a table shows.

    differences: pairs of row labels (one, other); "one minus other" is taken seed by seed.
    totals: the columns beside the IoU of the classes, of `_TOTALS`.
    note: a sentence for the reader.
    seeds: how many are asked for at most, None for no limit: a sweep over settings has one.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    differences: tuple[tuple[str, str], ...]
    paper: tuple[PaperRow, ...] = ()
    totals: tuple[str, ...] = ("mIoU", "pixel accuracy")
    note: str = ""
    seeds: int | None = None

    @property
    def benchmarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.benchmark for row in self.rows))


# What a column shows of the scores of a row, 0..1.
_TOTALS: dict[str, Callable[[dict[str, Any]], float]] = {
    "mIoU": lambda scores: scores["miou"],
    "mIoU*": lambda scores: scores["miou13"],
    "mean of folds": lambda scores: float(np.mean(scores["miou_of_folds"])),
    "round 1": lambda scores: scores["miou_of_rounds"][0],
    "round 2": lambda scores: scores["miou_of_rounds"][1],
    "pixel accuracy": lambda scores: scores["pixel_accuracy"],
    "coverage": lambda scores: scores["coverage"],
    "precision": lambda scores: scores["precision"],
    "recall": lambda scores: scores["recall"],
    "class precision": lambda scores: _mean(scores["class_precision"]),
    "class recall": lambda scores: _mean(scores["class_recall"]),
    "label mIoU": lambda scores: _mean(scores["class_iou"]),
    "coverage in round 1": lambda scores: scores["first_labels"]["coverage"],
    "precision in round 1": lambda scores: (scores["first_labels"] or {}).get("precision"),
    "precision in the last round": lambda scores: (scores["last_labels"] or {}).get("precision"),
    "label mIoU in round 1": lambda scores: _mean(scores["first_labels"]["class_iou"]),
    "kept of easy": lambda scores: _kept(scores, _EASY),
    "kept of hard": lambda scores: _kept(scores, _HARD),
    "distance": lambda scores: _distance(scores["class_share"], scores["predicted_share"]),
    "rare share": lambda scores: float(np.array(scores["class_share"])[_rare(scores["predicted_share"])].sum()),
    "easy": lambda scores: scores["easy"],
    "easy precision": lambda scores: scores["easy_precision"],
    "hard precision": lambda scores: scores["hard_precision"],
    "border": lambda scores: scores["border"],
    "hard border": lambda scores: scores["hard_border"],
}


def _rare(predicted_share: list[float]) -> list[int]:
    """The rare classes: the third of all classes that is predicted on the fewest pixels."""
    return np.argsort(predicted_share, kind="stable")[: len(predicted_share) // 3].tolist()


# As Mei et al. name them at their Figure 6.
_EASY, _HARD = ("sky", "car"), ("wall", "fence", "pole", "motorcycle")


def _kept(scores: dict[str, Any], names: tuple[str, ...]) -> float:
    """Mean over these classes of `kept_shares`."""
    return _mean([kept_shares(scores)[scores["names"].index(name)] for name in names])


def kept_shares(labels: Mapping[str, Any]) -> list[float | None]:
    """Of the pixels that are predicted as each class, the share that is labelled as it; None where none is predicted.

    labels: of an entry of a study, its `predicted_share`, `class_share` and `coverage`.
    """
    shares = zip(labels["class_share"], labels["predicted_share"], strict=True)
    return [labels["coverage"] * labelled / predicted if predicted else None for labelled, predicted in shares]


def _mean(values: list[float | None]) -> float:
    """Mean over the classes that have a value."""
    return float(np.nanmean(np.array(values, float)))


def _distance(shares: list[float], others: list[float]) -> float:
    """Total variation: the share of the pixels that would have to change class to turn one into the other."""
    return 0.5 * float(np.abs(np.subtract(shares, others)).sum())


# The tables ---------------------------------------------------------------------------------------------

# What tables and figures call a recipe.
LABELS = {
    "source": "source-only",
    "adabn": "AdaBN",
    "hist-match": "histogram matching",
    "control": "control",
    "st": "ST",
    "cbst": "CBST",
    "st-sp": "ST-SP",
    "cbst-sp": "CBST-SP",
    "adaptseg": "AdaptSegNet",
    "advent": "ADVENT",
    "minent": "MinEnt",
    "singleadv": "one discriminator",
    "multiadv": "two discriminators",
    "sisc": "SISC",
    "mlsl": "SISC-PWL",
    "iast": "IAST",
    "oracle": "oracle",
}
_PRINTED_METHODS = {
    "source-only": "Source only",
    "CBST-SP, multi-scale": "CBST-SP+MST",
    "self-training": "Self-training",
    "+ weighted loss": "Self-training + weighted loss",
    "+ target easy mining": "Self-training + weighted loss + target easy mining",
    "+ source hard mining": "Self-training + weighted loss + target easy mining + source hard mining",
    "curriculum": "Strategic curriculum",
    "oracle": "Target labels",
    "AdaptSegNet": "AdaptSegNet [27]",
    "ADVENT": "AdvEnt [29]",
    "MinEnt": "MinEnt [14]",
    "SISC": "Ours (SISC)",
    "SISC-PWL": "Ours (SISC-PWL)",
    "two + proxies, multi-scale": "Ours",
}
_MULTI_SCALE = Row("CBST-SP, multi-scale", "cbst-sp", test="multi_scale")
_PAIRED = (("ST", "control"), ("CBST", "ST"), ("CBST", "control"))
STUDY_PORTIONS = (0.2, 0.5)
_SELECTIONS = (
    ("ST", ""),
    ("CBST", ""),
    ("ST-SP", "class"),
    ("ST-SP", "pixel"),
    ("ST-SP", "oracle"),
    ("CBST-SP", "class"),
    ("CBST-SP", "pixel"),
    ("CBST-SP", "oracle"),
)


def _rows(recipes: str, benchmark: str = "game-city", place: str = "") -> tuple[Row, ...]:
    return tuple(Row(LABELS[recipe] + place, recipe, benchmark) for recipe in recipes.split())


def _paper(
    table: str, benchmark: str, backbone: str, *methods: str, place: str = "", **where: str
) -> tuple[PaperRow, ...]:
    return tuple(
        PaperRow(
            paper_label(method + place, backbone),
            table,
            benchmark,
            {"method": _PRINTED_METHODS.get(method, method), "backbone": backbone, **where},
        )
        for method in methods
    )


def paper_label(label: str, backbone: str) -> str:
    """What a paper's row is called: as ours, and its backbone where its table says it."""
    return f"{label}, {backbone}" if backbone else label


def _study_rows(benchmark: str) -> tuple[Row, ...]:
    return tuple(
        Row(
            study_label(selection, prior, portion, benchmark),
            "label-study",
            benchmark,
            study={"selection": selection, "prior": prior, "portion": portion},
        )
        for portion in STUDY_PORTIONS
        for selection, prior in _SELECTIONS
    )


def study_label(selection: str, prior: str, portion: float, benchmark: str) -> str:
    return f"{selection}{f' ({prior})' if prior else ''} at {portion:g}, {benchmark}"


def _study_differences(benchmark: str) -> tuple[tuple[str, str], ...]:
    pairs = (
        (("CBST", ""), ("ST", "")),
        (("ST-SP", "class"), ("ST", "")),
        (("ST-SP", "oracle"), ("ST", "")),
        (("CBST-SP", "class"), ("CBST", "")),
        (("CBST-SP", "oracle"), ("CBST", "")),
    )
    return tuple(
        (study_label(*one, portion, benchmark), study_label(*other, portion, benchmark))
        for portion in STUDY_PORTIONS
        for one, other in pairs
    )


# The ablation of Chitta et al., Table 1: what each row has, all named, so that no row takes another one's runs.
TWO_DECODERS = "two decoders, source-only"
ABLATION = {
    label: {"first_share": first, "last_share": last, "weights": weights, "easy_mining": easy, "hard_mining": hard}
    for label, first, last, weights, easy, hard in (
        (TWO_DECODERS, 1.0, 1.0, "none", False, False),
        ("self-training", 0.9, 0.1, "none", False, False),
        ("+ weighted loss", 0.9, 0.1, "source", False, False),
        ("+ target easy mining", 0.9, 0.1, "source", True, False),
        ("+ source hard mining", 0.9, 0.1, "source", True, True),
    )
}


# The ablation of Mei et al., Table 5, and the rival selectors of their Table 2: what each row has.
_WARM_UP = "warm-up"
INSTANCE = {
    label: {"warmup": "adaptseg", "selector": selector, "portion": portion, "flatness": flatness, "entropy": entropy}
    for label, selector, portion, flatness, entropy in (
        ("+ constant ST", "constant", 0.386, 0.0, 0.0),
        ("+ class-balanced ST", "class_balanced", 0.2, 0.0, 0.0),
        ("+ instance adaptive selector", "instance", 0.2, 0.0, 0.0),
        ("+ confident region", "instance", 0.2, 0.1, 0.0),
        ("+ ignored region", "instance", 0.2, 0.1, 3.0),
    )
}
_IAST_PRINTED = {
    "source-only": "Source",
    _WARM_UP: "Warm-up",
    "+ constant ST": "+ Constant ST (Fig. 4a)",
    "+ instance adaptive selector": "+ Instance adaptive selector",
    "+ confident region": "+ Confidence region R.",
    "+ ignored region": "+ Ignored region R.",
}
IAST_SELECTORS, IAST_GAMMAS = "004_iast_table2_alpha_beta", "004_iast_table4_gamma"
# Of IAST's selector, Tables 2 and 4: one of alpha, beta and gamma at a time.
ALPHAS, BETAS, GAMMAS = (0.2, 0.3, 0.5), (0.0, 0.5, 0.9, 0.99), (0, 1, 4, 8, 16)
_INSTANCE_SETTINGS = tuple(
    dict.fromkeys(
        [(0.2, beta, 8) for beta in BETAS]
        + [(alpha, 0.9, 8) for alpha in ALPHAS]
        + [(0.2, 0.9, gamma) for gamma in GAMMAS]
    )
)


# The networks trained on them: Table 2 has a gamma of 0, as its shares of labelled pixels tell.
_SWEPT = tuple(
    dict.fromkeys(
        [(0.2, beta, 0.0) for beta in BETAS]
        + [(alpha, 0.9, 0.0) for alpha in ALPHAS]
        + [(0.2, 0.9, float(gamma)) for gamma in GAMMAS]
    )
)
_PRINTED_SHARE = {"coverage in round 1": "proportion_percent"}
_PRINTED_LABELS = {"label mIoU in round 1": "pseudo_label_mIoU"}
_SWEPT_PRINTED = (
    *(
        (IAST_SELECTORS, (alpha, beta, 0), {"alpha": printed_alpha, "beta": printed_beta}, _PRINTED_SHARE)
        for alpha, beta, printed_alpha, printed_beta in (
            (0.2, 0.0, ".20", ".0"),
            (0.2, 0.5, ".20", ".50"),
            (0.2, 0.9, ".20", ".90"),
            (0.2, 0.99, ".20", ".99"),
            (0.3, 0.9, ".30", ".90"),
            (0.5, 0.9, ".50", ".90"),
        )
    ),
    *((IAST_GAMMAS, (0.2, 0.9, gamma), {"gamma": str(gamma)}, _PRINTED_LABELS) for gamma in GAMMAS),
)
_SELECTOR_RIVALS = {"+ constant ST": "Constant(Fig. 4 a)", "+ class-balanced ST": "Class-balanced(Fig. 4 b)"}
# Weights of the two regularisers, entropy and flatness: lambda_i and lambda_c of Table 3.
CHOSEN_WEIGHTS = (3.0, 0.1)
WEIGHTS = (
    *((entropy, 0.1) for entropy in (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)),
    *((3.0, flatness) for flatness in (0.05, 0.15)),
)


def weights_label(entropy: float, flatness: float) -> str:
    return f"lambda_i {entropy:g}, lambda_c {flatness:g}"


def instance_label(alpha: float, beta: float, gamma: float) -> str:
    return f"alpha {alpha:g}, beta {beta:g}, gamma {gamma:g}"


WINDOW_COUNTS, WINDOW_PORTIONS = (0, 5, 25, 50, 100), (0.2, 0.5, 0.8)


def window_label(count: int, vote: str, portion: float) -> str:
    return f"{count}{' hard' if vote == 'hard' else ''} windows at {portion:g}"


# The side of the windows as a share of the image's height: the recipe's, and the height of the crops of the training.
WINDOW_SIDES = (0.5, 0.75)


def side_label(side: float, count: int, portion: float) -> str:
    return f"{count} windows of {side:g} at {portion:g}"


# Of SISC, what Section 4.3 of the paper tells without figures: count, side and vote of windows; 256 pixels are 0.25.
WINDOWS_SWEPT = ((25, 0.5, "soft"), (50, 0.5, "soft"), (100, 0.5, "soft"), (50, 0.25, "soft"), (50, 0.5, "hard"))


def windows_label(count: int, side: float, vote: str = "soft") -> str:
    return f"{count}{' hard' if vote == 'hard' else ''} windows of {side:g}"


# Of SISC-PWL, Table 4: weight of the weak labels and threshold for presence, lambda and eta, one at a time.
CHOSEN_WEAK = (0.025, 0.05)
WEAK_WEIGHTS, ETAS = (0.1, 0.05, 0.025, 0.001), (0.0, 0.1, 0.05, 0.025)
WEAK = tuple(dict.fromkeys([(weight, 0.05) for weight in WEAK_WEIGHTS] + [(0.025, eta) for eta in ETAS]))
_WEAK_PRINTED = {
    **{(0.025, eta): {"parameter": "eta", "value": str(eta)} for eta in ETAS},
    **{(weight, 0.05): {"parameter": "lambda_Fcl", "value": str(weight)} for weight in WEAK_WEIGHTS},
}


def weak_label(weight: float, eta: float) -> str:
    return f"lambda {weight:g}, eta {eta:g}"


_OWN_WARM_UP = (
    "Our IAST goes on from AdaptSegNet, so that its row is also the decorated one of that method. The paper's, "
    "here, goes on from a warm-up of its own, alike in kind."
)
WHOLE_PWL, LOUD_PWL = "CBST + PWL", "CBST + PWL, lambda 2.5"
WHOLE_SISC, LARGE_SISC = "SISC, whole image too", "SISC, whole image and windows of 0.75"
_UNCOVERED = (
    "At quick an image has 25 windows of half its height; what lies in none of them, a fifth of the pixels and most of "
    "them at the borders, gets no label."
)


def _mlsl_paper(table: str, benchmark: str, methods: Mapping[str, str]) -> tuple[PaperRow, ...]:
    backbone = "ResNet-38"
    return tuple(
        PaperRow(paper_label(label, backbone), table, benchmark, {"method": method, "backbone": backbone})
        for label, method in methods.items()
    )


def _mlsl_gains(benchmark: str, base: str, column: str, printed: str) -> tuple[PaperRow, ...]:
    """Rows of Table 3: what each method gains over source-only. base: what our benchmark has beside its "CBST"."""
    methods = {base: "CBST [13]", "SISC": "Ours (SISC)", "SISC-PWL": "Ours (SISC+PWL)"}
    return tuple(
        PaperRow(f"{label} minus source-only, as printed", MLSL_GAINS, benchmark, {"method": method}, {column: printed})
        for label, method in methods.items()
    )


DECORATED = ("source", "adaptseg", "advent")  # bases of IAST, Table 9
_WHOLE_IAST = {key: value for key, value in INSTANCE["+ ignored region"].items() if key != "warmup"}
_BASES_PRINTED = {"source": "Source", "adaptseg": "AdaptSeg [27]", "advent": "AdvEnt [29]"}
_ALIGNED = ("minent", "adaptseg", "advent")


def decorated_label(base: str) -> str:
    return f"{LABELS[base]} + IAST"


# Methods of Table 1, as far as the course has them.
FAMILIES = {
    "AT": (LABELS["adaptseg"], LABELS["advent"]),
    "ST": (LABELS["cbst"], decorated_label("source")),
    "AT + ST": (decorated_label("adaptseg"), decorated_label("advent")),
}
_FAMILIES_PRINTED = (
    ("AT", LABELS["adaptseg"], "AdaptSeg"),
    ("AT", LABELS["advent"], "AdvEnt"),
    ("AT", "AT, mean", "mean"),
    ("ST", decorated_label("source"), "ours"),
    ("ST", "ST, mean", "mean"),
    ("AT+ST", decorated_label("adaptseg"), "ours"),
    ("AT+ST", "AT + ST, mean", "mean"),
)
# Tables 6 and 7.
_RIVALS = "source adabn control adaptseg advent cbst"
_RIVALS_PRINTED = {
    "source-only": "Source(ours)",
    "AdaptSegNet": "AdaptSegNet [27]",
    "ADVENT": "AdvEnt [29]",
    "CBST": "CBST [36]",
    "IAST": "IAST(ours)",
}
_RIVALRY = (
    *((LABELS["iast"], LABELS[rival]) for rival in ("source", "control", "adaptseg", "advent", "cbst")),
    ("IAST, multi-scale", "IAST"),
    ("oracle", "source-only"),
)
# Table 8: labelled shares of the target.
SHARES = {"1/8": 0.125, "1/4": 0.25, "1/2": 0.5}


def share_label(method: str, share: str) -> str:
    return f"{method}, {share}"


def _iast_rows(benchmark: str) -> tuple[Row, ...]:
    whole = INSTANCE["+ ignored region"]
    return tuple(
        Row(label, "iast", benchmark, whole, test=test)
        for label, test in ((LABELS["iast"], ""), ("IAST, multi-scale", "multi_scale"))
    )


def _iast_paper(table: str, benchmark: str, methods: Mapping[str, str]) -> tuple[PaperRow, ...]:
    return tuple(PaperRow(label, table, benchmark, {"method": method}) for label, method in methods.items())


def _decorated_rows(benchmark: str) -> tuple[Row, ...]:
    return tuple(Row(decorated_label(base), "iast", benchmark, {"warmup": base, **_WHOLE_IAST}) for base in DECORATED)


def _decorated_paper(benchmark: str, printed: str, column: str) -> tuple[PaperRow, ...]:
    return tuple(
        PaperRow(label, IAST_BASES, benchmark, {"base_method": method}, {column: f"{printed}_{which}"})
        for base, method in _BASES_PRINTED.items()
        for label, which in ((LABELS[base], "base"), (decorated_label(base), "plus_iast"))
    )


_BASES = "source adabn control adaptseg advent"
_DECORATION = (
    *((decorated_label(base), LABELS[base]) for base in DECORATED),
    ("AdaBN", "source-only"),
    (decorated_label("source"), "AdaBN"),
    ("oracle", "source-only"),
)
_NO_LABELS = "AdaBN and control have no pseudo-label; IAST, too, trains with the target's statistics."
AGREEMENT_EPOCHS = (1, 5, 10, 15, 20)


def agreement_label(epoch: int) -> str:
    return f"after epoch {epoch}"


def _ablation_rows(*labels: str, benchmark: str = "game-city", place: str = "") -> tuple[Row, ...]:
    return tuple(Row(label + place, "curriculum", benchmark, ABLATION[label]) for label in labels)


# Proxies of Shen et al., Table 3 and Section 3.3: what each row has.
_GATED = {"keep": 0.6, "portion": 0.8}
PROXIES = {
    "one + proxies": {"start": "singleadv", "initial": "fresh", **_GATED},
    "two + proxies": {"start": "multiadv", "initial": "fresh", **_GATED},
    "two + proxies, continued": {"start": "multiadv", "initial": "aligned", **_GATED},
    # p1 times p2 as with the gate.
    "two + proxies, no gate": {"start": "multiadv", "initial": "fresh", "keep": 1.0, "portion": 0.48},
}
PROXIES_SCALES = "two + proxies, multi-scale"
_ON_FUSION = {"network": "mini_fusion"}
_SHEN_MODULES = {
    "one discriminator": "row 2",
    "two discriminators": "row 3",
    "one + proxies": "row 4",
    "two + proxies": "row 5",
}
# Table 4: p1 and p2, without a gate where p1 is 1; and the gate alone, where p2 is.
GATES = (
    *((0.5, 0.4), (0.5, 0.6), (0.5, 0.8), (0.6, 0.4), (0.6, 0.5), (0.6, 0.6), (0.6, 0.8)),
    *((0.8, 0.3), (0.8, 0.4), (0.8, 0.5)),
)
UNGATED = (0.2, 0.3, 0.4, 0.48)
SAME_PRODUCT = tuple((gate, portion) for portion in UNGATED for gate in GATES if math.isclose(math.prod(gate), portion))
GATE_ALONE, NO_SELECTION = (0.5, 1.0), (1.0, 1.0)


def gate_label(keep: float, portion: float, gated: bool = True) -> str:
    return f"p1 {keep:g}, p2 {portion:g}" if gated else f"no gate, share of p1 {keep:g}, p2 {portion:g}"


def _gate_row(keep: float, portion: float, gated: bool = True) -> Row:
    study = {"keep": keep, "portion": portion, "gated": gated}
    return Row(gate_label(keep, portion, gated), "gate-study", study=study)


TOWNS = ("Rome", "Rio", "Tokyo", "Taipei")
CHITTA_GTA5 = "000_chitta_table1_gta5_cityscapes"
CHITTA_BDD = "000_chitta_table2_bdd"
IAST_ABLATION = "004_iast_table5_ablation"
IAST_GTA5 = "004_iast_table6_gta5_cityscapes"
IAST_SYNTHIA = "004_iast_table7_synthia_cityscapes"
IAST_FAMILIES = "004_iast_table1_at_vs_st"
IAST_WEIGHTS = "004_iast_table3_lambda"
IAST_SHARES = "004_iast_table8_semi_supervised"
IAST_BASES = "004_iast_table9_decorator"
MLSL_GTA5 = "003_mlsl_table1_gta5_cityscapes"
MLSL_SYNTHIA = "003_mlsl_table2_synthia_cityscapes"
MLSL_GAINS = "003_mlsl_table3_gains"
MLSL_WEIGHTS = "003_mlsl_table4_lambda_eta"
SHEN_GTA5 = "002_shen_table1_gta5_cityscapes"
SHEN_SYNTHIA = "002_shen_table2_synthia_cityscapes"
SHEN_MODULES = "002_shen_table3_module_ablation"
SHEN_GATES = "002_shen_table4_p1_p2"
CBST_NTHU = "001_cbst_table1_cityscapes_nthu"
CBST_SYNTHIA = "001_cbst_table2_synthia_cityscapes"
CBST_GTA5 = "001_cbst_table3_gta5_cityscapes"
CBST_BDD = "001_cbst_table4_gta5_bddv"

# Where the first label of the self-paced policy starts, and how much each round adds.
PORTIONS = ((0.1, 0.05), (0.2, 0.05), (0.3, 0.05), (0.2, 0.1))
DEFAULT_PORTION = (0.2, 0.05)


# Real images, few enough for a laptop; see the note of table camvid.
REAL, REAL_EPOCHS = "camvid-day2dusk", 13.0
_TO_DASHCAM = {"game-dashcam": "GTA5", "city-dashcam": "Cityscapes"}  # and the source in Chitta et al., Table 2
_STUDIED = ("coverage", "precision", "recall", "class precision", "class recall", "distance", "rare share")


def portion_label(method: str, portion: float, step: float) -> str:
    return f"{method}, {portion:g} + {step:g}"


TABLES = {
    table.name: table
    for table in (
        Table(
            name="self_training",
            title="Self-training",
            rows=_rows("source adabn control st oracle"),
            differences=(
                ("AdaBN", "source-only"),
                ("control", "source-only"),
                ("ST", "source-only"),
                ("ST", "control"),
                ("oracle", "source-only"),
            ),
            paper=(
                *_paper(CBST_GTA5, "game-city", "FCN8s-VGG16", "source-only", "ST"),
                *_paper(CBST_GTA5, "game-city", "ResNet-38", "source-only", "ST"),
            ),
        ),
        Table(
            name="class_balance",
            title="Class balancing and spatial priors",
            rows=(
                *_rows("source adabn control st cbst st-sp cbst-sp"),
                _MULTI_SCALE,
                *_rows("oracle"),
            ),
            differences=(
                *_PAIRED,
                ("CBST-SP", "CBST"),
                ("CBST-SP, multi-scale", "CBST-SP"),
                ("oracle", "source-only"),
            ),
            paper=(
                *_paper(CBST_GTA5, "game-city", "FCN8s-VGG16", "source-only", "ST", "CBST", "CBST-SP"),
                *_paper(CBST_GTA5, "game-city", "ResNet-38", "source-only", "ST", "CBST", "CBST-SP"),
                *_paper(CBST_GTA5, "game-city", "ResNet-38", "CBST-SP, multi-scale"),
            ),
            note="The multi-scale row also averages over mirror images. The other rows of the paper do so, too; ours "
            "see each image once.",
        ),
        Table(
            name="class_balance_synth",
            title="Class balancing",
            rows=_rows("source adabn control st cbst oracle", "synth-city"),
            differences=(*_PAIRED, ("oracle", "source-only")),
            paper=(
                *_paper(CBST_SYNTHIA, "synth-city", "FCN8s-VGG16", "source-only", "ST", "CBST"),
                *_paper(CBST_SYNTHIA, "synth-city", "ResNet-38", "source-only", "ST", "CBST"),
            ),
            totals=("mIoU", "mIoU*", "pixel accuracy"),
            note="mIoU is over the 16 classes of SYNTHIA, mIoU* over 13 of them: without wall, fence and pole.",
        ),
        Table(
            name="class_balance_causes",
            title="What class balancing is up against",
            rows=tuple(
                row
                for benchmark, weighted, unweighted in (
                    ("game-city", "", ", unweighted"),
                    ("game-city-plain", ", no lookalikes", ", neither"),
                )
                for row in (
                    *_rows("source adabn control oracle", benchmark, weighted),
                    *(
                        Row(LABELS[recipe] + where, recipe, benchmark, {"class_weight": weight})
                        for where, weight in ((weighted, 0.5), (unweighted, 0.0))
                        for recipe in ("st", "cbst")
                    ),
                )
            ),
            differences=(
                *(
                    (one + where, other + where)
                    for where in ("", ", no lookalikes")
                    for one, other in (("ST", "control"), ("CBST", "control"))
                ),
                *((f"CBST{where}", f"ST{where}") for where in ("", ", no lookalikes", ", unweighted", ", neither")),
            ),
            totals=("mIoU", "pixel accuracy", "precision in round 1"),
            note="No lookalikes: game-city-plain has the scenes of game-city, in which no surface passes for another "
            "class. Unweighted: the rounds take the plain loss, as the paper does; elsewhere rare classes weigh more "
            "in the loss on source labels. Neither: no lookalikes and the plain loss. Precision in round 1 is that of "
            "the first labels, all of the source-only network.",
        ),
        Table(
            name="class_balance_dashcam",
            title="Class balancing and spatial priors",
            rows=_rows("source adabn control st cbst st-sp cbst-sp oracle", "game-dashcam"),
            differences=(
                *_PAIRED,
                ("ST-SP", "ST"),
                ("CBST-SP", "CBST"),
                ("CBST-SP", "ST-SP"),
                ("oracle", "source-only"),
            ),
            paper=_paper(CBST_BDD, "game-dashcam", "ResNet-38", "source-only", "ST", "ST-SP", "CBST", "CBST-SP"),
            totals=("mIoU", "pixel accuracy", "precision in round 1"),
            note="The learning rate of the rounds was chosen on this benchmark, with other seeds than those shown. "
            "Precision in round 1 is that of the first labels, all of the source-only network.",
        ),
        Table(
            name="cross_city",
            title="From city to city",
            rows=tuple(
                row
                for town in TOWNS
                for row in _rows("source adabn control st cbst", f"city-{town.lower()}", f", {town}")
            ),
            differences=tuple(
                (f"{one}, {town}", f"{other}, {town}")
                for town in TOWNS
                for one, other in (("ST", "source-only"), *_PAIRED)
            ),
            paper=tuple(
                row
                for town in TOWNS
                for row in _paper(
                    CBST_NTHU,
                    f"city-{town.lower()}",
                    "ResNet-38",
                    *("source-only", "ST", "CBST"),
                    place=f", {town}",
                    city=town,
                )
            ),
            totals=("mIoU", "mean of folds", "pixel accuracy", "precision in round 1"),
            note="Every city is run in ten folds. mIoU and the classes are those of the ten confusion matrices added; "
            "mean of folds is the mean of their ten mIoU, each over the classes that its fold has. Precision in round "
            "1 is that of the first labels, all of the source-only network, in its 19 classes.",
        ),
        Table(
            name="portions",
            title="Portions of the self-paced policy",
            rows=tuple(
                Row(portion_label(LABELS[recipe], portion, step), recipe, settings={"portion": portion, "step": step})
                for recipes, portions in ((("st-sp", "cbst-sp"), PORTIONS), (("st", "cbst"), (DEFAULT_PORTION,)))
                for recipe in recipes
                for portion, step in portions
            ),
            differences=(),
            totals=(
                *("round 1", "round 2", "mIoU", "pixel accuracy"),
                *("precision in round 1", "precision in the last round"),
            ),
            note="A miniature of the paper's Figure 5. A row is named by the portion of the first round and by what "
            "each further round adds. Round 1 and round 2 are the mIoU after those rounds; mIoU is after the last. ST "
            "and CBST have no prior and show what further rounds do without one. Precision is that of the labels of "
            "a round.",
        ),
        Table(
            name="camvid",
            title="Adaptation from day to dusk",
            rows=(
                *_rows("source hist-match adabn", REAL),
                Row(LABELS["control"], "control", REAL, {"epochs": REAL_EPOCHS}),
                Row(LABELS["st"], "st", REAL, {"epochs": REAL_EPOCHS, "start": "source"}),
                *(Row(LABELS[recipe], recipe, REAL, {"epochs": REAL_EPOCHS}) for recipe in ("cbst", "cbst-sp")),
                Row(LABELS["iast"], "iast", REAL, {"epochs": REAL_EPOCHS, "warmup": "source"}),
                Row("ST, from AdaBN", "st", REAL, {"epochs": REAL_EPOCHS, "start": "adabn"}),
                Row("IAST, from AdaBN", "iast", REAL, {"epochs": REAL_EPOCHS, "warmup": "adabn"}),
                *_rows("oracle", REAL),
            ),
            differences=(
                *((LABELS[recipe], "source-only") for recipe in ("hist-match", "adabn", "control", "st")),
                *_PAIRED,
                ("CBST-SP", "CBST"),
                ("IAST", "control"),
                *((f"{label}, from AdaBN", other) for label in ("ST", "IAST") for other in (label, "AdaBN", "control")),
                ("oracle", "source-only"),
            ),
            note="Few images: 62 of dusk to adapt to and 62 others to be judged by, from one drive. A round passes 13 "
            "times over the target, which makes about as many steps as on the embedded benchmarks; no setting was "
            "chosen on these images. All start from source-only, whose first labels are poor, or where it is said from "
            "AdaBN. The seed changes the training alone.",
        ),
        Table(
            name="label_study_camvid",
            title="Pseudo-labels of several selections",
            rows=_study_rows(REAL),
            differences=_study_differences(REAL),
            totals=_STUDIED,
            note="As table label_study, on real images; the target is 62 images, all of one drive at dusk.",
        ),
        Table(
            name="curriculum",
            title="The curriculum of two decoders",
            rows=(*_rows("source adabn"), *_ablation_rows(*ABLATION), *_rows("oracle")),
            differences=(
                ("self-training", TWO_DECODERS),
                *itertools.pairwise(list(ABLATION)[:0:-1]),
                ("+ source hard mining", TWO_DECODERS),
                ("oracle", "source-only"),
            ),
            paper=(
                *_paper(CHITTA_GTA5, "game-city", "ResNet-18 + PPM (paper)", "source-only"),
                *_paper(
                    CHITTA_GTA5, "game-city", "ResNet-18 + 2xPPM", *[row for row in ABLATION if row != TWO_DECODERS]
                ),
                *_paper(CHITTA_GTA5, "game-city", "ResNet-18 + PPM (paper)", "oracle"),
            ),
            note="Source-only, AdaBN and the oracle have one decoder. The others have two, untrained at first, on the "
            "encoder of source-only. The first of them sees the source alone: it is the control of the rows below it, "
            "each of which adds something to the row above. The weighted loss counts the six classes twice that are "
            "rarest in the source, which needs no target label; the paper's six were chosen on the labels of its "
            "validation set.",
        ),
        Table(
            name="agreement",
            title="Agreement of two decoders",
            rows=tuple(
                Row(
                    agreement_label(epoch),
                    "curriculum",
                    settings=ABLATION["+ source hard mining"],
                    study={"epoch": epoch},
                )
                for epoch in AGREEMENT_EPOCHS
            ),
            differences=((agreement_label(AGREEMENT_EPOCHS[-1]), agreement_label(AGREEMENT_EPOCHS[0])),),
            totals=("easy", "easy precision", "hard precision", "border", "hard border"),
            note="Easy pixels of the target's training images are those on which the decoders agree, hard ones the "
            "others; precision is that of the averaged prediction. Border: share of all pixels with another class "
            "within two pixels; hard border: of the hard ones.",
        ),
        Table(
            name="curriculum_dashcam",
            title="The curriculum on dashcam images",
            rows=tuple(
                row
                for benchmark in _TO_DASHCAM
                for row in (
                    *_rows("source adabn", benchmark, f", {benchmark}"),
                    *_ablation_rows(
                        *(TWO_DECODERS, "self-training", "+ source hard mining"),
                        benchmark=benchmark,
                        place=f", {benchmark}",
                    ),
                    *_rows("oracle", benchmark, f", {benchmark}"),
                )
            ),
            differences=tuple(
                (f"{one}, {benchmark}", f"{other}, {benchmark}")
                for benchmark in _TO_DASHCAM
                for one, other in (
                    ("self-training", TWO_DECODERS),
                    ("+ source hard mining", "self-training"),
                    ("+ source hard mining", TWO_DECODERS),
                    ("+ source hard mining", "source-only"),
                    ("oracle", "source-only"),
                )
            ),
            paper=tuple(
                PaperRow(
                    paper_label(f"{label}, {benchmark}", backbone),
                    CHITTA_BDD,
                    benchmark,
                    {"method": printed, "backbone": backbone, "source": source},
                )
                for benchmark, trained_on in _TO_DASHCAM.items()
                for label, printed, backbone, source in (
                    ("self-training", "Self-training", "ResNet-18 + 2xPPM", trained_on),
                    ("+ source hard mining", "Strategic curriculum", "ResNet-18 + 2xPPM", trained_on),
                    ("oracle", "Target labels", "ResNet-18 + PPM (paper)", "none (upper bound on BDD100k)"),
                )
            ),
            note="The last row of the ablation, with source hard mining, is the whole curriculum. The pair of decoders "
            "that sees the source alone is the control. The settings were chosen on game-dashcam, with another seed "
            "than those shown.",
        ),
        Table(
            name="alignment",
            title="Alignment before any pseudo-label",
            rows=_rows("source adabn control minent adaptseg advent oracle"),
            differences=(
                *((LABELS[recipe], other) for recipe in _ALIGNED for other in ("source-only", "control")),
                ("ADVENT", "AdaptSegNet"),
                ("oracle", "source-only"),
            ),
            paper=(
                *_paper(MLSL_GTA5, "game-city", "", "MinEnt"),
                *_paper(IAST_GTA5, "game-city", "ResNet-101 (DeepLab-v2)", "AdaptSegNet", "ADVENT"),
            ),
        ),
        Table(
            name="instance_adaptive",
            title="Instance adaptive self-training",
            rows=(
                *_rows("source adabn control"),
                Row(_WARM_UP, "adaptseg"),
                *(Row(label, "iast", settings=settings) for label, settings in INSTANCE.items()),
                *_rows("oracle"),
            ),
            differences=(
                (_WARM_UP, "source-only"),
                ("+ constant ST", _WARM_UP),
                ("+ instance adaptive selector", "+ constant ST"),
                ("+ instance adaptive selector", "+ class-balanced ST"),
                ("+ confident region", "+ instance adaptive selector"),
                ("+ ignored region", "+ confident region"),
                ("+ ignored region", _WARM_UP),
                ("oracle", "source-only"),
            ),
            paper=tuple(
                PaperRow(label, IAST_ABLATION, "game-city", {"method": method})
                for label, method in _IAST_PRINTED.items()
            ),
            note="All of IAST start from the same warm-up, AdaptSegNet, and train on the target alone.",
        ),
        Table(
            name="instance_study",
            title="Pseudo-labels of instance adaptive thresholds",
            rows=(
                *(
                    Row(label, "instance-study", study={"selection": selection})
                    for label, selection in (("constant", "constant"), ("class-balanced", "class_balanced"))
                ),
                *(
                    Row(
                        instance_label(*setting),
                        "instance-study",
                        study={"selection": "instance", **dict(zip(("alpha", "beta", "gamma"), setting, strict=True))},
                    )
                    for setting in _INSTANCE_SETTINGS
                ),
            ),
            differences=(
                *(
                    (instance_label(0.2, one, 8), instance_label(0.2, other, 8))
                    for other, one in itertools.pairwise(BETAS)
                ),
                *(
                    (instance_label(one, 0.9, 8), instance_label(other, 0.9, 8))
                    for other, one in itertools.pairwise(ALPHAS)
                ),
                *(
                    (instance_label(0.2, 0.9, one), instance_label(0.2, 0.9, other))
                    for other, one in itertools.pairwise(GAMMAS)
                ),
            ),
            paper=(
                *(
                    PaperRow(label, IAST_SELECTORS, "game-city", where, {"coverage": "proportion_percent"})
                    for label, where in (
                        ("constant", {"method": "Constant(Fig. 4 a)"}),
                        ("class-balanced", {"method": "Class-balanced(Fig. 4 b)"}),
                        (instance_label(0.2, 0.9, 0), {"alpha": ".20", "beta": ".90"}),
                    )
                ),
                *(
                    PaperRow(
                        instance_label(0.2, 0.9, gamma),
                        IAST_GAMMAS,
                        "game-city",
                        {"gamma": str(gamma)},
                        {"label mIoU": "pseudo_label_mIoU"},
                    )
                    for gamma in GAMMAS
                ),
            ),
            totals=(
                *("coverage", "precision", "recall", "class precision", "class recall", "label mIoU"),
                *("kept of easy", "kept of hard"),
            ),
            note="One network after the warm-up predicts, several selections label the target training images, and the "
            "truth judges the labels; nothing is trained on them. Label mIoU is over the labelled pixels alone. Kept "
            "of easy and hard: of the pixels predicted as a class, those labelled, as a mean over classes that the "
            f"paper calls so: {', '.join(_EASY)}; {', '.join(_HARD)}. Its Table 4 prints the shares of its gammas as "
            "fractions: 0.36, 0.34, 0.30, 0.28 and 0.25. Its other alphas and betas have a gamma of 0, ours here one "
            "of 8; see table selector_sweep.",
        ),
        Table(
            name="window_study",
            title="Pseudo-labels from windows",
            rows=tuple(
                Row(
                    window_label(count, vote, portion),
                    "window-study",
                    study={"windows": count, "vote": vote, "portion": portion},
                )
                for portion in WINDOW_PORTIONS
                for count, vote in (*((count, "soft") for count in WINDOW_COUNTS), (50, "hard"))
            ),
            differences=tuple(
                (window_label(one, vote, portion), window_label(other, "soft", portion))
                for portion in WINDOW_PORTIONS
                for other, one, vote in (
                    *((other, one, "soft") for other, one in itertools.pairwise(WINDOW_COUNTS)),
                    (50, 50, "hard"),
                )
            ),
            totals=("coverage", "precision", "recall", "class precision", "class recall", "label mIoU"),
            note="One source-only network predicts whole images (0 windows), or whole images and random windows, whose "
            "predictions are averaged or, hard, counted as votes; CBST labels a portion, and the truth judges.",
        ),
        Table(
            name="window_side_study",
            title="Pseudo-labels from windows of two sizes",
            rows=tuple(
                Row(
                    side_label(side, count, portion),
                    "window-study",
                    settings={"window": side},
                    study={"windows": count, "vote": "soft", "portion": portion},
                )
                for portion in WINDOW_PORTIONS
                for side in WINDOW_SIDES
                for count in WINDOW_COUNTS
            ),
            differences=tuple(
                (side_label(WINDOW_SIDES[1], count, portion), other)
                for portion in WINDOW_PORTIONS
                for count in WINDOW_COUNTS[1:]
                for other in (side_label(WINDOW_SIDES[0], count, portion), side_label(WINDOW_SIDES[1], 0, portion))
            ),
            totals=("coverage", "precision", "recall", "class precision", "class recall", "label mIoU"),
            note="As table window_study. A window's side is a share of the image's height: 0.5 is the paper's, and "
            "0.75 the height of the crops on which the network was trained.",
        ),
        Table(
            name="decorator",
            title="IAST on top of other methods",
            rows=(*_rows(_BASES), *_decorated_rows("game-city"), *_rows("oracle")),
            differences=_DECORATION,
            paper=_decorated_paper("game-city", "gta5", "mIoU"),
            note=_NO_LABELS,
        ),
        Table(
            name="decorator_synth",
            title="IAST on top of other methods",
            rows=(
                *_rows(_BASES, "synth-city"),
                *_decorated_rows("synth-city"),
                *_rows("oracle", "synth-city"),
            ),
            differences=_DECORATION,
            paper=_decorated_paper("synth-city", "synthia", "mIoU*"),
            totals=("mIoU", "mIoU*", "pixel accuracy"),
            note="mIoU is over the 16 classes of SYNTHIA, mIoU* over 13 of them: without wall, fence and pole. The "
            f"paper prints mIoU* alone. {_NO_LABELS}",
        ),
        Table(
            name="families",
            title="Alignment, self-training, and both",
            rows=(
                *_rows("source adabn control adaptseg advent cbst"),
                *_decorated_rows("game-city"),
            ),
            differences=(
                *((label, "source-only") for family in FAMILIES.values() for label in family),
                *((decorated_label(base), LABELS[base]) for base in DECORATED if base != "source"),
                *((label, other) for label in FAMILIES["ST"] for other in ("AdaBN", "control")),
            ),
            paper=tuple(
                PaperRow(label, IAST_FAMILIES, "game-city", {"family": family}, {"mIoU": column})
                for family, label, column in _FAMILIES_PRINTED
            ),
            note="AT, alignment by a discriminator: AdaptSegNet and ADVENT. ST, self-training from source-only: CBST "
            "and IAST. AT + ST: IAST after either alignment. Of the paper's methods BLF, AdaptMR, PyCDA and CRST are "
            "not in the course; CBST, which CRST extends, stands in for it. The paper's means are over its methods.",
        ),
        Table(
            name="instance_adaptive_game",
            title="Instance adaptive self-training and its rivals",
            rows=(*_rows(_RIVALS), *_iast_rows("game-city"), *_rows("oracle")),
            differences=_RIVALRY,
            paper=_iast_paper(IAST_GTA5, "game-city", {**_RIVALS_PRINTED, "IAST, multi-scale": "IAST-MST(ours)"}),
            note=_OWN_WARM_UP,
        ),
        Table(
            name="instance_adaptive_synth",
            title="Instance adaptive self-training and its rivals",
            rows=(*_rows(_RIVALS, "synth-city"), *_iast_rows("synth-city"), *_rows("oracle", "synth-city")),
            differences=_RIVALRY,
            paper=_iast_paper(IAST_SYNTHIA, "synth-city", _RIVALS_PRINTED),
            totals=("mIoU", "mIoU*", "pixel accuracy"),
            note="mIoU is over the 16 classes of SYNTHIA, mIoU* over 13 of them: without wall, fence and pole. The "
            f"paper prints no test at several scales here. {_OWN_WARM_UP}",
        ),
        Table(
            name="weights_sweep",
            title="Weights of the two regularisers",
            rows=tuple(
                Row(
                    weights_label(entropy, flatness),
                    "iast",
                    settings={**INSTANCE["+ ignored region"], "flatness": flatness, "entropy": entropy},
                )
                for entropy, flatness in WEIGHTS
            ),
            differences=tuple(
                (weights_label(*CHOSEN_WEIGHTS), weights_label(*weights))
                for weights in WEIGHTS
                if weights != CHOSEN_WEIGHTS
            ),
            paper=tuple(
                PaperRow(
                    weights_label(entropy, flatness),
                    IAST_WEIGHTS,
                    "game-city",
                    {"lambda_i": f"{entropy:.1f}".lstrip("0"), "lambda_c": f"{flatness:.2f}".lstrip("0")},
                )
                for entropy, flatness in WEIGHTS
            ),
            note="lambda_i weighs the entropy of ignored pixels, lambda_c the flatness of labelled ones. A sweep over "
            "settings, of one seed: differences as small as those between seeds mean nothing.",
            seeds=1,
        ),
        Table(
            name="selector_sweep",
            title="Networks trained on labels of instance adaptive thresholds",
            rows=(
                *(Row(label, "iast", settings=INSTANCE[label]) for label in _SELECTOR_RIVALS),
                *(
                    Row(
                        instance_label(*setting),
                        "iast",
                        settings={
                            **INSTANCE["+ instance adaptive selector"],
                            **dict(zip(("alpha", "beta", "gamma"), setting, strict=True)),
                        },
                    )
                    for setting in _SWEPT
                ),
            ),
            differences=(
                *((instance_label(0.2, 0.9, 0), rival) for rival in _SELECTOR_RIVALS),
                *(
                    (instance_label(0.2, one, 0), instance_label(0.2, other, 0))
                    for other, one in itertools.pairwise(BETAS)
                ),
                *(
                    (instance_label(one, 0.9, 0), instance_label(other, 0.9, 0))
                    for other, one in itertools.pairwise(ALPHAS)
                ),
                *(
                    (instance_label(0.2, 0.9, one), instance_label(0.2, 0.9, other))
                    for other, one in itertools.pairwise(GAMMAS)
                ),
            ),
            paper=(
                *(
                    PaperRow(label, IAST_SELECTORS, "game-city", {"method": method}, _PRINTED_SHARE)
                    for label, method in _SELECTOR_RIVALS.items()
                ),
                *(
                    PaperRow(instance_label(*setting), table, "game-city", where, columns)
                    for table, setting, where, columns in _SWEPT_PRINTED
                ),
            ),
            totals=("mIoU", "pixel accuracy", "coverage in round 1", "label mIoU in round 1"),
            note="All without regularisers; the paper does not say whether its sweeps have them, and its figures for a "
            "gamma of 8 are those of a network that has. Its row of a gamma of 0 is that of alpha 0.2, beta 0.9 in "
            "Table 2. Coverage and label mIoU in round 1 are of the labels, the latter over the labelled pixels alone; "
            "the paper does not say of which round its figures are. A sweep over settings, of one seed: differences as "
            "small as those between seeds mean nothing.",
            seeds=1,
        ),
        Table(
            name="semi_supervised",
            title="Labels for a share of the target",
            rows=(
                *(
                    Row(share_label("baseline", name), "labelled", settings={"labelled_share": share})
                    for name, share in SHARES.items()
                ),
                *_rows("oracle"),
                *(
                    Row(
                        share_label("IAST", name),
                        "iast",
                        settings={"warmup": "labelled", "labelled_share": share, **_WHOLE_IAST},
                    )
                    for name, share in SHARES.items()
                ),
            ),
            differences=(
                *((share_label("IAST", share), share_label("baseline", share)) for share in SHARES),
                *((share_label("IAST", one), share_label("IAST", other)) for other, one in itertools.pairwise(SHARES)),
                ("oracle", share_label("IAST", "1/2")),
            ),
            paper=(
                *(
                    PaperRow(share_label(label, share), IAST_SHARES, "game-city", {"method": method}, {"mIoU": share})
                    for label, method in (("baseline", "Baseline"), ("IAST", "IAST(ours)"))
                    for share in SHARES
                ),
                PaperRow("oracle", IAST_SHARES, "game-city", {"method": "Baseline"}, {"mIoU": "full"}),
                PaperRow("IAST, full", IAST_SHARES, "game-city", {"method": "IAST(ours)"}, {"mIoU": "full"}),
                *(
                    PaperRow(
                        share_label("AdvSemi", share),
                        IAST_SHARES,
                        "game-city",
                        {"method": "AdvSemi [11]"},
                        {"mIoU": share},
                    )
                    for share in (*SHARES, "full")
                ),
            ),
            note="No source: the baseline is trained on the labelled share of the target's images, which the seed "
            "chooses, for as many steps as the oracle on all of them. IAST goes on from it, with those labels and with "
            "pseudo-labels for the other images. With all images labelled there are none, and IAST is the oracle; the "
            "paper prints the baseline's figure there. AdvSemi is not in the course.",
        ),
        Table(
            name="multi_level",
            title="Labels from windows, and weak labels",
            rows=(
                *_rows("source adabn control cbst cbst-sp"),
                Row(LABELS["sisc"], "sisc", settings={"include_full": False, "window": WINDOW_SIDES[0]}),
                Row(WHOLE_SISC, "sisc", settings={"include_full": True, "window": WINDOW_SIDES[0]}),
                Row(LARGE_SISC, "sisc", settings={"include_full": True, "window": WINDOW_SIDES[1]}),
                *_rows("mlsl oracle"),
            ),
            differences=(
                ("SISC", "CBST"),
                ("SISC", "CBST-SP"),
                (WHOLE_SISC, "SISC"),
                (WHOLE_SISC, "CBST"),
                (LARGE_SISC, WHOLE_SISC),
                (LARGE_SISC, "CBST"),
                ("SISC-PWL", "SISC"),
                ("SISC", "control"),
                *((label, "source-only") for label in ("CBST-SP", "SISC", "SISC-PWL", "oracle")),
            ),
            paper=(
                *_mlsl_paper(
                    MLSL_GTA5,
                    "game-city",
                    {
                        "source-only": "Source only",
                        "CBST-SP": "CBST-SP [13]",
                        "SISC": "Ours (SISC)",
                        "SISC-PWL": "Ours (SISC-PWL)",
                    },
                ),
                *_mlsl_gains("game-city", "CBST-SP", "mIoU", "gta5_gain"),
            ),
            note="SISC and SISC-PWL have no spatial prior; CBST, without one, is what they extend, and CBST-SP what "
            f"the paper's figures stand beside. {_UNCOVERED} {WHOLE_SISC}: it counts as one more window, as in the "
            f"released code. {LARGE_SISC}: these are as high as the crops of the training. Differences to source-only "
            "are the gains of the paper's Table 3, whose CBST is, from GTA5, CBST-SP.",
        ),
        Table(
            name="multi_level_synth",
            title="Labels from windows, and weak labels",
            rows=_rows("source adabn control cbst sisc mlsl oracle", "synth-city"),
            differences=(
                ("SISC", "CBST"),
                ("SISC-PWL", "SISC"),
                ("SISC", "control"),
                *((label, "source-only") for label in ("CBST", "SISC", "SISC-PWL", "oracle")),
            ),
            paper=(
                *_mlsl_paper(
                    MLSL_SYNTHIA,
                    "synth-city",
                    {
                        "source-only": "Source only",
                        "CBST": "CBST [13]",
                        "SISC": "Ours (SISC)",
                        "SISC-PWL": "Ours (SISC+PWL)",
                    },
                ),
                *_mlsl_gains("synth-city", "CBST", "mIoU*", "synthia_gain"),
            ),
            totals=("mIoU", "mIoU*", "pixel accuracy"),
            note="mIoU is over the 16 classes of SYNTHIA, mIoU* over 13 of them: without wall, fence and pole. "
            f"{_UNCOVERED} Differences to source-only are, in mIoU*, the gains of the paper's Table 3.",
        ),
        Table(
            name="weak_labels",
            title="Weak labels without windows",
            rows=(
                *_rows("source control cbst"),
                *(
                    Row(label, "mlsl", settings={"windows": 1, "window": 2.0, "weak_weight": weight})
                    for label, weight in ((WHOLE_PWL, CHOSEN_WEAK[0]), (LOUD_PWL, 100 * CHOSEN_WEAK[0]))
                ),
                *_rows("oracle"),
            ),
            differences=(
                (WHOLE_PWL, "CBST"),
                (LOUD_PWL, "CBST"),
                (LOUD_PWL, WHOLE_PWL),
                ("CBST", "source-only"),
                ("oracle", "source-only"),
            ),
            note=f"{WHOLE_PWL} is SISC-PWL with one window that is as large as the image, which makes it CBST that "
            "also learns weak labels; lambda, their weight, is the paper's, 0.025, or a hundred times as large.",
        ),
        Table(
            name="weak_labels_sweep",
            title="Weight and threshold of the weak labels",
            rows=(
                *_rows("sisc"),
                *(
                    Row(weak_label(weight, eta), "mlsl", settings={"weak_weight": weight, "eta": eta})
                    for weight, eta in WEAK
                ),
            ),
            differences=(
                *((weak_label(*CHOSEN_WEAK), weak_label(*weak)) for weak in WEAK if weak != CHOSEN_WEAK),
                *((weak_label(*weak), "SISC") for weak in WEAK),
            ),
            paper=(
                PaperRow("SISC", MLSL_GTA5, "game-city", {"method": "Ours (SISC)"}),
                *(PaperRow(weak_label(*weak), MLSL_WEIGHTS, "game-city", _WEAK_PRINTED[weak]) for weak in WEAK),
            ),
            note="lambda weighs the weak labels; a class is present where it has more than the share eta of its mean "
            "size. The paper does not print which eta its lambdas have, nor which lambda its etas; 0.05 and 0.025, "
            f"which it chose, are assumed. {_UNCOVERED} A sweep over settings, of one seed: differences as small as "
            "those between seeds mean nothing.",
            seeds=1,
        ),
        Table(
            name="windows_sweep",
            title="Networks trained on labels from windows",
            rows=tuple(
                Row(
                    windows_label(count, side, vote),
                    "sisc",
                    settings={"windows": count, "window": side, "vote": vote},
                )
                for count, side, vote in WINDOWS_SWEPT
            ),
            differences=(
                *((windows_label(one, 0.5), windows_label(other, 0.5)) for other, one in ((25, 50), (50, 100))),
                (windows_label(50, 0.25), windows_label(50, 0.5)),
                (windows_label(50, 0.5, "hard"), windows_label(50, 0.5)),
            ),
            note="SISC. A window's side is a share of the image's height: 0.5 is 512 of 1,024 pixels, 0.25 is 256. "
            "What lies in no window gets no label, so that with more or larger windows more of an image can be "
            "labelled. Hard: votes are counted instead of averaged. The paper prints no "
            "figures. A sweep over settings, of one seed: differences as small as those between seeds mean nothing.",
            seeds=1,
        ),
        Table(
            name="proxies",
            title="Proxies behind discriminators",
            rows=(
                *(Row(LABELS[recipe], recipe, settings=_ON_FUSION) for recipe in ("source", "adabn", "control")),
                *_rows("singleadv multiadv"),
                *(Row(label, "proxies", settings=settings) for label, settings in PROXIES.items()),
                Row(PROXIES_SCALES, "proxies", settings=PROXIES["two + proxies"], test="multi_scale"),
                Row(LABELS["oracle"], "oracle", settings=_ON_FUSION),
            ),
            differences=(
                ("control", "source-only"),
                ("one discriminator", "source-only"),
                ("one discriminator", "control"),
                ("two discriminators", "one discriminator"),
                ("two discriminators", "control"),
                ("one + proxies", "one discriminator"),
                ("two + proxies", "two discriminators"),
                ("two + proxies", "control"),
                ("two + proxies", "one + proxies"),
                ("two + proxies", "two + proxies, continued"),
                ("two + proxies", "two + proxies, no gate"),
                (PROXIES_SCALES, "two + proxies"),
                (PROXIES_SCALES, "source-only"),
                ("oracle", "source-only"),
                ("oracle", "two discriminators"),
            ),
            paper=(
                *_paper(SHEN_GTA5, "game-city", "VGG16", "source-only", PROXIES_SCALES),
                *_paper(SHEN_GTA5, "game-city", "ResNet101", "source-only"),
                *(
                    PaperRow(
                        paper_label(label, "ResNet101"),
                        SHEN_MODULES,
                        "game-city",
                        {"backbone": "ResNet101", "paper_row": row},
                    )
                    for label, row in _SHEN_MODULES.items()
                ),
                PaperRow(
                    paper_label("two + proxies, no gate", "ResNet101"),
                    SHEN_GATES,
                    "game-city",
                    {"p1": "1", "p2": "0.48"},
                ),
                *_paper(SHEN_GTA5, "game-city", "ResNet101", PROXIES_SCALES),
            ),
            note="All rows have the network mini_fusion. Proxies are labels of the target that its discriminators take "
            "for source and its network is sure of; a fresh network is trained on them, and on no source image. "
            "Continued: the aligned network is trained on them instead. No gate: class-balanced labels alone, with "
            "p2 at what p1 times p2 is otherwise; the gate leaves somewhat more, see table gate_study.",
        ),
        Table(
            name="proxies_synth",
            title="Proxies behind discriminators",
            rows=(
                *(Row(LABELS[recipe], recipe, "synth-city", _ON_FUSION) for recipe in ("source", "adabn", "control")),
                *_rows("multiadv", "synth-city"),
                Row("two + proxies", "proxies", "synth-city", PROXIES["two + proxies"]),
                Row(PROXIES_SCALES, "proxies", "synth-city", PROXIES["two + proxies"], test="multi_scale"),
                Row(LABELS["oracle"], "oracle", "synth-city", _ON_FUSION),
            ),
            differences=(
                ("control", "source-only"),
                ("two discriminators", "source-only"),
                ("two discriminators", "control"),
                ("two + proxies", "two discriminators"),
                ("two + proxies", "control"),
                (PROXIES_SCALES, "two + proxies"),
                (PROXIES_SCALES, "source-only"),
                ("oracle", "source-only"),
            ),
            paper=(
                *_paper(SHEN_SYNTHIA, "synth-city", "VGG16", "source-only", PROXIES_SCALES),
                *_paper(SHEN_SYNTHIA, "synth-city", "ResNet101", "source-only", PROXIES_SCALES),
            ),
            totals=("mIoU", "mIoU*", "pixel accuracy"),
            note="As table proxies. mIoU is over the 16 classes of SYNTHIA, mIoU* over 13 of them: without wall, fence "
            "and pole.",
        ),
        Table(
            name="gate_study",
            title="Pseudo-labels behind an adversarial gate",
            rows=(
                *(_gate_row(*gate) for gate in GATES),
                *(_gate_row(1.0, portion) for portion in UNGATED),
                *(_gate_row(*gate, gated=False) for gate in GATES),
                _gate_row(*GATE_ALONE),
                _gate_row(*GATE_ALONE, gated=False),
                _gate_row(*NO_SELECTION),
            ),
            differences=(
                *((gate_label(*gate), gate_label(*gate, gated=False)) for gate in GATES),
                *((gate_label(*gate), gate_label(1.0, portion)) for gate, portion in SAME_PRODUCT),
                (gate_label(*GATE_ALONE), gate_label(*NO_SELECTION)),
            ),
            totals=("coverage", "precision", "recall", "class precision", "class recall", "label mIoU"),
            note="One aligned network predicts, and the truth judges the labels; nothing is trained on them. p1 is the "
            "share of the coarse cells that the discriminators let pass, p2 that of each class among their pixels; p1 "
            "of 1 is no gate. No gate, share of ...: class-balanced labels of the share that this gate labelled, which "
            "is not quite p1 times p2. Label mIoU is over the labelled pixels alone.",
        ),
        Table(
            name="label_study",
            title="Pseudo-labels of several selections",
            rows=tuple(row for benchmark in ("game-city", "synth-city") for row in _study_rows(benchmark)),
            differences=tuple(
                pair for benchmark in ("game-city", "synth-city") for pair in _study_differences(benchmark)
            ),
            totals=_STUDIED,
            note="One source-only network predicts, several selections label a portion of the target training images, "
            "and the truth judges the labels; nothing is trained on them. SP (class) and SP (pixel): with a spatial "
            "prior of the source, normalised so. SP (oracle): with one of the target's own labels, class-normalised, "
            "which no method can have. Precision and recall: over all pixels, and as means over the classes. Distance: "
            "half the sum over the classes of the differences between their shares of the labels and of the "
            "predictions that are selected from. Rare share: of the labels, those of the rare classes, the third of "
            "the classes with the smallest shares of these predictions.",
        ),
    )
}


def write(name: str, records: Iterable[str | Path | Record], folder: str | Path) -> None:
    """Write `NAME.csv`, `NAME.md` and `NAME.records.json` into `folder`.

    records: files of finished runs, or their contents, as stored in `NAME.records.json`. Every row needs one
    run for each of the same seeds, all on the table's benchmarks and of one profile.

    Raises ValueError for an unknown table, for records that don't make up the table, and for a folder that
    can't be written.
    """
    table, by_row = load(name, records)
    lines = _lines(table, by_row)
    once = {id(record): record for row in by_row.values() for record in row}  # two rows may show one run
    texts = {
        "csv": _csv(lines),
        "md": _markdown(table, by_row, lines),
        "records.json": json.dumps([_slim(record) for record in once.values()], indent=1) + "\n",
    }
    write_files(f"Table {name}", {Path(folder) / f"{name}.{suffix}": text for suffix, text in texts.items()})


def write_files(what: str, texts: Mapping[Path, str]) -> None:
    """Write text files, in folders made where there are none.

    Raises ValueError where a file can't be written; what: what the error calls them.
    """
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            runs.write_atomically(path, text)
        except OSError as error:
            raise ValueError(
                f"{what} can't be written to {path.parent} ({error.strerror}); choose another folder."
            ) from error


def per_seed(name: str, records: Iterable[str | Path | Record]) -> dict[str, dict[str, np.ndarray]]:
    """The figures of a table's own rows, by row label and column, each [seeds] in per cent by ascending seed.

    records: as for `write`, which raises the same errors.
    """
    table, by_row = load(name, records)
    columns, values = _values(table, by_row)
    return {label: dict(zip(columns, array.T, strict=True)) for label, array in values.items()}


def load(name: str, records: Iterable[str | Path | Record]) -> tuple[Table, dict[str, list[Record]]]:
    """A table and, by row label, its records by ascending seed; takes and raises what `write` does."""
    table = find(name)
    loaded = [record if isinstance(record, dict) else runs.read_record(Path(record)) for record in records]
    return table, _sorted_into_rows(table, loaded)


def find(name: str) -> Table:
    """The table called `name`. Raises ValueError, listing the choices, for any other name."""
    if name not in TABLES:
        raise ValueError(f"There is no table {name!r}; choose one of: {', '.join(TABLES)}.")
    return TABLES[name]


# From records to rows -----------------------------------------------------------------------------------


def _sorted_into_rows(table: Table, records: list[Record]) -> dict[str, list[Record]]:
    """The records of each row, by ascending seed. Raises ValueError unless they make up the table exactly."""
    by_row: dict[str, list[Record]] = {row.label: [] for row in table.rows}
    for record in records:
        if record["status"] != "finished":
            raise ValueError(f"The run of {_title(record)} is {record['status']!r}; finish it with `udalib run` first.")
        if record["benchmark"] not in table.benchmarks:
            about = _listed(table.benchmarks)
            raise ValueError(f"Table {table.name} is about {about}; leave out the run of {_title(record)}.")
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


def subject(record: Record) -> str:
    """What a run was on, in words: an embedded benchmark is named as the stand-in it is."""
    stands_for = record["stands_for"]
    what = "real images" if stands_for == "itself" else f"a stand-in for {stands_for}"
    return f"{record['benchmark']}, {what}"


def _title(record: Record) -> str:
    return "{recipe} on {benchmark}, profile {profile}, seed {seed}".format(**record)


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))


_BULK = ("confusion", "curve", "trajectory")


def _slim(record: Record) -> Record:
    """A record without the bulk that no table needs."""

    def without_bulk(entry: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in entry.items() if key not in _BULK}
        return {key: without_bulk(value) if isinstance(value, dict) else value for key, value in kept.items()}

    return record | {"rounds": [without_bulk(entry) for entry in record["rounds"]]}


# From rows to figures -----------------------------------------------------------------------------------

Figures = dict[str, float | str]  # by column; per cent as a number, or as a paper prints it; NaN or "" if there is none


@dataclass(frozen=True)
class _Line:
    """One line of the CSV; kind: "ours", "difference" or "paper"."""

    label: str
    kind: str
    facts: dict[str, Any]
    mean: Figures
    std: Figures
    note: str = ""


def _lines(table: Table, by_row: dict[str, list[Record]]) -> list[_Line]:
    columns, values = _values(table, by_row)
    ours = [_ours(label, "ours", by_row[label], columns, values[label]) for label in by_row]
    differences = [
        _ours(f"{one} minus {other}", "difference", by_row[one], columns, values[one] - values[other])
        for one, other in table.differences
    ]
    stands_for = {record["benchmark"]: record["stands_for"] for row in by_row.values() for record in row}
    return ours + differences + [_from_paper(row, stands_for[row.benchmark], columns) for row in table.paper]


def _values(table: Table, by_row: dict[str, list[Record]]) -> tuple[list[str], dict[str, np.ndarray]]:
    """The columns, and by row label the figures [seeds, columns] in per cent; NaN where a class is absent."""
    record = by_row[table.rows[0].label][0]
    judged = "iou" in table.rows[0].scores(record)
    classes = record.get("scored_classes", record["classes"]) if judged else []

    def figures(scores: dict[str, Any]) -> list[float | None]:
        return [*(scores["iou"] if judged else []), *(_TOTALS[total](scores) for total in table.totals)]

    values = {
        row.label: 100 * np.array([figures(row.scores(record)) for record in by_row[row.label]], float)
        for row in table.rows
    }
    return [*classes, *table.totals], values


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
    printed = row.printed()
    note, figures = printed["note"], {column: "" for column in columns}
    for column in columns:
        if column in _TOTALS or papers.adds_up(printed):
            figures[column] = printed.get(printed_column(column), "")
    if not papers.adds_up(printed):
        note = f"{note}; the class figures are left out"
    facts = {"benchmark": experiment, "reference": papers.cite(row.table)}
    return _Line(row.label, "paper", facts, figures, {}, note)


def printed_column(column: str) -> str:
    """What a paper's table calls a column of ours."""
    return "pixel_acc" if column == "pixel accuracy" else _key(column)


def _key(column: str) -> str:
    return column.replace(" ", "_").replace("*", "_star")


# From figures to text -----------------------------------------------------------------------------------


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
    stands_for = {record["benchmark"]: record["stands_for"] for record in records}
    subjects = {record["benchmark"]: subject(record) for record in records}
    unit = "IoU and accuracy in per cent" if "mIoU" in table.totals else "In per cent"
    several = len(subjects) > 1
    title = f"# {table.title}" + ("" if several else f" on {subject(records[0])}")
    parts = [title, f"{unit}{_spread_in_words(lines[0])}."]
    parts += [table.note] if table.note else []
    parts.append(provenance(records))
    for benchmark, experiment in stands_for.items():
        on = f" on {benchmark}" if several else ""
        ours, differences = (
            [line for line in lines if line.kind == kind and line.facts["benchmark"] == benchmark]
            for kind in ("ours", "difference")
        )
        paper = [line for line in lines if line.kind == "paper" and line.facts["benchmark"] == experiment]
        parts += [f"## On {subjects[benchmark]}"] if several else []
        parts += _section(ours)
        if differences:
            parts += [f"## Paired differences{on}", "In points, taken seed by seed.", *_section(differences, sign="+")]
        for row in table.rows:
            if row.benchmark == benchmark and not row.test:
                parts += _labels_section(row.label, by_row[row.label])
        if paper:
            references = _listed(dict.fromkeys(line.facts["reference"] for line in paper))
            parts += [f"## The paper's figures for {experiment}", f"As printed, on real images: {references}."]
            parts += _section(paper)
            parts += [f"† {line.label}: {line.note}." for line in paper if line.note]
    return "\n\n".join(parts) + "\n"


def _labels_section(label: str, row: list[Record]) -> list[str]:
    """How good the pseudo-labels of each round were, overall and per class; nothing for a row without any."""
    rounds = [
        [record["rounds"][i]["labels"] for record in row]
        for i in range(len(row[0]["rounds"]))
        if "labels" in row[0]["rounds"][i]
    ]
    if not rounds:
        return []

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
        grid(["", *overall], totals),
        grid(["class", *header], [list(line) for line in zip(row[0]["classes"], *columns, strict=True)]),
    ]


def _spread_in_words(line: _Line) -> str:
    seeds = line.facts["n_seeds"]
    return (
        f", mean ± sample standard deviation over {seeds} seeds" if seeds > 1 else " from one seed, so without a spread"
    )


def provenance(records: list[Record]) -> str:
    """What made these records, as a list in Markdown."""
    dates = sorted({record["date"] for record in records})
    versions = {f"{package} {version}": None for record in records for package, version in record["versions"].items()}
    code = {f"{record['recipe']} {record['code']}": None for record in records}
    facts = {
        "profile": records[0]["profile"],
        "seeds": _listed(sorted({record["seed"] for record in records})),
        "device": "; ".join(dict.fromkeys(record["device"] for record in records)),
        "date": " to ".join(dict.fromkeys((dates[0], dates[-1]))),
        "versions": _listed(versions),
        "code": _listed(code),
    }
    return "\n".join(f"* {name}: {text}" for name, text in facts.items())


def _section(lines: list[_Line], sign: str = "") -> list[str]:
    """Two tables: the totals with a row per line, and the classes, if any, with a column per line."""
    totals = [column for column in lines[0].mean if column in _TOTALS]
    classes = [column for column in lines[0].mean if column not in _TOTALS]
    titles = [line.label + (" †" if line.note else "") for line in lines]
    by_line = [
        [title, *(_cell(line, column, sign) for column in totals)] for title, line in zip(titles, lines, strict=True)
    ]
    by_class = [[name, *(_cell(line, name, sign) for line in lines)] for name in classes]
    return [grid(["", *totals], by_line), *([grid(["IoU", *titles], by_class)] if classes else [])]


def grid(header: list[str], body: list[list[str]], side: str = "---:") -> str:
    """A table in Markdown. side: of the columns after the first, right-aligned unless it is "---"."""
    rule = ["---", *[side] * (len(header) - 1)]
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
