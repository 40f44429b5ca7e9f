"""Checkpoints in the forms in which they were published: what is read from them, and what is refused."""

import functools
import shutil
from collections.abc import Iterator
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import trees
from torch import Tensor, nn

from udalib import cli, data, evaluation, labels, models, recipes, score
from udalib.models.released import AsReleased

BLOCKS = (3, 4, 23, 3)
RATES = (6, 12, 18, 24)
CLASSES = 5


# Files as their authors write them ----------------------------------------------------------------------


class Noise:
    """Tensors that share the memory of one: a file of 44 million weights then takes 10 MB instead of 170."""

    def __init__(self):
        self.values = torch.randn(2_600_000, generator=torch.Generator().manual_seed(0))
        self.start = 0

    def __call__(self, *shape: int) -> Tensor:
        count = int(np.prod(shape))
        self.start = (self.start + 7919) % (len(self.values) - count)
        return self.values[self.start : self.start + count].view(shape)


@functools.cache
def trunk() -> dict[str, Tensor]:
    """The weights of ResNet-101 under its usual names, without counters: as old files have them."""
    draw, norms, weights = Noise(), Noise(), {}
    draw.values *= 0.02
    norms.values = norms.values.abs() + 0.1

    def convolution(name: str, outputs: int, inputs: int, kernel: int = 1) -> None:
        weights[f"{name}.weight"] = draw(outputs, inputs, kernel, kernel)

    def norm(name: str, channels: int) -> None:
        weights[f"{name}.weight"], weights[f"{name}.running_var"] = norms(channels), norms(channels)
        weights[f"{name}.bias"], weights[f"{name}.running_mean"] = draw(channels), draw(channels)

    convolution("conv1", 64, 3, 7)
    norm("bn1", 64)
    inputs = 64
    for stage, (blocks, width) in enumerate(zip(BLOCKS, (64, 128, 256, 512), strict=True), start=1):
        for block in (f"layer{stage}.{index}" for index in range(blocks)):
            for place, shape in enumerate(((width, inputs), (width, width, 3), (4 * width, width)), start=1):
                convolution(f"{block}.conv{place}", *shape)
                norm(f"{block}.bn{place}", shape[0])
            if inputs != 4 * width:
                convolution(f"{block}.downsample.0", 4 * width, inputs)
                norm(f"{block}.downsample.1", 4 * width)
                inputs = 4 * width
    return weights


def aspp(name: str, channels: int, classes: int = CLASSES) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(channels)
    weights = {}
    for i in range(len(RATES)):
        weights[f"{name}.conv2d_list.{i}.weight"] = 0.01 * torch.randn(classes, channels, 3, 3, generator=generator)
        weights[f"{name}.conv2d_list.{i}.bias"] = torch.randn(classes, generator=generator)
    return weights


