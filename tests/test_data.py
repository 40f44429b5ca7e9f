import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from udalib import data
from udalib.data.loading import Draws


def dataset(count=10, labelled=True, size=(16, 32)):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 3, *size), dtype=np.uint8)
    labels = rng.integers(0, 19, (count, *size), dtype=np.uint8) if labelled else None
    return data.ArrayDataset(images, labels, [f"image{i}" for i in range(count)])


# Drawing --------------------------------------------------------------------------------------------------


@given(count=st.integers(1, 20), size=st.integers(1, 9), seed=st.integers(0, 5), start=st.integers(0, 10))
def test_draws_depend_on_the_step_alone(count, size, seed, start):
    batches = list(Draws(count, size, seed, steps=12))
    assert list(Draws(count, size, seed, steps=12, start=start)) == batches[start:]
    drawn = [index for batch in batches for index in batch]
    for epoch in range(len(drawn) // count):
        assert sorted(drawn[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_draws_differ_between_seeds_and_passes():
    first, second = (list(Draws(50, 50, seed, steps=2)) for seed in (0, 1))
    assert first[0] != second[0] and first[0] != first[1]


def test_batches_of_an_unlabelled_domain_have_no_labels():
    batch = next(data.training_batches(dataset(labelled=False), 4, seed=0, steps=1))
    assert batch.images.shape == (4, 3, 16, 32) and batch.labels is None


# Pseudo-labels --------------------------------------------------------------------------------------------


def test_pseudo_labels_take_the_place_of_missing_labels():
    pseudo = torch.full((10, 16, 32), 7, dtype=torch.uint8)
    sample = data.PseudoLabelled(dataset(labelled=False), pseudo)[3]
    assert torch.equal(sample.label, pseudo[3]) and sample.name == "image3"


def test_pseudo_labels_are_refused_where_they_do_not_belong():
    with pytest.raises(ValueError, match="9 pseudo-labels for 10 images"):
        data.PseudoLabelled(dataset(labelled=False), torch.zeros(9, 16, 32))
    with pytest.raises(ValueError, match="already has labels"):
        data.PseudoLabelled(dataset(), torch.zeros(10, 16, 32))


# Augmentation ---------------------------------------------------------------------------------------------


def picture(count=4, size=(32, 64)):
    """Images whose red channel repeats the label, so that both can be compared after a transformation."""
    labels = torch.arange(size[1]).expand(count, *size).to(torch.uint8)
    images = torch.zeros(count, 3, *size, dtype=torch.uint8)
    images[:, 0] = labels
    return images, labels


def test_identity_changes_nothing():
    images, labels = picture()
    same = data.Augmentation(scale=(1, 1), flip=False, jitter=0)
    out, out_labels = same(images, labels, data.seeded(0, 0))
    torch.testing.assert_close(out, images.float(), atol=1e-3, rtol=0)
    assert torch.equal(out_labels, labels)


@given(seed=st.integers(0, 1000))
def test_image_and_label_move_together(seed):
    images, labels = picture()
    augment = data.Augmentation(crop=(24, 48), scale=(0.8, 1.5), jitter=0)
    out, out_labels = augment(images, labels, data.seeded(seed, 0))
    assert out.shape == (4, 3, 24, 48) and out_labels.shape == (4, 24, 48) and out_labels.dtype == torch.uint8
    image, label = out[:, 0, 1:-1, 1:-1], out_labels[:, 1:-1, 1:-1]  # the outermost pixels may blend with the outside
    inside = (label > 1) & (label < 62)
    assert inside.any() and (image - label)[inside].abs().max() <= 1.001


def test_outside_the_image_is_ignored():
    images, labels = picture()
    _, out = data.Augmentation(scale=(0.5, 0.5), flip=False, jitter=0)(images, labels, data.seeded(0, 0))
    assert (out == 255).float().mean() == pytest.approx(0.75, abs=0.02)


def test_augmentation_follows_its_generator():
    images, labels = picture()
    augment = data.Augmentation()
    first, again, other = (augment(images, labels, data.seeded(0, step))[0] for step in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


# Benchmarks -----------------------------------------------------------------------------------------------


def test_a_target_has_no_labels_unless_it_is_the_oracle():
    bench = data.benchmark("game-city", profile="smoke", seed=0)
    image, label, name = bench.source[0]
    assert image.dtype == label.dtype == torch.uint8 and image.shape[1:] == label.shape and name
    assert bench.target[0].label is None and bench.val[0].label is not None
    oracle = data.benchmark("game-city", profile="smoke", seed=0, oracle=True)
    assert oracle.target[0].label is not None
    assert torch.equal(oracle.target[0].image, bench.target[0].image)


@pytest.mark.parametrize("name", data.PAIRS)
def test_labels_stay_within_the_class_set(name):
    bench = data.benchmark(name, profile="smoke", seed=0)
    for dataset in (bench.source, bench.val):
        values = np.unique(dataset.labels)
        assert all(value < len(bench.classes) or value == 255 for value in values)


def test_seeds_change_the_images():
    first, second = (data.benchmark("game-city", "smoke", seed).source[0].image for seed in (0, 1))
    assert not torch.equal(first, second)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no benchmark 'mars'; choose one of: game-city"):
        data.benchmark("mars")
    with pytest.raises(ValueError, match="no profile 'huge'; choose one of: smoke"):
        data.benchmark("game-city", profile="huge")
