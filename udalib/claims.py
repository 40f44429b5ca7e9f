"""What the papers claim, held against our runs: a ledger made from the records of the tables alone.

A claim is a declaration: comparisons of rows of our tables, and the sign that each of them should have. `write`
turns a ledger into `NAME.csv` (a line per comparison) and `NAME.md` (for reading).
"""

import csv
import io
import itertools
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from udalib import papers, tables

Figures = dict[str, dict[str, np.ndarray]]  # by row and column of a table, [seeds] in per cent

HOLDS, FAILS, OPEN, MISSING = "holds", "does not hold", "undecided", "not measured"
RULE = (
    "A comparison is a difference, taken seed by seed, and a sign that the claim gives it. It *holds* if the "
    "difference has that sign in every one of at least three seeds and its mean is more than two standard errors from "
    "zero. It *does not hold* if the difference has the opposite sign in every one of at least three seeds and its "
    "mean is more than two standard errors from zero. All else is *undecided*, a difference near zero too. It is *not "
    "measured* while the records of its table do not exist. A claim holds if all its comparisons hold, and does not "
    "if one of them does not. Claimed is + or -; *not +* is a claim that nothing is gained and counts as -. The rule "
    "is lenient: where three seeds differ by normal noise alone, one comparison in eleven holds and one in eleven does "
    "not."
)


@dataclass(frozen=True)
class Comparison:
    """One difference, and the sign that it should have.

    measure: from the figures of the table's rows to the difference [seeds]. rows: one and other of a plain
    difference, ours or the paper's, beside which the paper's own is shown. claimed: "+", "-" or "not +".
    """

    text: str
    table: str
    column: str
    claimed: str
    measure: Callable[[Figures], np.ndarray]
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A claim in our words; source: where the paper makes it.

    why: what may be behind the verdict; evidence: comparisons that this explanation predicts, apart from the verdict.
    """

    name: str
    text: str
    source: str
    comparisons: tuple[Comparison, ...]
    why: str = ""
    evidence: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Ledger:
    title: str
    claims: tuple[Claim, ...]


# The claims ---------------------------------------------------------------------------------------------


def _difference(table: str, one: str, other: str, claimed: str = "+", column: str = "mIoU") -> Comparison:
    return Comparison(
        f"{one} minus {other}",
        table,
        column,
        claimed,
        lambda figures: figures[one][column] - figures[other][column],
        (one, other),
    )


def _study(
    benchmark: str, column: str, claimed: str, one: tuple[str, str], other: tuple[str, str]
) -> tuple[Comparison, ...]:
    """The same difference of two selections at every portion."""
    return tuple(
        _difference(
            "label_study_camvid" if benchmark == tables.REAL else "label_study",
            *(tables.study_label(*selection, portion, benchmark) for selection in (one, other)),
            claimed,
            column,
        )
        for portion in tables.STUDY_PORTIONS
    )


def _labels_of_rare_classes(benchmark: str) -> tuple[Comparison, ...]:
    rows = [tables.study_label("CBST", "", portion, benchmark) for portion in tables.STUDY_PORTIONS]
    return tuple(
        Comparison(
            f"{row}, against zero",
            "label_study",
            "rare share",
            "+",
            lambda figures, row=row: figures[row]["rare share"],
        )
        for row in rows
    )


def _balance_with_and(without: str, column: str) -> Comparison:
    """CBST minus ST, minus the same in the rows that are named by what they lack."""
    return Comparison(
        f"CBST minus ST, minus the same, {without}",
        "class_balance_causes",
        column,
        "-",
        lambda figures: (
            (figures["CBST"][column] - figures["ST"][column])
            - (figures[f"CBST, {without}"][column] - figures[f"ST, {without}"][column])
        ),
    )


def _over_settings(figures: Figures, method: str, column: str, settings=tables.PORTIONS) -> np.ndarray:
    """[settings, seeds] of table portions."""
    return np.stack([figures[tables.portion_label(method, *setting)][column] for setting in settings])


def _sensitivity(figures: Figures, method: str) -> np.ndarray:
    """How far the settings are apart after the last round."""
    return np.ptp(_over_settings(figures, method, "mIoU"), axis=0)


def _growth(
    figures: Figures, method: str, settings=tables.PORTIONS, first: str = "round 1", last: str = "mIoU"
) -> np.ndarray:
    """What the rounds after the first add, from column `first` to column `last`, on average over the settings."""
    ends = (_over_settings(figures, method, column, settings) for column in (last, first))
    return np.subtract(*ends).mean(axis=0)


_BENCHMARKS = ("game-city", "synth-city")


def _beyond_the_other_steps(rows: Iterable[str], row: str, column: str = "mIoU") -> Callable[[Figures], np.ndarray]:
    """What `row` adds to the one before it, minus the most that any other of `rows` adds to its own."""
    rows = list(rows)

    def measure(figures: Figures) -> np.ndarray:
        steps = np.diff(np.stack([figures[name][column] for name in rows]), axis=0)
        number = rows.index(row) - 1
        return steps[number] - np.delete(steps, number, axis=0).max(axis=0)

    return measure


def _pixels_beyond_classes(figures: Figures) -> np.ndarray:
    gains = {
        column: figures["self-training"][column] - figures[tables.TWO_DECODERS][column]
        for column in ("pixel accuracy", "mIoU")
    }
    return gains["pixel accuracy"] - gains["mIoU"]


def _game_minus_city(one: str, other: str) -> Callable[[Figures], np.ndarray]:
    """On dashcam images: by how much one row minus another is more from the source game than from city."""

    def gain(figures: Figures, source: str) -> np.ndarray:
        return figures[f"{one}, {source}-dashcam"]["mIoU"] - figures[f"{other}, {source}-dashcam"]["mIoU"]

    return lambda figures: gain(figures, "game") - gain(figures, "city")


def _agreement(text: str, one: str, other: str) -> Comparison:
    """Two columns of the last row of table agreement."""
    last = tables.agreement_label(tables.AGREEMENT_EPOCHS[-1])
    return Comparison(text, "agreement", one, "+", lambda figures: figures[last][one] - figures[last][other])


# Rows of table instance_adaptive, each with one thing more than the row before.
_STEPS_OF_IAST = (
    "warm-up",
    "+ constant ST",
    "+ instance adaptive selector",
    "+ confident region",
    "+ ignored region",
)


def _share_of_alpha(figures: Figures) -> np.ndarray:
    """Above zero where the labelled share is within half a point of alpha, 20 %, with beta and gamma of 0."""
    return 0.5 - np.abs(figures[tables.instance_label(0.2, 0.0, 0)]["coverage in round 1"] - 20)


def _lost_by_hard_classes(figures: Figures, gamma: int) -> np.ndarray:
    """What hard classes lose of their labels from a gamma of 0 to this one, minus what easy ones lose."""
    before, after = (figures[tables.instance_label(0.2, 0.9, value)] for value in (0, gamma))
    hard, easy = (before[column] - after[column] for column in ("kept of hard", "kept of easy"))
    return hard - easy


def _gain_of_iast(figures: Figures, base: str, column: str) -> np.ndarray:
    return figures[tables.decorated_label(base)][column] - figures[tables.LABELS[base]][column]


def _statistics_beside_labels(figures: Figures, column: str) -> np.ndarray:
    """What AdaBN gains over source-only, minus half of what IAST does."""
    return figures["AdaBN"][column] - figures["source-only"][column] - _gain_of_iast(figures, "source", column) / 2


def _mean_of_family(figures: Figures, family: str) -> np.ndarray:
    return np.mean([figures[row]["mIoU"] for row in tables.FAMILIES[family]], axis=0)


def _gain_at_share(figures: Figures, share: str) -> np.ndarray:
    return figures[tables.share_label("IAST", share)]["mIoU"] - figures[tables.share_label("baseline", share)]["mIoU"]


def _gained(figures: Figures, column: str) -> np.ndarray:
    """By SISC over CBST."""
    return figures["SISC"][column] - figures["CBST"][column]


def _moved_further(figures: Figures) -> np.ndarray:
    loud, quiet = (abs(figures[row]["mIoU"] - figures["CBST"]["mIoU"]) for row in (tables.LOUD_PWL, tables.WHOLE_PWL))
    return loud - quiet


def _without_a_threshold(figures: Figures) -> np.ndarray:
    by_eta = {eta: figures[tables.weak_label(tables.CHOSEN_WEAK[0], eta)]["mIoU"] for eta in tables.ETAS}
    return by_eta.pop(0.0) - np.min(list(by_eta.values()), axis=0)


def _saturation(table: str, column: str, few: str, some: str, many: str, where: str = "") -> Comparison:
    """Fifty windows add more to 25 than a hundred add to fifty. few, some, many: these rows."""
    return Comparison(
        f"what 50 windows add to 25, minus what 100 add to 50{where}",
        table,
        column,
        "+",
        lambda figures: 2 * figures[some][column] - figures[few][column] - figures[many][column],
    )


def _saturation_of_labels(portion: float) -> Comparison:
    rows = (tables.window_label(count, "soft", portion) for count in (25, 50, 100))
    return _saturation("window_study", "precision", *rows, f" at {portion:g}")


def _votes_at_equal_share(portion: float, column: str, claimed: str = "-") -> Comparison:
    """Labels from 50 windows by votes, minus those by averages, between whose portions the same share is looked up."""
    votes = tables.window_label(50, "hard", portion)
    averages = [tables.window_label(50, "soft", other) for other in tables.WINDOW_PORTIONS]

    def measure(figures: Figures) -> np.ndarray:
        shares, values = (np.stack([figures[row][key] for row in averages], axis=1) for key in ("coverage", column))
        share = figures[votes]["coverage"]
        alike = [np.interp(*of_seed) for of_seed in zip(share, shares, values, strict=True)]
        return figures[votes][column] - alike

    return Comparison(f"{votes} minus averages at the same share", "window_study", column, claimed, measure)


def _lost_to_windows(figures: Figures, side: float, portion: float) -> np.ndarray:
    """What 100 windows add to 25 in the precision of labels."""
    many, few = (figures[tables.side_label(side, count, portion)]["precision"] for count in (100, 25))
    return many - few


def _larger_windows() -> tuple[Comparison, ...]:
    """On labels alone: 50 windows as high as the crops of the training, and 50 of the recipe's."""
    small, large = tables.WINDOW_SIDES
    return tuple(
        _difference(
            "window_side_study",
            *(tables.side_label(side, 50, portion) for side in (large, small)),
            column="precision",
        )
        for portion in tables.WINDOW_PORTIONS
    )


