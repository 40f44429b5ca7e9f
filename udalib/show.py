"""Pictures: grids of images and label maps, bars per class, heat maps, curves; and tables in a notebook.

The functions that draw return a matplotlib `Figure` that pyplot knows nothing of; `caption` shows it in a notebook and
`save` writes it. Classes have the Cityscapes colours, everything else a palette that colour-blind readers can
tell apart. Images are uint8 [3,H,W] or [H,W,3], label maps integer [H,W] with 255 = ignore; arrays or CPU
tensors.
"""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike
from PIL import Image as Picture

from udalib.labels import CITYSCAPES, IGNORE, ClassSet

WIDTH = 9.5  # inches; with DPI the text width of a notebook
DPI = 80  # keeps a whole notebook below 300 KB
PALETTE = sns.color_palette("colorblind")
COMMITTED = Path(__file__).parents[1] / "figures"  # of a checkout; an installed package has none

_STYLE = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper", font_scale=1.1),
    "figure.dpi": DPI,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "0.4",
    "grid.color": "0.9",
    "legend.frameon": False,
    "image.cmap": "viridis",
}
styled = rc_context(_STYLE)


# Showing and saving -------------------------------------------------------------------------------------


@styled
def encode(fig: Figure, dpi: int = DPI) -> tuple[bytes, str]:
    """A figure as (bytes, kind): a small "jpeg" where it holds images, a crisp "png" where it does not."""
    buffer = io.BytesIO()
    if any(ax.images for ax in fig.axes):
        fig.savefig(buffer, format="jpeg", dpi=dpi, pil_kwargs={"quality": 80})
        return buffer.getvalue(), "jpeg"
    fig.savefig(buffer, dpi=dpi)
    small = io.BytesIO()  # a chart has few colours: with a palette it takes a third of the space
    # The default method takes its palette from large areas, and paints the swatch of one class in another's colour.
    chart = Picture.open(buffer).convert("RGB").quantize(method=Picture.Quantize.FASTOCTREE)
    chart.save(small, "png", optimize=True)
    return small.getvalue(), "png"


