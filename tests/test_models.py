import pytest
import torch

from udalib import models


@pytest.mark.parametrize("size", [(32, 64), (64, 128), (72, 152)])
def test_mini_predicts_at_stride_four(size):
    out = models.build("mini", num_classes=7)(torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8))
    assert out.logits.shape == (2, 7, size[0] // 4, size[1] // 4)
    assert out.features.shape[-2:] == out.logits.shape[-2:] and out.aux is None


def test_every_weight_of_mini_learns():
    torch.manual_seed(0)
    net = models.build("mini", num_classes=5)
    net(torch.rand(2, 3, 64, 128) * 255).logits.square().mean().backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_the_input_convention_is_part_of_the_network():
    net = models.build("mini", num_classes=5).eval()
    images = torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8)
    assert torch.equal(net(images).logits, net(images.float()).logits)


def test_initialisation_follows_the_seed():
    def first_weight(seed):
        torch.manual_seed(seed)
        return next(models.build("mini", 5).parameters())

    assert torch.equal(first_weight(1), first_weight(1)) and not torch.equal(first_weight(1), first_weight(2))


def test_unknown_network_is_refused():
    with pytest.raises(ValueError, match="no network 'maxi'; choose one of: mini"):
        models.build("maxi", 19)
