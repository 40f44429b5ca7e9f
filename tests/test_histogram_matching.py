"""Histogram matching, as a map of images and as a baseline."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udalib import data, recipes


def by_hand(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """One channel: each level to the first that has at least its share of the reference at or below it."""
    result = np.empty_like(image)
    for level in np.unique(image):
        share = (image <= level).sum() * reference.size
        result[image == level] = next(v for v in range(256) if (reference <= v).sum() * image.size >= share)
    return result


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), levels=st.sampled_from([1, 2, 9, 256]), sizes=st.sampled_from([(3, 5), (4, 4)]))
def test_every_channel_gets_the_histogram_of_its_reference(seed, levels, sizes):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, levels, (2, 3, sizes[0], 6), dtype=np.uint8)
    references = rng.integers(256 - levels, 256, (2, 3, sizes[1], 7), dtype=np.uint8)
    matched = data.match_histograms(torch.from_numpy(images), torch.from_numpy(references))
    assert matched.dtype == torch.uint8
    for b in range(2):
        for c in range(3):
            np.testing.assert_array_equal(matched[b, c], by_hand(images[b, c], references[b, c]))


def test_an_image_that_is_its_own_reference_stays():
    images = torch.randint(0, 256, (2, 3, 8, 9), dtype=torch.uint8)
    assert torch.equal(data.match_histograms(images, images), images)
    shuffled = images.flatten(2)[..., torch.randperm(72)].view(2, 3, 9, 8)
    assert torch.equal(data.match_histograms(images, shuffled), images)


def test_every_image_needs_a_reference():
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"references \[1, 3, 4, 4\]; give one for each"):
        data.match_histograms(images, images[:1])


def test_the_recipe_trains_and_starts_from_nothing():
    result = recipes.run("hist-match", profile="smoke", report=lambda text: None)
    assert 0 <= result.miou <= 1 and not result.record["start"]
    plain = recipes.run("source", profile="smoke", report=lambda text: None)
    assert result.rounds[0]["curve"] != plain.rounds[0]["curve"]
