"""Averaged windows against a loop over windows, rows and columns, and windows' places against counting."""

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from udalib import models, predict, select
from udalib.data import Batch
from udalib.labels import IGNORE

# Specified share of a 1024x2048 image in no window of 512x512, by the number of windows. Counted exactly: 21.6, 12.9
# and 7.4 % where every position is drawn, 21.7, 13.0 and 7.6 % where the last row and column are not.
UNCOVERED = {25: 0.217, 50: 0.130, 100: 0.075}


class Local(nn.Module):
    """Predicts three classes from a pixel, its row in the window, and the window's brightest pixel.

    A window's prediction thus depends on where it lies, and on nothing outside it.
    """

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.01))

    def forward(self, images):
        red, green, blue = images.float().unbind(dim=1)
        rows = torch.arange(images.shape[-2])[:, None] * 5
        brightest = images.float().amax(dim=(1, 2, 3), keepdim=True)[:, 0]
        return models.Output(torch.stack([red - rows, green + brightest / 2, 2 * blue], dim=1) * self.scale)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photos(count: int, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=seeded(seed))


def as_batch(images: torch.Tensor) -> Batch:
    return Batch(images, None, [str(number) for number in range(len(images))])


def predicted(net, crops: list[torch.Tensor], flip: bool, vote: str) -> list:
    """Nested lists [N][C][h][w] of the distributions or votes of crops of one size.

    They are predicted together: torch's softmax of a batch can differ from that of a member in the last bit.
    """
    images = torch.stack(crops)
    with torch.no_grad():
        probs = net(images).logits.softmax(dim=1)
        if flip:
            probs = (probs + net(images.flip(-1)).logits.softmax(dim=1).flip(-1)) / 2
    found = probs.tolist()
    if vote == "hard":
        for values in found:
            for y, x in pixels_of(probs.shape[2:]):
                column = [values[c][y][x] for c in range(len(values))]
                for c in range(len(values)):
                    values[c][y][x] = float(c == column.index(max(column)))
    return found


def pixels_of(size):
    return [(y, x) for y in range(size[0]) for x in range(size[1])]


def naive(net, image, corners, size, include_full=False, flip=False, vote="soft", batch_size=8):
    """Means [C,H,W] and the number of windows per pixel, in float64 (Python's own), one pixel at a time."""
    height, width = image.shape[1:]
    h, w = min(size[0], height), min(size[1], width)
    groups = [[(*corner, h, w) for corner in corners[i : i + batch_size]] for i in range(0, len(corners), batch_size)]
    if include_full:
        groups.insert(0, [(0, 0, height, width)])
    sums = [[[0.0] * width for _ in range(height)] for _ in range(3)]
    times = [[0] * width for _ in range(height)]
    for places in groups:
        crops = [image[:, top : top + h, left : left + w] for top, left, h, w in places]
        for (top, left, h, w), values in zip(places, predicted(net, crops, flip, vote), strict=True):
            for y, x in pixels_of((h, w)):
                times[top + y][left + x] += 1
                for c in range(3):
                    sums[c][top + y][left + x] += values[c][y][x]
    for y, x in pixels_of((height, width)):
        for c in range(3):
            sums[c][y][x] /= max(times[y][x], 1)
    return torch.tensor(sums, dtype=torch.float64).float(), torch.tensor(times)


def window_counts(corners: torch.Tensor, size: tuple[int, int], image_size: tuple[int, int]) -> torch.Tensor:
    """How many windows each pixel lies in."""
    counts = torch.zeros(image_size, dtype=torch.int64)
    for top, left in corners.tolist():
        counts[top : top + size[0], left : left + size[1]] += 1
    return counts


# Averages -------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    image_size=st.tuples(st.integers(1, 9), st.integers(1, 12)),
    size=st.tuples(st.integers(1, 10), st.integers(1, 10)),
    count=st.integers(1, 9),
    batch_size=st.integers(1, 4),
    placement=st.sampled_from(["uniform", "official"]),
    include_full=st.booleans(),
    flip=st.booleans(),
    vote=st.sampled_from(["soft", "hard"]),
)
def test_averages_equal_a_naive_loop_bit_for_bit(
    seed, image_size, size, count, batch_size, placement, include_full, flip, vote
):
    images, net = photos(2, image_size, seed), Local()
    stream = predict.windows(
        net,
        [as_batch(images)],
        count,
        size=size,
        include_full=include_full,
        generator=seeded(seed),
        placement=placement,
        vote=vote,
        flip=flip,
        batch_size=batch_size,
    )
    probs, names = next(stream)
    assert probs.dtype == torch.float32 and names == ["0", "1"]
    generator, inside = seeded(seed), []
    for image, found in zip(images, probs, strict=True):
        corners = predict.window_corners(image_size, size, count, placement, generator).tolist()
        wanted, times = naive(net, image, corners, size, include_full, flip, vote, batch_size)
        assert torch.equal(found, wanted)
        inside.append(times > include_full)
    assert stream.coverage == torch.stack(inside).double().mean().item()