def _neighbours(column: str, claimed: str, labels: list[str]) -> tuple[Comparison, ...]:
    """Each row of table instance_study minus the one before it."""
    return tuple(
        _difference("instance_study", one, other, claimed, column) for other, one in itertools.pairwise(labels)
    )


LEDGERS = {
    "multi_level": Ledger(
        "Labels from windows, and weak labels: the paper's claims",
        (
            Claim(
                "M1",
                "Labels from windows (SISC) gain over source-only and over class-balanced self-training with a spatial "
                "prior (without one, too; that comparison is ours); weak labels (PWL) gain over that, and less than "
                "SISC does.",
                papers.cite(tables.MLSL_GTA5),
                (
                    _difference("multi_level", "SISC", "source-only"),
                    _difference("multi_level", "SISC", "CBST"),
                    _difference("multi_level", "SISC", "CBST-SP"),
                    _difference("multi_level", "SISC-PWL", "SISC"),
                    Comparison(
                        "what SISC adds to CBST-SP, minus what PWL adds to SISC",
                        "multi_level",
                        "mIoU",
                        "+",
                        _beyond_the_other_steps(("CBST-SP", "SISC", "SISC-PWL"), "SISC"),
                    ),
                ),
                why="Two things. At quick an image has 25 windows, and a fifth of its pixels, most of them at its "
                "borders, lie in none and get no label. And on these streets labels from windows are worse than those "
                "of one prediction (M5), whatever they cover. If so, SISC is better where the whole image is one more "
                "window, and still not above CBST; better again with windows as high as the crops of the training; and "
                "the labels themselves, whole image included, have a lower mIoU.",
                evidence=(
                    _difference("multi_level", tables.WHOLE_SISC, "SISC"),
                    _difference("multi_level", tables.WHOLE_SISC, "CBST", "-"),
                    _difference("multi_level", tables.LARGE_SISC, tables.WHOLE_SISC),
                    *(
                        _difference(
                            "window_study",
                            *(tables.window_label(count, "soft", portion) for count in (25, 0)),
                            "-",
                            "label mIoU",
                        )
                        for portion in tables.WINDOW_PORTIONS
                    ),
                ),
            ),
            Claim(
                "M2",
                "So it is from a source that is seen from other viewpoints, in the mean over 16 classes and over 13.",
                papers.cite(tables.MLSL_SYNTHIA),
                tuple(
                    comparison
                    for column in ("mIoU", "mIoU*")
                    for comparison in (
                        *(
                            _difference("multi_level_synth", one, other, column=column)
                            for one, other in (("SISC", "source-only"), ("SISC", "CBST"), ("SISC-PWL", "SISC"))
                        ),
                        Comparison(
                            "what SISC adds to CBST, minus what PWL adds to SISC",
                            "multi_level_synth",
                            column,
                            "+",
                            _beyond_the_other_steps(("CBST", "SISC", "SISC-PWL"), "SISC", column),
                        ),
                    )
                ),
                why="As in M1. What lies in the fewest windows is the road in front of the camera. If so, it loses "
                "more than the mean of the classes, from either source.",
                evidence=tuple(
                    Comparison(
                        f"SISC minus CBST on {place}, of road minus of the mean",
                        table,
                        "road",
                        "-",
                        lambda figures: _gained(figures, "road") - _gained(figures, "mIoU"),
                    )
                    for table, place in (("multi_level_synth", "synth-city"), ("multi_level", "game-city"))
                ),
            ),
            Claim(
                "M3",
                "Of the weights tried for the weak labels 0.025 is best, and of the thresholds for presence 0.05; no "
                "threshold is worst, and with the largest weight weak labels do harm. Our sweep has one seed, so that "
                "nothing can be decided here.",
                papers.cite(tables.MLSL_WEIGHTS),
                (
                    *(
                        _difference(
                            "weak_labels_sweep", tables.weak_label(*tables.CHOSEN_WEAK), tables.weak_label(*weak)
                        )
                        for weak in tables.WEAK
                        if weak != tables.CHOSEN_WEAK
                    ),
                    Comparison(
                        "eta 0 minus the smallest of the other thresholds, at lambda 0.025",
                        "weak_labels_sweep",
                        "mIoU",
                        "-",
                        _without_a_threshold,
                    ),
                    _difference("weak_labels_sweep", tables.weak_label(0.1, 0.05), "SISC", "-"),
                ),
            ),
            Claim(
                "M4",
                "25 windows are too few and 100 hardly better than 50; votes are worse than averages, at the same "
                "share of labelled pixels (on labels alone; the paper speaks of trained networks).",
                "Iqbal and Ali, MLSL, Section 4.3 (statements without figures)",
                tuple(
                    comparison
                    for portion in tables.WINDOW_PORTIONS
                    for comparison in (
                        _difference(
                            "window_study",
                            *(tables.window_label(count, "soft", portion) for count in (50, 25)),
                            column="precision",
                        ),
                        _saturation_of_labels(portion),
                        _votes_at_equal_share(portion, "precision"),
                        _votes_at_equal_share(portion, "label mIoU"),
                    )
                ),
                why="Of votes: most pixels get every vote that is cast on them, which leaves nothing to rank by. More "
                "are then labelled than were asked for, those of the largest and easiest classes first. If so, "
                "coverage is larger where few are asked for, and what votes lose at the same share is the recall of "
                "the classes. Of the count: see M5; if small windows are what is wrong, then with larger ones less is "
                "lost from 25 to 100.",
                evidence=(
                    *(
                        _difference(
                            "window_study",
                            tables.window_label(50, "hard", portion),
                            tables.window_label(50, "soft", portion),
                            column="coverage",
                        )
                        for portion in tables.WINDOW_PORTIONS[:2]
                    ),
                    *(_votes_at_equal_share(portion, "class recall") for portion in tables.WINDOW_PORTIONS),
                    *(
                        Comparison(
                            f"100 minus 25 windows at {portion:g}: with a side of 0.75 minus with one of 0.5",
                            "window_side_study",
                            "precision",
                            "+",
                            lambda figures, portion=portion: (
                                _lost_to_windows(figures, 0.75, portion) - _lost_to_windows(figures, 0.5, portion)
                            ),
                        )
                        for portion in tables.WINDOW_PORTIONS
                    ),
                ),
            ),
            Claim(
                "M4, one seed",
                "The same on trained networks: 25 windows are too few, 100 hardly better than 50, small windows (256 "
                "pixels) and votes of no use. Our sweep has one seed, so that nothing can be decided here.",
                "Iqbal and Ali, MLSL, Section 4.3 (statements without figures)",
                (
                    *(
                        _difference("windows_sweep", tables.windows_label(*one), tables.windows_label(*other), claimed)
                        for one, other, claimed in (
                            ((50, 0.5), (25, 0.5), "+"),
                            ((50, 0.25), (50, 0.5), "not +"),
                            ((50, 0.5, "hard"), (50, 0.5), "-"),
                        )
                    ),
                    _saturation("windows_sweep", "mIoU", *(tables.windows_label(n, 0.5) for n in (25, 50, 100))),
                ),
            ),
            Claim(
                "M5",
                "Labels from averaged windows are more precise than those from one prediction, at the same share, and "
                "the more windows the better, up to a point (on labels alone).",
                "Iqbal and Ali, MLSL, Section 3.2 (an argument without figures)",
                tuple(
                    comparison
                    for portion in tables.WINDOW_PORTIONS
                    for comparison in (
                        *(
                            _difference(
                                "window_study",
                                tables.window_label(one, "soft", portion),
                                tables.window_label(other, "soft", portion),
                                "+",
                                "precision",
                            )
                            for other, one in itertools.pairwise(tables.WINDOW_COUNTS[:-1])
                        ),
                        _saturation_of_labels(portion),
                    )
                ),
                why="Our network learns from crops of three quarters of each side, and has never judged a street by as "
                "little of it as a window of half the height shows. The more windows, the less the prediction of the "
                "whole image weighs among them. If so, labels from windows as high as the crops are more precise than "
                "those from small ones, and, unless little of a street is always worse than all of it, than those from "
                "one prediction, too; and what small windows lose is the recall of the classes.",
                evidence=(
                    *_larger_windows(),
                    *(
                        _difference(
                            "window_side_study",
                            *(tables.side_label(tables.WINDOW_SIDES[1], count, portion) for count in (50, 0)),
                            column="precision",
                        )
                        for portion in tables.WINDOW_PORTIONS[1:]
                    ),
                    *(
                        _difference(
                            "window_study",
                            *(tables.window_label(count, "soft", portion) for count in (50, 0)),
                            "-",
                            "class recall",
                        )
                        for portion in tables.WINDOW_PORTIONS
                    ),
                ),
            ),
            Claim(
                "M6",
                "Weak labels gain over class-balanced self-training without windows, too: by 2.3 % of its mIoU, as "
                "printed, which are not points.",
                "Iqbal and Ali, MLSL (a figure in the text)",
                (_difference("weak_labels", tables.WHOLE_PWL, "CBST"),),
                why="At the paper's weight next to nothing of what the encoder learns comes from the image head; "
                "notebook 08 measures the two gradients. If so, a weight a hundred times as large moves the network "
                "further from CBST, to either side.",
                evidence=(
                    Comparison(
                        f"distance of {tables.LOUD_PWL} from CBST, minus that of {tables.WHOLE_PWL}",
                        "weak_labels",
                        "mIoU",
                        "+",
                        _moved_further,
                    ),
                ),
            ),
        ),
    ),
    "instance_adaptive": Ledger(
        "Instance adaptive self-training: the paper's claims",
        (
            Claim(
                "I1",
                "The warm-up gains over source-only, a constant threshold over the warm-up, the instance adaptive "
                "selector over that, and more than any other step of self-training; each regulariser adds to it.",
                papers.cite(tables.IAST_ABLATION),
                (
                    _difference("instance_adaptive", "warm-up", "source-only"),
                    _difference("instance_adaptive", "+ constant ST", "warm-up"),
                    _difference("instance_adaptive", "+ instance adaptive selector", "+ constant ST"),
                    _difference("instance_adaptive", "+ confident region", "+ instance adaptive selector"),
                    _difference("instance_adaptive", "+ ignored region", "+ confident region"),
                    Comparison(
                        "what the instance adaptive selector adds, minus the largest of the other steps after warm-up",
                        "instance_adaptive",
                        "mIoU",
                        "+",
                        _beyond_the_other_steps(_STEPS_OF_IAST, "+ instance adaptive selector"),
                    ),
                ),
                why="A constant threshold labels next to nothing of the hard classes. The selector labels a share of "
                "them too, by which the mIoU of its labels is the higher; but of all its labels more are wrong, and a "
                "network that learns from the target alone meets nothing that contradicts them. If so, more of the "
                "hard classes is labelled, the labels have a higher mIoU, and fewer of their pixels are right.",
                evidence=tuple(
                    _difference("instance_study", tables.instance_label(0.2, 0.9, 8), "constant", sign, column)
                    for column, sign in (("kept of hard", "+"), ("label mIoU", "+"), ("precision", "-"))
                ),
            ),
            Claim(
                "I2",
                "The selector labels more pixels the larger beta and alpha are (on labels alone, and with a gamma of 8 "
                "where the paper has 0); with it the network gets better than with class-balanced thresholds.",
                papers.cite(tables.IAST_SELECTORS),
                (
                    *_neighbours("coverage", "+", [tables.instance_label(0.2, beta, 8) for beta in tables.BETAS]),
                    *_neighbours("coverage", "+", [tables.instance_label(alpha, 0.9, 8) for alpha in tables.ALPHAS]),
                    _difference("instance_adaptive", "+ instance adaptive selector", "+ class-balanced ST"),
                ),
                why="As in I1: the selector labels more than twice as many pixels as class-balanced thresholds do, and "
                "in the mean over the classes more of them are wrong.",
                evidence=(
                    _difference(
                        "instance_study", tables.instance_label(0.2, 0.9, 8), "class-balanced", "-", "class precision"
                    ),
                ),
            ),
            Claim(
                "I2, one seed",
                "With a beta of 0 the selector labels exactly the share alpha, where gamma is 0, too. Networks trained "
                "on its labels are best with a beta of 0.9 and an alpha of 0.2, and better than with a constant "
                "threshold or class-balanced ones. Our sweep has one seed, so that nothing can be decided here.",
                papers.cite(tables.IAST_SELECTORS),
                (
                    Comparison(
                        "half a point minus the distance between the labelled share and alpha = 20 %",
                        "selector_sweep",
                        "coverage in round 1",
                        "+",
                        _share_of_alpha,
                    ),
                    *(
                        _difference("selector_sweep", tables.instance_label(0.2, 0.9, 0), other)
                        for other in (
                            *(tables.instance_label(0.2, beta, 0) for beta in tables.BETAS if beta != 0.9),
                            *(tables.instance_label(alpha, 0.9, 0) for alpha in tables.ALPHAS if alpha != 0.2),
                            "+ constant ST",
                            "+ class-balanced ST",
                        )
                    ),
                ),
                why="Of the share: our coverage counts pixels that have a true class alone, and the network is less "
                "sure of the others, so that a share of 20 % of all pixels is more of those that count. If so, "
                "class-balanced thresholds, which keep 20 % by construction, are above it by as much.",
                evidence=(
                    Comparison(
                        "coverage of class-balanced labels minus their portion of 20 %",
                        "instance_study",
                        "coverage",
                        "+",
                        lambda figures: figures["class-balanced"]["coverage"] - 20,
                    ),
                ),
            ),
            Claim(
                "I3",
                "Of the weights tried for the two regularisers, 3.0 for the entropy of ignored pixels and 0.1 for the "
                "flatness of labelled ones are best; the paper's mIoU lie within 0.9 of each other. Our sweep has one "
                "seed, so that nothing can be decided here.",
                papers.cite(tables.IAST_WEIGHTS),
                tuple(
                    _difference(
                        "weights_sweep", tables.weights_label(*tables.CHOSEN_WEIGHTS), tables.weights_label(*weights)
                    )
                    for weights in tables.WEIGHTS
                    if weights != tables.CHOSEN_WEIGHTS
                ),
            ),
            Claim(
                "I4",
                "The larger gamma, the fewer pixels are labelled and the higher is the mIoU of the labels (on labels "
                "alone). Easy classes (sky, car) lose fewer of their labels than hard ones (wall, fence, pole, "
                "motorcycle), on average.",
                f"{papers.cite(tables.IAST_GAMMAS)} and Figure 6",
                (
                    *(
                        comparison
                        for column, claimed in (("coverage", "-"), ("label mIoU", "+"))
                        for comparison in _neighbours(
                            column, claimed, [tables.instance_label(0.2, 0.9, gamma) for gamma in tables.GAMMAS]
                        )
                    ),
                    *(
                        Comparison(
                            f"lost from gamma 0 to {gamma}: by the hard classes minus by the easy ones",
                            "instance_study",
                            "kept of hard",
                            "+",
                            lambda figures, gamma=gamma: _lost_by_hard_classes(figures, gamma),
                        )
                        for gamma in tables.GAMMAS[1:]
                    ),
                ),
            ),
            Claim(
                "I4, one seed",
                "Networks trained on such labels are best with a gamma of 8. Our sweep has one seed, so that nothing "
                "can be decided here.",
                papers.cite(tables.IAST_GAMMAS),
                tuple(
                    _difference(
                        "selector_sweep", tables.instance_label(0.2, 0.9, 8), tables.instance_label(0.2, 0.9, gamma)
                    )
                    for gamma in tables.GAMMAS
                    if gamma != 8
                ),
            ),
            Claim(
                "I5",
                "IAST improves every network it starts from, and the weakest most, from either synthetic source. A "
                "better start need not be a better end: from GTA5 ADVENT starts above AdaptSegNet and ends below it.",
                papers.cite(tables.IAST_BASES),
                (
                    *(
                        comparison
                        for table, column in (("decorator", "mIoU"), ("decorator_synth", "mIoU*"))
                        for comparison in (
                            *(
                                _difference(table, tables.decorated_label(base), tables.LABELS[base], column=column)
                                for base in tables.DECORATED
                            ),
                            Comparison(
                                "gain over source-only minus the larger of the other gains",
                                table,
                                column,
                                "+",
                                lambda figures, column=column: (
                                    _gain_of_iast(figures, "source", column)
                                    - np.maximum(
                                        *(_gain_of_iast(figures, base, column) for base in ("adaptseg", "advent"))
                                    )
                                ),
                            ),
                        )
                    ),
                    _difference("decorator", "ADVENT", "AdaptSegNet"),
                    _difference("decorator", tables.decorated_label("advent"), tables.decorated_label("adaptseg"), "-"),
                ),
                why="Source-only has never seen a target image. IAST trains on them alone, and whatever its labels are "
                "worth, its network takes on the target's statistics, which is all that AdaBN does. An aligned network "
                "has seen target images before. If so, AdaBN has most of what IAST adds to source-only.",
                evidence=tuple(
                    Comparison(
                        "what AdaBN gains over source-only, minus half of what IAST does",
                        table,
                        column,
                        "+",
                        lambda figures, column=column: _statistics_beside_labels(figures, column),
                    )
                    for table, column in (("decorator", "mIoU"), ("decorator_synth", "mIoU*"))
                ),
            ),
            Claim(
                "I6",
                "Where a share of the target is labelled, IAST gains over training on that share alone: by 7.3 with "
                "labels for an eighth, 7.7 for a quarter and 8.6 for a half, as printed; so the gain grows up to a "
                "half. The more is labelled, the better it gets, and with all of it there is nothing left to gain: "
                "70.2 for both.",
                papers.cite(tables.IAST_SHARES),
                (
                    *(
                        _difference(
                            "semi_supervised", tables.share_label("IAST", share), tables.share_label("baseline", share)
                        )
                        for share in tables.SHARES
                    ),
                    *(
                        _difference(
                            "semi_supervised", tables.share_label("IAST", one), tables.share_label("IAST", other)
                        )
                        for other, one in itertools.pairwise(tables.SHARES)
                    ),
                    _difference("semi_supervised", "oracle", tables.share_label("IAST", "1/2")),
                    Comparison(
                        "gain at 1/2 minus gain at 1/8",
                        "semi_supervised",
                        "mIoU",
                        "+",
                        lambda figures: _gain_at_share(figures, "1/2") - _gain_at_share(figures, "1/8"),
                    ),
                ),
            ),
            Claim(
                "I7",
                "From a synthetic source that is seen from other viewpoints, too, IAST gains over source-only and over "
                "its rivals, in the mean over 16 classes and over 13.",
                papers.cite(tables.IAST_SYNTHIA),
                tuple(
                    _difference("instance_adaptive_synth", "IAST", rival, column=column)
                    for column, rivals in (
                        ("mIoU", ("source-only", "ADVENT", "CBST")),
                        ("mIoU*", ("source-only", "AdaptSegNet", "ADVENT", "CBST")),
                    )
                    for rival in rivals
                ),
                why="As in I8: in the mean of the seeds IAST ends where AdaptSegNet left it, though single seeds move "
                "by more than a point, one way or the other. So what IAST is above, its warm-up is above already. If "
                "so, AdaptSegNet is above source-only and CBST, and ADVENT above AdaptSegNet.",
                evidence=tuple(
                    _difference("instance_adaptive_synth", one, other, column="mIoU*")
                    for one, other in (
                        ("AdaptSegNet", "source-only"),
                        ("AdaptSegNet", "CBST"),
                        ("ADVENT", "AdaptSegNet"),
                    )
                ),
            ),
            Claim(
                "I8",
                "IAST gains over source-only and over its rivals, and testing at several scales adds to it.",
                papers.cite(tables.IAST_GTA5),
                (
                    *(
                        _difference("instance_adaptive_game", "IAST", rival)
                        for rival in ("source-only", "AdaptSegNet", "ADVENT", "CBST")
                    ),
                    _difference("instance_adaptive_game", "IAST, multi-scale", "IAST"),
                ),
                why="IAST goes on from AdaptSegNet and hardly moves (I5); ADVENT is a better place. If so, ADVENT is "
                "above IAST's warm-up already.",
                evidence=(_difference("decorator", "ADVENT", "AdaptSegNet"),),
            ),
            Claim(
                "I9",
                "Self-training reaches more than alignment by a discriminator, and both together more than either: on "
                "average over the paper's methods 43.7 (AT), 47.8 (ST) and 49.0 (AT + ST).",
                papers.cite(tables.IAST_FAMILIES),
                tuple(
                    Comparison(
                        f"mean of {one} minus mean of {other}",
                        "families",
                        "mIoU",
                        "+",
                        lambda figures, one=one, other=other: (
                            _mean_of_family(figures, one) - _mean_of_family(figures, other)
                        ),
                        (f"{one}, mean", f"{other}, mean"),
                    )
                    for one, other in (("ST", "AT"), ("AT + ST", "ST"), ("AT + ST", "AT"))
                ),
                why="What our self-training from source-only gains, it owes to the target's statistics and not to the "
                "labels. If so, AdaBN, which has no label at all, is not below it.",
                evidence=(
                    Comparison(
                        "AdaBN minus mean of ST",
                        "families",
                        "mIoU",
                        "+",
                        lambda figures: figures["AdaBN"]["mIoU"] - _mean_of_family(figures, "ST"),
                    ),
                ),
            ),
        ),
    ),
    "curriculum": Ledger(
        "The curriculum of two decoders: the paper's claims",
        (
            Claim(
                "C1",
                "Self-training, a weighted loss, target easy mining and source hard mining each add to what was there "
                "before; target easy mining adds most; self-training helps pixel accuracy more than mIoU.",
                papers.cite(tables.CHITTA_GTA5),
                (
                    *(_difference("curriculum", one, other) for other, one in itertools.pairwise(tables.ABLATION)),
                    Comparison(
                        "what target easy mining adds, minus the largest of the other steps",
                        "curriculum",
                        "mIoU",
                        "+",
                        _beyond_the_other_steps(tables.ABLATION, "+ target easy mining"),
                    ),
                    Comparison(
                        f"self-training minus {tables.TWO_DECODERS}: gain of pixel accuracy minus gain of mIoU",
                        "curriculum",
                        "pixel accuracy",
                        "+",
                        _pixels_beyond_classes,
                    ),
                ),
                why="The labels of a step are the network's own. When the ramp is over, nine batches in ten are of the "
                "target, and what the decoders get wrong together is taught to them again: a training that chases its "
                "tail, from which mining saves a part. If so, then even in the whole method the decoders agree on more "
                "pixels after the ramp (epoch 10) and are right on fewer of them.",
                evidence=tuple(
                    _difference(
                        "agreement",
                        tables.agreement_label(tables.AGREEMENT_EPOCHS[-1]),
                        tables.agreement_label(10),
                        claimed,
                        column,
                    )
                    for column, claimed in (("easy", "+"), ("easy precision", "-"))
                ),
            ),
            Claim(
                "C2",
                "Plain self-training gives up traffic lights, traffic signs and riders, and target easy mining brings "
                "the lights and the signs back.",
                papers.cite(tables.CHITTA_GTA5),
                (
                    *(
                        _difference("curriculum", "self-training", tables.TWO_DECODERS, "-", column)
                        for column in ("traffic light", "traffic sign", "rider")
                    ),
                    *(
                        _difference("curriculum", "+ target easy mining", "self-training", "+", column)
                        for column in ("traffic light", "traffic sign")
                    ),
                ),
                why="A class that neither decoder predicts any more gets no label on the target, whether easy pixels "
                "are mined or not; only the source still names it. There, the decoders disagree most about small "
                "things, so hard mining keeps their pixels and drops the road's. If so, lights and signs come back "
                "where hard mining is added.",
                evidence=tuple(
                    _difference("curriculum", "+ source hard mining", "+ target easy mining", "+", column)
                    for column in ("traffic light", "traffic sign")
                ),
            ),
            Claim(
                "C3",
                "Trains, motorcycles and bicycles are never recognised (an IoU of 0.0), whatever is added.",
                papers.cite(tables.CHITTA_GTA5),
                tuple(
                    Comparison(
                        f"{column} in row {row!r}, against zero",
                        "curriculum",
                        column,
                        "not +",
                        lambda figures, row=row, column=column: figures[row][column],
                    )
                    for column in ("train", "motorcycle", "bicycle")
                    for row in ("self-training", "+ source hard mining")
                ),
                why="The rule can't say that such a claim holds: an IoU is never below zero, and exactly zero in "
                "every seed has no sign. With the whole method the train comes back in one seed. But self-training "
                "wipes all three out, as in the paper. If so, it is below its control in each of them.",
                evidence=tuple(
                    _difference("curriculum", "self-training", tables.TWO_DECODERS, "-", column)
                    for column in ("train", "motorcycle", "bicycle")
                ),
            ),
            Claim(
                "C4",
                "On dashcam images the curriculum gains over self-training, and more so from a synthetic source.",
                papers.cite(tables.CHITTA_BDD),
                (
                    *(
                        _difference(
                            "curriculum_dashcam", f"+ source hard mining, {benchmark}", f"self-training, {benchmark}"
                        )
                        for benchmark in ("game-dashcam", "city-dashcam")
                    ),
                    Comparison(
                        "gain from game minus gain from city",
                        "curriculum_dashcam",
                        "mIoU",
                        "+",
                        _game_minus_city("+ source hard mining", "self-training"),
                    ),
                ),
                why="What the curriculum gains is what it mends of the harm that self-training does. Self-training "
                "wipes out the rare classes here from either source, and so does the more harm the better the "
                "network was. If so, it falls further below source-only where the source is the city, which is "
                "closer.",
                evidence=(
                    Comparison(
                        "self-training minus source-only: from game minus from city",
                        "curriculum_dashcam",
                        "mIoU",
                        "+",
                        _game_minus_city("self-training", "source-only"),
                    ),
                ),
            ),
            Claim(
                "C5",
                "Where the decoders agree, labels are more often right than where they differ; they differ at the "
                "borders of classes, and less and less as training goes on.",
                "Chitta et al., Adaptive Semantic Segmentation with a Strategic Curriculum of Proxy Labels, 2018 "
                "(an argument without figures)",
                (
                    _agreement(
                        "precision of easy minus of hard pixels, last epoch", "easy precision", "hard precision"
                    ),
                    _agreement("border among hard minus among all pixels, last epoch", "hard border", "border"),
                    _difference(
                        "agreement",
                        tables.agreement_label(tables.AGREEMENT_EPOCHS[-1]),
                        tables.agreement_label(tables.AGREEMENT_EPOCHS[0]),
                        column="easy",
                    ),
                ),
            ),
        ),
    ),
    "class_balance": Ledger(
        "Class-balanced self-training: the paper's claims",
        (
            Claim(
                "B1",
                "Self-training gains over source-only, class balancing over that, the spatial prior over that, and "
                "testing at several scales over that.",
                papers.cite(tables.CBST_GTA5),
                tuple(
                    _difference("class_balance", one, other)
                    for one, other in (
                        ("ST", "source-only"),
                        ("CBST", "ST"),
                        ("CBST-SP", "CBST"),
                        ("CBST-SP, multi-scale", "CBST-SP"),
                    )
                ),
                why="Three things. Class balancing keeps the same share of every class that is predicted, and with it "
                "the same share of what the source network takes for that class by mistake: its labels are less "
                "precise than those of one threshold at the same portion. The streets have surfaces that look like "
                "another class, and a rare class is soon outnumbered by its lookalikes: without them the labels of "
                "CBST are not as far behind, and neither is its network. And the loss on source labels weighs rare "
                "classes more, which the paper's does not, so that ST does not forget them: with the plain loss CBST "
                "is not as far behind, either. If this is all, then CBST gains over ST where neither is so. (It is "
                "level with ST there; a gain like the paper's is not seen.) A spatial prior from another viewpoint "
                "makes it worse; see B7.",
                evidence=(
                    *(
                        comparison
                        for column in ("precision", "class precision")
                        for comparison in _study("game-city", column, "-", ("CBST", ""), ("ST", ""))
                    ),
                    _balance_with_and("no lookalikes", "precision in round 1"),
                    _balance_with_and("no lookalikes", "mIoU"),
                    _balance_with_and("unweighted", "mIoU"),
                    _difference("class_balance_causes", "CBST, neither", "ST, neither"),
                ),
            ),
            Claim(
                "B2",
                "So it is from a source that is seen from other viewpoints: self-training gains over source-only, and "
                "class balancing over that, in the mean over 16 classes and over 13.",
                papers.cite(tables.CBST_SYNTHIA),
                tuple(
                    _difference("class_balance_synth", one, other, column=column)
                    for column in ("mIoU", "mIoU*")
                    for one, other in (("ST", "source-only"), ("CBST", "ST"))
                ),
                why="As in B1: labels of CBST are less precise than those of one threshold.",
                evidence=tuple(
                    comparison
                    for column in ("precision", "class precision")
                    for comparison in _study("synth-city", column, "-", ("CBST", ""), ("ST", ""))
                ),
            ),
            Claim(
                "B3",
                "From city to city, too, self-training gains over source-only and class balancing over that, in each "
                "of four cities.",
                papers.cite(tables.CBST_NTHU),
                tuple(
                    _difference("cross_city", f"{one}, {town}", f"{other}, {town}")
                    for town in tables.TOWNS
                    for one, other in (("ST", "source-only"), ("CBST", "ST"))
                ),
                why="CBST against ST is as in B1: its first labels are less precise, in every city. That decides Rome "
                "and Rio. In Tokyo and Taipei the two hardly differ, and what ST loses the statistics of the target "
                "lose on their own: AdaBN, which has no labels, is below source-only there, too.",
                evidence=(
                    *(
                        _difference("cross_city", f"CBST, {town}", f"ST, {town}", "-", "precision in round 1")
                        for town in tables.TOWNS
                    ),
                    *(
                        _difference("cross_city", f"AdaBN, {town}", f"source-only, {town}", "-")
                        for town in ("Tokyo", "Taipei")
                    ),
                ),
            ),
            Claim(
                "B4",
                "On dashcam images class balancing and the spatial prior each help on their own, and more together.",
                papers.cite(tables.CBST_BDD),
                tuple(
                    _difference("class_balance_dashcam", one, other)
                    for one, other in (
                        ("ST", "source-only"),
                        ("CBST", "ST"),
                        ("ST-SP", "ST"),
                        ("CBST-SP", "CBST"),
                        ("CBST-SP", "ST-SP"),
                    )
                ),
                why="As in B1, B5 and B7: of the labels that the source-only network gives, those of one threshold are "
                "the most precise, and those with a prior are less precise than those without.",
                evidence=tuple(
                    _difference("class_balance_dashcam", one, other, "-", "precision in round 1")
                    for one, other in (("CBST", "ST"), ("ST-SP", "ST"), ("CBST-SP", "CBST"))
                ),
            ),
            Claim(
                "B5",
                "CBST-SP depends less than ST-SP on the first portion and its step, and gains more from further "
                "rounds.",
                "Zou et al., Class-Balanced Self-Training, ECCV 2018, Figure 5 (a plot without figures)",
                (
                    Comparison(
                        "largest minus smallest over the settings, CBST-SP minus ST-SP",
                        "portions",
                        "mIoU",
                        "-",
                        lambda figures: _sensitivity(figures, "CBST-SP") - _sensitivity(figures, "ST-SP"),
                    ),
                    Comparison(
                        "last round minus round 1 of CBST-SP, mean over the settings",
                        "portions",
                        "mIoU",
                        "+",
                        lambda figures: _growth(figures, "CBST-SP"),
                    ),
                    Comparison(
                        "last round minus round 1, mean over the settings, CBST-SP minus ST-SP",
                        "portions",
                        "mIoU",
                        "+",
                        lambda figures: _growth(figures, "CBST-SP") - _growth(figures, "ST-SP"),
                    ),
                ),
                why="Labels that are made with the prior get worse from round to round, and those made without it do "
                "not, or less. So the network trains on ever more labels that are wrong, and further rounds cost more "
                "with the prior than without it. With a threshold per class it is the places that are wrong (B7). With "
                "one threshold for all it is also the product: a prior that sums to 1 over the places of each class "
                "favours classes with few places, even if it is counted from the target's own labels.",
                evidence=(
                    *(
                        Comparison(
                            f"last round minus round 1 by default, {method}-SP minus {method}",
                            "portions",
                            column,
                            "-",
                            lambda figures, method=method, ends=(first, column): (
                                _growth(figures, f"{method}-SP", (tables.DEFAULT_PORTION,), *ends)
                                - _growth(figures, method, (tables.DEFAULT_PORTION,), *ends)
                            ),
                        )
                        for first, column in (
                            ("round 1", "mIoU"),
                            ("precision in round 1", "precision in the last round"),
                        )
                        for method in ("ST", "CBST")
                    ),
                    *_study("game-city", "precision", "-", ("ST-SP", "oracle"), ("ST", "")),
                ),
            ),
            Claim(
                "B6",
                "The labels that ST selects shift towards easy classes. The classes of those that CBST selects are "
                "shared out more like the predictions, and rare classes (the third of the classes that is predicted "
                "on the fewest pixels) get labels.",
                "Zou et al., Class-Balanced Self-Training, ECCV 2018, Section 4.1 (an argument without figures)",
                tuple(
                    comparison
                    for benchmark in _BENCHMARKS
                    for comparison in (
                        *_study(benchmark, "distance", "-", ("CBST", ""), ("ST", "")),
                        *_study(benchmark, "rare share", "+", ("CBST", ""), ("ST", "")),
                        *_labels_of_rare_classes(benchmark),
                    )
                ),
            ),
            Claim(
                "B7",
                "A spatial prior makes labels more precise where source and target are seen from the same viewpoint, "
                "and not where they are not: counted over all pixels, and as the mean over the classes, whose recall "
                "gains too. The same viewpoint is that of game-city, a stand-in for the pair that the paper speaks "
                "of, though our game sees the horizon at another height than our city; and that of CamVid, where one "
                "car carries one camera by day and at dusk. synth-city stands in for the other kind, though on "
                "average its horizons are less far apart than those of game-city.",
                "Zou et al., Class-Balanced Self-Training, ECCV 2018, Section 4.2 (an argument without figures)",
                tuple(
                    comparison
                    for benchmark, claimed in (("game-city", "+"), (tables.REAL, "+"), ("synth-city", "not +"))
                    for column in ("precision", "class precision", "class recall")
                    for comparison in _study(benchmark, column, claimed, ("CBST-SP", "class"), ("CBST", ""))
                ),
                why="game and city do not share their viewpoint after all: the horizon of the game lies lower in the "
                "image, and notebook 04 shows what moving the prior does. If that is what fails, and not the idea, "
                "then a prior that is counted from the target's own labels, which no method can have, makes the labels "
                "more precise on all three benchmarks, over all pixels and in the mean over the classes. (Of the "
                "latter game-city shows no loss any more, but no gain either.)",
                evidence=tuple(
                    comparison
                    for benchmark in (*_BENCHMARKS, tables.REAL)
                    for column in ("precision", "class precision")
                    for comparison in _study(benchmark, column, "+", ("CBST-SP", "oracle"), ("CBST", ""))
                ),
            ),
        ),
    ),
    "proxies": Ledger(
        "Proxies behind discriminators: the paper's claims",
        (
            Claim(
                "S1",
                "One discriminator gains over source-only and a second one over that; training on proxies gains over "
                "each alignment, with two discriminators more; and testing at several scales adds to it.",
                papers.cite(tables.SHEN_MODULES),
                tuple(
                    _difference("proxies", one, other)
                    for one, other in (
                        ("one discriminator", "source-only"),
                        ("two discriminators", "one discriminator"),
                        ("one + proxies", "one discriminator"),
                        ("two + proxies", "two discriminators"),
                        ("two + proxies", "one + proxies"),
                        (tables.PROXIES_SCALES, "two + proxies"),
                    )
                ),
                why="The fresh network learns from the aligned one what that is sure of, and little else. If labels "
                "are what holds it back, and not that it starts anew on few images, then the same fresh network on "
                "the same images with true labels, the oracle, is above the aligned one.",
                evidence=(_difference("proxies", "oracle", "two discriminators"),),
            ),
            Claim(
                "S2",
                "Where p1 times p2 is the same, a network trained on labels with a gate is better than on labels "
                "without one. The paper prints an mIoU of 49.8 (p1, p2 of 0.6, 0.8) against 47.7, which is tested on "
                "networks here; and 46.7 (0.5, 0.4) against 45.8; 49.3 (0.5, 0.6) and 47.9 (0.6, 0.5) against 46.3; "
                "49.7 (0.5, 0.8) and 47.9 (0.8, 0.5) against 47.0, which are tested on labels alone, by their mIoU.",
                papers.cite(tables.SHEN_GATES),
                (_difference("proxies", "two + proxies", "two + proxies, no gate"),)
                + tuple(
                    _difference(
                        "gate_study", tables.gate_label(*gate), tables.gate_label(1.0, portion), column="label mIoU"
                    )
                    for gate, portion in tables.SAME_PRODUCT
                ),
                why="As in S4, pixels behind the gate are no more often right than others, and with the same product "
                "the network's own confidence is asked for less behind it. If so, gated labels are less precise.",
                evidence=tuple(
                    _difference(
                        "gate_study",
                        tables.gate_label(*gate),
                        tables.gate_label(1.0, portion),
                        "-",
                        "precision",
                    )
                    for gate, portion in tables.SAME_PRODUCT
                ),
            ),
            Claim(
                "S3",
                "All in all the gain over source-only is large.",
                f"{papers.cite(tables.SHEN_GTA5)} and Table 2",
                tuple(
                    _difference(table, tables.PROXIES_SCALES, "source-only") for table in ("proxies", "proxies_synth")
                ),
            ),
            Claim(
                "S4",
                "At the same share of labelled pixels, labels that passed the gate are more often right than "
                "labels without it (on labels alone).",
                "Shen et al., Regularizing Proxies with Multi-Adversarial Training, Section 2.3 (an argument without "
                "figures)",
                tuple(
                    _difference(
                        "gate_study",
                        tables.gate_label(*gate),
                        tables.gate_label(*gate, gated=False),
                        column="precision",
                    )
                    for gate in tables.GATES
                ),
                why="What discriminators take for source is hardly what the network gets right: behind the gate alone "
                "about as many pixels are right as anywhere (table gate_study), so a share that is filled behind it is "
                "filled with less confident pixels. If that is it, the gate as the only selection makes worse labels "
                "than confidence as the only one.",
                evidence=(
                    _difference(
                        "gate_study",
                        tables.gate_label(*tables.GATE_ALONE),
                        tables.gate_label(*tables.GATE_ALONE, gated=False),
                        "-",
                        "precision",
                    ),
                ),
            ),
            Claim(
                "S5",
                "A fresh network that is trained on proxies becomes better than the aligned network that goes on with "
                "them. The paper's fresh network has the weights of ImageNet; ours none.",
                "Shen et al., Regularizing Proxies with Multi-Adversarial Training (a statement without figures)",
                (_difference("proxies", "two + proxies", "two + proxies, continued"),),
                why="The aligned network keeps what it has learned from the source; all that the fresh one has are the "
                "labels. If so, the fresh one loses on the three classes that get fewest of them.",
                evidence=tuple(
                    _difference("proxies", "two + proxies", "two + proxies, continued", "-", column)
                    for column in ("motorcycle", "rider", "bicycle")
                ),
            ),
        ),
    ),
}


