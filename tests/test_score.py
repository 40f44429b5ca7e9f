"""Scores against loops over single pixels."""

import math
from functools import reduce

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udalib import labels, score
from udalib.labels import IGNORE


def label_maps(seed: int, num_classes: int, size: tuple[int, int, int], used: int | None = None):
    """A random prediction and truth [B,H,W] of the first `used` classes, a fifth of the truth ignored."""
    g = torch.Generator().manual_seed(seed)
    pred, truth = torch.randint(0, used or num_classes, (2, *size), generator=g)
    truth[torch.rand(size, generator=g) < 0.2] = IGNORE
    return pred, truth.to(torch.uint8)


def pairs(pred: torch.Tensor, truth: torch.Tensor) -> list[tuple[int, int]]:
    """(truth, prediction) of every pixel that has truth."""
    both = zip(truth.flatten().tolist(), pred.flatten().tolist(), strict=True)
    return [(t, p) for t, p in both if t != IGNORE]


def ratio(a: int, b: int) -> float:
    return a / b if b else math.nan


def reference_iou(found: list[tuple[int, int]], num_classes: int) -> list[float]:
    return [
        ratio(sum(t == p == c for t, p in found), sum(c in (t, p) for t, p in found))
        for c in range(num_classes)
    ]  # fmt: skip


def approx(values):
    return pytest.approx(values, nan_ok=True, rel=1e-12)


cases = {
    "seed": st.integers(0, 2**32),
    "num_classes": st.integers(1, 19),
    "size": st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    "used": st.integers(1, 4),
}


@settings(max_examples=100)
@given(**cases)
def test_scores_equal_loops(seed, num_classes, size, used):
    pred, truth = label_maps(seed, num_classes, size, min(used, num_classes))
    cm = score.ConfusionMatrix(num_classes)
    for p, t in zip(pred.split(1), truth.split(1), strict=True):
        cm.update(p, t)
    found = pairs(pred, truth)
    iou = reference_iou(found, num_classes)
    defined = [v for v in iou if not math.isnan(v)]
    assert cm.matrix.tolist() == [[found.count((t, p)) for p in range(num_classes)] for t in range(num_classes)]
    assert cm.iou().dtype == torch.float64
    assert cm.iou().tolist() == approx(iou)
    assert cm.miou() == approx(ratio(sum(defined), len(defined)))
    assert cm.present() == len(defined)
    assert cm.pixel_accuracy() == approx(ratio(sum(t == p for t, p in found), len(found)))


def test_absent_classes():
    pred, truth = torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 1, 1, IGNORE]])
    left_out, zero = score.ConfusionMatrix(4), score.ConfusionMatrix(4, absent="zero")
    for cm in (left_out, zero):
        cm.update(pred, truth)
    assert left_out.iou().tolist() == approx([0.5, 0.5, math.nan, math.nan])
    assert zero.iou().tolist() == [0.5, 0.5, 0, 0]
    assert (left_out.miou(), left_out.present()) == (0.5, 2)
    assert (zero.miou(), zero.present()) == (0.25, 4)


def test_an_empty_matrix_has_no_score():
    cm = score.ConfusionMatrix(3)
    assert math.isnan(cm.miou()) and math.isnan(cm.pixel_accuracy()) and cm.present() == 0


@pytest.mark.parametrize("num_classes, subset", [(19, "19"), (19, "16"), (19, "13"), (16, "16"), (16, "13")])
def test_subsets_average_the_ious_of_the_same_matrix(num_classes, subset):
    pred, truth = label_maps(0, num_classes, (2, 40, 40))
    cm = score.ConfusionMatrix(num_classes)
    cm.update(pred, truth)
    chosen = labels.subset(num_classes, subset)
    assert len(chosen) == int(subset) == cm.present(subset)
    assert cm.miou(subset) == approx(sum(cm.iou()[c].item() for c in chosen) / len(chosen))


def test_miou16_is_the_19_class_mean_rescaled_when_three_classes_score_nothing():
    pred, truth = label_maps(0, 19, (2, 40, 40))
    pred[(pred == 9) | (pred == 14) | (pred == 16)] = 0  # terrain, truck and train are never predicted
    cm = score.ConfusionMatrix(19)
    cm.update(pred, truth)
    assert cm.miou("16") == approx(cm.miou() * 19 / 16)


def test_merging_folds_classes_and_a_stray_prediction_is_only_a_miss():
    merge = labels.CITYSCAPES_TO_NTHU13
    city, nthu = labels.CITYSCAPES.index, labels.NTHU13.index
    cm = score.ConfusionMatrix(19, merge=merge)
    pred = torch.tensor([[city("pole"), city("train"), city("car"), city("train"), city("road")]])
    truth = torch.tensor([[city("building"), city("bus"), city("truck"), city("train"), IGNORE]])
    cm.update(pred, truth)
    assert cm.matrix.shape == (13, 14)
    assert cm.matrix.sum() == 3  # a true train has no class to be scored as
    assert cm.matrix[nthu("bus"), merge.nothing] == 1
    iou = cm.iou()
    assert [iou[nthu(name)].item() for name in ("building", "car", "bus")] == [1, 1, 0]
    assert cm.present() == cm.present("13") == 3
    assert cm.pixel_accuracy() == approx(2 / 3)


