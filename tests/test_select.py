"""Selection against references written from the rules: a full sort, and one pixel at a time."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udalib import select
from udalib.labels import IGNORE


def maps(seed: int, kind: str, num_classes: int, size: tuple[int, int, int]) -> torch.Tensor:
    """Random responses [B,C,H,W] of one kind of trouble."""
    g = torch.Generator().manual_seed(seed)
    b, h, w = size
    probs = torch.softmax(4 * torch.randn(b, num_classes, h, w, generator=g), dim=1)
    match kind:
        case "tied":
            return (probs * 8).round() / 8
        case "saturated":
            return torch.softmax(60 * torch.randn(b, num_classes, h, w, generator=g), dim=1)
        case "products":
            return probs * torch.rand(num_classes, h, w, generator=g) * 1e-6
        case "large":
            return probs * 1e30
        case "one class":
            probs[:, 1:] *= 0
    return probs


KINDS = ("smooth", "tied", "saturated", "products", "large", "one class")
cases = {
    "seed": st.integers(0, 2**32),
    "kind": st.sampled_from(KINDS),
    "num_classes": st.integers(2, 19),
    "size": st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 12)),
    "portion": st.floats(0, 1, exclude_min=True) | st.sampled_from([0.05, 0.2, 0.25, 0.5, 1.0]),
}


def pixels(probs: torch.Tensor) -> list[tuple[float, int]]:
    """(confidence, class) of every pixel, ties to the smallest class."""
    columns = probs.permute(0, 2, 3, 1).reshape(-1, probs.shape[1]).tolist()
    return [(max(column), column.index(max(column))) for column in columns]


def value_at_rank(values: list[float], portion: float) -> float:
    rank = round(portion * len(values))
    return sorted(values, reverse=True)[rank - 1] if rank else 1.0


def reference(probs: torch.Tensor, portion: float) -> tuple[list[float], float]:
    """Thresholds per class and pooled, by sorting everything."""
    found = pixels(probs)
    per_class = [[v for v, c in found if c == k] for k in range(probs.shape[1])]
    return [value_at_rank(v, portion) for v in per_class], value_at_rank([v for v, _ in found], portion)


def histogram(batches, num_classes: int) -> select.ConfidenceHistogram:
    h = select.ConfidenceHistogram(num_classes)
    for probs in batches:
        h.update(probs)
    return h


def assert_equal(a: select.ConfidenceHistogram, b: select.ConfidenceHistogram, portion: float):
    assert torch.equal(a.counts, b.counts)
    assert torch.equal(a.largest, b.largest)
    assert torch.equal(a.thresholds(portion), b.thresholds(portion))
    assert a.threshold(portion) == b.threshold(portion)


@settings(max_examples=1000)
@given(**cases)
def test_thresholds_equal_a_full_sort(seed, kind, num_classes, size, portion):
    probs = maps(seed, kind, num_classes, size)
    h = histogram([probs], num_classes)
    per_class, pooled = reference(probs, portion)
    assert h.thresholds(portion).dtype == torch.float32
    assert h.thresholds(portion).tolist() == per_class
    assert h.threshold(portion) == pooled
    found = pixels(probs)
    assert h.counts.tolist() == [sum(c == k for _, c in found) for k in range(num_classes)]
    assert h.largest.tolist() == [max([v for v, c in found if c == k], default=0) for k in range(num_classes)]


@settings(max_examples=100)
@given(**cases, batch=st.integers(1, 7), cut=st.integers(0, 7))
def test_thresholds_depend_on_the_pixels_alone(seed, kind, num_classes, size, portion, batch, cut):
    probs = maps(seed, kind, num_classes, (7, *size[1:]))
    whole = histogram([probs], num_classes)
    assert_equal(whole, histogram(probs.split(batch), num_classes), portion)
    assert_equal(whole, histogram(probs.flip(0, 2, 3).split(batch), num_classes), portion)
    first, second = (histogram([part], num_classes) for part in (probs[:cut], probs[cut:]))
    first.merge(second)
    assert_equal(whole, first, portion)
    assert_equal(second, histogram([probs[cut:]], num_classes), portion)  # merging leaves the other as it was


def test_a_histogram_merges_with_itself_and_counts_on():
    probs = maps(0, "smooth", 5, (2, 9, 9))
    h = histogram([probs], 5)
    h.merge(h)
    h.thresholds(0.5)  # reading in between must not disturb what follows
    h.update(probs)
    assert_equal(h, histogram([probs] * 3, 5), 0.3)


def test_thresholds_over_several_chunks_of_the_file():
    probs = torch.rand(3, 2, 200, 300, generator=torch.Generator().manual_seed(0))
    values = probs.amax(1).flatten().sort(descending=True).values
    assert histogram([probs], 2).threshold(0.3) == values[round(0.3 * len(values)) - 1].item()


def test_absent_and_tiny_classes_get_threshold_one():
    probs = torch.tensor([[0.6, 0.4, 0.0], [0.7, 0.3, 0.0], [0.2, 0.8, 0.0]]).T[None, :, None]
    h = histogram([probs], 3)
    assert h.counts.tolist() == [2, 1, 0]
    assert h.thresholds(0.5).tolist() == [probs[0, 0, 0, 1].item(), 1.0, 1.0]  # round(0.5) is 0
    assert select.ConfidenceHistogram(3).threshold(0.5) == 1.0


def test_ranks_round_halves_to_even():
    values = torch.arange(1, 11) / 16
    probs = torch.stack([values, torch.zeros(10)])[None, :, None]
    assert histogram([probs], 2).threshold(0.25) == 9 / 16  # round(2.5) is 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_and_gradients_are_accepted(dtype):
    probs = maps(0, "smooth", 4, (1, 8, 8)).to(dtype).requires_grad_()
    per_class, pooled = reference(probs.detach().float(), 0.3)
    assert histogram([probs], 4).thresholds(0.3).tolist() == per_class
    s = select.SelfTraining(0.3).fit([(probs,)])
    assert s.thresholds == pooled
    assert not s.label(probs).requires_grad


def test_negative_zero_counts_as_zero():
    h = histogram([torch.full((1, 2, 2, 2), -0.0)], 2)
    assert h.thresholds(1.0).tolist() == [0.0, 1.0]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_images():
    script = """
