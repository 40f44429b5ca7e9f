"""Instance-adaptive selection against references written from the rules, one pixel at a time."""

import math
import pickle
import random
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_select import maps, pixels

from udalib.labels import IGNORE
from udalib.select import ConstantThreshold, InstanceAdaptive, class_confidences

VARIANTS = ("paper", "official")
EVERYTHING = {"alpha": 1.0, "beta": 0.0, "gamma": 0.0}  # thresholds are the smallest values of each image

cases = {
    "seed": st.integers(0, 2**32),
    "kind": st.sampled_from(("smooth", "tied", "saturated", "products", "one class")),
    "num_classes": st.integers(2, 19),
    "size": st.tuples(st.integers(1, 5), st.integers(1, 8), st.integers(1, 12)),
}
options = st.just({}) | st.fixed_dictionaries(
    {
        "alpha": st.sampled_from([0.2, 0.5, 1.0]) | st.floats(0, 1, exclude_min=True),
        "beta": st.sampled_from([0.0, 0.5, 0.9, 1.0]) | st.floats(0, 1),
        "gamma": st.sampled_from([0.0, 1.0, 8.0, 1e5]) | st.floats(0, 16),  # 0.9 ** 1e5 is 0 in floating point
    }
)


def stream(*columns: list[float]) -> torch.Tensor:
    """One image of one row [1,C,1,W] from the probabilities of its pixels."""
    return torch.tensor(columns).T[None, :, None].contiguous()


def surely(*values: float) -> torch.Tensor:
    """One image of two classes whose pixels are all predicted as the first, with these confidences above 0.5."""
    return stream(*[[v, 1 - v] for v in values])


def expected_thresholds(
    probs: torch.Tensor, alpha: float = 0.2, beta: float = 0.9, gamma: float = 8.0, variant: str = "paper"
) -> list[list[float]]:
    """Thresholds that label each image, [B][C]."""
    theta = [0.9] * probs.shape[1]
    rows = []
    for group in probs.split(2 if variant == "official" else 1):
        found = pixels(group)
        for c in range(len(theta)):
            values = sorted([v for v, k in found if k == c], reverse=True)
            share = alpha * theta[c] ** gamma
            if values and variant == "paper":
                index = min(math.floor(share * len(values)), len(values) - 1)
                theta[c] = beta * theta[c] + (1 - beta) * values[index]
            elif values:
                joined = [theta[c]] + [float(np.float16(v)) for v in values]
                theta[c] = beta * theta[c] + (1 - beta) * float(np.percentile(joined, 100 * (1 - share)))
                if theta[c] >= 1:
                    theta[c] = 0.999
        rows += [list(theta)] * len(group)
    return rows


def expected_labels(probs: torch.Tensor, rows: list[list[float]], variant: str) -> list[int]:
    """Labels of all pixels in raster order, compared in double precision."""
    return [
        c if v > theta[c] or (v == theta[c] and variant == "official") else IGNORE
        for image, theta in zip(probs, rows, strict=True)
        for v, c in pixels(image[None])
    ]


# Thresholds and labels ------------------------------------------------------------------------------


@settings(max_examples=250)
@given(**cases, options=options, variant=st.sampled_from(VARIANTS))
def test_thresholds_and_labels_equal_the_reference(seed, kind, num_classes, size, options, variant):
    probs = maps(seed, kind, num_classes, size)
    rows = expected_thresholds(probs, **options, variant=variant)
    before = probs.clone()
    s = InstanceAdaptive(**options, variant=variant)
    found = s.label(probs)
    assert s.trajectory.dtype == torch.float64 and s.trajectory.tolist() == rows
    assert s.thresholds.tolist() == rows[-1]
    assert found.dtype == torch.uint8 and found.shape == (size[0], *size[1:])
    assert found.flatten().tolist() == expected_labels(probs, rows, variant)
    assert torch.equal(found, s.label_with(probs, s.trajectory)) and torch.equal(probs, before)


@settings(max_examples=60)
@given(**cases, options=options, variant=st.sampled_from(VARIANTS))
def test_batches_change_nothing(seed, kind, num_classes, size, options, variant):
    probs = maps(seed, kind, num_classes, (9, *size[1:]))
    names = [f"image {i}" for i in range(9)]
    whole = InstanceAdaptive(**options, variant=variant)
    labels = whole.label(probs, names)
    for batch in (1, 2, 3, 8):
        cuts = range(0, 9, batch)
        s = InstanceAdaptive(**options, variant=variant)
        s.fit((probs[i : i + batch], names[i : i + batch]) for i in cuts)
        assert s.names == names
        assert torch.equal(s.trajectory, whole.trajectory) and torch.equal(s.thresholds, whole.thresholds)
        alone = [s.label_with(probs[i : i + 1], s.trajectory[i : i + 1]) for i in range(9)]
        assert torch.equal(torch.cat(alone), labels)
        if variant == "paper" or batch % 2 == 0:  # after `fit`, `label` starts with the first image again
            assert torch.equal(torch.cat([s.label(part) for part in probs.split(batch)]), labels)
            assert torch.equal(s.trajectory, whole.trajectory)


