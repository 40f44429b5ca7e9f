"""Class-balanced selection and the spatial prior against references written from the rules, one pixel at a time."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_select import cases, maps, pixels, value_at_rank

from udalib.labels import IGNORE
from udalib.select import ClassBalanced, ConfidenceHistogram, SelfTraining, SpatialPrior, image_scores

VARIANTS = ("paper", "official")
NORMALISATIONS = ("class", "pixel")
options = {"variant": st.sampled_from(VARIANTS), "normalise": st.sampled_from([None, "class", "pixel"])}


def random_prior(seed: int, num_classes: int, size: tuple[int, int], normalise: str | None) -> SpatialPrior | None:
    """A prior with zeros: of single places, of a whole class, and of all classes at one place."""
    if normalise is None:
        return None
    g = torch.Generator().manual_seed(seed + 1)
    values = torch.rand(num_classes, *size, generator=g)
    values[values < 0.3] = 0
    values[torch.randint(num_classes, (1,), generator=g)] *= 0
    values[:, -1, -1] *= 0
    return SpatialPrior(values, normalise)


def products(probs: torch.Tensor, prior: SpatialPrior | None) -> torch.Tensor:
    return probs if prior is None else torch.stack([p * prior.maps for p in probs])


def class_lists(probs: torch.Tensor, every: int = 1, zeros: bool = True) -> list[list[float]]:
    """Confidences of the pixels predicted as each class; of an image and class every so-manyth in raster order.

    zeros: whether pixels whose responses are all 0 count.
    """
    lists = [[] for _ in range(probs.shape[1])]
    for image in probs:
        seen = [0] * len(lists)
        for value, c in pixels(image[None]):
            if seen[c] % every == 0 and (zeros or value > 0):
                lists[c].append(value)
            seen[c] += 1
    return lists


def expected_threshold(values: list[float], portion: float, variant: str) -> float:
    if variant == "paper":
        rank = round(portion * len(values))
        return sorted(values, reverse=True)[rank - 1] if rank else 1.0
    values = sorted([*values, 0.0], reverse=True)
    rank = math.floor(portion * len(values))
    threshold = values[rank - 1] if rank else 0.0
    return threshold if threshold > 0 else 1.0


def expected_label(response: list[float], thresholds: list[float], largest: list[float], variant: str) -> int:
    """The class with the largest quotient; a class whose response is 0 has none, whatever its threshold."""
    with np.errstate(over="ignore"):  # a quotient may be beyond float32
        quotients = [
            0.0 if r == 0 else math.inf if t == 0 else float(np.float32(r / t))
            for r, t in zip(response, thresholds, strict=True)
        ]
    best = max(quotients)
    c = quotients.index(best)
    equality_passes = variant == "official" or thresholds[c] == largest[c]
    return c if best > 1 or (best == 1 and equality_passes) else IGNORE


def listed(probs: torch.Tensor, prior: SpatialPrior | None, variant: str) -> list[list[float]]:
    """The lists of the products that thresholds are read from: a pixel without any response is no evidence."""
    every, zeros = (4, True) if variant == "official" else (1, False)
    return class_lists(products(probs, prior), every, zeros)


def expected(
    probs: torch.Tensor, prior: SpatialPrior | None, portion: float, variant: str
) -> tuple[list[float], list[int]]:
    """Thresholds, and labels of all pixels in raster order."""
    lists, probs = listed(probs, prior, variant), products(probs, prior)
    thresholds = [expected_threshold(values, portion, variant) for values in lists]
    largest = [max(values, default=0.0) for values in lists]
    columns = probs.permute(0, 2, 3, 1).reshape(-1, probs.shape[1]).tolist()
    return thresholds, [expected_label(column, thresholds, largest, variant) for column in columns]


def stream(*columns: list[float]) -> torch.Tensor:
    """One image of one row [1,C,1,W] from the responses of its pixels."""
    return torch.tensor(columns).T[None, :, None].contiguous()


# Thresholds and labels ------------------------------------------------------------------------------


@settings(max_examples=250)
@given(**cases, **options)
def test_thresholds_and_labels_equal_the_reference(seed, kind, num_classes, size, portion, variant, normalise):
    probs = maps(seed, kind, num_classes, size)
    prior = random_prior(seed, num_classes, size[1:], normalise)
    s = ClassBalanced(portion, prior, variant).fit([(probs, ["name"])])
    thresholds, labels = expected(probs, prior, portion, variant)
    before = probs.clone()
    found = s.label(probs)
    assert s.thresholds.dtype == torch.float32 and s.thresholds.tolist() == thresholds
    assert found.dtype == torch.uint8 and found.shape == (size[0], *size[1:])
    assert found.flatten().tolist() == labels
    assert torch.equal(found, s.label(probs)) and torch.equal(probs, before)


@settings(max_examples=60)
@given(**cases, **options)
def test_shares_are_those_of_the_listed_predictions(seed, kind, num_classes, size, portion, variant, normalise):
    probs = maps(seed, kind, num_classes, size)
    prior = random_prior(seed, num_classes, size[1:], normalise)
    lists = listed(probs, prior, variant)
    assume(any(lists))
    wanted = [len(values) / sum(map(len, lists)) for values in lists]
    assert ClassBalanced(portion, prior, variant).fit([(probs,)]).shares.tolist() == pytest.approx(wanted)
    if variant == "paper":
        assert SelfTraining(portion, prior).fit([(probs,)]).shares.tolist() == pytest.approx(wanted)


@settings(max_examples=50)
@given(**cases, **options, batch=st.integers(1, 5))
def test_batches_and_their_order_change_nothing(seed, kind, num_classes, size, portion, variant, normalise, batch):
    probs = maps(seed, kind, num_classes, (5, *size[1:]))
    prior = random_prior(seed, num_classes, size[1:], normalise)
    whole = ClassBalanced(portion, prior, variant).fit([(probs,)])
    batches = ClassBalanced(portion, prior, variant).fit((part,) for part in probs.flip(0).split(batch))
    assert torch.equal(whole.thresholds, batches.thresholds)
    assert torch.equal(whole.label(probs), torch.cat([batches.label(image[None]) for image in probs]))


@settings(max_examples=50)
@given(**cases)
def test_the_order_of_pixels_does_not_change_the_papers_thresholds(seed, kind, num_classes, size, portion):
    probs = maps(seed, kind, num_classes, size)
    b, h, w = size
    shuffled = probs.transpose(0, 1).reshape(num_classes, -1)
    shuffled = shuffled[:, torch.randperm(b * h * w, generator=torch.Generator().manual_seed(seed))]
    first, second = (ClassBalanced(portion).fit([(p,)]) for p in (probs, shuffled[None, :, None]))
    assert torch.equal(first.thresholds, second.thresholds)


@settings(max_examples=100)
@given(**cases, normalise=options["normalise"])
def test_self_training_ranks_the_products(seed, kind, num_classes, size, portion, normalise):
    probs = maps(seed, kind, num_classes, size)
    prior = random_prior(seed, num_classes, size[1:], normalise)
    s = SelfTraining(portion, prior).fit([(probs,)])
    found = pixels(products(probs, prior))
    values = [v for v, _ in found if prior is None or v > 0]
    threshold, largest = value_at_rank(values, portion), max(values, default=0.0)
    assert s.thresholds == threshold
    wanted = [c if v > threshold or v == threshold == largest else IGNORE for v, c in found]
    assert s.label(probs).flatten().tolist() == wanted


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_label_need_not_be_the_prediction(variant):
    s = ClassBalanced(0.5, variant=variant)
    s.thresholds, s.largest = torch.tensor([0.99, 0.08]), torch.tensor([1.0, 1.0])
    assert s.label(stream([0.90, 0.09])).tolist() == [[[1]]]


@pytest.mark.parametrize("variant, label", [("paper", IGNORE), ("official", 0)])
def test_equality_passes_in_the_official_code_alone(variant, label):
    probs = stream([0.5, 0.25], [0.5, 0.25], [0.5, 0.25], [0.5, 0.25], [0.75, 0.0])
    s = ClassBalanced(0.4 if variant == "paper" else 0.7, variant=variant).fit([(probs,)])
    assert s.thresholds.tolist() == [0.5, 1.0]  # rank 2 of five, and rank 2 of [0.75, 0.5, 0.0]
    assert s.label(probs).tolist() == [[[label] * 4 + [0]]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_saturated_confidences_are_kept(variant):
    probs = stream(*[[1.0, 0.0, 0.0]] * 8, [0.9, 0.1, 0.0], [0.0, 1.0, 0.0])
    s = ClassBalanced(0.5, variant=variant).fit([(probs,)])
    assert s.thresholds.tolist() == [1.0, 1.0, 1.0]
    assert s.label(probs).tolist() == [[[0] * 8 + [IGNORE, 1]]]


def test_the_rank_of_the_official_code_counts_one_more_zero():
    values = [0.9, 0.8, 0.7]  # a list of four with the zero
    probs = torch.cat([stream([v, 0.0]) for v in values])
    for portion, threshold in [(0.24, 1.0), (0.25, 0.9), (0.74, 0.8), (0.75, 0.7), (0.99, 0.7), (1.0, 1.0)]:
        s = ClassBalanced(portion, variant="official").fit([(probs,)])
        assert s.thresholds.tolist() == pytest.approx([threshold, 1.0])


def test_every_fourth_pixel_counts_per_image_and_class():
    row = torch.arange(1, 13) / 16
    first = torch.where(torch.arange(12) % 3 > 0, row, 0)  # class 0 at 1, 2, 4, 5, 7, 8, 10, 11; class 1 between
    image = torch.stack([first, row / 2]).reshape(1, 2, 3, 4)
    h = ConfidenceHistogram(2)
    h.update(torch.cat([image] * 2), every=4)
    assert h.counts.tolist() == [4, 2]
    assert h.values_at([1, 1]).tolist() == h.values_at([2, 2]).tolist() == [8 / 16, 1 / 32]  # the fifth, the first
    assert h.values_at([3, 0]).tolist() == h.values_at([4, 0]).tolist() == [2 / 16, 1.0]


def test_products_of_order_1e_6_select_like_their_probabilities():
    probs = maps(0, "smooth", 3, (2, 16, 64))
    flat = SpatialPrior(torch.full((3, 16, 64), 2.0**-10))  # 2 to the power -10: products are exact
    plain, scaled = (ClassBalanced(0.3, prior).fit([(probs * 2**-10,)]) for prior in (None, flat))
    assert scaled.thresholds.max() < 1e-6
    assert torch.equal(scaled.thresholds, plain.thresholds * 2**-10)
    assert torch.equal(scaled.label(probs * 2**-10), plain.label(probs * 2**-10))


@pytest.mark.parametrize("variant, portion", [("paper", 0.2), ("paper", 1.0), ("official", 0.2)])
def test_a_class_is_never_labelled_where_its_prior_is_zero(variant, portion):
    places = torch.ones(2, 4, 8)
    places[0, :, :4] = 0
    places[:, 0] = 0  # nothing was counted in the first row: 0 / 0 for class 0 where its threshold is 0
    probs = maps(0, "smooth", 2, (3, 4, 8))
    labels = ClassBalanced(portion, SpatialPrior(places), variant).fit([(probs,)]).label(probs)
    assert not (labels[:, :, :4] == 0).any()
    assert (labels[:, 0] == IGNORE).all()
    assert (labels == 1).any()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_labelled_like_float32(dtype, variant):
    for seed in range(20):
        logits = 4 * torch.randn(1, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        probs = torch.softmax(logits, dim=1).to(dtype)
        s = ClassBalanced(0.5, variant=variant).fit([(probs,)])
        assert torch.equal(s.label(probs), s.label(probs.float()))


@settings(max_examples=50)
@given(seed=cases["seed"], kind=st.sampled_from(["smooth", "tied", "saturated"]), size=cases["size"])
def test_image_scores_average_over_the_predicted_classes(seed, kind, size):
    probs = maps(seed, kind, 5, size)
    wanted = []
    for image in probs:
        means = [sum(values) / len(values) for values in class_lists(image[None]) if values]
        wanted.append(sum(means) / len(means))
    assert image_scores(probs).tolist() == pytest.approx(wanted, abs=1e-6)


def test_image_scores_are_exact_for_full_size_images():
    probs = torch.stack([torch.full((1024, 2048), 0.9), torch.full((1024, 2048), 0.1)])[None]
    assert image_scores(probs).tolist() == pytest.approx([0.9], abs=1e-6)


def test_misuse_is_refused():
    probs = maps(0, "smooth", 3, (1, 2, 2))
    for portion in (0, -0.1, 1.01, float("nan")):
        with pytest.raises(ValueError, match="portion is .*; choose"):
            ClassBalanced(portion)
    with pytest.raises(ValueError, match="no variant 'code'; choose one of: paper, official"):
        ClassBalanced(0.2, variant="code")
    with pytest.raises(ValueError, match="call fit before label"):
        ClassBalanced(0.2).label(probs)
    with pytest.raises(ValueError, match="batches is empty; pass"):
        ClassBalanced(0.2).fit([])
    with pytest.raises(ValueError, match="pass softmax output"):
        ClassBalanced(0.2).fit([(-probs,)])


# Spatial prior --------------------------------------------------------------------------------------


def stretched(length: int, target: int) -> np.ndarray:
    """Weights [target,length]: overlap of the cells when shrinking, the two nearest centres when enlarging."""
    weights = np.zeros((target, length))
    for t in range(target):
        left, right = t * length / target, (t + 1) * length / target
        centre = min(max((left + right - 1) / 2, 0), length - 1)
        for i in range(length):
            overlap = max(0.0, min(right, i + 1) - max(left, i)) / (right - left)
            weights[t, i] = overlap if length > target else max(0.0, 1 - abs(centre - i))
    return weights


def smoothed(count: np.ndarray, side: int, sigma: float) -> np.ndarray:
    """Sum over a Gaussian window; beyond the border the places repeat in mirror order, the last one first."""
    offsets = range(-(side // 2), side // 2 + 1)
    bell = {d: math.exp(-(d**2) / (2 * sigma**2)) for d in offsets}

    def mirrored(i: int, n: int) -> int:
        return min(i % (2 * n), 2 * n - 1 - i % (2 * n))

    h, w = count.shape
    result = np.zeros((h, w))
    for y, x in np.ndindex(h, w):
        for dy in offsets:
            for dx in offsets:
                result[y, x] += bell[dy] * bell[dx] * count[mirrored(y + dy, h), mirrored(x + dx, w)]
    return result / sum(bell.values()) ** 2


def normalised(values: np.ndarray, normalise: str) -> np.ndarray:
    total = values.sum(axis=(1, 2) if normalise == "class" else 0, keepdims=True)
    return np.divide(values, total, out=np.zeros_like(values), where=total > 0)


def random_labels(seed: int, size: tuple[int, int]) -> torch.Tensor:
    """Classes 0 to 2, a number that is no class, and 255."""
    choice = torch.tensor([0, 0, 1, 2, 7, IGNORE], dtype=torch.uint8)
    return choice[torch.randint(6, size, generator=torch.Generator().manual_seed(seed))]


def expected_counts(
    labels: list[torch.Tensor], size: tuple[int, int], kernel: float, sigma: float | None
) -> np.ndarray:
    counts = np.zeros((4, *size))
    for c, label in itertools.product(range(4), labels):
        rows, columns = (stretched(n, t) for n, t in zip(label.shape, size, strict=True))
        counts[c] += rows @ (label == c).double().numpy() @ columns.T
    side = next(odd for odd in itertools.count(1, 2) if odd >= kernel)
    return np.stack([smoothed(c, side, sigma or kernel / 6) for c in counts])


@settings(max_examples=30)
@given(
    seed=cases["seed"],
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    factors=st.lists(st.sampled_from([(1, 1), (2, 3), (1.7, 1), (1, 2.4), (0.5, 0.4), (0.7, 1)]), min_size=1),
    kernel=st.sampled_from([1, 2, 3, 5.5]),
    sigma=st.sampled_from([None, 0.8, 3.0]),
    normalise=st.sampled_from(NORMALISATIONS),
)
def test_a_prior_equals_slow_counting_and_smoothing(seed, size, factors, kernel, sigma, normalise):
    sizes = [(math.ceil(size[0] * y), math.ceil(size[1] * x)) for y, x in factors]
    labels = [random_labels(seed + i, label_size) for i, label_size in enumerate(sizes)]
    prior = SpatialPrior.from_labels(labels, 4, size, kernel, sigma, normalise)
    assert prior.size == size and prior.maps.dtype == torch.float32
    counts = expected_counts(labels, size, kernel, sigma)
    wanted = normalised(counts, normalise)
    if normalise == "pixel":
        # Where nothing was counted, OpenCV's float32 weights may leave 1e-8 of a neighbour, which normalises to 1.
        empty = counts.sum(axis=0) < 1e-6
        prior.maps[:, empty] = torch.from_numpy(wanted[:, empty]).float()
    np.testing.assert_allclose(prior.maps, wanted, rtol=1e-5, atol=1e-7)


def test_every_row_counts_where_labels_shrink_one_way_and_grow_the_other():
    for y in range(18):
        label = torch.zeros(18, 4, dtype=torch.uint8)
        label[y] = 1
        tall, wide = (
            SpatialPrior.from_labels([label], 2, (6, 8), kernel=1, normalise="pixel"),
            SpatialPrior.from_labels([label.T], 2, (8, 6), kernel=1, normalise="pixel"),
        )
        assert tall.maps[1].mean().item() == pytest.approx(1 / 18)
        assert wide.maps[1].mean().item() == pytest.approx(1 / 18)


def test_the_default_window_has_71_pixels_and_a_sixth_of_70_for_sigma():
    label = torch.full((1, 201), IGNORE, dtype=torch.uint8)
    label[0, 100] = 0
    found = SpatialPrior.from_labels([label], 1, (1, 201)).maps[0, 0]
    assert found.nonzero().flatten().tolist() == list(range(65, 136))
    assert found[100] / found[110] == pytest.approx(math.exp(10**2 / (2 * (70 / 6) ** 2)), rel=1e-5)


@pytest.mark.parametrize("normalise, axes", [("class", (1, 2)), ("pixel", 0)])
def test_sums_are_one_and_what_was_never_counted_is_zero(normalise, axes):
    labels = [random_labels(i, (6, 9)) for i in range(5)]
    prior = SpatialPrior.from_labels(labels, 4, (12, 16), kernel=5, normalise=normalise)
    assert not prior.maps[3].any()
    sums = prior.maps.double().sum(axes)
    assert torch.allclose(sums[:3] if normalise == "class" else sums, torch.ones((), dtype=torch.float64))
    ignored = SpatialPrior.from_labels([torch.full((3, 3), IGNORE)], 4, (3, 3), kernel=3, normalise=normalise)
    assert not ignored.maps.any()


@pytest.mark.parametrize("label_size", [(8, 12), (3, 5), (20, 31), (4, 30), (30, 4)])
def test_a_constant_label_map_gives_a_flat_prior(label_size):
    label = torch.ones(label_size, dtype=torch.int64)
    for normalise, value in (("class", 1 / 96), ("pixel", 1)):
        prior = SpatialPrior.from_labels([label], 2, (8, 12), kernel=9, normalise=normalise)
        torch.testing.assert_close(prior.maps[1], torch.full((8, 12), float(value)))
        assert not prior.maps[0].any()


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_a_prior_survives_saving_to_the_last_bit(tmp_path, normalise):
    for seed in range(50):
        values = torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(seed))
        prior = SpatialPrior(values, normalise)
        prior.save(tmp_path / "prior.pt")
        found = SpatialPrior.load(tmp_path / "prior.pt")
        assert found.normalise == normalise
        assert torch.equal(found.maps, prior.maps)


@pytest.mark.parametrize("selection", [ClassBalanced, SelfTraining])
def test_a_prior_of_another_size_is_refused(selection):
    probs = maps(0, "smooth", 3, (2, 4, 6))
    s = selection(0.5, SpatialPrior(torch.ones(3, 4, 6))).fit([(probs,)])
    for use in (s.label, lambda other: s.fit([(other,)])):
        with pytest.raises(ValueError, match=r"\[2, 3, 4, 5\].*\[3, 4, 6\]; make the prior for"):
            use(probs[..., :5])


def test_misuse_of_the_prior_is_refused():
    for value in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite and not negative"):
            SpatialPrior(torch.tensor([[[1.0, value]]]))
    with pytest.raises(ValueError, match=r"shape \[3, 3\].* give \[C,H,W\]"):
        SpatialPrior(torch.ones(3, 3))
    with pytest.raises(ValueError, match="no normalisation 'row'; choose one of: class, pixel"):
        SpatialPrior.from_labels([torch.zeros(4, 4)], 3, (4, 4), normalise="row")
    with pytest.raises(ValueError, match="labels is empty; pass the label maps"):
        SpatialPrior.from_labels([], 3, (4, 4))
    for wrong in ({"kernel": 0}, {"kernel": -1}, {"sigma": 0}, {"kernel": 0, "sigma": 1}):
        with pytest.raises(ValueError, match="give numbers of pixels above 0"):
            SpatialPrior.from_labels([torch.zeros(4, 4)], 3, (4, 4), **wrong)