import pathlib, torch
from udalib import select
torch.set_num_threads(1)
probs = torch.softmax(torch.randn(10, 19, 64, 128), dim=1)
peaks = []
for repeats in (1, 100):
    select.SelfTraining(0.2).fit((batch,) for _ in range(repeats) for batch in probs.split(2))
    status = pathlib.Path("/proc/self/status")  # resource.getrusage starts with the peak of the parent process
    peaks.append(int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024)
print(peaks[1] - peaks[0])
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 12  # MB; the confidences and classes of 990 more images would need 41


# Labels ---------------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(**cases)
def test_self_training_labels_by_the_rule(seed, kind, num_classes, size, portion):
    probs = maps(seed, kind, num_classes, size)
    s = select.SelfTraining(portion).fit([(probs, ["name"])])
    threshold = reference(probs, portion)[1]
    largest = max(v for v, _ in pixels(probs))
    assert s.thresholds == threshold
    wanted = [c if v > threshold or v == threshold == largest else IGNORE for v, c in pixels(probs)]
    before = probs.clone()
    found = s.label(probs)
    assert found.dtype == torch.uint8
    assert found.shape == (probs.shape[0], *probs.shape[2:])
    assert found.flatten().tolist() == wanted
    assert torch.equal(found, s.label(probs)) and torch.equal(probs, before)


def test_saturated_confidences_are_kept_and_others_are_not():
    values = torch.tensor([1.0, 1.0, 1.0, 0.9])
    probs = torch.stack([values, 1 - values])[None, :, None]
    assert select.SelfTraining(0.5).fit([(probs,)]).label(probs).tolist() == [[[0, 0, 0, IGNORE]]]


def test_fit_reads_once_and_starts_anew():
    probs = maps(0, "smooth", 3, (4, 5, 5))
    s = select.SelfTraining(0.4).fit((batch,) for batch in probs.split(1))
    assert s.thresholds == reference(probs, 0.4)[1]
    s.fit([(probs[:1],)])
    assert s.thresholds == reference(probs[:1], 0.4)[1]


@pytest.mark.parametrize("portion", [0, -0.1, 1.01, float("nan")])
def test_a_portion_outside_its_range_is_refused(portion):
    h = histogram([maps(0, "smooth", 3, (1, 2, 2))], 3)
    for refuse in (select.SelfTraining, h.thresholds, h.threshold):
        with pytest.raises(ValueError, match="portion is .*; choose"):
            refuse(portion)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1])
def test_responses_that_are_not_finite_and_non_negative_are_refused(value):
    probs = maps(0, "smooth", 3, (1, 2, 2))
    probs[0, 1, 0, 1] = value
    with pytest.raises(ValueError, match="negative, infinite or NaN"):
        histogram([probs], 3)


def test_misuse_is_refused():
    probs = maps(0, "smooth", 3, (1, 2, 2))
    with pytest.raises(ValueError, match="call fit before label"):
        select.SelfTraining(0.2).label(probs)
    with pytest.raises(ValueError, match="batches is empty"):
        select.SelfTraining(0.2).fit([])
    with pytest.raises(ValueError, match=r"shape \[3, 2, 2\]"):
        histogram([probs[0]], 3)
    with pytest.raises(ValueError, match=r"pass \[B,4,H,W\]"):
        histogram([probs], 4)
    with pytest.raises(ValueError, match="merge one that has 3"):
        select.ConfidenceHistogram(3).merge(select.ConfidenceHistogram(4))
    for num_classes in (0, 256):
        with pytest.raises(ValueError, match="num_classes"):
            select.ConfidenceHistogram(num_classes)