@pytest.mark.parametrize("variant", VARIANTS)
def test_processes_may_share_the_work(variant):
    probs = maps(0, "smooth", 5, (8, 9, 11))
    whole = InstanceAdaptive(variant=variant)
    labels = whole.label(probs)
    order = random.Random(0).sample(range(8), 8)
    parcels = {i: pickle.dumps(class_confidences(probs[i : i + 1])) for i in order}
    s = InstanceAdaptive(variant=variant)
    for i in range(0, 8, 2):  # two processes, one image each
        images = [image for k in (i, i + 1) for image in pickle.loads(parcels[k])]
        thresholds = s.update(images, [f"{i}", f"{i + 1}"])
        for k in (0, 1):
            here = slice(i + k, i + k + 1)
            assert torch.equal(s.label_with(probs[here], thresholds[k : k + 1]), labels[here])
    assert torch.equal(s.trajectory, whole.trajectory)
    assert s.names == [str(i) for i in range(8)]


def test_class_confidences_are_the_pixels_of_each_class():
    probs = maps(1, "tied", 6, (3, 5, 7))
    for image, found in zip(probs, class_confidences(probs), strict=True):
        wanted = [[v for v, c in pixels(image[None]) if c == k] for k in range(6)]
        assert [values.tolist() for values in found] == wanted
        assert all(values.dtype == np.float32 for values in found)


def test_the_thresholds_follow_the_order_of_images():
    probs = torch.cat([surely(0.95, 0.9), surely(0.65, 0.6)])
    there, back = InstanceAdaptive(), InstanceAdaptive()
    there.fit([(probs, ["bright", "dark"])])
    back.fit([(probs.flip(0), ("dark", "bright"))])
    assert there.names == ["bright", "dark"] and back.names == ["dark", "bright"]
    assert there.trajectory[:, 0].tolist() == pytest.approx([0.905, 0.9 * 0.905 + 0.1 * 0.65])
    assert back.trajectory[:, 0].tolist() == pytest.approx([0.875, 0.9 * 0.875 + 0.1 * 0.95])
    assert there.trajectory[:, 1].tolist() == [0.9, 0.9]  # absent


def test_the_updated_threshold_labels_the_same_image():
    s = InstanceAdaptive(alpha=1.0, beta=0.5, gamma=0.0)
    assert s.label(surely(0.6, 0.74, 0.76)).tolist() == [[[IGNORE, IGNORE, 0]]]  # above 0.75, the mean of 0.9 and 0.6
    assert s.label(surely(0.6, 0.67, 0.74)).tolist() == [[[IGNORE, IGNORE, 0]]]  # above 0.675


def test_the_index_starts_at_zero_and_is_rounded_down():
    image = surely(*(0.95 - 0.01 * i for i in range(20)))
    for alpha, gamma, index in [(0.5, 1.0, 9), (0.2, 8.0, 1), (0.2, 1e5, 0), (1.0, 0.0, 19), (0.99, 0.0, 19)]:
        s = InstanceAdaptive(alpha, 0.0, gamma)
        s.label(image)
        assert s.thresholds.tolist() == [image[0, 0, 0, index].item(), 0.9]


def test_without_past_and_gamma_each_image_keeps_the_share_alpha_of_each_class():
    probs = maps(0, "smooth", 4, (3, 16, 16))
    labels = InstanceAdaptive(0.3, 0.0, 0.0).label(probs)
    for image, label in zip(probs, labels, strict=True):
        counts = torch.bincount(image.argmax(0).flatten(), minlength=4).tolist()
        assert torch.bincount(label[label != IGNORE], minlength=4).tolist() == [math.floor(0.3 * n) for n in counts]


def test_with_beta_one_the_threshold_stays_constant():
    probs = maps(0, "smooth", 4, (3, 16, 16))
    s = InstanceAdaptive(beta=1.0)
    assert torch.equal(s.label(probs), ConstantThreshold(0.9).label(probs))
    assert (s.trajectory == 0.9).all()