# Verdicts -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What our runs say to a comparison; differences: [seeds], None where it is not measured."""

    comparison: Comparison
    seeds: tuple[int, ...]
    differences: np.ndarray | None

    @property
    def verdict(self) -> str:
        if self.differences is None:
            return MISSING
        return judge(self.differences, 1 if self.comparison.claimed == "+" else -1)


def judge(differences: np.ndarray, sign: int) -> str:
    """The verdict on differences [seeds] that should have this sign, 1 or -1."""
    mean, count = differences.mean(), len(differences)
    if count < 3 or abs(mean) <= 2 * differences.std(ddof=1) / math.sqrt(count):
        return OPEN
    if (sign * differences > 0).all():
        return HOLDS
    return FAILS if (sign * differences < 0).all() else OPEN


def judge_all(verdicts: list[str]) -> str:
    """The verdict on a claim from those on its comparisons."""
    for verdict in (MISSING, FAILS, OPEN):
        if verdict in verdicts:
            return verdict
    return HOLDS


# Writing ------------------------------------------------------------------------------------------------


def write(name: str, tables_folder: str | Path, folder: str | Path) -> None:
    """Write `NAME.csv` and `NAME.md` into `folder`, from the `*.records.json` in `tables_folder`.

    Raises ValueError for an unknown ledger, for records that don't make up their table, and for a folder that
    can't be written.
    """
    if name not in LEDGERS:
        raise ValueError(f"There is no ledger {name!r}; choose one of: {', '.join(LEDGERS)}.")
    ledger = LEDGERS[name]
    used = dict.fromkeys(
        comparison.table for claim in ledger.claims for comparison in (*claim.comparisons, *claim.evidence)
    )
    records = {table: _records(Path(tables_folder) / f"{table}.records.json") for table in used}
    figures = {table: tables.per_seed(table, found) for table, found in records.items() if found}
    outcomes, evidence = (
        {
            claim.name: [_outcome(comparison, figures, records) for comparison in getattr(claim, part)]
            for claim in ledger.claims
        }
        for part in ("comparisons", "evidence")
    )
    texts = {"csv": _csv(outcomes), "md": _markdown(ledger, outcomes, evidence, records)}
    files = {Path(folder) / f"{name}.{suffix}": text for suffix, text in texts.items()}
    tables.write_files(f"Ledger {name}", files)


