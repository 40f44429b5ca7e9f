"""The networks at paper size: their parameters and names, and what they compute, against the specification."""

import copy
import functools
import math
import urllib.error

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from udalib import models
from udalib.models import fcn8s_vgg16, inputs
from udalib.models.deeplabv2_resnet101 import ASPP

BLOCKS = (3, 4, 23, 3)
SIZE = (32, 64)


@functools.cache
def on_meta(name: str, num_classes: int = 19) -> nn.Module:
    with torch.device("meta"):
        return models.find(name)(num_classes)


def parameters(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.randn(8_000_000, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def filled(noise):
    """Networks whose weights are slices of the same noise: drawing 100 million numbers for each takes longer."""

    @functools.cache
    def make(name: str) -> nn.Module:
        net = copy.deepcopy(on_meta(name, 3)).to_empty(device="cpu")
        net.normalise = type(net.normalise)()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                nn.init.uniform_(module.weight, 0.5, 1)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                flat = module.weight.data.view(-1)
                for part in flat.split(len(noise)):
                    part.copy_(noise[-len(part) :])
                flat.mul_(math.sqrt(2 / module.weight[0].numel()))
                if module.bias is not None:
                    nn.init.constant_(module.bias, 0.1)
        return net

    return make


# Parameters and names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("deeplabv2_resnet101", 19, 43_901_068),
        ("deeplabv2_resnet101", 16, 43_679_872),
        ("deeplabv2_resnet101_multi", 19, 44_601_560),
        ("deeplabv2_resnet101_multi", 16, 44_269_760),
        ("deeplabv2_resnet101_iast", 19, 42_500_160 + 1_400_908 + 2_049_000),  # 6.1's, and torchvision's classifier
        ("fcn8s_vgg16", 19, 134_353_017),
        ("resnet38", 19, 124_033_363),
        ("resnet38_image", 19, 124_033_363 + 47_200_275),
    ],
)
def test_parameters_are_those_of_the_specification(name, classes, count):
    assert parameters(on_meta(name, classes)) == count


def test_parameters_of_the_parts_are_those_of_the_specification():
    def norms(net):
        return sum(parameters(module) for module in net.modules() if isinstance(module, nn.BatchNorm2d))

    deeplab, resnet38 = on_meta("deeplabv2_resnet101_multi"), on_meta("resnet38")
    assert (parameters(deeplab.layer5), parameters(deeplab.layer6)) == (700_492, 1_400_908)
    assert norms(deeplab) == 105_344
    assert norms(resnet38) == 47_744 and round(parameters(resnet38.classifier) / 1e6, 2) == 18.96
    assert round((parameters(resnet38) - parameters(resnet38.classifier)) / 1e6, 2) == 105.07


def trunk_names(prefix: str = "") -> set[str]:
    def norm(name):
        return {f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}

    names = {"conv1.weight"} | norm("bn1")
    for stage, blocks in enumerate(BLOCKS, start=1):
        for block in (f"layer{stage}.{index}" for index in range(blocks)):
            for place in (1, 2, 3):
                names |= {f"{block}.conv{place}.weight"} | norm(f"{block}.bn{place}")
        names |= {f"layer{stage}.0.downsample.0.weight"} | norm(f"layer{stage}.0.downsample.1")
    return {prefix + name for name in names}


def aspp_names(*prefixes: str) -> set[str]:
    parts = ("weight", "bias")
    return {f"{prefix}.conv2d_list.{i}.{part}" for prefix in prefixes for i in range(4) for part in parts}


@pytest.mark.parametrize(
    ("name", "expected", "tensors"),
    [
        ("deeplabv2_resnet101", trunk_names() | aspp_names("layer5"), 528),
        ("deeplabv2_resnet101_multi", trunk_names() | aspp_names("layer5", "layer6"), 536),
        (
            "deeplabv2_resnet101_iast",
            trunk_names("backbone.") | {"backbone.fc.weight", "backbone.fc.bias"} | aspp_names("decoder.aspp"),
            530,
        ),
    ],
)
def test_names_are_those_of_the_specification(name, expected, tensors):
    state = on_meta(name).state_dict()
    assert set(state) == expected and len(state) == tensors + 104


