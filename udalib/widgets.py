"""Interactive views for notebooks: sliders and menus around figures.

Beside each widget is a plain function that draws its figure for given values, for readers without a kernel.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from udalib import select, show, train
from udalib.labels import CITYSCAPES, IGNORE, ClassSet
from udalib.models.parts import resize

ALL = "all classes"


def threshold_view(
    probs: Tensor,
    truth: Tensor | None,
    images: Tensor,
    classes: ClassSet = CITYSCAPES,
    portion: float = 0.2,
    focus: str = ALL,
    index: int = 0,
) -> show.Figure:
    """Which pixels of some images self-training keeps, at which threshold, and how many of them are right.

    probs: [B,C,H,W]; all B images share one threshold. truth: [B,H,W] or None. images: uint8 [B,3,H,W].
    portion: share of the pixels to keep, above 0 and at most 1. focus: a class to show alone, or `ALL`.
    index: the image to show. The figures below the pictures are about all B images.

    Raises ValueError for a portion that can't be kept and for an unknown class.
    """
    selector = select.SelfTraining(portion).fit([(probs,)])
    kept = selector.label(probs)
    if focus != ALL:
        kept = torch.where(kept == classes.index(focus), kept, IGNORE)
    share = (kept != IGNORE).float().mean().item()
    cells = [images[index], kept[index]]
    titles = ["input", f"labels: {focus}"]
    notes = [
        f"portion {portion:.0%}: threshold {selector.thresholds:.4f}",
        f"{share:.1%} of the pixels labelled",
    ]
    if truth is not None:
        judged = (kept != IGNORE) & (truth != IGNORE)
        right = (kept == truth)[judged].float().mean().item()
        cells.append(show.mistakes(kept[index], truth[index]))
        titles.append("right and wrong")
        notes.append(f"{right:.1%} of the labels right" if judged.any() else "no labels")
    return show.image_grid([cells], titles, notes=[notes], classes=classes)


def threshold_explorer(
    probs: Tensor, truth: Tensor | None, images: Tensor, classes: ClassSet = CITYSCAPES
) -> ipywidgets.VBox:
    """`threshold_view` with a slider for the portion, a menu of classes and a slider for the image."""
    return _live(
        partial(threshold_view, probs, truth, images, classes),
        portion=_slider("portion", 0.2, low=0.01),
        focus=ipywidgets.Dropdown(description="class", options=[ALL, *classes.names]),
        index=_steps("image", range(len(images))),
    )


def balance_view(
    probs: Tensor,
    truth: Tensor | None,
    images: Tensor,
    classes: ClassSet = CITYSCAPES,
    portion: float = 0.2,
    index: int = 0,
) -> show.Figure:
    """What one threshold (ST) and one per class (CBST) keep of some images: labels, thresholds, shares of the classes.

    Parameters are those of `threshold_view`. Only the pictures are of one image; all else is about all B images.
    """
    selectors = {"ST": select.SelfTraining(portion), "CBST": select.ClassBalanced(portion)}
    kept = {name: selector.fit([(probs,)]).label(probs) for name, selector in selectors.items()}
    pictures = {"input": images[index].movedim(0, -1)}
    pictures |= {name: classes.colour(labels[index].numpy()) for name, labels in kept.items()}
    shares = {"predictions": selectors["ST"].shares.numpy()}
    shares |= {name: _class_shares(labels, len(classes)) for name, labels in kept.items()}

    fig = show.Figure(figsize=(show.WIDTH, 6.4), layout="constrained")
    axes = fig.subplot_mosaic([list(pictures), ["thresholds"] * 3, ["shares"] * 3])
    for name, picture in pictures.items():
        axes[name].imshow(picture)
        axes[name].set(title=name, xticks=[], yticks=[], xlabel=_kept(kept[name], truth) if name in kept else "")
    places = np.arange(len(classes))
    axes["thresholds"].bar(places, selectors["CBST"].thresholds.numpy(), 0.6, color=show.PALETTE[2], label="CBST")
    axes["thresholds"].axhline(selectors["ST"].thresholds, color=show.PALETTE[1], label="ST")
    axes["thresholds"].set(ylabel="threshold", xticks=[], xlim=(-0.6, len(classes) - 0.4))
    for number, (name, share) in enumerate(shares.items()):
        bars = places + 0.27 * (number - 1)
        axes["shares"].bar(bars, 100 * share, 0.27, color=show.PALETTE[number], label=name)
    axes["shares"].set(ylabel="share of pixels [%]", yscale="log", xlim=(-0.6, len(classes) - 0.4))
    axes["shares"].set_xticks(places, classes.names, rotation=40, ha="right", rotation_mode="anchor")
    for name in ("thresholds", "shares"):
        axes[name].legend(
            ncols=3, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, borderpad=0, fontsize="small"
        )
    return fig


def _class_shares(labels: Tensor, count: int) -> np.ndarray:
    kept = torch.bincount(labels.flatten().int(), minlength=IGNORE + 1)[:count]
    return (kept / kept.sum().clamp(min=1)).numpy()


def _kept(labels: Tensor, truth: Tensor | None) -> str:
    text = f"{(labels != IGNORE).float().mean():.1%} labelled"
    if truth is None:
        return text
    judged = (labels != IGNORE) & (truth != IGNORE)
    return f"{text}, {(labels == truth)[judged].float().mean():.1%} right" if judged.any() else text


def balance_explorer(
    probs: Tensor, truth: Tensor | None, images: Tensor, classes: ClassSet = CITYSCAPES
) -> ipywidgets.VBox:
    """`balance_view` with a slider for the portion and one for the image."""
    return _live(
        partial(balance_view, probs, truth, images, classes),
        portion=_slider("portion", 0.2, low=0.01),
        index=_steps("image", range(len(images))),
    )


def round_view(
    images: Sequence[Tensor],
    predictions: Sequence[Sequence[Tensor]],
    pseudo_labels: Sequence[Sequence[Tensor] | None],
    classes: ClassSet = CITYSCAPES,
    index: int = 0,
    number: int = 0,
) -> show.Figure:
    """One image, the prediction after a round, and the pseudo-labels that round was trained on.

    images: uint8 [3,H,W] each. predictions[r][i], pseudo_labels[r][i]: label maps [H,W] of image i, round r;
    round 0 is the start, and its entry of `pseudo_labels` may be None. index: the image; number: the round.
    """
    pseudo = pseudo_labels[number]
    return show.image_grid(
        [[images[index], predictions[number][index], None if pseudo is None else pseudo[index]]],
        ["input", f"prediction after round {number}", "its pseudo-labels" if pseudo is not None else ""],
        classes=classes,
    )


def round_viewer(
    images: Sequence[Tensor],
    predictions: Sequence[Sequence[Tensor]],
    pseudo_labels: Sequence[Sequence[Tensor] | None],
    classes: ClassSet = CITYSCAPES,
) -> ipywidgets.VBox:
    """`round_view` with sliders for the image and the round."""
    return _live(
        partial(round_view, images, predictions, pseudo_labels, classes),
        index=_steps("image", range(len(images))),
        number=_steps("round", range(len(predictions))),
    )


def curriculum_view(
    logits: Mapping[int, Tensor],
    truth: Tensor | None,
    images: Tensor,
    epoch: int,
    classes: ClassSet = CITYSCAPES,
    index: int = 0,
) -> show.Figure:
    """What two decoders make of one image after some epochs: averaged prediction, agreement, pixels that are kept.

    logits: of both decoders, [2,B,C,h,w] for each epoch; they are resized to the images. truth: [B,H,W] or None.
    images: uint8 [B,3,H,W]. index: the image to show; all figures are about it alone.

    Raises ValueError for an epoch without logits.
    """
    if epoch not in logits:
        raise ValueError(f"There are no logits of epoch {epoch}; choose one of: {', '.join(map(str, logits))}.")
    each = torch.stack([resize(member[[index]].float(), images.shape[-2:]) for member in logits[epoch]])
    prediction, kept = (select.ensemble_labels(each, easy_only)[0] for easy_only in (False, True))
    agree = select.agreement(each)[0]
    judge = None if truth is None else truth[index]
    return show.image_grid(
        [[images[index], prediction, agree, kept]],
        ["input", "averaged prediction", "agreement", "pixels kept"],
        notes=[[f"epoch {epoch}", _kept(prediction, judge), f"{agree.float().mean():.1%} easy", _kept(kept, judge)]],
        classes=classes,
    )


def curriculum_explorer(
    logits: Mapping[int, Tensor], truth: Tensor | None, images: Tensor, classes: ClassSet = CITYSCAPES
) -> ipywidgets.VBox:
    """`curriculum_view` with a slider for the epoch, which starts at the last one, and one for the image."""
    epochs = list(logits)
    return _live(
        partial(curriculum_view, logits, truth, images, classes=classes),
        epoch=ipywidgets.SelectionSlider(
            options=epochs, value=epochs[-1], description="epoch", continuous_update=False
        ),
        index=_steps("image", range(len(images))),
    )


def alignment_view(
    probs: Mapping[str, Tensor],
    scores: Mapping[str, Tensor],
    images: Tensor,
    network: str,
    focus: str,
    classes: ClassSet = CITYSCAPES,
    index: int = 0,
) -> show.Figure:
    """What one network says of an image, and what a discriminator makes of it.

    probs: softmax of each network, [B,C,H,W] by its name. scores: vanilla scores of the discriminator that looks at
    it, [B,1,h,w] by the same names; their sigmoid is the probability of source. images: uint8 [B,3,H,W].
    network, focus, index: the network, the class whose self-information is shown, and the image.

    Raises ValueError for a network without probabilities or scores, and for an unknown class.
    """
    if network not in probs or network not in scores:
        choices = ", ".join(name for name in probs if name in scores)
        raise ValueError(f"There is no network {network!r} with probabilities and scores; choose one of: {choices}.")
    shown = probs[network][[index]]
    entropy = train.normalised_entropy(shown)[0]
    information = train.weighted_self_information(shown)[0, classes.index(focus)]
    highest = 1 / (math.e * math.log(shown.shape[1]))  # at a probability of 1 / e
    source = scores[network][[index]].float().sigmoid()
    places = F.interpolate(source, images.shape[-2:])[0, 0]  # nearest: a score has no finer grain
    notes = ["", network, f"mean {entropy.mean():.3f}", f"mean {information.mean():.4f}", f"mean {source.mean():.2f}"]
    return show.image_grid(
        [[images[index], shown[0].argmax(dim=0).to(torch.uint8), entropy, information / highest, places]],
        ["input", "prediction", "entropy", f"information: {focus}", "taken for source"],
        notes=[notes],
        classes=classes,
    )


def alignment_explorer(
    probs: Mapping[str, Tensor], scores: Mapping[str, Tensor], images: Tensor, classes: ClassSet = CITYSCAPES
) -> ipywidgets.VBox:
    """`alignment_view` with menus of networks and classes, and a slider for the image."""
    return _live(
        partial(alignment_view, probs, scores, images, classes=classes),
        network=ipywidgets.Dropdown(description="network", options=list(probs)),
        focus=ipywidgets.Dropdown(description="class", options=classes.names),
        index=_steps("image", range(len(images))),
    )


def window_view(
    averages: Mapping[int, Tensor],
    corners: Tensor,
    size: tuple[int, int],
    truth: Tensor | None,
    images: Tensor,
    count: int,
    classes: ClassSet = CITYSCAPES,
    index: int = 0,
    portion: float = 0.2,
) -> show.Figure:
    """What the first `count` windows make of one image: their places, windows per pixel, prediction, CBST labels.

    averages: for each number of windows, the mean prediction [B,C,H,W], 0 where no window lies. corners: of the
    windows, (top, left), [B,K,2] with K at least `count`; size: their height and width. truth: [B,H,W] or None. images:
    uint8 [B,3,H,W]. index: the image to show; thresholds of the labels are those of all B images.

    Raises ValueError for a count without an average.
    """
    if count not in averages:
        raise ValueError(f"There is no average of {count} windows; choose one of: {', '.join(map(str, averages))}.")
    probs, places = averages[count], corners[index, :count]
    times = torch.zeros(images.shape[-2:])
    for top, left in places.tolist():
        times[top : top + size[0], left : left + size[1]] += 1
    prediction = torch.where(times > 0, probs[index].argmax(dim=0), IGNORE)
    kept = select.ClassBalanced(portion).fit([(probs,)]).label(probs)[index]
    judge = None if truth is None else truth[index]
    spread = f"{times.min():.0f} to {times.max():.0f}"
    fig = show.image_grid(
        [[images[index], times / times.max(), prediction, kept]],
        ["windows", "windows per pixel", "averaged prediction", f"labels at {portion:.0%}"],
        notes=[[f"{count} drawn", spread, _kept(prediction, judge), _kept(kept, judge)]],
        classes=classes,
    )
    show.frames(fig.axes[0], places, size)
    return fig


def window_explorer(
    averages: Mapping[int, Tensor],
    corners: Tensor,
    size: tuple[int, int],
    truth: Tensor | None,
    images: Tensor,
    classes: ClassSet = CITYSCAPES,
) -> ipywidgets.VBox:
    """`window_view` with a slider for the number of windows and one for the image."""
    return _live(
        partial(window_view, averages, corners, size, truth, images, classes=classes),
        count=ipywidgets.SelectionSlider(options=list(averages), description="windows", continuous_update=False),
        index=_steps("image", range(len(images))),
    )


def instance_view(
    confidences: Sequence[Sequence[np.ndarray]],
    probs: Tensor,
    truth: Tensor | None,
    images: Tensor,
    classes: ClassSet = CITYSCAPES,
    alpha: float = 0.2,
    beta: float = 0.9,
    gamma: float = 8.0,
    index: int = 0,
) -> show.Figure:
    """What thresholds that follow the images (IAST) keep of one of them: labels, thresholds, shares of its classes.

    confidences: `select.class_confidences` of all B images in their order, passed in because they take longer than
    the rest. probs, truth, images: as for `threshold_view`. index: the image to show; the thresholds are those that
    label it, after all images before it.

    Raises ValueError for parameters that `select.InstanceAdaptive` refuses.
    """
    selector = select.InstanceAdaptive(alpha, beta, gamma)
    thresholds = selector.update(confidences)
    labels = selector.label_with(probs[[index]], thresholds[[index]])[0]
    judge = None if truth is None else truth[index]
    kept = np.array(
        [
            [(values > bound).sum() for values, bound in zip(image, row, strict=True)]
            for image, row in zip(confidences, thresholds.numpy(), strict=True)
        ]
    )
    counts = np.array([[len(values) for values in image] for image in confidences])
    shares = {"this image": kept[index] / counts[index].clip(1), "all images": kept.sum(0) / counts.sum(0).clip(1)}
    maps = {"prediction": probs[index].argmax(dim=0).to(torch.uint8), "labels": labels}
    pictures = {"input": images[index].movedim(0, -1).numpy()}
    pictures |= {name: classes.colour(found.numpy()) for name, found in maps.items()}

    fig = show.Figure(figsize=(show.WIDTH, 6.4), layout="constrained")
    axes = fig.subplot_mosaic([list(pictures), ["thresholds"] * 3, ["shares"] * 3])
    for name, picture in pictures.items():
        axes[name].imshow(picture)
        axes[name].set(title=name, xticks=[], yticks=[], xlabel=_kept(maps[name], judge) if name in maps else "")
    places = np.arange(len(classes))
    axes["thresholds"].bar(places, thresholds[index].numpy(), 0.6, color=show.PALETTE[2])
    axes["thresholds"].set(ylabel="threshold", xticks=[], xlim=(-0.6, len(classes) - 0.4), ylim=(0, 1))
    for number, (name, share) in enumerate(shares.items()):
        bars = places + 0.36 * (number - 0.5)
        axes["shares"].bar(bars, 100 * share, 0.36, color=show.PALETTE[number], label=name)
    axes["shares"].set(ylabel="kept, of the class [%]", xlim=(-0.6, len(classes) - 0.4))
    axes["shares"].set_ylim(bottom=0)
    axes["shares"].set_xticks(places, classes.names, rotation=40, ha="right", rotation_mode="anchor")
    axes["shares"].legend(
        ncols=2, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, borderpad=0, fontsize="small"
    )
    return fig


def instance_explorer(
    probs: Tensor, truth: Tensor | None, images: Tensor, classes: ClassSet = CITYSCAPES
) -> ipywidgets.VBox:
    """`instance_view` with sliders for alpha, beta and gamma, and one for the image."""
    return _live(
        partial(instance_view, select.class_confidences(probs), probs, truth, images, classes),
        alpha=_slider("alpha", 0.2, low=0.01),
        beta=_slider("beta", 0.9),
        gamma=_slider("gamma", 8.0, step=0.5, high=16.0),
        index=_steps("image", range(len(images))),
    )


def gate_view(
    probs: Tensor,
    confidence: Tensor,
    truth: Tensor | None,
    images: Tensor,
    classes: ClassSet = CITYSCAPES,
    keep: float = 0.6,
    portion: float = 0.8,
    index: int = 0,
) -> show.Figure:
    """What the adversarial gate of Shen et al. leaves of one image, and what as many labels without a gate are.

    probs: [B,C,H,W]. confidence: probabilities of source by D discriminators, [B,D,h,w]. truth: [B,H,W] or None.
    images: uint8 [B,3,H,W]. keep, portion: p1 and p2. index: the image to show; all thresholds are those of all B
    images, and the labels without a gate are class-balanced at the share that the gate labelled of them.

    Raises ValueError for parameters and inputs that `select.AdversarialGate` refuses.
    """
    gate = select.AdversarialGate(keep, portion).fit([(probs, confidence)])
    gated = gate.label(probs, confidence)
    share = max((gated != IGNORE).double().mean().item(), 1 / gated.numel())
    ungated = select.ClassBalanced(share).fit([(probs,)]).label(probs)
    cells = gate.adversarial_confidence(confidence)[[index]]
    opened = resize(cells[:, None], images.shape[-2:])[0, 0] > gate.confidence_threshold
    judge = None if truth is None else truth[index]
    place = F.interpolate(cells[:, None], images.shape[-2:])[0, 0]  # nearest: the discriminators have no finer grain
    notes = ["", f"above {max(gate.confidence_threshold, 0):.2f}", f"{opened.float().mean():.1%} pass"]
    fig = show.image_grid(
        [[images[index], place, opened, gated[index], ungated[index]]],
        ["input", "taken for source", f"gate, p1 {keep:g}", f"labels, p2 {portion:g}", "as many, no gate"],
        notes=[[*notes, _kept(gated[index], judge), _kept(ungated[index], judge)]],
        classes=classes,
    )
    for ax in fig.axes:
        ax.xaxis.label.set_size(8)  # below narrow pictures
    return fig


def gate_explorer(
    probs: Tensor, confidence: Tensor, truth: Tensor | None, images: Tensor, classes: ClassSet = CITYSCAPES
) -> ipywidgets.VBox:
    """`gate_view` with sliders for p1 and p2, and one for the image."""
    return _live(
        partial(gate_view, probs, confidence, truth, images, classes),
        keep=_slider("p1", 0.6, low=0.01),
        portion=_slider("p2", 0.8, low=0.01),
        index=_steps("image", range(len(images))),
    )


Render = Callable[[float, float, float], np.ndarray]


def comparison_view(
    probs: Mapping[str, Tensor],
    truth: Tensor | None,
    images: Tensor,
    network: str,
    other: str,
    classes: ClassSet = CITYSCAPES,
    index: int = 0,
) -> show.Figure:
    """What one network makes of an image, how much it doubts, and where another one says something else.

    probs: softmax of each network, [B,C,H,W] by its name. truth: [B,H,W], or None where nobody knows it; it is not
    needed for anything but its own picture. images: uint8 [B,3,H,W]. network, other, index: the two networks and the
    image.

    Raises ValueError for a network without probabilities.
    """
    if unknown := {network, other} - probs.keys():
        raise ValueError(f"There is no network {min(unknown)!r}; choose one of: {', '.join(probs)}.")
    shown, rival = probs[network][index], probs[other][index]
    prediction = shown.argmax(dim=0).to(torch.uint8)
    doubt = train.normalised_entropy(shown[None])[0]
    differs = prediction != rival.argmax(dim=0)
    cells = [images[index], prediction, doubt, differs]
    titles = ["input", network, "entropy", f"not as {other}"]
    notes = ["", "", f"mean {doubt.mean():.3f}", f"{differs.float().mean():.1%} of the pixels"]
    if truth is not None:
        judged = truth[index] != IGNORE
        cells.insert(1, truth[index])
        titles.insert(1, "truth")
        notes = ["", *notes]
        if judged.any():
            notes[2] = f"{(prediction == truth[index])[judged].float().mean():.1%} right"
    return show.image_grid([cells], titles, notes=[notes], classes=classes)


def comparison_explorer(
    probs: Mapping[str, Tensor], truth: Tensor | None, images: Tensor, classes: ClassSet = CITYSCAPES
) -> ipywidgets.VBox:
    """`comparison_view` with menus of the two networks, at first the last and the first, and a slider for the image."""
    names = list(probs)
    return _live(
        partial(comparison_view, probs, truth, images, classes=classes),
        network=ipywidgets.Dropdown(description="network", options=names, value=names[-1]),
        other=ipywidgets.Dropdown(description="against", options=names, value=names[0]),
        index=_steps("image", range(len(images))),
    )


ALL_NETWORKS = "all networks"
MEASURES = ("mIoU", "gain over source-only")


def papers_view(
    printed: Mapping[str, Sequence[Mapping[str, Any]]],
    ours: Mapping[str, Sequence[Mapping[str, Any]]],
    task: str,
    measure: str = MEASURES[0],
    network: str = ALL_NETWORKS,
) -> show.Figure:
    """What papers print for a task beside our runs on what stands in for it, each side sorted by one measure.

    printed, ours: rows by task; a task without runs may be missing from `ours`. A row has a "name", a "miou" and, for
    the gain, the mIoU of its own "source", None where there is none; in per cent, numbers or [seeds]. Printed ones have
    a "network" too. measure: of `MEASURES`. network: of the printed rows, or `ALL_NETWORKS`; ours are always shown.

    Raises ValueError for a task, a measure or a network that there is not.
    """
    _check_choice("task", task, printed)
    _check_choice("measure", measure, MEASURES)
    _check_choice("network", network, _networks(printed))
    chosen = [row for row in printed[task] if network in (ALL_NETWORKS, row["network"])]
    sides = {f"{task}, as printed": chosen, "ours, on a stand-in": ours.get(task, [])}
    sides = {title: _ranked(rows, measure) for title, rows in sides.items()}
    most = max(1, *map(len, sides.values()))

    fig = show.Figure(figsize=(show.WIDTH, 1 + 0.19 * most), layout="constrained")
    for number, (ax, (title, rows)) in enumerate(zip(fig.subplots(1, 2, sharex=True), sides.items(), strict=True)):
        means = [values.mean() for _, values in rows]
        spread = [values.std(ddof=1) if len(values) > 1 else 0 for _, values in rows]
        ax.barh(range(len(rows)), means, xerr=spread, color=show.PALETTE[number], ecolor="0.3")
        ax.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=7)
        ax.set_title(title if rows else f"{title}: nothing to show", loc="left", weight="bold", fontsize=10)
        ax.set(xlabel=f"{measure} [{'%' if measure == MEASURES[0] else 'points'}]", ylim=(most - 0.4, -0.6))
        ax.tick_params(labelbottom=True)
    return fig


def papers_explorer(
    printed: Mapping[str, Sequence[Mapping[str, Any]]], ours: Mapping[str, Sequence[Mapping[str, Any]]]
) -> ipywidgets.VBox:
    """`papers_view` with menus of tasks, measures and networks."""
    return _live(
        partial(papers_view, printed, ours),
        task=ipywidgets.Dropdown(description="task", options=list(printed)),
        measure=ipywidgets.Dropdown(description="measure", options=MEASURES),
        network=ipywidgets.Dropdown(description="network", options=_networks(printed)),
    )


def _networks(printed: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    return [ALL_NETWORKS, *sorted({row["network"] for rows in printed.values() for row in rows})]


def _check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"There is no {what} {value!r}; choose one of: {', '.join(choices)}.")


def _ranked(rows: Sequence[Mapping[str, Any]], measure: str) -> list[tuple[str, np.ndarray]]:
    """Name and measure [seeds] of each row that has it, from the largest mean to the smallest."""
    figures = [
        (row["name"], np.atleast_1d(row["miou"]) - (0 if measure == MEASURES[0] else np.atleast_1d(row["source"])))
        for row in rows
        if measure == MEASURES[0] or row["source"] is not None
    ]
    return sorted(figures, key=lambda entry: entry[1].mean(), reverse=True)


def domain_view(render: Render, appearance: float = 1.0, layout: float = 1.0, frequency: float = 1.0) -> show.Figure:
    """A scene whose domain is mixed from three strengths, 0 (the source) to 1 (the target).

    render: (appearance, layout, frequency) -> image uint8 [H,W,3] or [3,H,W].
    """
    title = f"appearance {appearance:g}, layout {layout:g}, frequency {frequency:g}"
    return show.image_grid([[render(appearance, layout, frequency)]], [title])


def domain_mixer(render: Render) -> ipywidgets.VBox:
    """`domain_view` with a slider for each strength."""
    strengths = ("appearance", "layout", "frequency")
    return _live(partial(domain_view, render), **{name: _slider(name, 1.0, step=0.25) for name in strengths})


# Controls -----------------------------------------------------------------------------------------------


def _slider(name: str, value: float, low: float = 0.0, step: float = 0.01, high: float = 1.0) -> ipywidgets.FloatSlider:
    # Redrawn on release: while it moves, redrawing would lag behind the hand.
    return ipywidgets.FloatSlider(
        value, min=low, max=high, step=step, description=name, readout_format=".2f", continuous_update=False
    )


def _steps(name: str, values: range) -> ipywidgets.IntSlider:
    return ipywidgets.IntSlider(values[0], min=values[0], max=values[-1], description=name, continuous_update=False)


def _live(draw: Callable[..., show.Figure], **controls: ipywidgets.ValueWidget) -> ipywidgets.VBox:
    """The controls above the figure that `draw` makes of their values, redrawn at every change."""
    picture = ipywidgets.Image()

    def redraw(_change: object = None) -> None:
        values = {name: control.value for name, control in controls.items()}
        picture.value, picture.format = show.encode(draw(**values))

    for control in controls.values():
        control.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([ipywidgets.HBox(list(controls.values())), picture])
