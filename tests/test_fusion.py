"""The networks of Shen et al. and the mini one on the same parts."""

import pytest
import torch
import torch.nn.functional as F

from udalib import models
from udalib.models.fusion import FusionBlock, FusionDecoder
from udalib.recipes.multi_adversarial import MAPS, discriminators

NETWORKS = ("mini_fusion", "fusion_aspp_vgg16", "fusion_aspp_resnet101")


def count(net):
    return sum(weight.numel() for weight in net.parameters())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(128, 256), (96, 160)])
def test_logits_and_merged_maps_have_their_strides_and_discriminators_end_at_a_thirty_second(name, size):
    height, width = size
    with torch.device("meta"):
        net = models.build(name, 7)
        output = net(torch.empty(2, 3, *size))
        channels = net.merged_channels
        assert channels == (48 if name == "mini_fusion" else 128)
        assert output.logits.shape == (2, 7, height // 4, width // 4)
        assert output.features.shape == (2, channels, height // 4, width // 4)
        assert output.aux.shape == (2, channels, height // 8, width // 8)
        for discriminator, view in zip(discriminators(net, width=16), MAPS, strict=True):
            assert discriminator(view(output)).shape == (2, 1, height // 32, width // 32)


def test_sides_need_not_be_multiples_of_the_encoders_stride():
    out = models.build("mini_fusion", 5)(torch.randint(0, 256, (2, 3, 72, 152), dtype=torch.uint8))
    assert out.logits.shape == (2, 5, 18, 38)


def merging(coarse, fine, width):
    """Weights of a fusion block: two 3x3 and one 1x1 convolution without bias, each with scale and shift behind it."""
    return 9 * coarse * width + 9 * width * width + fine * width + 3 * 2 * width


def test_parameter_counts_are_worked_out_by_hand():
    aspp = 4 * (9 * 128 * 19 + 19)
    with torch.device("meta"):
        mini, vgg, resnet = (models.build(name, 19) for name in NETWORKS)
    # 14,714,688: VGG16 without its classifier; 42,500,160: ResNet-101 without its own.
    assert count(vgg) == 14_714_688 + merging(512, 512, 128) + merging(128, 256, 128) + aspp
    decoder = merging(2048, 1024, 128) + merging(128, 512, 128) + merging(128, 256, 128)
    assert count(resnet) == 42_500_160 + decoder + aspp
    assert count(mini.decoder) == merging(128, 64, 48) + merging(48, 32, 48) + 4 * (9 * 48 * 19 + 19)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_learns(name):
    torch.manual_seed(0)
    net = models.build(name, 5)
    net(torch.rand(2, 3, 32, 64) * 255).logits.square().mean().backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_the_merged_maps_are_what_logits_are_made_of():
    torch.manual_seed(0)
    decoder = FusionDecoder((4, 5, 6), width=3, num_classes=2, rates=(1, 2)).eval()
    maps = [torch.randn(1, channels, side, 2 * side) for channels, side in ((4, 16), (5, 8), (6, 4))]
    out = decoder(maps)
    assert torch.equal(decoder.blocks[0](maps[2], maps[1]), out.aux)
    assert torch.equal(decoder.blocks[1](out.aux, maps[0]), out.features)
    first, second = (c.weight for c in decoder.classifiers)
    bias = sum(c.bias for c in decoder.classifiers)
    by_hand = F.conv2d(out.features, first, padding=1) + F.conv2d(out.features, second, padding=2, dilation=2)
    torch.testing.assert_close(out.logits, by_hand + bias[:, None, None])


def test_a_fusion_block_adds_the_enlarged_coarse_map_to_the_fine_one():
    torch.manual_seed(0)
    block = FusionBlock(coarse=3, fine=2, width=4).eval()
    coarse, fine = torch.randn(1, 3, 4, 4), torch.randn(1, 2, 8, 8)
    with torch.no_grad():
        enlarged = F.interpolate(block.refine(coarse), (8, 8), mode="bilinear", align_corners=False)
        torch.testing.assert_close(block(coarse, fine), (enlarged + block.lateral(fine)).relu())
        assert block(coarse, fine).min() == 0
    reach = {module.dilation for module in block.refine.modules() if isinstance(module, torch.nn.Conv2d)}
    assert reach == {(1, 1), (2, 2)}


def test_networks_without_merged_maps_are_refused():
    with pytest.raises(ValueError, match="Mini has no merged maps for discriminators; choose the network mini_fusion"):
        discriminators(models.build("mini", 5), 8)
