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


# Mining ---------------------------------------------------------------------------------------------------


def scene(rare):
    """A label map of class 0 with 2x2 pixels, from (row, column) on, of each class in `rare`.

    A single pixel can fall between the samples of a crop that starts at half a pixel.
    """
    label = torch.zeros(1, 32, 64, dtype=torch.uint8)
    for name, (row, column) in rare.items():
        label[0, row : row + 2, column : column + 2] = name
    return label


def crop_of(label, mining, seed, scale=(1.0, 1.0)):
    augment = data.Augmentation(crop=(16, 32), scale=scale, jitter=0)
    return augment(torch.zeros(1, 3, 32, 64, dtype=torch.uint8), label, data.seeded(seed, 0), mining)[1]


@given(seed=st.integers(0, 1000), row=st.integers(0, 30), column=st.integers(0, 62))
def test_a_mined_crop_shows_the_rare_class_and_stays_inside(seed, row, column):
    crop = crop_of(scene({5: (row, column)}), data.Mining(wanted=(5,)), seed)
    assert (crop == 5).any() and not (crop == 255).any()


def test_wanted_classes_come_before_the_fallback_and_each_is_drawn():
    label = scene({3: (16, 20), 4: (16, 44), 5: (2, 2)})
    mining = data.Mining(wanted=(3, 4), fallback=(5,))
    found = [set(crop_of(label, mining, seed).unique().tolist()) for seed in range(40)]
    assert all({3, 4} & classes for classes in found)
    assert any(3 in classes for classes in found) and any(4 in classes for classes in found)
    assert all(5 in crop_of(label, data.Mining((9,), fallback=(5,)), seed).unique() for seed in range(5))


@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.4, 1.0]))
def test_crops_without_a_mined_class_are_the_random_ones(seed, scale):
    label = torch.arange(64).expand(1, 32, 64).to(torch.uint8) % 7
    plain = crop_of(label, None, seed, (scale, scale))
    assert torch.equal(crop_of(label, data.Mining(wanted=(9,), probability=0.0), seed, (scale, scale)), plain)


def test_the_released_code_mines_only_where_the_window_fits():
    at_the_border, inside = scene({5: (1, 1)}), scene({5: (16, 32)})
    mining = data.Mining(wanted=(5,), inside=True)
    assert not all(5 in crop_of(at_the_border, mining, seed).unique() for seed in range(20))
    for seed in range(20):
        assert crop_of(inside, mining, seed)[0, 7:9, 15:17].eq(5).any(), "in the middle of the crop"


def test_mining_follows_the_predicted_shares():
    shares = torch.tensor([0.9, 0.0, 0.0009, 0.001, 0.0981])
    assert data.Mining.paper(shares).wanted == data.Mining.official(shares).wanted == (1, 2)
    assert data.Mining.official(shares).fallback == (1, 2, 3)
    assert (data.Mining.paper(shares).source, data.Mining.official(shares).source) == (False, True)


# Benchmarks -----------------------------------------------------------------------------------------------


def test_folds_cut_the_target_into_parts():
    whole = data.benchmark("city-rome", "smoke")
    folds = [data.benchmark("city-rome", "smoke", fold=fold) for fold in range(10)]
    assert sorted(name for fold in folds for name in fold.val.names) == sorted(whole.val.names)
    for fold in folds:
        assert len(fold.val) == 2 and len(fold.target) == 18
        assert not set(fold.val.names) & set(fold.target.names)
        assert fold.target[0].label is None and fold.oracle().target[0].label is not None
        assert fold.oracle().target.names == fold.target.names
    with pytest.raises(ValueError, match="city-rome has no fold 10; choose 0 to 9"):
        data.benchmark("city-rome", "smoke", fold=10)
    with pytest.raises(ValueError, match="game-city has no folds"):
        data.benchmark("game-city", "smoke", fold=0)


def test_benchmarks_that_agree_on_a_side_are_found():
    assert data.first_with("game-city-hard", "source") == data.first_with("game-dashcam", "source") == "game-city"
    assert data.first_with("city-rio", "source") == "city-dashcam"
    assert data.first_with("city-dashcam", "target") == "game-dashcam"
    for name, side in (("synth-city", "source"), ("synth-city", "target"), ("game-city-hard", "target")):
        assert data.first_with(name, side) == name


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
