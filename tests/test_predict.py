import pytest
import torch
import torch.nn.functional as F

from udalib import models, predict
from udalib.data import Batch


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return models.build("mini", num_classes=4)


@pytest.fixture(scope="module")
def batches():
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (5, 3, 32, 64), dtype=torch.uint8, generator=generator)
    return [Batch(images[:3], None, ["a", "b", "c"]), Batch(images[3:], None, ["d", "e"])]


def softmax_of(net, images, size=None):
    with torch.no_grad():
        logits = net(images if size is None else F.interpolate(images.float(), size, mode="bilinear")).logits
        return F.interpolate(logits, images.shape[-2:], mode="bilinear").softmax(dim=1)


def test_whole_yields_probabilities_and_names_in_order(net, batches):
    stream = list(predict.whole(net, batches))
    assert [names for _, names in stream] == [["a", "b", "c"], ["d", "e"]]
    for (probs, _), batch in zip(stream, batches, strict=True):
        assert probs.shape == (len(batch.names), 4, 32, 64) and probs.dtype == torch.float32
        torch.testing.assert_close(probs, softmax_of(net.eval(), batch.images))


def test_flip_averages_with_the_mirror_image(net, batches):
    images = batches[0].images
    expected = (softmax_of(net.eval(), images) + softmax_of(net, images.flip(-1)).flip(-1)) / 2
    torch.testing.assert_close(next(predict.whole(net, batches, flip=True))[0], expected)


def test_scales_average_distributions(net, batches):
    images = batches[0].images
    expected = (softmax_of(net.eval(), images) + softmax_of(net, images, size=(64, 128))) / 2
    torch.testing.assert_close(next(predict.whole(net, batches, scales=(1.0, 2.0)))[0], expected)


def test_whole_reads_one_batch_at_a_time(net, batches):
    read = []

    def source():
        for batch in batches:
            read.append(batch)
            yield batch

    next(iter(predict.whole(net, source())))
    assert len(read) == 1


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0)])
def test_unusable_scales_are_refused(net, batches, scales):
    with pytest.raises(ValueError, match="at least one factor"):
        next(predict.whole(net, batches, scales=scales))