def test_windows_of_a_real_network_are_images_of_their_own():
    torch.manual_seed(0)
    net = models.build("mini", num_classes=3)
    images = photos(1, (48, 64))
    probs, _ = next(predict.windows(net, [as_batch(images)], 5, size=(32, 32), generator=seeded(1), batch_size=2))
    assert not net.training
    total, times = torch.zeros(3, 48, 64, dtype=torch.float64), torch.zeros(48, 64)
    for top, left in predict.window_corners((48, 64), (32, 32), 5, generator=seeded(1)).tolist():
        box = (..., slice(top, top + 32), slice(left, left + 32))
        total[box] += next(predict.whole(net, [as_batch(images[box])]))[0][0]
        times[box] += 1
    torch.testing.assert_close(probs[0], (total / times.clamp(min=1)).float())


def test_the_average_is_a_distribution_where_a_window_lies_and_zero_elsewhere():
    stream = predict.windows(Local(), [as_batch(photos(3, (20, 30)))], 3, size=(8, 8), generator=seeded(0))
    ((probs, _),) = stream
    inside = probs.amax(dim=1) > 0
    torch.testing.assert_close(probs.sum(dim=1), inside.float())
    assert 0 < stream.coverage == inside.double().mean().item() < 1


def test_the_whole_image_defines_every_pixel_and_is_no_coverage():
    batches, options = [as_batch(photos(1, (20, 30)))], {"count": 2, "size": (8, 8)}
    without = predict.windows(Local(), batches, **options, generator=seeded(0))
    with_full = predict.windows(Local(), batches, **options, generator=seeded(0), include_full=True)
    outside = next(without)[0].amax(dim=1) == 0
    probs, full = next(with_full)[0], next(predict.whole(Local(), batches))[0]
    torch.testing.assert_close(probs.sum(dim=1), torch.ones(1, 20, 30))
    assert torch.equal(probs[:, :, outside[0]], full[:, :, outside[0]])
    assert with_full.coverage == without.coverage


@pytest.mark.parametrize("size", [(20, 30), (99, 30), (512, 512)])
@pytest.mark.parametrize("placement", ["uniform", "official", "grid"])
def test_windows_that_hold_the_image_are_the_whole_image(size, placement):
    batches = [as_batch(photos(2, (20, 30)))]
    stream = predict.windows(Local(), batches, 3, size=size, generator=seeded(0), placement=placement)
    torch.testing.assert_close(next(stream)[0], next(predict.whole(Local(), batches))[0])
    assert stream.coverage == 1


def test_a_window_is_clamped_on_the_longer_side_alone():
    corners = predict.window_corners((20, 30), (64, 10), 200, generator=seeded(0))
    assert corners[:, 0].unique().tolist() == [0] and corners[:, 1].unique().tolist() == list(range(21))


def test_hard_votes_are_shares_of_windows():
    batches = [as_batch(photos(1, (12, 16)))]
    probs, _ = next(predict.windows(Local(), batches, 4, size=(12, 16), generator=seeded(0), vote="hard"))
    assert probs.unique().tolist() == [0, 1]  # all four windows agree
    probs, _ = next(predict.windows(Local(), batches, 40, size=(8, 8), generator=seeded(0), vote="hard"))
    corners = predict.window_corners((12, 16), (8, 8), 40, generator=seeded(0))
    votes = probs[0] * window_counts(corners, (8, 8), (12, 16))
    torch.testing.assert_close(votes, votes.round())
    assert ((probs > 0) & (probs < 1)).any()


# Streams --------------------------------------------------------------------------------------------


def test_windows_follow_the_seed_and_not_the_batches():
    images = photos(5, (20, 30))

    def run(seed, *cuts):
        batches = [as_batch(part) for part in images.split(list(cuts))]
        return torch.cat([p for p, _ in predict.windows(Local(), batches, 3, size=(8, 8), generator=seeded(seed))])

    assert torch.equal(run(0, 5), run(0, 5))
    assert torch.equal(run(0, 5), run(0, 2, 3))
    assert not torch.equal(run(0, 5), run(1, 5))