def caption(fig: Figure, text: str) -> None:
    """Show a figure in a notebook, with `text` below it and as its alternative text."""
    from IPython.display import Image, display  # only notebooks need it

    data, kind = encode(fig)
    display(Image(data=data, format=kind, alt=text))
    say(f"*{text}*")


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> None:
    """Show rows of text or numbers under their header in a notebook."""
    lines = [header, ["---"] * len(header), *rows]
    say("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))


def say(text: str) -> None:
    """Show a sentence in a notebook, Markdown that a cell has put its figures into."""
    from IPython.display import Markdown, display

    display(Markdown(text))


def over_seeds(name: str, *columns: str, kinds: Sequence[str] = ("ours", "difference")) -> list[dict[str, str]]:
    """Show the committed table figures/tables/NAME.csv in a notebook: means ± sample standard deviations over seeds.

    columns: of the file, such as "mIoU". kinds: of rows, each in a table of its own: "ours", "difference" (taken seed
    by seed), "paper". Returns the rows shown, as they stand in the file. Where there are none it says so instead.
    """
    found = [row for row in committed(f"tables/{name}.csv") if row["kind"] in kinds]
    if not found:
        say(f"There is no table `{name}` over several seeds yet; `make tables TABLES={name}` makes it.")
    for kind in dict.fromkeys(row["kind"] for row in found):
        rows = [row for row in found if row["kind"] == kind]
        header = [
            f"table `{name}`, {kind}",
            *(column.replace("_star", "*").replace("_", " ") for column in columns),
            "seeds",
        ]
        table(header, [[row["row"], *(_with_spread(row, c) for c in columns), row["n_seeds"]] for row in rows])
    return found


def verdicts(ledger: str, *claims: str) -> None:
    """Show in a notebook what the committed ledger figures/claims/LEDGER.csv says to some of a paper's claims."""
    found = {claim: [row for row in committed(f"claims/{ledger}.csv") if row["claim"] == claim] for claim in claims}
    rows = []
    for claim, compared in found.items():
        count = ", ".join(f"{n} {verdict}" for verdict, n in Counter(row["verdict"] for row in compared).items())
        rows.append([claim, count or "none", compared[0]["verdict_on_claim"] if compared else "not measured"])
    table(["claim, over several seeds", "its comparisons", "verdict"], rows)


def committed(path: str) -> list[dict[str, str]]:
    """The rows of a CSV file under figures/; none where there is no such file."""
    file = COMMITTED / path
    return list(csv.DictReader(file.read_text().splitlines())) if file.exists() else []


def _with_spread(row: Mapping[str, str], column: str) -> str:
    spread = row[f"{column}_std"]
    return f"{row[column]} ± {spread}" if spread else row[column]


@styled
def save(fig: Figure, path: str | Path, dpi: int = 2 * DPI) -> None:
    """Replace the file `path`, in the format of its suffix; a kill leaves the old file or the new."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    fig.savefig(partial, format=path.suffix.removeprefix("."), dpi=dpi)
    os.replace(partial, path)


# Images and label maps ----------------------------------------------------------------------------------


@styled
def image_grid(
    rows: Sequence[Sequence[ArrayLike | None]],
    titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    notes: Sequence[Sequence[str]] = (),
    classes: ClassSet = CITYSCAPES,
    legend: bool = False,
) -> Figure:
    """Images side by side.

    rows: each cell an image, a label map (painted in the colours of `classes`, ignored pixels black), a map
    of shares (float or bool [H,W], 0 dark to 1 bright) or None for an empty cell.
    titles: one per column; row_titles: one per row; notes: a line of text below each cell.
    legend: name the colours that occur in the label maps.

    Raises ValueError for rows of different lengths, and for a cell that is none of these.
    """
    columns = len(rows[0])
    if any(len(row) != columns for row in rows):
        raise ValueError(f"Rows have {', '.join(str(len(row)) for row in rows)} cells; give as many in each row.")
    cells = [[None if cell is None else _pixels(cell, classes) for cell in row] for row in rows]
    shown = _classes_in(rows) if legend else []
    fig = Figure(figsize=_grid_size(cells, bool(titles), bool(notes), shown), layout="compressed")
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.02)
    axes = fig.subplots(len(rows), columns, squeeze=False)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            _draw_cell(axes[i, j], cell, notes[i][j] if notes else "")
    for ax, title in zip(axes[0], titles, strict=bool(titles)):
        ax.set_title(title, loc="center")
    for ax, title in zip(axes[:, 0], row_titles, strict=bool(row_titles)):
        ax.set_ylabel(title)
    if shown:
        _add_legend(fig, classes, shown)
    return fig


def qualitative(
    images: Sequence[ArrayLike],
    truth: Sequence[ArrayLike],
    predictions: Mapping[str, Sequence[ArrayLike]],
    classes: ClassSet = CITYSCAPES,
) -> Figure:
    """A row per image: the image, its truth, and each prediction or pseudo-label with how much is right.

    images, truth and each value of `predictions`: one entry per image, in the same order.
    """
    columns = {"input": images, "truth": truth, **predictions}
    rows = list(zip(*columns.values(), strict=True))
    notes = [["", "", *(_agreement(label, row[1]) for label in row[2:])] for row in rows]
    fig = image_grid(rows, list(columns), notes=notes, classes=classes, legend=True)
    if len(columns) > 5:  # below narrow pictures the notes need smaller letters
        for ax in fig.axes:
            ax.xaxis.label.set_size(7)
    return fig


def overlay(image: ArrayLike, label: ArrayLike, classes: ClassSet = CITYSCAPES) -> np.ndarray:
    """The image tinted with its labels, uint8 [H,W,3]; ignored pixels are grey and dark."""
    image, label = _pixels(image, classes), np.asarray(label)
    grey = 0.5 * image.mean(axis=-1, keepdims=True)
    tinted = 0.4 * image + 0.6 * classes.colour(label)
    return np.where(label[..., None] == IGNORE, grey, tinted).round().astype(np.uint8)


def mistakes(label: ArrayLike, truth: ArrayLike) -> np.ndarray:
    """Right labels blue, wrong ones orange, all else dark, uint8 [H,W,3]; for label maps [H,W]."""
    label, truth = np.asarray(label), np.asarray(truth)
    picture = np.full((*label.shape, 3), 50, np.uint8)
    counted = (label != IGNORE) & (truth != IGNORE)
    for mask, colour in ((label == truth, PALETTE[0]), (label != truth, PALETTE[1])):
        picture[mask & counted] = 255 * np.array(colour)
    return picture


def frames(ax: Axes, corners: ArrayLike, size: tuple[int, int]) -> None:
    """Outline windows on the picture of an axis. corners: (top, left) [K,2]; size: (height, width); all in pixels."""
    for number, (top, left) in enumerate(np.asarray(corners).tolist()):
        colour = PALETTE[number % len(PALETTE)]
        # An axis counts from the middle of the first pixel.
        ax.add_patch(Rectangle((left - 0.5, top - 0.5), size[1], size[0], fill=False, edgecolor=colour, linewidth=1.2))


@styled
def legend(classes: ClassSet = CITYSCAPES) -> Figure:
    """The colour of every class."""
    fig = Figure(figsize=(WIDTH, _legend_height(len(classes))))
    _add_legend(fig, classes, range(len(classes)))
    return fig


def _pixels(cell: ArrayLike, classes: ClassSet) -> np.ndarray:
    """What imshow takes: uint8 [H,W,3], or shares [H,W]."""
    cell = np.asarray(cell)
    if cell.ndim == 3 and cell.dtype == np.uint8 and 3 in (cell.shape[0], cell.shape[2]):
        return cell if cell.shape[2] == 3 else np.moveaxis(cell, 0, -1)
    if cell.ndim == 2:
        return classes.colour(cell) if cell.dtype.kind in "iu" else cell.astype(float)
    raise ValueError(
        f"An array of shape {list(cell.shape)} and type {cell.dtype} can't be shown; "
        "give an image uint8 [3,H,W], a label map [H,W] or shares [H,W]."
    )


def _classes_in(rows: Sequence[Sequence[ArrayLike | None]]) -> list[int]:
    """The values that occur in the label maps, in order; 255, if any, comes last."""
    maps = [np.asarray(cell) for row in rows for cell in row if cell is not None]
    found = [np.unique(cell) for cell in maps if cell.ndim == 2 and cell.dtype.kind in "iu"]
    return np.unique(np.concatenate(found)).tolist() if found else []


def _grid_size(
    cells: list[list[np.ndarray | None]], titles: bool, notes: bool, shown: list[int]
) -> tuple[float, float]:
    """Width and height in inches that leave the layout no gaps to fill."""
    columns = len(cells[0])
    width = min(WIDTH, 4.2 * columns)
    height, across = next(cell.shape[:2] for row in cells for cell in row if cell is not None)
    rows = len(cells) * (width / columns * height / across + (0.25 if notes else 0.04))
    return width, rows + 0.3 * titles + _legend_height(len(shown))


def _draw_cell(ax: Axes, cell: np.ndarray | None, note: str) -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if cell is not None:
        ax.imshow(cell, vmin=0, vmax=1)  # the limits matter to shares only
    if note:
        ax.set_xlabel(note, labelpad=2)


def _agreement(label: ArrayLike, truth: ArrayLike) -> str:
    label, truth = np.asarray(label), np.asarray(truth)
    counted = truth != IGNORE
    kept = counted & (label != IGNORE)
    right = f"{(label == truth)[kept].mean():.0%} right" if kept.any() else "none right"
    coverage = kept.sum() / max(1, counted.sum())
    return right if coverage == 1 else f"{coverage:.0%} labelled, {right}"


_LEGEND_COLUMNS = 7


def _legend_height(count: int) -> float:
    return 0.2 + 0.22 * -(-count // _LEGEND_COLUMNS) if count else 0.0


def _add_legend(fig: Figure, classes: ClassSet, shown: Sequence[int]) -> None:
    named = {
        **dict(enumerate(zip(_colours(classes), classes.names, strict=True))),
        IGNORE: ("black", "ignored"),
    }
    patches = [Patch(color=colour, label=name) for colour, name in (named[value] for value in shown)]
    fig.legend(
        handles=patches,
        loc="outside lower center",
        ncols=_LEGEND_COLUMNS,
        handlelength=1,
        handleheight=1,
        borderpad=0.8,
    )


def _colours(classes: ClassSet) -> np.ndarray:
    return np.array(classes.palette) / 255


# Figures per class --------------------------------------------------------------------------------------


@styled
def class_bars(rows: Mapping[str, Sequence[float | None]], classes: ClassSet = CITYSCAPES) -> Figure:
    """IoU of each class, a bar per row, with the mean over the classes in the legend.

    rows: IoU 0..1 per class, None or NaN for an absent class.
    """
    per_cent = {name: 100 * np.array(values, float) for name, values in rows.items()}
    labelled = {f"{name} (mean {np.nanmean(values):.1f})": values for name, values in per_cent.items()}
    fig, ax = _bars(labelled, classes)
    ax.set(title="IoU per class", ylabel="IoU [%]", ylim=(0, 100))
    return fig


@styled
def class_shares(domains: Mapping[str, Sequence[float]], classes: ClassSet = CITYSCAPES) -> Figure:
    """Share of the labelled pixels that each class has, 0..1, a bar per domain, on a logarithmic axis."""
    fig, ax = _bars({name: 100 * np.array(shares, float) for name, shares in domains.items()}, classes)
    ax.set(title="Pixels per class", ylabel="share of pixels [%]", yscale="log")
    ax.yaxis.set_major_formatter("{x:g}")
    return fig


@styled
def class_differences(
    rows: Mapping[str, Sequence[float]], order: Sequence[int], title: str, classes: ClassSet = CITYSCAPES
) -> Figure:
    """Differences in IoU, in points, with a group of bars per class.

    rows: a difference per class, in the order of `classes`, NaN for none. order: the classes from left to right, from
    frequent to rare.
    """
    fig = Figure(figsize=(WIDTH, 3.4))
    ax = fig.subplots()
    width = 0.8 / len(rows)
    for i, (name, values) in enumerate(rows.items()):
        places = np.arange(len(order)) + (i - (len(rows) - 1) / 2) * width
        ax.bar(places, np.asarray(values, float)[list(order)], width, label=name, color=PALETTE[i])
    ax.axhline(0, color="0.3", linewidth=1)
    ax.set_xticks(range(len(order)), [classes.names[c] for c in order], rotation=40, ha="right", rotation_mode="anchor")
    ax.set(title=title, xlabel="class, from frequent to rare", ylabel="difference in IoU [points]")
    ax.legend()
    return fig


def _bars(rows: Mapping[str, np.ndarray], classes: ClassSet) -> tuple[Figure, Axes]:
    fig = Figure(figsize=(WIDTH, 3.4))
    ax = fig.subplots()
    place, width = np.arange(len(classes)), 0.8 / len(rows)
    for i, (name, values) in enumerate(rows.items()):
        ax.bar(place + (i - (len(rows) - 1) / 2) * width, values, width, label=name, color=PALETTE[i])
    ax.set_xticks(place, classes.names, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_xlim(-0.6, len(classes) - 0.4)
    ax.tick_params(axis="x", length=0, pad=9)
    ax.scatter(
        place,
        np.full(len(classes), -0.03),
        s=36,
        c=_colours(classes),
        marker="s",
        transform=ax.get_xaxis_transform(),
        clip_on=False,
    )
    ax.grid(axis="y")
    ax.set_axisbelow(True)
    fig.legend(loc="outside upper right", ncols=min(len(rows), 5))
    return fig, ax


@styled
def confusion(cm: ArrayLike, classes: ClassSet = CITYSCAPES) -> Figure:
    """Where the pixels of each class end up: a confusion matrix in per cent of its rows.

    cm: counts [C,C], rows truth, columns prediction, as `ConfusionMatrix.matrix` or a record's "confusion".
    Raises ValueError for another shape.
    """
    counts = np.asarray(cm, float)
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(f"cm has shape {list(counts.shape)}; give counts [{len(classes)},{len(classes)}].")
    share = 100 * counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    text = np.vectorize(lambda value: f"{value:.0f}" if value >= 1 else "")(share)
    fig = Figure(figsize=(0.85 * WIDTH, 0.72 * WIDTH))
    ax = fig.subplots()
    _heat(ax, share, text, classes.names, classes.names, "share of the true class [%]", size=7)
    ax.set(title="Confusion matrix", xlabel="predicted class", ylabel="true class")
    ax.tick_params(axis="x", rotation=90)
    return fig


@styled
def class_heat(
    columns: Mapping[str, Sequence[float | None]], title: str, label: str, classes: ClassSet = CITYSCAPES
) -> Figure:
    """A share per class and column, such as the precision of pseudo-labels over the rounds.

    columns: shares 0..1 per class, None or NaN where undefined, a grey field. label: what they are.
    """
    share = 100 * np.array([np.array(values, float) for values in columns.values()]).T
    text = np.vectorize(lambda value: f"{value:.0f}")(share)
    fig = Figure(figsize=(min(WIDTH, 3 + 0.75 * len(columns)), 1 + 0.24 * len(classes)))
    ax = fig.subplots()
    _heat(ax, share, text, list(columns), classes.names, f"{label} [%]", size=8)
    ax.set(title=title, ylabel="class")
    return fig


def _heat(
    ax: Axes,
    per_cent: np.ndarray,
    text: np.ndarray,
    xs: Sequence[str],
    ys: Sequence[str],
    label: str,
    size: float,
) -> None:
    sns.heatmap(
        per_cent,
        ax=ax,
        vmin=0,
        vmax=100,
        cmap="Blues",
        annot=text,
        fmt="",
        annot_kws={"size": size},
        linewidths=0.5,
        xticklabels=xs,
        yticklabels=ys,
        cbar_kws={"label": label, "pad": 0.02},
    )
    ax.set_facecolor("0.85")
    ax.tick_params(length=0)
    ax.tick_params(axis="y", rotation=0)


# Curves and histograms ----------------------------------------------------------------------------------


@styled
def curves(series: Mapping[str, Sequence[tuple[float, float]]], ylabel: str = "loss") -> Figure:
    """Training curves, each a list of (step, value)."""
    fig = Figure(figsize=(0.65 * WIDTH, 3))
    ax = fig.subplots()
    for (name, points), colour in zip(series.items(), cycle(PALETTE), strict=False):
        ax.plot(*np.array(points, float).T, label=name, color=colour)
    ax.set(title="Training", xlabel="step", ylabel=ylabel)
    ax.grid()
    ax.legend()
    return fig


@styled
def lines(
    panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    xlabel: str,
    ylabel: str | Sequence[str],
    marker: str = "",
    classes: ClassSet = CITYSCAPES,
    **axes: Any,
) -> Figure:
    """Curves side by side, under one legend.

    panels: title to (name to (xs, ys)). A name has one look in all panels, and that of a class the colour of the class.
    ylabel: of the first panel, or one per panel. marker: for each point, as in matplotlib, such as "o".
    axes: of every panel, such as ylim=(0, 1).
    """
    own = dict(zip(classes.names, _colours(classes), strict=True))
    place = {name: i for i, name in enumerate(dict.fromkeys(name for series in panels.values() for name in series))}
    fig = Figure(figsize=(WIDTH if len(panels) > 1 else 0.65 * WIDTH, 3.3))
    drawn = {}
    for ax, (title, series) in zip(fig.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name, (xs, ys) in series.items():
            i = place[name]
            look = {"color": own.get(name, PALETTE[i % len(PALETTE)]), "linestyle": _DASHES[i % len(_DASHES)]}
            (drawn[name],) = ax.plot(xs, ys, marker=marker, label=name, **look)
        ax.set(title=title, xlabel=xlabel, **axes)
        ax.grid()
    for ax, label in zip(fig.axes, [ylabel] if isinstance(ylabel, str) else ylabel, strict=False):
        ax.set_ylabel(label)
    columns = _LEGEND_COLUMNS if len(panels) > 1 else 5
    fig.legend(handles=list(drawn.values()), loc="outside lower center", ncols=columns)
    return fig


_DASHES = ("-", "--", "-.", ":")


@styled
def rounds(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """mIoU over the rounds of each run, and, of runs with pseudo-labels, their coverage and precision.

    runs: `Result.rounds` by name. An entry {"round": 0, "miou": ...} in front adds the start.
    """
    labelled = any("labels" in entry for entries in runs.values() for entry in entries)
    panels = {"mIoU": lambda entry: entry["miou"]}
    if labelled:
        panels["Pixels labelled"] = lambda entry: entry["labels"]["coverage"]
        panels["Labels that are right"] = lambda entry: entry["labels"]["precision"]
    fig = Figure(figsize=(WIDTH if labelled else WIDTH / 2, 3.3))
    for ax, (title, value) in zip(fig.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for (name, entries), colour in zip(runs.items(), PALETTE, strict=False):
            told = [entry for entry in entries if title == "mIoU" or "labels" in entry]
            xs = [entry["round"] for entry in told]
            ys = 100 * np.array([value(entry) for entry in told], float)  # None, where there is no label, becomes NaN
            ax.plot(xs, ys, "o-", color=colour, label=name)
        ax.set(title=title, xlabel="round", ylabel=f"{'mIoU' if title == 'mIoU' else 'share of pixels'} [%]")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid()
    fig.legend(
        *fig.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(len(runs), 4 if labelled else 2)
    )
    return fig


@styled
def histograms(values: Mapping[str, ArrayLike], xlabel: str, bins: int = 50) -> Figure:
    """How often each value occurs, per name, such as the confidence of right and of wrong pixels."""
    arrays = {name: np.asarray(array).ravel() for name, array in values.items()}
    edges = np.histogram_bin_edges(np.concatenate([*arrays.values()]), bins)
    fig = Figure(figsize=(0.65 * WIDTH, 3))
    ax = fig.subplots()
    for (name, array), colour in zip(arrays.items(), PALETTE, strict=False):
        _steps(ax, np.histogram(array, edges)[0], edges, name, colour)
    ax.set(
        title=f"Distribution of the {xlabel}",
        xlabel=xlabel,
        ylabel="share of pixels [%]",
        xlim=edges[[0, -1]],
    )
    ax.legend()
    return fig


@styled
def colour_histograms(domains: Mapping[str, ArrayLike]) -> Figure:
    """How bright the pixels of each domain are in red, green and blue; images uint8 [N,3,H,W] by name."""
    fig = Figure(figsize=(WIDTH, 2.8))
    edges = np.arange(0, 257, 4)
    for channel, (name, ax) in enumerate(zip(("Red", "Green", "Blue"), fig.subplots(1, 3, sharey=True), strict=True)):
        for (domain, images), colour in zip(domains.items(), PALETTE, strict=False):
            _steps(ax, np.histogram(np.asarray(images)[:, channel], edges)[0], edges, domain, colour)
        ax.set(title=name, xlabel="value", xlim=(0, 255))
    fig.axes[0].set_ylabel("share of pixels [%]")
    fig.axes[0].legend()
    return fig


def _steps(ax: Axes, counts: np.ndarray, edges: np.ndarray, name: str, colour: tuple[float, ...]) -> None:
    share = 100 * counts / max(1, counts.sum())
    ax.stairs(share, edges, fill=True, color=colour, alpha=0.25)
    ax.stairs(share, edges, color=colour, linewidth=1.5, label=name)


@styled
def threshold_curve(confidence: ArrayLike, portions: Sequence[float]) -> Figure:
    """Confidences in descending order; each portion of the pixels cuts the curve at its threshold.

    confidence: any shape, 0..1. The threshold of portion p is the value at rank round(p * n), 1.0 at rank 0.
    """
    ranked = np.sort(np.asarray(confidence).ravel())[::-1]
    count = len(ranked)
    points = np.unique(np.linspace(0, count - 1, 500).round().astype(int))  # a line needs no more
    fig = Figure(figsize=(0.85 * WIDTH, 3))
    ax = fig.subplots()
    ax.plot(100 * (points + 1) / count, ranked[points], color="0.2")
    for portion, colour in zip(portions, PALETTE, strict=False):
        rank = round(portion * count)
        threshold = ranked[rank - 1] if rank else 1.0
        kept = points[points < rank]
        ax.fill_between(100 * (kept + 1) / count, ranked[kept], color="0.5", alpha=0.15, linewidth=0)
        ax.axvline(100 * rank / count, color=colour, linestyle="--", linewidth=1)
        text = f"{portion:.0%} above {threshold:.3f}"
        ax.plot(100 * rank / count, threshold, "o", color=colour, label=text)
    ax.set(title="Confidence, ranked", xlabel="share of pixels [%]", ylabel="confidence", xlim=(0, 100))
    ax.set_ylim(ranked[-1], 1.01)
    fig.legend(loc="outside right upper")
    return fig


# Rows of tables -----------------------------------------------------------------------------------------


@styled
def dumbbells(rows: Mapping[str, tuple[float, float, str]], title: str, xlabel: str) -> Figure:
    """From before (open) to after (filled) with the difference beside it, a line per row, the largest after on top.

    rows: by name (before, after, group); a group has a colour.
    """
    fig = Figure(figsize=(WIDTH, 1 + 0.21 * len(rows)))
    ax = fig.subplots()
    ranked = sorted(rows, key=lambda name: rows[name][1])
    for y, (name, colour) in enumerate(_by_group(ranked, {name: row[2] for name, row in rows.items()})):
        before, after, _ = rows[name]
        ax.plot([before, after], [y, y], "o-", color=colour, markersize=5)
        ax.plot(before, y, "o", color=colour, markersize=5, markerfacecolor="white")
        place = {"xy": (max(before, after), y), "xytext": (6, 0), "textcoords": "offset points"}
        ax.annotate(f"{after - before:+.1f}", **place, va="center", fontsize=8)
    ax.set_yticks(range(len(ranked)), ranked, fontsize=8)
    ax.set(title=title, xlabel=xlabel, ylabel="row")
    ax.grid(axis="x")
    return fig


@styled
def ranks(rows: Mapping[str, tuple[float, float, str]], title: str, measures: tuple[str, str]) -> Figure:
    """The order of rows by one measure on the left and by another on the right, a line per row, the largest on top.

    rows: by name (left, right, group); a group has a colour. measures: what left and right are.
    """
    fig = Figure(figsize=(WIDTH, 1 + 0.21 * len(rows)))
    ax = fig.subplots()
    orders = [sorted(rows, key=lambda name, side=side: rows[name][side]) for side in (0, 1)]
    for name, colour in _by_group(rows, {name: row[2] for name, row in rows.items()}):
        left, right = (order.index(name) for order in orders)
        ax.plot([0, 1], [left, right], "o-", color=colour, markersize=4)
        ax.text(-0.03, left, f"{name}  {rows[name][0]:.1f}", ha="right", va="center", fontsize=8)
        ax.text(1.03, right, f"{rows[name][1]:.1f}  {name}", va="center", fontsize=8)
    ax.set(title=title, xlim=(-1.1, 2.1), yticks=[], ylabel="the higher the better")
    ax.set_xticks([0, 1], measures)
    ax.spines[["left", "bottom"]].set_visible(False)
    return fig


@styled
def seeds(rows: Mapping[str, tuple[Sequence[float], str]], title: str, xlabel: str) -> Figure:
    """Each row's seeds as small dots and their mean as a diamond, from the first row downwards.

    rows: by name (a figure per seed, group); a group has a colour.
    """
    fig = Figure(figsize=(WIDTH, 1 + 0.21 * len(rows)))
    ax = fig.subplots()
    for y, (name, colour) in enumerate(_by_group(rows, {name: row[1] for name, row in rows.items()})):
        values = np.asarray(rows[name][0], float)
        ax.plot(values, np.full(len(values), y), "o", color=colour, markersize=3, alpha=0.6)
        ax.plot(values.mean(), y, "D", color=colour, markersize=6)
    ax.set_yticks(range(len(rows)), list(rows), fontsize=8)
    ax.set(title=title, xlabel=xlabel, ylabel="row", ylim=(len(rows) - 0.4, -0.6))
    ax.grid(axis="x")
    return fig


def _by_group(names: Iterable[str], groups: Mapping[str, str]) -> list[tuple[str, tuple[float, float, float]]]:
    """The names, each with the colour of its group; groups take colours in the order in which they occur."""
    order = list(dict.fromkeys(groups.values()))
    return [(name, PALETTE[order.index(groups[name]) % len(PALETTE)]) for name in names]