def test_gamma_costs_hard_classes_more_pixels_than_easy_ones():
    g = torch.Generator().manual_seed(0)
    easy, hard = (0.5 + 0.5 * torch.rand(40, 500, generator=g) ** power for power in (0.1, 1.0))
    zero, rest = torch.zeros(40, 500), 1.0
    rows = torch.cat([torch.stack([easy, zero, rest - easy], 1), torch.stack([zero, hard, rest - hard], 1)], dim=2)
    kept = {}
    for gamma in (0.0, 8.0):
        labels = InstanceAdaptive(gamma=gamma).label(rows[:, :, None])[-10:]
        kept[gamma] = [(labels == c).float().mean().item() for c in range(2)]
    assert kept[8.0][0] < kept[0.0][0] and kept[8.0][1] < kept[0.0][1]
    assert kept[8.0][1] / kept[0.0][1] < 0.8 * kept[8.0][0] / kept[0.0][0]


def test_saturated_confidences():
    probs = surely(*[1.0] * 7, 0.6)
    paper, official = (InstanceAdaptive(beta=0.0, variant=variant) for variant in VARIANTS)
    assert (paper.label(probs) == IGNORE).all()  # strictly above 1
    assert paper.thresholds.tolist() == [1.0, 0.9]
    assert official.label(probs).tolist() == [[[0] * 7 + [IGNORE]]]
    assert official.thresholds.tolist() == [0.999, 0.9]
    moving = InstanceAdaptive()
    for _ in range(500):
        labels = moving.label(probs)
    assert labels.tolist() == [[[0] * 7 + [IGNORE]]]  # an average of values below 1 and of 1 stays below


# The released code ----------------------------------------------------------------------------------


def test_the_official_percentile_is_interpolated_among_values_and_the_last_threshold():
    # Sorted with the 0.9 of before: 0.5, 0.625, 0.75, 0.9.
    for alpha, wanted in [(0.5, 0.6875), (1 / 3, 0.75), (1 / 6, 0.825), (1.0, 0.5)]:
        s = InstanceAdaptive(alpha, 0.0, 0.0, "official")
        s.label(surely(0.625, 0.5, 0.75))
        assert s.thresholds.tolist() == pytest.approx([wanted, 0.9])


def test_the_official_code_rounds_to_float16_and_stays_below_one():
    s = InstanceAdaptive(beta=0.0, variant="official")
    assert s.label(surely(*[0.9998] * 20)).tolist() == [[[0] * 20]]
    assert s.thresholds.tolist() == [0.999, 0.9]
    s = InstanceAdaptive(1.0, 0.0, 0.0, "official")
    assert s.label(surely(0.70001)).tolist() == [[[IGNORE]]]  # 0.70001 is 0.7002 in float16
    assert s.thresholds.tolist() == [float(np.float16(0.7)), 0.9]


def test_equality_keeps_in_the_official_code_alone():
    probs = surely(0.75, 0.625, 0.5)
    assert InstanceAdaptive(**EVERYTHING).label(probs).tolist() == [[[0, 0, IGNORE]]]
    assert InstanceAdaptive(**EVERYTHING, variant="official").label(probs).tolist() == [[[0, 0, 0]]]


def test_two_images_share_the_official_update_and_the_last_may_be_alone():
    probs = torch.cat([surely(0.75, 0.875), surely(0.625, 0.5), surely(0.5625, 0.9375)])
    s = InstanceAdaptive(**EVERYTHING, variant="official").fit([(probs,)])
    assert s.trajectory[:, 0].tolist() == [0.5, 0.5, 0.5]  # the last list holds the 0.5 of before
    s = InstanceAdaptive(0.5, 0.0, 0.0, "official").fit([(probs,)])
    assert s.trajectory[:, 0].tolist() == [0.75, 0.75, 0.75]
    assert InstanceAdaptive(0.5, 0.0, 0.0).fit([(probs,)]).trajectory[:, 0].tolist() == [0.75, 0.5, 0.5625]


def test_the_official_update_is_not_torn():
    probs = maps(0, "smooth", 3, (3, 4, 4))
    s = InstanceAdaptive(variant="official")
    s.label(probs)
    before = s.trajectory
    with pytest.raises(ValueError, match="3 images came before.*pass an even number at a time, or call fit"):
        s.label(probs[:1])
    assert torch.equal(s.trajectory, before)
    assert len(s.fit([(probs,)]).label(probs)) == 3  # a new pass
    with pytest.raises(ValueError, match="shape"):
        s.fit([(probs,), (probs[0],)])
    assert torch.equal(s.label(probs), InstanceAdaptive(variant="official").label(probs))  # no trace of the failed pass


# Details --------------------------------------------------------------------------------------------