def test_images_of_one_stream_have_windows_of_their_own():
    image = photos(1, (20, 30))
    probs, _ = next(
        predict.windows(Local(), [as_batch(torch.cat([image, image]))], 3, size=(8, 8), generator=seeded(0))
    )
    assert not torch.equal(probs[0], probs[1])


def test_the_stream_reads_one_batch_at_a_time_and_measures_as_it_goes():
    read = []

    def source():
        for image in photos(2, (16, 16)).split(1):
            read.append(image)
            yield as_batch(image)

    stream = predict.windows(Local(), source(), 1, size=(8, 16), generator=seeded(0))
    assert math.isnan(stream.coverage) and not read
    next(stream)
    assert len(read) == 1 and stream.coverage == 0.5
    assert [names for _, names in stream] == [["0"]]
    assert stream.coverage == 0.5


def test_a_forward_pass_gets_no_more_windows_than_it_should():
    passes = []
    net = Local()
    net.register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    next(predict.windows(net, [as_batch(photos(2, (16, 16)))], 7, size=(8, 8), generator=seeded(0), batch_size=3))
    assert passes == [3, 3, 1] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_number_of_windows():
    script = """
import pathlib, torch
from torch import nn
from udalib import models, predict
torch.set_num_threads(1)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(19, 1, 1))
    def forward(self, images):
        return models.Output(images.float().mean(dim=1, keepdim=True) / 255 + self.bias)
images = torch.randint(0, 256, (1, 3, 128, 256), dtype=torch.uint8)
peaks = []
for count in (16, 160):
    generator = torch.Generator().manual_seed(0)
    list(predict.windows(Net(), [(images, ["a"])], count, size=(128, 128), generator=generator, batch_size=4))
    status = pathlib.Path("/proc/self/status")  # resource.getrusage starts with the peak of the parent process
    peaks.append(int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024)
print(peaks[1] - peaks[0])
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 20  # MB; the predictions of 144 more windows would need 180


@pytest.mark.parametrize("selector", [select.SelfTraining(0.5), select.ClassBalanced(0.5)])
def test_pixels_in_no_window_are_never_labelled(selector):
    ((probs, names),) = predict.windows(Local(), [as_batch(photos(3, (20, 30)))], 3, size=(8, 8), generator=seeded(0))
    labels = selector.fit([(probs, names)]).label(probs)
    assert (labels[probs.amax(dim=1) == 0] == IGNORE).all() and (labels != IGNORE).any()


@pytest.mark.parametrize("prior", [None, select.SpatialPrior(torch.ones(3, 20, 30))], ids=["no prior", "flat prior"])
@pytest.mark.parametrize("selector", [select.SelfTraining, select.ClassBalanced])
def test_pixels_in_no_window_are_kept_out_of_the_thresholds(selector, prior):
    ((probs, _),) = predict.windows(Local(), [as_batch(photos(3, (20, 30)))], 3, size=(8, 8), generator=seeded(0))
    inside = probs.movedim(1, -1)[probs.amax(dim=1) > 0].T[None, :, None]  # one row of the other pixels
    fitted, wanted = selector(0.3, prior).fit([(probs,)]), selector(0.3).fit([(inside,)])
    assert torch.equal(torch.as_tensor(fitted.thresholds), torch.as_tensor(wanted.thresholds))
    assert torch.equal(fitted.shares, wanted.shares)


# Places ---------------------------------------------------------------------------------------------


def expected_uncovered(image_size, size, count, placement) -> float:
    """Mean over the pixels of the chance that none of `count` random windows contains them."""
    chances = []
    for outer, inner in zip(image_size, size, strict=True):
        corners = range(outer - inner + 1 if placement == "uniform" else outer - inner)
        containing = torch.zeros(outer, dtype=torch.float64)
        for corner in corners:
            containing[corner : corner + inner] += 1
        chances.append(containing / len(corners))
    return ((1 - chances[0][:, None] * chances[1]) ** count).mean().item()


@pytest.mark.parametrize("placement", ["uniform", "official"])
@pytest.mark.parametrize("count", UNCOVERED)
def test_the_uncovered_share_is_the_expected_one(count, placement):
    full = expected_uncovered((1024, 2048), (512, 512), count, placement)
    # A last row and column that are never reached are 0.1 % of the image.
    assert full == pytest.approx(UNCOVERED[count], abs=0.0015)
    # Windows are drawn at an eighth of the size, where many draws are cheap.
    image_size, size, repeats = (128, 256), (64, 64), 200
    generator, shares = seeded(count), []
    for _ in range(repeats):
        corners = predict.window_corners(image_size, size, count, placement, generator)
        assert corners.shape == (count, 2) and corners.dtype == torch.int64
        counts = window_counts(corners, size, image_size)
        assert counts.double().mean().item() == count * 64 * 64 / (128 * 256)
        shares.append((counts == 0).double().mean().item())
    shares = torch.tensor(shares, dtype=torch.float64)
    error = 4 * shares.std().item() / math.sqrt(repeats)
    assert error < 0.02
    assert shares.mean().item() == pytest.approx(expected_uncovered(image_size, size, count, placement), abs=error)


@pytest.mark.parametrize("placement, last", [("uniform", (2, 4)), ("official", (1, 3))])
def test_random_corners_reach_the_last_position_but_in_the_released_code(placement, last):
    corners = predict.window_corners((10, 12), (8, 8), 2000, placement, seeded(0))
    places, counts = corners.unique(dim=0, return_counts=True)
    assert places.tolist() == [[top, left] for top in range(last[0] + 1) for left in range(last[1] + 1)]
    expected = 2000 / len(places)
    assert (counts - expected).abs().max() < 5 * math.sqrt(expected)


@settings(max_examples=200)
@given(
    image_size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 45), st.integers(1, 45)),
    more=st.integers(0, 60),
)
def test_the_grid_covers_every_pixel_with_at_most_count_windows(image_size, size, more):
    fewest = math.prod(math.ceil(outer / inner) for outer, inner in zip(image_size, size, strict=True))
    corners = predict.window_corners(image_size, size, fewest + more, "grid")
    assert len(corners.unique(dim=0)) == len(corners) <= fewest + more
    assert (window_counts(corners, size, image_size) > 0).all()
    inside = torch.tensor(image_size) - torch.tensor(size)
    assert (corners >= 0).all() and (corners <= inside.clamp(min=0)).all()
    assert torch.equal(corners, predict.window_corners(image_size, size, fewest + more, "grid", seeded(0)))


def test_the_widest_spacing_of_the_grid_is_the_smallest_possible():
    def spacing(rows, columns):
        return max(14 / max(rows - 1, 1), 44 / max(columns - 1, 1))

    for count in range(8, 60):
        corners = predict.window_corners((30, 60), (16, 16), count, "grid")
        rows, columns = (len(side.unique()) for side in corners.T)
        shapes = [(r, c) for r in range(2, 16) for c in range(4, 46) if r * c <= count]
        assert rows * columns == len(corners)
        assert spacing(rows, columns) == min(spacing(*shape) for shape in shapes)


def test_fifty_windows_of_a_cityscapes_image_in_a_grid():
    corners = predict.window_corners((1024, 2048), (512, 512), 50, "grid")
    assert corners[:, 0].unique().tolist() == [0, 128, 256, 384, 512]
    assert corners[:, 1].unique().tolist() == [0, 170, 341, 512, 682, 853, 1024, 1194, 1365, 1536]
    stream = predict.windows(Local(), [as_batch(photos(1, (32, 64)))], 50, size=(16, 16), placement="grid")
    next(stream)
    assert stream.coverage == 1


# Misuse ---------------------------------------------------------------------------------------------


def test_misuse_is_refused():
    def refuse(match, **options):
        with pytest.raises(ValueError, match=match):
            next(predict.windows(Local(), [as_batch(photos(1, (8, 8)))], **{"size": (4, 4), **options}))

    refuse("no vote 'soft-hard'; choose one of: soft, hard", vote="soft-hard")
    refuse("no placement 'left'; choose one of: uniform, official, grid", placement="left")
    refuse("batch_size is 0; give at least 1", batch_size=0)
    refuse(r"pass generator=torch.Generator\(\)", placement="uniform")
    refuse(r"pass generator=torch.Generator\(\)", placement="official")
    refuse("3 windows of 4x4 can't cover an image of 8x8; give at least 4", placement="grid", count=3)
    for count, size in [(0, (4, 4)), (-1, (4, 4)), (1, (0, 4)), (1, (4, -2))]:
        for placement in ("uniform", "grid"):
            refuse("at least one window of at least one pixel", count=count, size=size, placement=placement)