def counters(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    means = (name for name in weights if name.endswith("running_mean"))
    return {name.replace("running_mean", "num_batches_tracked"): torch.tensor(7) for name in means}


@functools.cache
def content(kind: str) -> dict[str, Tensor]:
    if kind == "one level":
        return {**trunk(), **aspp("layer5", 2048)}
    if kind == "two levels":
        return {**trunk(), **aspp("layer5", 1024), **aspp("layer6", 2048)}
    if kind == "advent, one level":
        return {**trunk(), **counters(trunk()), **aspp("layer6", 2048)}
    backbone = {f"backbone.{name}": value for name, value in {**trunk(), **counters(trunk())}.items()}
    backbone |= {"backbone.fc.weight": Noise()(1000, 2048), "backbone.fc.bias": torch.zeros(1000)}
    discriminator = {"discriminators.PredictorDiscriminator.conv.weight": torch.zeros(1)}
    whole = {**backbone, **aspp("decoder.aspp", 2048), **discriminator}
    return {f"module.{name}": value for name, value in whole.items()}


@pytest.fixture(scope="module")
def file_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")

    @functools.cache
    def write(kind: str):
        path = folder / f"{kind}.pth"
        # The files of AdaptSegNet are older than the zip format.
        torch.save(content(kind), path, _use_new_zipfile_serialization="level" not in kind)
        return path

    return write


# The networks, by hand from the specification -----------------------------------------------------------


def norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    return F.batch_norm(
        x, *(weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")), eps=1e-5
    )


@functools.cache
@torch.no_grad()
def stages(strides: str, convention: str) -> tuple[Tensor, Tensor]:
    """The third and fourth stage's output. strides: of "caffe" or "torchvision"; convention: of the input."""
    caffe, w = strides == "caffe", trunk()
    x = images().double()
    if convention == "bgr":
        x = x.flip(1) - torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(3, 1, 1)
    else:
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
        x = (x / 255 - mean) / std
    x = F.relu(norm(F.conv2d(x.float(), w["conv1.weight"], stride=2, padding=3), w, "bn1"))
    x = F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=caffe)
    outputs, dilation = [], 1
    for stage, blocks in enumerate(BLOCKS, start=1):
        stride = 2 if stage == 2 else 1
        before, dilation = dilation, {1: 1, 2: 1, 3: 2, 4: 4}[stage]
        for index in range(blocks):
            name = f"layer{stage}.{index}"
            s = stride if index == 0 else 1
            d = before if index == 0 and not caffe else dilation
            out = F.conv2d(x, w[f"{name}.conv1.weight"], stride=s if caffe else 1)
            out = F.relu(norm(out, w, f"{name}.bn1"))
            out = F.conv2d(out, w[f"{name}.conv2.weight"], stride=1 if caffe else s, padding=d, dilation=d)
            out = F.relu(norm(out, w, f"{name}.bn2"))
            out = norm(F.conv2d(out, w[f"{name}.conv3.weight"]), w, f"{name}.bn3")
            if index == 0:
                x = norm(F.conv2d(x, w[f"{name}.downsample.0.weight"], stride=s), w, f"{name}.downsample.1")
            x = F.relu(out + x)
        outputs.append(x)
    return outputs[2], outputs[3]


@torch.no_grad()
def classified(x: Tensor, weights: dict[str, Tensor], branches: int) -> Tensor:
    (name,) = {key.partition(".conv2d_list")[0] for key in weights}
    return sum(
        F.conv2d(
            x,
            weights[f"{name}.conv2d_list.{i}.weight"],
            weights[f"{name}.conv2d_list.{i}.bias"],
            padding=rate,
            dilation=rate,
        )
        for i, rate in list(enumerate(RATES))[:branches]
    )


def images() -> Tensor:
    return torch.randint(0, 256, (1, 3, 32, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def assert_alike(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape and expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize(
    ("form", "kind", "strides", "convention", "given", "branches"),
    [
        ("adaptsegnet", "one level", "caffe", "bgr", 3, 3),
        ("adaptsegnet", "two levels", "caffe", "bgr", None, 2),
        ("advent", "two levels", "caffe", "bgr", None, 4),
        ("advent", "advent, one level", "caffe", "bgr", None, 4),
        ("crst", "one level", "caffe", "rgb", None, 4),
        ("iast", "iast", "torchvision", "rgb", None, 4),
    ],
)
@torch.no_grad()
def test_a_released_checkpoint_computes_what_the_specification_says(
    file_of, form, kind, strides, convention, given, branches
):
    net = models.load_released(file_of(kind), form, given)
    assert net.num_classes == CLASSES and not net.training
    out = net(images())
    third, fourth = stages(strides, convention)
    assert_alike(out.logits, classified(fourth, aspp("main", 2048), branches))
    if kind == "two levels":
        assert_alike(out.aux, classified(third, aspp("auxiliary", 1024), branches))
    else:
        assert out.aux is None
    frozen = [weight.requires_grad for name, weight in net.named_parameters() if name.endswith("bn1.weight")]
    assert frozen == [False] * (1 + sum(BLOCKS))
    tracked = [value.item() for name, value in net.named_buffers() if name.endswith("num_batches_tracked")]
    assert tracked == [7 if kind in ("iast", "advent, one level") else 0] * 104


def test_training_starts_from_the_checkpoint_that_adaptsegnet_starts_from(tmp_path):
    path = tmp_path / "initial.pth"
    whole = {**trunk(), **aspp("layer5", 2048, classes=21)}
    torch.save({f"Scale.{name}": value for name, value in whole.items()}, path)
    with torch.device("meta"):
        net = models.find("deeplabv2_resnet101_multi")(CLASSES)
    net.to_empty(device="cpu")
    kept = models.load_initial(net, path)
    assert kept == [*aspp("layer5", 1024), *aspp("layer6", 2048)]
    state = net.state_dict()
    assert all(torch.equal(state[name], value) for name, value in trunk().items())
    with pytest.raises(ValueError, match=r"has no conv1\.weight of 64x3x7x7 for DeepLabV2ResNet101Multi"):
        torch.save(aspp("layer5", 2048), path)
        models.load_initial(net, path)


# Refusals -----------------------------------------------------------------------------------------------


def refusals() -> Iterator[tuple[object, str, str]]:
    """What the file holds, the form it is read as, and what the message says."""
    one = content("one level")
    yield one, "magic", "no released form 'magic'; choose one of: adaptsegnet"
    yield content("iast"), "adaptsegnet", "no checkpoint of adaptsegnet: its names are those of iast"
    yield one, "iast", "no checkpoint of iast: its names are those of adaptsegnet, or of crst"
    yield content("advent, one level"), "adaptsegnet", "its names are those of advent"
    yield content("two levels"), "crst", "no checkpoint of crst: its names are those of advent, or of adaptsegnet"
    yield trunk(), "crst", "has no head; give that of a whole network"
    yield {"layer5.conv2d_list.0.weight": torch.tensor(0)}, "crst", "no checkpoint of crst"
    yield aspp("layer5", 2048), "crst", r"has no conv1\.weight, which checkpoints of crst have; it isn't whole"
    yield {**one, "conv1.weight": torch.zeros(64, 3, 3, 3)}, "crst", r"conv1\.weight is 64x3x3x3, and crst has 64x3x7x7"
    yield {**one, "stray": torch.zeros(1)}, "crst", "has a weight stray, which checkpoints of crst don't have"
    yield {"state_dict": one}, "crst", "not a plain state_dict"
    yield [1, 2], "crst", "not a plain state_dict"


def test_files_that_dont_fit_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "some.pth"
    for held, form, message in refusals():
        torch.save(held, path)
        with pytest.raises(ValueError, match=message) as error:
            models.load_released(path, form)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="branches is 5; give 1 to 4"):
        models.load_released(path, "crst", branches=5)


class Anything:
    pass


@pytest.mark.parametrize("held", ["absent", "text", "cut", "code"])
def test_files_that_cant_be_read_are_refused_in_one_sentence(tmp_path, held):
    path = tmp_path / "some.pth"
    message = {"absent": "There is no checkpoint"}.get(held, "damaged|not a readable checkpoint")
    if held == "text":
        path.write_text("<html>not found</html>")
    elif held == "cut":
        torch.save(aspp("layer5", 2048), path)
        path.write_bytes(path.read_bytes()[:1000])
    elif held == "code":
        torch.save({"net": Anything()}, path)
        message = "more than tensors and could run code"
    with pytest.raises(ValueError, match=message) as error:
        models.load_released(path, "crst")
    assert "some.pth" in str(error.value)


# Tests as the authors do them ---------------------------------------------------------------------------


class Channels(nn.Module):
    """A network whose logits are the colours of every fourth pixel."""

    def __init__(self, num_classes: int = 3):
        super().__init__()
        self.num_classes, self.mix = num_classes, nn.Conv2d(3, num_classes, 1)

    def forward(self, images: Tensor) -> models.Output:
        return models.Output(self.mix(images[..., ::4, ::4].float()))


@torch.no_grad()
def test_logits_are_enlarged_with_their_corners_aligned():
    net, image = Channels(), images()
    logits = net(image).logits
    assert torch.equal(AsReleased(net)(image).logits[..., -1, -1], logits[..., -1, -1])
    seen = AsReleased(net, height=16)(image).logits
    assert seen.shape == (1, 3, 32, 64) and not torch.equal(seen, AsReleased(net)(image).logits)
    with pytest.raises(ValueError, match="height is 0"):
        AsReleased(net, height=0)


def benchmark(classes: labels.ClassSet, count: int = 3) -> data.Benchmark:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, len(classes), (count, 8, 16)).astype(np.uint8)
    truth[:, 0] = 255
    val = data.ArrayDataset(rng.integers(0, 256, (count, 3, 8, 16), dtype=np.uint8), truth, list("abc"[:count]))
    return data.Benchmark("some", "smoke", 0, val, val, val, classes, "nothing", (8, 16))


@torch.no_grad()
def test_a_network_of_all_classes_is_scored_on_the_16_of_synthia():
    bench, net = benchmark(labels.SYNTHIA16), Channels(19)
    found = evaluation.confusion(net, bench, batch_size=2)
    by_hand = score.ConfusionMatrix(19)
    for image, label, _ in (bench.val[index] for index in range(3)):
        logits = F.interpolate(net(image[None]).logits, label.shape, mode="bilinear", align_corners=False)
        ids = torch.full((256,), 255)
        ids[:16] = torch.tensor(labels.SYNTHIA16.train_ids)
        by_hand.update(logits.argmax(dim=1), ids[label[None].long()])
    torch.testing.assert_close(found.iou(), by_hand.iou()[list(labels.SYNTHIA16.train_ids)], equal_nan=True)
    with pytest.raises(ValueError, match="network has 7 classes and some 16"):
        evaluation.confusion(Channels(7), bench)


def test_a_runs_network_gets_the_score_of_its_record_again(capsys):
    result = recipes.run("source", profile="smoke", steps=2, report=lambda text: None)
    assert cli.main(["evaluate", str(result.weights()), "--batch-size", "16"]) == 0
    out, err = capsys.readouterr()
    assert f"mIoU {100 * result.miou:.1f} %" in out and "16 images of 64x128, seed 0" in out and "scored 16/16" in err
    assert "benchmark  game-city, profile smoke" in out and "checkpoint round 1 of 1; none is chosen" in out

    def refusal(*arguments):
        assert cli.main(["evaluate", *map(str, arguments), "--profile", "smoke"]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "say which form it has" in refusal(result.record_path)
    assert "say which form it has" in refusal(result.record_path.parent / "round9.pt")
    assert "trained for other classes" in refusal(result.weights(), "--benchmark", "synth-city")
    assert "say whose it is" in refusal(result.weights(), "--height", 64)
    assert "choose one of: adaptsegnet" in refusal(result.weights(), "--released", "magic")
    assert "no checkpoint of iast" in refusal(result.weights(), "--released", "iast")


def test_a_released_network_is_scored_with_its_own_conventions(capsys, monkeypatch, file_of):
    bench = benchmark(labels.ClassSet("five", *(tuple(part[:CLASSES]) for part in astuple(labels.CITYSCAPES)[1:])), 1)
    monkeypatch.setattr(data, "validation", lambda *rest, **options: bench)

    def printed(*arguments):
        assert cli.main(["evaluate", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    out = printed(file_of("two levels"), "--released", "adaptsegnet", "--height", 32)
    assert "adaptsegnet, 5 classes" in out and "test       scales 1; mirror images: no" in out
    assert "for the network bicubic to a height of 32; logits bilinear, align_corners=True" in out
    net = AsReleased(models.load_released(file_of("two levels"), "adaptsegnet"), height=32)
    assert f"mIoU {100 * evaluation.confusion(net, bench).miou():.1f} % over" in out
    out = printed(file_of("iast"), "--released", "iast", "--flip", "--scales", 1, 2)
    assert "scales 1, 2; mirror images: yes" in out and "height" not in out


def test_a_released_network_needs_cityscapes_alone_and_sees_it_as_published(capsys, monkeypatch, tmp_path):
    trees.cityscapes(tmp_path)
    pair = data.REAL_PAIRS["gta5-cityscapes"]
    val = replace(pair.val, dataset=replace(pair.val.dataset, size=(64, 128)))
    monkeypatch.setitem(data.REAL_PAIRS, pair.name, replace(pair, val=val))
    net = Channels(19)
    monkeypatch.setattr(models, "load_released", lambda *rest: net)
    words = ["evaluate", "theirs.pth", "--released", "adaptsegnet", "--data-root", str(tmp_path)]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "benchmark  gta5-cityscapes, profile paper, validation set" in out
    assert "scored     19 classes (cityscapes): as trained" in out
    assert "val        Cityscapes val, 3 images; 64x128; list " in out and "checkpoint the one that was released" in out
    bench = data.validation(pair.name, "paper", root=tmp_path)
    matrix = evaluation.confusion(AsReleased(net, 512), bench)
    assert f"mIoU {100 * matrix.miou():.1f} % over" in out and matrix.matrix.sum() > 10_000
    assert [len(part) for part in (bench.source, bench.target, bench.val)] == [0, 0, 3]
    assert cli.main([*words, "--profile", "smoke"]) == 0
    assert "Cityscapes val, 3 images; 64x128; list" in capsys.readouterr().out
    # On fewer classes the network's others are errors, and that is said.
    assert cli.main([*words, "--benchmark", "synthia-cityscapes", "--profile", "smoke"]) == 0
    assert "16 classes (synthia16): predictions of the network's others are errors" in capsys.readouterr().out


def test_a_validation_set_is_that_of_its_benchmark(tmp_path):
    trees.nthu(tmp_path)
    trees.cityscapes(tmp_path)
    for name, fold in (("cityscapes-nthu-rome", 3), ("cityscapes-nthu-rome-masked19", None)):
        whole, alone = (opened(name, "smoke", 0, tmp_path, fold=fold) for opened in (data.benchmark, data.validation))
        assert [sample.name for sample in alone.val] == [sample.name for sample in whole.val]
        assert all(torch.equal(a.label, b.label) for a, b in zip(alone.val, whole.val, strict=True))
        assert (alone.merge, alone.fold, alone.pair) == (whole.merge, whole.fold, whole.pair)
        assert alone.protocol == {k: v for k, v in whole.protocol.items() if k not in ("source", "target")}
    shutil.rmtree(tmp_path / "cityscapes")
    assert len(data.validation("cityscapes-nthu-rome", "smoke", 0, tmp_path).val) == 20
    toml = trees.own(tmp_path)
    toml.write_text(toml.read_text().partition("[val]")[0])  # images of the source are held out
    assert [sample.name for sample in data.validation(str(toml)).val] == ["0"]


def test_the_forms_have_the_branches_and_sizes_of_their_authors():
    branches = {name: form.branches for name, form in models.FORMS.items()}
    assert branches == {"adaptsegnet": (4, 2), "advent": (4, 4), "crst": (4,), "iast": (4,)}
    sizes = {name: [round(1024 * scale) for scale in form.test_scales] for name, form in models.FORMS.items()}
    heights = {name: form.test_height for name, form in models.FORMS.items()}
    assert heights == {"adaptsegnet": 512, "advent": 512, "crst": None, "iast": None}
    assert sizes == {"adaptsegnet": [1024], "advent": [1024], "crst": [1024], "iast": [512, 640, 768, 900, 1024]}
