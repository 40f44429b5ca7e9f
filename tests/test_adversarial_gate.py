"""The adversarial gate against a reference written from the rules, one cell and one pixel at a time."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_class_balance import expected_label, stream
from test_select import cases, maps, pixels, value_at_rank

from udalib.labels import IGNORE
from udalib.select import AdversarialGate, ClassBalanced

CONFIDENCES = ("smooth", "tied", "saturated", "constant", "single")


def confidences(seed: int, kind: str, images: int, cells: tuple[int, int]) -> torch.Tensor:
    """Maps [B,2,h,w] of two discriminators with one kind of trouble, or one map [B,h,w]."""
    g = torch.Generator().manual_seed(seed + 2)
    values = torch.sigmoid(2 * torch.randn(images, 2, *cells, generator=g))
    match kind:
        case "tied":
            return (values * 4).round() / 4
        case "saturated":
            return torch.sigmoid(60 * torch.randn(images, 2, *cells, generator=g))
        case "constant":
            values[:, 1] = 0.7
        case "single":
            return values[:, 0]
    return values


gated = {
    **cases,
    "confidence": st.sampled_from(CONFIDENCES),
    "cells": st.tuples(st.integers(1, 4), st.integers(1, 5)),
    "keep": cases["portion"],
    "normalise": st.sampled_from(["minmax", "rank"]),
}


def mean_of_cells(maps: torch.Tensor, normalise: str) -> np.ndarray:
    """Adversarial confidence of every cell, float32 [B,h,w]."""
    if maps.ndim == 3:
        return maps.numpy()
    values = maps.double().numpy()
    mean = np.zeros_like(values[:, 0])
    for d in range(values.shape[1]):
        of_all = values[:, d].flatten().tolist()
        low, high = min(of_all), max(of_all)
        for i, y, x in np.ndindex(mean.shape):
            v = values[i, d, y, x]
            if normalise == "rank":
                mean[i, y, x] += sum(other <= v for other in of_all) / len(of_all) / values.shape[1]
            elif high > low:
                mean[i, y, x] += (v - low) / (high - low) / values.shape[1]
    return mean.astype(np.float32)


def enlarged(cells: np.ndarray, size: tuple[int, int]) -> list[float]:
    """Values of all pixels of an image in raster order, not rounded: bilinear between the centres of cells [h,w]."""

    def weights(length: int, target: int, t: int) -> dict[int, float]:
        centre = min(max((t + 0.5) * length / target - 0.5, 0), length - 1)
        return {i: max(0.0, 1 - abs(centre - i)) for i in range(length)}

    (h, w), (height, width) = cells.shape, size
    result = []
    for y in range(height):
        for x in range(width):
            rows, columns = weights(h, height, y), weights(w, width, x)
            result.append(sum(rows[i] * columns[j] * float(cells[i, j]) for i in rows for j in columns))
    return result


def expected(probs, confidence, keep, portion, normalise) -> tuple[float, list[float], list[int]]:
    """t1, t2, and the labels of all pixels in raster order."""
    cells = mean_of_cells(confidence, normalise)
    t1 = -float("inf") if keep == 1 else value_at_rank(cells.flatten().tolist(), keep)
    saturated = t1 == cells.max()
    values = [v for image in cells for v in enlarged(image, tuple(probs.shape[2:]))]
    # At the edge between two float32 numbers the order of the sum decides which it becomes; next to t1 that matters.
    assume(all(np.float32(v * (1 - 1e-12)) == np.float32(v * (1 + 1e-12)) for v in values if abs(v - t1) < 1e-6))
    passes = [v > t1 or (v == t1 and saturated) for v in map(float, np.float32(values))]
    survivors = [pixel for pixel, passed in zip(pixels(probs), passes, strict=True) if passed]
    lists = [[v for v, c in survivors if c == k] for k in range(probs.shape[1])]
    t2 = [value_at_rank(values, portion) for values in lists]
    largest = [max(values, default=0.0) for values in lists]
    columns = probs.permute(0, 2, 3, 1).reshape(-1, probs.shape[1]).tolist()
    labels = [expected_label(column, t2, largest, "paper") for column in columns]
    return t1, t2, [label if passed else IGNORE for label, passed in zip(labels, passes, strict=True)]


@settings(max_examples=200)
@given(**gated)
def test_thresholds_and_labels_equal_the_reference(
    seed, kind, num_classes, size, portion, confidence, cells, keep, normalise
):
    probs, maps_ = maps(seed, kind, num_classes, size), confidences(seed, confidence, size[0], cells)
    s = AdversarialGate(keep, portion, normalise).fit([(probs, maps_, ["name"])])
    t1, t2, labels = expected(probs, maps_, keep, portion, normalise)
    before = probs.clone(), maps_.clone()
    found = s.label(probs, maps_)
    assert s.confidence_threshold == t1
    assert s.thresholds.dtype == torch.float32 and s.thresholds.tolist() == t2
    assert found.dtype == torch.uint8 and found.shape == (size[0], *size[1:])
    assert found.flatten().tolist() == labels
    assert torch.equal(found, s.label(probs, maps_))
    assert s.adversarial_confidence(maps_).numpy().tolist() == mean_of_cells(maps_, normalise).tolist()
    assert torch.equal(probs, before[0]) and torch.equal(maps_, before[1])


@settings(max_examples=50)
@given(**gated, batch=st.integers(1, 5))
def test_batches_and_their_order_change_nothing(
    seed, kind, num_classes, size, portion, confidence, cells, keep, normalise, batch
):
    probs, maps_ = maps(seed, kind, num_classes, (5, *size[1:])), confidences(seed, confidence, 5, cells)
    whole = AdversarialGate(keep, portion, normalise).fit([(probs, maps_)])
    parts = zip(probs.flip(0).split(batch), maps_.flip(0).split(batch), strict=True)
    batches = AdversarialGate(keep, portion, normalise).fit(part for part in parts)
    assert whole.confidence_threshold == batches.confidence_threshold
    assert torch.equal(whole.thresholds, batches.thresholds)
    one_by_one = [batches.label(p[None], m[None]) for p, m in zip(probs, maps_, strict=True)]
    assert torch.equal(whole.label(probs, maps_), torch.cat(one_by_one))


@settings(max_examples=50)
@given(**cases, confidence=st.sampled_from(CONFIDENCES))
def test_without_a_gate_selection_is_that_of_cbst(seed, kind, num_classes, size, portion, confidence):
    probs, maps_ = maps(seed, kind, num_classes, size), confidences(seed, confidence, size[0], (2, 3))
    s, cbst = AdversarialGate(1, portion).fit([(probs, maps_)]), ClassBalanced(portion).fit([(probs,)])
    assert torch.equal(s.thresholds, cbst.thresholds)
    assert torch.equal(s.label(probs, maps_), cbst.label(probs))


@pytest.mark.parametrize("keep, portion", [(0.6, 0.8), (0.8, 0.5), (1, 0.3)])
def test_about_the_product_of_the_two_shares_is_kept(keep, portion):
    g = torch.Generator().manual_seed(0)
    sure = torch.rand(4, 50, 100, generator=g) / 2 + 0.5  # two classes: a label is always the prediction or nothing
    first = torch.rand(sure.shape, generator=g) < 0.7
    probs = torch.stack([torch.where(first, sure, 1 - sure), torch.where(first, 1 - sure, sure)], dim=1)
    confidence = torch.rand(sure.shape, generator=g)
    s = AdversarialGate(keep, portion).fit([(probs, confidence)])
    above = confidence > s.confidence_threshold
    assert above.sum() == (20000 if keep == 1 else keep * 20000 - 1)  # strictly above the value at this rank
    labels = s.label(probs, confidence)
    assert not (labels[~above] != IGNORE).any()
    for c, predicted in enumerate((first, ~first)):
        share = (labels[predicted] == c).sum() / predicted.sum()
        assert share.item() == pytest.approx(keep * portion, abs=0.02)


def test_class_thresholds_come_from_the_survivors_alone():
    probs = stream([0.9, 0.1, 0], [0.8, 0.2, 0], [0.7, 0.3, 0], [0.6, 0.4, 0], [0.1, 0.9, 0], [0, 0, 1.0])
    confidence = torch.tensor([[[0.1, 0.7, 0.8, 0.9, 0.2, 0.6]]])
    s = AdversarialGate(keep=0.65, portion=0.65).fit([(probs, confidence)])  # ranks 4 of six, 2 of three
    assert s.confidence_threshold == pytest.approx(0.6)
    assert s.thresholds.tolist() == pytest.approx([0.7, 1, 1])  # classes 1 and 2 have no survivor
    assert s.label(probs, confidence).tolist() == [[[IGNORE, 0, IGNORE, IGNORE, IGNORE, IGNORE]]]


def test_discriminators_of_different_spread_count_alike():
    wide, narrow = torch.tensor([[0.0, 0.4, 1.0]]), torch.tensor([[0.52, 0.50, 0.51]])
    probs, maps_ = torch.full((1, 2, 1, 3), 0.5), torch.stack([wide, narrow])[None]
    for normalise, value in (("minmax", 0.5), ("rank", (1 / 3 + 1) / 2)):  # means 0.5, 0.2, 0.75 and 2/3, 1/2, 5/6
        s = AdversarialGate(0.67, 1, normalise).fit([(probs, maps_)])
        assert s.confidence_threshold == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("discriminators", [1, 2, 3])
def test_discriminators_that_cannot_tell_gate_nothing(value, discriminators):
    probs = maps(0, "smooth", 3, (2, 23, 31))
    maps_ = torch.full((2, discriminators, 3, 7), value)
    s = AdversarialGate(0.3, 0.5).fit([(probs, maps_)])
    assert torch.equal(s.label(probs, maps_), ClassBalanced(0.5).fit([(probs,)]).label(probs))


def test_large_areas_of_one_confidence_pass_or_fail_as_a_whole():
    probs = maps(0, "smooth", 3, (1, 23, 67))
    confidence = torch.full((1, 3, 7), 0.3)
    confidence[..., 5:] = 0.9  # 6 of 21 cells
    s = AdversarialGate(0.8, 1).fit([(probs, confidence)])  # the value at rank 17 is 0.3, not the largest
    assert (s.label(probs, confidence)[:, :, : round(4.5 * 67 / 7) - 1] == IGNORE).all()
    confidence = 1 - confidence * 0.7  # now most cells have the largest value
    s = AdversarialGate(0.5, 1).fit([(probs, confidence)])
    cbst = ClassBalanced(1).fit([(probs[..., :43],)])
    assert torch.equal(s.label(probs, confidence)[..., :43], cbst.label(probs[..., :43]))
    assert (s.label(probs, confidence)[..., 43:] == IGNORE).all()


def test_maps_of_pixels_split_in_parts_are_selected_alike():
    g = torch.Generator().manual_seed(0)
    probs = torch.softmax(torch.randn(1, 2, 300, 400, generator=g), dim=1)  # more survivors than one part holds
    confidence = torch.rand(1, 300, 400, generator=g)
    s = AdversarialGate(0.9, 0.5).fit([(probs, confidence)])
    survivors = confidence > s.confidence_threshold
    cbst = ClassBalanced(0.5).fit([(probs.permute(0, 2, 3, 1)[survivors].T[None, :, None],)])
    assert torch.equal(s.thresholds, cbst.thresholds)


def test_other_float_types_are_accepted():
    probs, maps_ = maps(0, "smooth", 3, (2, 8, 8)), confidences(0, "smooth", 2, (2, 2))
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        p, m = probs.to(dtype).requires_grad_(), maps_.to(dtype).requires_grad_()
        s, like = (AdversarialGate().fit([pair]) for pair in ((p, m), (p.float(), m.float())))
        assert torch.equal(s.thresholds, like.thresholds)
        assert torch.equal(s.label(p, m), like.label(p.float(), m.float()))


def test_fit_starts_anew():
    probs, maps_ = maps(0, "smooth", 3, (4, 5, 5)), confidences(0, "smooth", 4, (2, 2))
    for normalise in ("minmax", "rank"):
        s = AdversarialGate(normalise=normalise).fit([(probs, maps_)]).fit([(probs[:1], maps_[:1])])
        fresh = AdversarialGate(normalise=normalise).fit([(probs[:1], maps_[:1])])
        assert s.confidence_threshold == fresh.confidence_threshold and torch.equal(s.thresholds, fresh.thresholds)


def test_misuse_is_refused():
    probs, maps_ = maps(0, "smooth", 3, (2, 4, 4)), confidences(0, "smooth", 2, (2, 2))
    for wrong in (0, -0.1, 1.01, float("nan")):
        with pytest.raises(ValueError, match="keep is .*; choose"):
            AdversarialGate(keep=wrong)
        with pytest.raises(ValueError, match="portion is .*; choose"):
            AdversarialGate(portion=wrong)
    with pytest.raises(ValueError, match="no normalisation 'mean'; choose one of: minmax, rank"):
        AdversarialGate(normalise="mean")
    with pytest.raises(ValueError, match="call fit before label"):
        AdversarialGate().label(probs, maps_)
    with pytest.raises(ValueError, match="call fit before adversarial_confidence"):
        AdversarialGate().adversarial_confidence(maps_)
    with pytest.raises(ValueError, match=r"confidence has shape \[2, 2\]; pass \[B,D,h,w\] or \[B,h,w\]"):
        AdversarialGate().fit([(probs, maps_[:, 0, 0])])
    with pytest.raises(ValueError, match="batches is empty; pass"):
        AdversarialGate().fit([])
    with pytest.raises(ValueError, match="probs has negative, .*; pass softmax output"):
        AdversarialGate().fit([(probs - 1, maps_)])
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="confidence has values outside 0..1; pass the sigmoid"):
            AdversarialGate().fit([(probs, torch.full_like(maps_, wrong))])
    with pytest.raises(ValueError, match="confidence has 1 maps for 2 images; pass one for each image"):
        AdversarialGate().fit([(probs, maps_[:1])])
    with pytest.raises(ValueError, match=r"confidence has shape \[2, 1, 2, 2\]; pass \[B,2,h,w\]"):
        AdversarialGate().fit([(probs, maps_), (probs, maps_[:, :1])])
    with pytest.raises(ValueError, match=r"probs has shape \[2, 2, 4, 4\]; pass \[B,3,H,W\]"):
        AdversarialGate().fit([(probs, maps_)]).label(probs[:, :2], maps_)