@pytest.mark.parametrize("merge", [labels.CITYSCAPES_TO_NTHU13, labels.CITYSCAPES_TO_CAMVID11])
def test_merging_equals_mapping_every_pixel(merge):
    pred, truth = label_maps(1, 19, (2, 20, 20))
    cm = score.ConfusionMatrix(19, merge=merge)
    cm.update(pred, truth)
    mapped = torch.from_numpy(merge.lut())[pred], torch.from_numpy(merge.truth_lut())[truth.long()]
    assert cm.iou().tolist() == approx(reference_iou(pairs(*mapped), len(merge.target)))


def test_matrices_add_up():
    parts = []
    for seed in range(3):
        cm = score.ConfusionMatrix(5, absent="zero")
        cm.update(*label_maps(seed, 5, (1, 4, 4)))
        parts.append(cm)
    total = sum(parts, start=score.ConfusionMatrix(5, absent="zero"))
    assert torch.equal(total.matrix, reduce(torch.add, (p.matrix for p in parts)))
    with pytest.raises(ValueError, match="made alike"):
        total + score.ConfusionMatrix(5)


def test_counting_in_chunks_loses_nothing(monkeypatch):
    pred, truth = label_maps(0, 6, (2, 13, 17))
    whole, chunked = score.ConfusionMatrix(6), score.ConfusionMatrix(6)
    whole.update(pred, truth)
    monkeypatch.setattr(score, "_CHUNK", 10)
    chunked.update(pred, truth)
    assert torch.equal(whole.matrix, chunked.matrix)


@pytest.mark.parametrize(
    "pred, label, message",
    [
        ([[0]], [[3]], "label contains 3, but the classes are 0 to 2"),
        ([[3]], [[0]], "pred contains 3, but the classes are 0 to 2"),
        ([[255]], [[0]], "pred contains 255 on labelled pixels"),
        ([[-1]], [[0]], "pred must hold integers 0 to 255"),
        ([[0]], [[-1]], "label must hold integers 0 to 255"),
        ([[0.0]], [[0]], "pred must hold integers 0 to 255"),
        ([[0, 1]], [[0]], r"label has shape \[1, 1\] and pred \[1, 2\]"),
    ],
)
def test_bad_pixels_are_refused(pred, label, message):
    cm = score.ConfusionMatrix(3)
    with pytest.raises(ValueError, match=message):
        cm.update(torch.tensor(pred), torch.tensor(label))
    assert cm.matrix.sum() == 0


def test_a_prediction_on_an_ignored_pixel_counts_nowhere():
    cm = score.ConfusionMatrix(3)
    cm.update(torch.tensor([[7, 255]]), torch.tensor([[IGNORE, IGNORE]]))
    assert cm.matrix.sum() == 0


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="choose 'nan' or 'zero'"):
        score.ConfusionMatrix(3, absent="skip")
    with pytest.raises(ValueError, match="merge maps 19 classes"):
        score.ConfusionMatrix(16, merge=labels.CITYSCAPES_TO_NTHU13)
    with pytest.raises(ValueError, match="num_classes is 256"):
        score.ConfusionMatrix(256)
    with pytest.raises(ValueError, match="choose from"):
        score.ConfusionMatrix(19).miou("14")


# Pseudo-labels --------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(**cases)
def test_label_quality_equals_loops(seed, num_classes, size, used):
    pseudo, truth = label_maps(seed, num_classes, size, min(used, num_classes))
    pseudo[pseudo == seed % 3] = IGNORE
    quality = score.label_quality(pseudo.to(torch.uint8), truth, num_classes)
    found = pairs(pseudo, truth)
    kept = [(t, p) for t, p in found if p != IGNORE]
    hits = [kept.count((c, c)) for c in range(num_classes)]
    assert quality.coverage == approx(ratio(len(kept), len(found)))
    assert quality.kept.tolist() == [sum(p == c for _, p in kept) for c in range(num_classes)]
    assert quality.precision.tolist() == approx(
        [ratio(hits[c], sum(p == c for _, p in kept)) for c in range(num_classes)]
    )
    assert quality.recall.tolist() == approx(
        [ratio(hits[c], sum(t == c for t, _ in found)) for c in range(num_classes)]
    )
    assert quality.iou.tolist() == approx([ratio(hits[c], sum(c in pair for pair in kept)) for c in range(num_classes)])
    assert quality.overall_precision == approx(ratio(sum(hits), len(kept)))
    assert quality.overall_recall == approx(ratio(sum(hits), len(found)))


def test_label_quality_refuses_classes_it_does_not_know():
    good, bad = torch.zeros(1, 2, 2, dtype=torch.uint8), torch.full((1, 2, 2), 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="pseudo contains 4"):
        score.label_quality(bad, good, 3)
    with pytest.raises(ValueError, match="truth contains 4"):
        score.label_quality(good, bad, 3)