@given(
    value=st.floats(0.5, 1, width=32),
    offset=st.integers(-2, 2),
    variant=st.sampled_from(VARIANTS),
)
def test_thresholds_are_compared_in_double_precision(value, offset, variant):
    threshold = value + offset * 2.0**-50
    label = InstanceAdaptive(variant=variant).label_with(
        surely(value), torch.tensor([[threshold, 0.9]], dtype=torch.float64)
    )
    assert label.flatten().tolist() == expected_labels(surely(value), [[threshold, 0.9]], variant)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_and_gradients_are_accepted(dtype, variant):
    probs = maps(0, "smooth", 4, (2, 8, 8)).to(dtype).requires_grad_()
    labels = InstanceAdaptive(variant=variant).label(probs)
    assert not labels.requires_grad
    assert torch.equal(labels, InstanceAdaptive(variant=variant).label(probs.detach().float()))


def test_fit_holds_one_batch_at_a_time():
    alive = []

    def batches():
        for seed in range(6):
            probs = maps(seed, "smooth", 3, (3, 4, 4))
            alive.append(weakref.ref(probs))
            assert sum(ref() is not None for ref in alive) <= 2  # the last one may wait for its successor
            yield probs, ["a", "b", "c"]
            del probs

    assert len(InstanceAdaptive(variant="official").fit(batches()).names) == 18


def test_names_and_state_before_the_first_image():
    s = InstanceAdaptive()
    assert s.thresholds is None and s.trajectory is None and s.names == []
    s.label(surely(0.9))
    s.label(surely(0.9), ["second"])
    assert s.names == [None, "second"] and s.trajectory.shape == (2, 2)


@settings(max_examples=50)
@given(seed=cases["seed"], kind=cases["kind"], threshold=st.floats(0, 1, exclude_max=True, width=32))
def test_a_constant_threshold_labels_what_is_above(seed, kind, threshold):
    probs = maps(seed, kind, 4, (2, 5, 6))
    wanted = [c if v > threshold else IGNORE for v, c in pixels(probs)]
    s = ConstantThreshold(threshold)
    assert s.thresholds == threshold
    assert s.label(probs).flatten().tolist() == wanted
    assert s.label(probs).dtype == torch.uint8


def test_misuse_is_refused():
    probs = maps(0, "smooth", 3, (2, 4, 4))
    nan = float("nan")
    for wrong in ({"alpha": 0}, {"alpha": 1.1}, {"alpha": nan}):
        with pytest.raises(ValueError, match="alpha is .*; choose a share"):
            InstanceAdaptive(**wrong)
    for wrong in ({"beta": -0.1}, {"beta": 1.1}, {"beta": nan}):
        with pytest.raises(ValueError, match="beta is .*; choose a weight from 0 to 1"):
            InstanceAdaptive(**wrong)
    for wrong in ({"gamma": -1}, {"gamma": math.inf}, {"gamma": nan}):
        with pytest.raises(ValueError, match="gamma is .*; choose a finite exponent"):
            InstanceAdaptive(**wrong)
    with pytest.raises(ValueError, match="no variant 'code'; choose one of: paper, official"):
        InstanceAdaptive(variant="code")
    for wrong in (-0.1, 1.0, nan):
        with pytest.raises(ValueError, match="threshold is .*; choose a confidence"):
            ConstantThreshold(wrong)
    with pytest.raises(ValueError, match="batches is empty; pass"):
        InstanceAdaptive().fit([])
    uses = (InstanceAdaptive().label, ConstantThreshold(0.5).label, class_confidences)
    for use in (*uses, lambda p: InstanceAdaptive().fit([(p,)])):
        for wrong in (probs - 0.5, probs * 9, probs * nan):
            with pytest.raises(ValueError, match="outside 0..1; pass softmax output"):
                use(wrong)
        for wrong in (probs[0], probs[:0], torch.zeros(1, 256, 1, 1)):
            with pytest.raises(ValueError, match=r"probs has shape \[.*\]; pass \[B,C,H,W\]"):
                use(wrong)
    s = InstanceAdaptive()
    for use in (s.label, lambda p, names: s.fit([(p, names)])):
        with pytest.raises(ValueError, match="1 names came with 2 images; give each image one name"):
            use(probs, ["a"])
    s.label(probs)
    with pytest.raises(ValueError, match="has 4 classes, the images before 3; start a new object"):
        s.label(maps(0, "smooth", 4, (1, 4, 4)))
    with pytest.raises(ValueError, match=r"thresholds has shape \[3\], probs \[2, 3, 4, 4\]; pass one row an image"):
        s.label_with(probs, s.thresholds)