def _records(path: Path) -> list[tables.Record]:
    """The records of a table; none where it has not been made yet."""
    if not path.exists():
        return []
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} can't be read ({error}); make its table again.") from error


def _outcome(comparison: Comparison, figures: dict[str, Figures], records: dict[str, list[tables.Record]]) -> Outcome:
    if comparison.table not in figures:
        return Outcome(comparison, (), None)
    seeds = tuple(sorted({record["seed"] for record in records[comparison.table]}))
    return Outcome(comparison, seeds, comparison.measure(figures[comparison.table]))


def _csv(outcomes: dict[str, list[Outcome]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = ("claim", "comparison", "table", "column", "claimed", "mean", "std", "n_seeds", "seeds", "differences")
    writer.writerow([*header, "paper", "verdict", "verdict_on_claim"])
    for claim, entries in outcomes.items():
        overall = judge_all([entry.verdict for entry in entries])
        for entry in entries:
            compared = entry.comparison
            facts = [claim, compared.text, compared.table, compared.column, compared.claimed, *_spread(entry)]
            seeds = [len(entry.seeds), " ".join(map(str, entry.seeds)), " ".join(_by_seed(entry))]
            writer.writerow([*facts, *seeds, "; ".join(_printed(compared)), entry.verdict, overall])
    return out.getvalue()


def _markdown(
    ledger: Ledger,
    outcomes: dict[str, list[Outcome]],
    evidence: dict[str, list[Outcome]],
    records: dict[str, list[tables.Record]],
) -> str:
    verdicts = {name: [entry.verdict for entry in entries] for name, entries in outcomes.items()}
    summary = [
        [claim.name, claim.text, _count(verdicts[claim.name]), f"**{judge_all(verdicts[claim.name])}**"]
        for claim in ledger.claims
    ]
    parts = [
        f"# {ledger.title}",
        "Each claim in our words, and what our runs on stand-ins say to it.",
        RULE,
        tables.grid(["", "claim", "comparisons", "verdict"], summary, side="---"),
    ]
    for claim in ledger.claims:
        entries = outcomes[claim.name]
        used = ", ".join(dict.fromkeys(f"`{entry.comparison.table}`" for entry in entries))
        parts += [
            f"## {claim.name}: {judge_all(verdicts[claim.name])}",
            claim.text,
            f"The paper: {claim.source}. Ours: table {used}; differences in points, mean ± sample standard deviation "
            "over the seeds.",
            _grid(entries, "claimed"),
            *_notes(entries),
        ]
        if claim.why:
            parts += ["### Why", claim.why, _grid(evidence[claim.name], "expected")]
    parts.append("## What made the records")
    for table, found in records.items():
        parts.append(f"Table `{table}`:" if found else f"Table `{table}` has not been made yet.")
        parts += [tables.provenance(found)] if found else []
    return "\n\n".join(parts) + "\n"


def _grid(entries: list[Outcome], sign: str) -> str:
    header = ["difference", "of", sign, "ours", "seed by seed", "the paper's", "verdict"]
    return tables.grid(header, [_cells(entry) for entry in entries], side="---")


def _count(verdicts: list[str]) -> str:
    return ", ".join(f"{verdicts.count(kind)} {kind}" for kind in (HOLDS, FAILS, OPEN, MISSING) if verdicts.count(kind))


def _cells(entry: Outcome) -> list[str]:
    compared, (mean, std) = entry.comparison, _spread(entry)
    ours = f"{mean} ± {std}" if std else mean
    facts = [compared.text, compared.column, compared.claimed, ours or "–", " ".join(_by_seed(entry)) or "–"]
    return [*facts, "; ".join(_printed(compared)) or "–", entry.verdict]


def _spread(entry: Outcome) -> tuple[str, str]:
    """Mean and sample standard deviation as text; "" for none."""
    if entry.differences is None:
        return "", ""
    std = f"{entry.differences.std(ddof=1):.2f}" if len(entry.differences) > 1 else ""
    return f"{entry.differences.mean():+z.2f}", std


def _by_seed(entry: Outcome) -> list[str]:
    return [] if entry.differences is None else [f"{difference:+z.2f}" for difference in entry.differences]


# The paper's figures ------------------------------------------------------------------------------------


def _paper_rows(compared: Comparison) -> list[tuple[str, list[dict[str, str]]]]:
    """By backbone, the paper's rows that a plain difference of two of ours stands for; one, then other."""
    by_label = {row.label: row for row in tables.find(compared.table).paper}
    found = []
    for backbone in dict.fromkeys(row.where.get("backbone", "") for row in by_label.values()):
        labels = [tables.paper_label(row, backbone) for row in compared.rows]
        if labels and all(label in by_label for label in labels):
            rows = [by_label[label] for label in labels]
            found.append((backbone, [row.printed() for row in rows]))
    return found


def _printed(compared: Comparison) -> list[str]:
    """By backbone, the paper's difference with what it is the difference of; † marks a row that does not add up."""
    texts = []
    for backbone, rows in _paper_rows(compared):
        one, other = (row.get(tables.printed_column(compared.column)) for row in rows)
        if not (one and other):
            continue
        doubt = "" if all(map(papers.adds_up, rows)) else " †"
        place = f" ({backbone})" if backbone else ""
        texts.append(f"{one} - {other} = {float(one) - float(other):+.1f}{place}{doubt}")
    return texts


def _notes(entries: list[Outcome]) -> list[str]:
    doubtful = {
        f"† {tables.paper_label(row['method'], backbone)}: {row['note']}.": None
        for entry in entries
        for backbone, rows in _paper_rows(entry.comparison)
        for row in rows
        if not papers.adds_up(row)
    }
    return list(doubtful)
