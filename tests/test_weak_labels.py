"""Weak labels and mean class sizes against counting one pixel at a time."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udalib.labels import IGNORE
from udalib.select import mean_class_sizes, weak_labels

sizes = st.tuples(st.integers(1, 6), st.integers(1, 8))


def label_maps(seed: int, batch: int, size: tuple[int, int], num_classes: int) -> torch.Tensor:
    """Maps [B,h,w] with ignored pixels, values of no class, absent classes, and a map that is ignored throughout."""
    g = torch.Generator().manual_seed(seed)
    present = torch.randperm(num_classes, generator=g)[: 1 + seed % num_classes]
    values = torch.cat([present, torch.tensor([IGNORE, num_classes])]).to(torch.uint8)
    maps = values[torch.randint(len(values), (batch, *size), generator=g)]
    if seed % 3 == 0:
        maps[-1] = IGNORE
    return maps


def share(label: torch.Tensor, c: int) -> float:
    """Pixels of class c / pixels of the map [h,w]."""
    rows = label.tolist()
    return sum(value == c for row in rows for value in row) / (len(rows) * len(rows[0]))


def reference(maps: torch.Tensor, mean_size: list[float], eta: float, strict: bool) -> list[list[bool]]:
    found = []
    for label in maps:
        shares = [share(label, c) for c in range(len(mean_size))]
        if strict:
            found.append([s > eta * h for s, h in zip(shares, mean_size, strict=True)])
        else:
            found.append([s >= eta * h and s > 0 for s, h in zip(shares, mean_size, strict=True)])
    return found


def reference_sizes(maps: list[torch.Tensor], num_classes: int) -> list[float]:
    means = []
    for c in range(num_classes):
        shares = [share(label, c) for label in maps]
        shares = [s for s in shares if s > 0]
        means.append(sum(shares) / len(shares) if shares else 0.0)
    return means


# Weak labels ----------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(
    seed=st.integers(0, 2**32),
    batch=st.integers(1, 4),
    size=sizes,
    num_classes=st.integers(1, 20),
    eta=st.sampled_from([0.0, 0.0225, 0.05, 0.5, 1.0, 2.0]) | st.floats(0, 3),
    strict=st.booleans(),
)
def test_weak_labels_equal_the_reference(seed, batch, size, num_classes, eta, strict):
    maps = label_maps(seed, batch, size, num_classes)
    # Shares of the first map among the mean sizes: with eta 1, both sides of the comparison are equal.
    mean_size = [share(maps[0], c) if c % 2 else c / num_classes for c in range(num_classes)]
    before = maps.clone()
    found = weak_labels(maps, torch.tensor(mean_size, dtype=torch.float64), eta, strict)
    assert found.dtype == torch.bool and found.shape == (batch, num_classes)
    assert found.tolist() == reference(maps, mean_size, eta, strict)
    assert torch.equal(maps, before)


def test_a_class_is_present_above_a_twentieth_of_its_mean_size():
    label = torch.full((1, 10, 10), IGNORE, dtype=torch.uint8)
    label[0, 0, :5] = 0  # 5 % of the map, of mean sizes of 0.99 and 1.01
    label[0, 1, :4] = 1
    assert weak_labels(label, torch.tensor([0.99, 0.99, 0.5])).tolist() == [[True, False, False]]
    assert weak_labels(label, torch.tensor([1.01, 0.79, 0.5])).tolist() == [[False, True, False]]


def test_ignored_pixels_count_in_the_area():
    label = torch.tensor([[[0, IGNORE, IGNORE, IGNORE]]])
    assert weak_labels(label, torch.tensor([0.25]), eta=1.0).tolist() == [[False]]
    assert weak_labels(label, torch.tensor([0.24]), eta=1.0).tolist() == [[True]]


def test_equality_passes_only_where_it_is_asked_for():
    label = torch.tensor([[[0, 0, 1, IGNORE]]])
    mean_size = torch.tensor([0.5, 0.5])
    assert weak_labels(label, mean_size, eta=1.0).tolist() == [[False, False]]
    assert weak_labels(label, mean_size, eta=1.0, strict=False).tolist() == [[True, False]]


@pytest.mark.parametrize("strict", [True, False])
def test_without_a_filter_a_single_pixel_suffices(strict):
    label = torch.full((1, 8, 8), IGNORE)
    label[0, 3, 3] = 2
    assert weak_labels(label, torch.ones(4), eta=0, strict=strict).tolist() == [[False, False, True, False]]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("eta", [0, 0.05, 1])
def test_an_ignored_map_contains_nothing(strict, eta):
    label = torch.full((2, 4, 4), IGNORE, dtype=torch.uint8)
    mean_size = torch.tensor([0.3, 0.0, 1.0])  # the second class is in no source image
    assert not weak_labels(label, mean_size, eta, strict).any()


def test_a_crop_is_judged_by_its_own_area():
    label = torch.zeros(1, 64, 64, dtype=torch.uint8)
    label[0, :8, :8] = 1
    mean_size = torch.tensor([0.5, 0.5])
    assert weak_labels(label, mean_size).tolist() == [[True, False]]
    assert weak_labels(label[:, :16, :16], mean_size).tolist() == [[True, True]]
    assert weak_labels(label[:, ::8, ::8], mean_size).tolist() == [[True, False]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_integers_of_any_type_are_accepted(dtype):
    maps = label_maps(1, 3, (5, 6), 7)
    assert torch.equal(weak_labels(maps.to(dtype), torch.full((7,), 0.2)), weak_labels(maps, torch.full((7,), 0.2)))


# Mean sizes -----------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32),
    images=st.lists(sizes, min_size=1, max_size=5),
    num_classes=st.integers(1, 20),
)
def test_mean_sizes_equal_the_reference(seed, images, num_classes):
    maps = [label_maps(seed + number, 1, size, num_classes)[0] for number, size in enumerate(images)]
    found = mean_class_sizes(iter(maps), num_classes)
    assert found.dtype == torch.float64
    assert found.tolist() == reference_sizes(maps, num_classes)


def test_the_mean_is_over_the_images_that_contain_the_class():
    maps = [torch.tensor([[0, 0], [0, 1]]), torch.tensor([[0, IGNORE], [IGNORE, IGNORE]]), torch.full((2, 2), IGNORE)]
    assert mean_class_sizes(maps, 3).tolist() == [0.5, 0.25, 0.0]


def test_every_image_counts_alike_whatever_its_size():
    maps = [torch.zeros(1, 4), torch.tensor([[0, 1], [1, 1]]).repeat(50, 50)]
    assert mean_class_sizes(maps, 2).tolist() == [(1 + 0.25) / 2, 0.75]


# Misuse ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [-0.1, math.nan, math.inf])
def test_an_unusable_eta_is_refused(eta):
    with pytest.raises(ValueError, match="eta is .*; choose 0 or a number above it"):
        weak_labels(torch.zeros(1, 2, 2), torch.ones(3), eta)


def test_misuse_is_refused():
    with pytest.raises(ValueError, match=r"labels has shape \[2, 2\]; pass \[B,H,W\]"):
        weak_labels(torch.zeros(2, 2), torch.ones(3))
    with pytest.raises(ValueError, match=r"mean_size has shape \[1, 3\]; pass \[C\]"):
        weak_labels(torch.zeros(1, 2, 2), torch.ones(1, 3))
    with pytest.raises(ValueError, match="labels is empty; pass the label maps"):
        mean_class_sizes([], 3)
    with pytest.raises(ValueError, match=r"shape \[1, 2, 2\]; give maps \[H,W\]"):
        mean_class_sizes([torch.zeros(1, 2, 2)], 3)