def test_strides_and_dilations_are_those_of_the_specification():
    caffe, iast = on_meta("deeplabv2_resnet101"), on_meta("deeplabv2_resnet101_iast").backbone

    def convolutions(net, stage, block):
        first, second = net.get_submodule(f"layer{stage}")[block].conv1, net.get_submodule(f"layer{stage}")[block].conv2
        return first.stride[0], second.stride[0], second.dilation[0]

    assert [convolutions(caffe, n, 0) for n in (1, 2, 3, 4)] == [(1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 1, 4)]
    assert [convolutions(iast, n, 0) for n in (1, 2, 3, 4)] == [(1, 1, 1), (1, 2, 1), (1, 1, 1), (1, 1, 2)]
    for net in (caffe, iast):
        assert [convolutions(net, n, -1) for n in (1, 2, 3, 4)] == [(1, 1, 1), (1, 1, 1), (1, 1, 2), (1, 1, 4)]
    assert caffe.maxpool.ceil_mode and not iast.maxpool.ceil_mode


@pytest.mark.parametrize("name", ["deeplabv2_resnet101", "deeplabv2_resnet101_multi", "deeplabv2_resnet101_iast"])
def test_scale_and_shift_of_batch_norm_are_frozen_and_nothing_else(name):
    net = on_meta(name)
    norms = {id(p) for m in net.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    trained = {n: p.requires_grad for n, p in net.named_parameters() if not n.startswith("backbone.fc")}
    assert len(norms) == 208
    assert all(trained[n] is (id(p) not in norms) for n, p in net.named_parameters() if n in trained)


# What they compute --------------------------------------------------------------------------------------


def test_caffe_expects_bgr_less_its_mean():
    image = torch.randint(0, 256, (1, 3, 2, 2), dtype=torch.uint8)
    red, green, blue = image.float().unbind(dim=1)
    expected = torch.stack([blue - 104.007, green - 116.669, red - 122.679], dim=1)
    torch.testing.assert_close(inputs.CaffeInput()(image), expected, atol=1e-3, rtol=0)


def images() -> torch.Tensor:
    return torch.randint(0, 256, (1, 3, *SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.filterwarnings("ignore:TF32")
@pytest.mark.parametrize(
    ("name", "shape", "aux"),
    [
        ("deeplabv2_resnet101", (5, 9), None),
        ("deeplabv2_resnet101_multi", (5, 9), (1, 3, 5, 9)),
        ("deeplabv2_resnet101_iast", (4, 8), None),
        ("fcn8s_vgg16", (4, 8), None),
        ("resnet38", (4, 8), None),
        ("resnet38_image", (4, 8), (1, 3)),
    ],
)
def test_every_weight_that_is_not_frozen_learns(filled, name, shape, aux):
    torch.manual_seed(0)
    net = filled(name).train()
    # oneDNN would copy the 100 million weights of a layer into its own order, more than once.
    with torch.backends.mkldnn.flags(enabled=False):
        out = net(images())
    levels = [out.logits] if out.aux is None else [out.logits, out.aux]
    assert out.logits.shape == (1, 3, *shape) and (out.aux is None if aux is None else out.aux.shape == aux)
    assert out.features.shape[0] == 1 and out.features.dim() == 4
    with torch.backends.mkldnn.flags(enabled=False):
        sum(logits.square().mean() for logits in levels).backward()
    assert out.logits.isfinite().all()
    idle = [n for n, p in net.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    net.zero_grad(set_to_none=True)
    assert idle == []


def test_two_branches_leave_the_others_alone():
    torch.manual_seed(0)
    features = torch.randn(1, 5, 30, 30)
    two = ASPP(5, 3, branches=2)
    four = ASPP(5, 3)
    four.load_state_dict(two.state_dict())
    parts = [
        F.conv2d(features, c.weight, c.bias, padding=rate, dilation=rate)
        for c, rate in zip(two.conv2d_list, (6, 12, 18, 24), strict=True)
    ]
    torch.testing.assert_close(two(features), parts[0] + parts[1])
    torch.testing.assert_close(four(features), sum(parts))
    two(features).sum().backward()
    assert [c.weight.grad is not None for c in two.conv2d_list] == [True, True, False, False]


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    return (images / 255 - mean) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@torch.no_grad()
def test_resnet38_is_that_of_the_specification(filled):
    net = filled("resnet38").eval()
    w = net.state_dict()

    def active(x, name):
        statistics = w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"]
        return F.relu(F.batch_norm(x, *statistics, eps=1.001e-5))

    def block(x, name, kernels, dilations, stride):
        out = active(x, f"{name}.norms.0")
        shortcut = (
            F.conv2d(out, w[f"{name}.projection.weight"], stride=stride) if f"{name}.projection.weight" in w else x
        )
        for i, (kernel, dilation) in enumerate(zip(kernels, dilations, strict=True)):
            if i:
                out = active(out, f"{name}.norms.{i}")
            out = F.conv2d(
                out,
                w[f"{name}.convolutions.{i}.weight"],
                stride=stride if i == 0 else 1,
                padding=dilation if kernel == 3 else 0,
                dilation=dilation,
            )
        return out + shortcut

    x = F.conv2d(normalised(images()), w["stem.weight"], padding=1)
    for stage, blocks in ((2, 3), (3, 3), (4, 6)):
        for i in range(blocks):
            x = block(x, f"stage{stage}.{i}", (3, 3), (1, 1), stride=1 if i else 2)
    for i in range(3):
        x = block(x, f"stage5.{i}", (3, 3), (2, 2) if i else (1, 2), stride=1)
    x = block(x, "stage6", (1, 3, 1), (1, 4, 1), stride=1)
    x = block(x, "stage7", (1, 3, 1), (1, 4, 1), stride=1)
    x = F.relu(F.conv2d(active(x, "norm"), w["classifier.0.weight"], w["classifier.0.bias"], padding=12, dilation=12))
    expected = F.conv2d(x, w["classifier.2.weight"], w["classifier.2.bias"], padding=12, dilation=12)
    torch.testing.assert_close(net(images()).logits, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())
    assert (net.stage6.dropout.p, net.stage7.dropout.p) == (0.3, 0.5)


@torch.no_grad()
def test_fcn8s_is_that_of_the_specification(filled):
    net = filled("fcn8s_vgg16").eval()

    def score(name, x):
        layer = net.get_submodule(name)
        assert layer.kernel_size == (1, 1)
        return F.conv2d(x, layer.weight, layer.bias)

    def doubled(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    x, pools = normalised(images()), []
    for layer in (m for m in net.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d)):
        if isinstance(layer, nn.MaxPool2d):
            x = F.max_pool2d(x, 2)
            pools.append(x)
        elif len(pools) < 5:
            x = F.relu(F.conv2d(x, layer.weight, layer.bias, padding=1))
    assert len(pools) == 5 and net.fc6.weight.shape == (4096, 512, 7, 7)
    x = F.relu(F.conv2d(x, net.fc6.weight, net.fc6.bias, padding=3))
    x = F.relu(F.conv2d(x, net.fc7.weight, net.fc7.bias))
    expected = doubled(doubled(score("score_fc7", x)) + score("score_pool4", pools[3])) + score("score_pool3", pools[2])
    torch.testing.assert_close(net(images()).logits, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_a_linear_layer_as_convolution_computes_the_same():
    torch.manual_seed(0)
    linear, maps = nn.Linear(2 * 3 * 3, 4), torch.randn(1, 2, 3, 3)
    convolution = fcn8s_vgg16.as_convolution(linear, inputs=2, kernel=3)
    torch.testing.assert_close(convolution(maps)[0, :, 1, 1], linear(maps.flatten(1))[0])


# ImageNet -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deeplabv2_resnet101_iast", "fcn8s_vgg16", "resnet18_dual_ppm"])
def test_weights_of_imagenet_that_cant_be_fetched_are_one_sentence(monkeypatch, tmp_path, name):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with (
        torch.device("meta"),
        pytest.raises(ValueError, match=f"for '{name}' can't be fetched .*no route.*checkpoints"),
    ):
        models.pretrained(name, 3)


def test_torchvisions_weights_go_where_they_belong(monkeypatch):
    asked = []

    def net(weights=None, **options):
        asked.append(weights)
        return kept(weights=None, **options)

    kept = fcn8s_vgg16.vgg16
    monkeypatch.setattr(fcn8s_vgg16, "vgg16", net)
    with torch.device("meta"):
        models.pretrained("fcn8s_vgg16", 3)
    assert asked == ["IMAGENET1K_V1"]


@pytest.mark.parametrize("name", ["resnet38", "deeplabv2_resnet101", "mini"])
def test_networks_without_weights_of_imagenet_say_so(name):
    with pytest.raises(ValueError, match=f"no ImageNet weights for '{name}'; it has some for deeplab.*load_initial"):
        models.pretrained(name, 3)
