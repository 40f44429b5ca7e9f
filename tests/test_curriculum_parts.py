"""Parts of the curriculum with two decoders, against references that look at one pixel at a time."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import resnet18

from udalib import models, select, train
from udalib.labels import IGNORE
from udalib.models import resnet18_dual_ppm
from udalib.models.resnet18_dual_ppm import PyramidDecoder, dilate

cases = {
    "seed": st.integers(0, 2**32),
    "members": st.integers(2, 5),
    "num_classes": st.integers(1, 6),
    "size": st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6)),
}


def random_logits(seed: int, members: int, num_classes: int, size: tuple[int, int, int]) -> list[torch.Tensor]:
    """Small whole numbers, so that ties are frequent and sums exact."""
    g = torch.Generator().manual_seed(seed)
    b, h, w = size
    return [torch.randint(-2, 3, (b, num_classes, h, w), generator=g).float() for _ in range(members)]


def columns(logits: torch.Tensor) -> list[list[float]]:
    """The C logits of every pixel, in raster order."""
    return logits.permute(0, 2, 3, 1).reshape(-1, logits.shape[1]).tolist()


def predictions(logits_list: list[torch.Tensor]) -> list[list[int]]:
    """For every pixel, the class that each decoder predicts; ties to the smallest."""
    per_decoder = [[column.index(max(column)) for column in columns(logits)] for logits in logits_list]
    return [list(pixel) for pixel in zip(*per_decoder, strict=True)]


# Agreement ------------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(**cases)
def test_agreement_and_variation_ratio_equal_the_reference(seed, members, num_classes, size):
    logits = random_logits(seed, members, num_classes, size)
    agree, ratio = select.agreement(logits), select.variation_ratio(logits)
    assert agree.dtype == torch.bool and ratio.dtype == torch.float32
    assert agree.shape == ratio.shape == size
    found = predictions(logits)
    assert agree.flatten().tolist() == [len(set(pixel)) == 1 for pixel in found]
    expected = [1 - max(pixel.count(c) for c in range(num_classes)) / members for pixel in found]
    assert ratio.flatten().tolist() == pytest.approx(expected)
    assert torch.equal(agree, ratio == 0)
    assert torch.equal(agree, select.agreement(torch.stack(logits)))  # as networks return them


def test_two_decoders_disagree_with_ratio_one_half():
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[None, :, None]
    b = torch.tensor([[1.0, 1.0], [0.0, 0.0]])[None, :, None]
    assert select.agreement([a, b]).tolist() == [[[True, False]]]
    assert select.variation_ratio([a, b]).tolist() == [[[0.0, 0.5]]]


def test_selection_has_no_gradient():
    logits = [x.requires_grad_() for x in random_logits(0, 2, 4, (1, 3, 3))]
    found = [select.variation_ratio(logits), select.ensemble_labels(logits, easy_only=False, average="probs")]
    assert not any(x.requires_grad for x in found)


# Target easy mining ---------------------------------------------------------------------------------


@settings(max_examples=100)
@given(**cases)
def test_ensemble_labels_equal_the_reference(seed, members, num_classes, size):
    logits = random_logits(seed, members, num_classes, size)
    easy, every = select.ensemble_labels(logits), select.ensemble_labels(logits, easy_only=False)
    assert easy.dtype == every.dtype == torch.uint8 and easy.shape == every.shape == size
    found = predictions(logits)
    assert easy.flatten().tolist() == [pixel[0] if len(set(pixel)) == 1 else IGNORE for pixel in found]
    sums = [[sum(values) for values in zip(*pixel, strict=True)] for pixel in zip(*map(columns, logits), strict=True)]
    assert every.flatten().tolist() == [column.index(max(column)) for column in sums]
    probs = select.ensemble_labels(logits, easy_only=False, average="probs")
    assert torch.equal(every[easy != IGNORE], easy[easy != IGNORE])
    assert torch.equal(probs[easy != IGNORE], easy[easy != IGNORE])


def test_averages_of_logits_and_of_probabilities_can_differ():
    a = torch.tensor([9.0, 0.0, 0.0]).view(1, 3, 1, 1)  # 0, and very sure
    b = torch.tensor([-9.0, 1.0, 0.0]).view(1, 3, 1, 1)  # surely not 0
    assert select.ensemble_labels([a, b], easy_only=False).item() == 1
    assert select.ensemble_labels([a, b], easy_only=False, average="probs").item() == 0


def test_identical_decoders_make_easy_mining_plain_self_training():
    logits = random_logits(3, 1, 5, (2, 6, 7)) * 2
    assert select.agreement(logits).all() and not select.variation_ratio(logits).any()
    assert torch.equal(select.ensemble_labels(logits), select.ensemble_labels(logits, easy_only=False))


# Source hard mining ---------------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    **cases, drop=st.floats(0, 1) | st.sampled_from([0.0, 1.0]), easy=st.sampled_from(["agree", "agree_and_correct"])
)
def test_hard_labels_equal_the_reference(seed, members, num_classes, size, drop, easy):
    logits = random_logits(seed, members, num_classes, size)
    values = torch.tensor([*range(num_classes), IGNORE], dtype=torch.uint8)
    g = torch.Generator().manual_seed(seed + 1)
    labels = values[torch.randint(len(values), size, generator=g)]
    before = labels.clone()
    found = select.hard_labels(labels, logits, drop, torch.Generator().manual_seed(seed), easy)
    draws = torch.rand(size, generator=torch.Generator().manual_seed(seed)).flatten().tolist()
    expected = []
    for label, pixel, draw in zip(labels.flatten().tolist(), predictions(logits), draws, strict=True):
        is_easy = len(set(pixel)) == 1 and (easy == "agree" or pixel[0] == label)
        expected.append(IGNORE if is_easy and draw < drop else label)
    assert found.dtype == labels.dtype and found.flatten().tolist() == expected
    assert torch.equal(labels, before)


def test_easy_pixels_are_dropped_at_the_rate():
    labels = torch.zeros(1, 100, 100, dtype=torch.uint8)
    logits = torch.stack([torch.ones(1, 100, 100), torch.zeros(1, 100, 100)], dim=1)
    found = select.hard_labels(labels, [logits, logits], 0.3, torch.Generator().manual_seed(0))
    assert (found == IGNORE).float().mean().item() == pytest.approx(0.3, abs=0.02)


# The loss on what is kept ---------------------------------------------------------------------------


def summed_loss(logits: list[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """The first term of Eq. 4."""
    return sum(train.cross_entropy(x, labels) for x in logits)


@settings(max_examples=30)
@given(**cases)
def test_pixels_that_are_not_kept_have_no_gradient(seed, members, num_classes, size):
    logits = [x.requires_grad_() for x in random_logits(seed, members, num_classes + 1, size)]
    source = torch.randint(0, num_classes + 1, size, generator=torch.Generator().manual_seed(seed))
    hard = select.hard_labels(source, logits, 1.0, torch.Generator())
    for labels in (select.ensemble_labels(logits), hard):
        gradients = torch.autograd.grad(summed_loss(logits, labels), logits)
        for gradient in gradients:
            by_pixel = gradient.abs().sum(dim=1)
            assert torch.equal(by_pixel != 0, labels != IGNORE)
    assert torch.equal(hard == IGNORE, select.agreement(logits))


def test_a_batch_without_a_kept_pixel_costs_nothing():
    a = torch.randn(1, 3, 4, 4, requires_grad=True)
    source = torch.zeros(1, 4, 4, dtype=torch.uint8)
    for logits, labels in (
        ([a, -a], select.ensemble_labels([a, -a])),  # target, all disagree
        ([a, a], select.hard_labels(source, [a, a], 1.0, torch.Generator())),  # source, all agree
    ):
        loss = summed_loss(logits, labels)
        assert loss.item() == 0 and not torch.autograd.grad(loss, a)[0].any()


# Schedules ------------------------------------------------------------------------------------------


def test_schedules_are_those_of_the_paper():
    assert [train.drop_share(e) for e in range(20)] == pytest.approx([0.1 * e for e in range(10)] + [1.0] * 10)
    expected = [0.9 - 0.08 * e for e in range(10)] + [0.1] * 10
    assert [train.source_share(e) for e in range(20)] == pytest.approx(expected)
    assert [train.source_share(e, reading="ratio") for e in (0, 19)] == pytest.approx([0.9 / 1.9, 0.1 / 1.1])
    assert train.drop_share(19) == 1 and train.source_share(19) == 0.1 and train.source_share(0) == 0.9
    assert train.drop_share(2.5, ramp=5) == 0.5


@given(epoch=st.floats(0, 1e6), first=st.floats(0, 1), last=st.floats(0, 1), ramp=st.floats(0.01, 100))
def test_shares_stay_between_their_ends(epoch, first, last, ramp):
    gamma = train.source_share(epoch, first, last, ramp)
    assert min(first, last) - 1e-9 <= gamma <= max(first, last) + 1e-9
    assert 0 <= train.drop_share(epoch, ramp) <= 1


# Similarity -----------------------------------------------------------------------------------------


def toy_decoder() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1))


@pytest.mark.parametrize("weights", ["convolutions", "all"])
def test_similarity_equals_the_reference(weights):
    torch.manual_seed(0)
    pair = toy_decoder(), toy_decoder()
    kept = [
        [x for n, p in d.named_parameters() if weights == "all" or p.ndim == 4 for x in p.flatten().tolist()]
        for d in pair
    ]
    inner = sum(x * y for x, y in zip(*kept, strict=True))
    lengths = [math.sqrt(sum(x * x for x in values)) for values in kept]
    found = train.decoder_similarity(*pair, "inner", weights)
    assert found.item() == pytest.approx(inner, abs=1e-5)
    cosine = train.decoder_similarity(*pair, weights=weights)
    assert cosine.item() == pytest.approx(inner / lengths[0] / lengths[1], abs=1e-5)
    cosine.backward()
    changed = {name for name, p in pair[0].named_parameters() if p.grad is not None}
    assert changed == ({"0.weight", "3.weight"} if weights == "convolutions" else set(dict(pair[0].named_parameters())))


def test_cosine_is_one_for_identical_decoders_and_free_of_scale():
    first, second = toy_decoder(), toy_decoder()
    second.load_state_dict(first.state_dict())
    assert train.decoder_similarity(first, second).item() == pytest.approx(1)
    with torch.no_grad():
        for weight in second.parameters():
            weight *= -3
    assert train.decoder_similarity(first, second).item() == pytest.approx(-1)


# Networks -------------------------------------------------------------------------------------------


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("name", "stride"), [("mini_dual", 4), ("resnet18_dual_ppm", 8)])
def test_dual_networks(name, stride):
    torch.manual_seed(0)
    net = models.build(name, num_classes=5)
    images = torch.randint(0, 256, (2, 3, 64, 72), dtype=torch.uint8)
    out = net(images)
    assert out.logits.shape == (2, 5, 64 // stride, 72 // stride) and out.aux.shape == (2, *out.logits.shape)
    torch.testing.assert_close(out.logits, (out.aux[0] + out.aux[1]) / 2)
    assert not torch.equal(out.aux[0], out.aux[1])
    assert abs(train.decoder_similarity(*net.decoders).item()) < 0.1
    out.aux.square().mean().backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()] == []
    gradient = torch.autograd.grad(net(images).aux[0].sum(), list(net.decoders[1].parameters()), materialize_grads=True)
    assert not any(g.any() for g in gradient)  # each decoder has its own loss
    net.eval()
    assert torch.equal(net(images).logits, net(images.float()).logits)


def test_each_decoder_of_mini_dual_is_a_narrower_one_of_mini():
    torch.manual_seed(0)
    dual = models.build("mini_dual", 7).eval()
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    for number in range(2):
        other, prefix = f"decoders.{1 - number}.", f"decoders.{number}."
        weights = {n.removeprefix(prefix): v for n, v in dual.state_dict().items() if not n.startswith(other)}
        mini = models.build("mini", 7).eval()
        mini.decoder[0] = nn.Conv2d(64, 32, 3, padding=1, bias=False)
        mini.decoder[1] = nn.BatchNorm2d(32).eval()
        mini.classifier = nn.Conv2d(32, 7, 1)
        mini.load_state_dict(weights)
        torch.testing.assert_close(dual(images).aux[number], mini(images).logits)
    assert parameters(dual) == parameters(mini) + parameters(dual.decoders[0])


def test_predictions_are_made_once():
    logits = torch.randn(2, 3, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    preds = select.predictions(list(logits))
    assert preds.dtype == torch.uint8 and torch.equal(preds, logits.argmax(dim=2).byte())
    assert select.predictions(preds) is preds
    assert torch.equal(select.agreement(preds), select.agreement(logits))
    assert torch.equal(select.variation_ratio(preds), select.variation_ratio(logits))
    assert torch.equal(select.ensemble_labels(preds), select.ensemble_labels(logits))
    with pytest.raises(ValueError, match="can't be averaged"):
        select.ensemble_labels(preds, easy_only=False)
    labels = torch.randint(0, 5, (3, 4, 6), dtype=torch.uint8)
    kept = [select.hard_labels(labels, given, 0.5, torch.Generator().manual_seed(1)) for given in (preds, logits)]
    assert torch.equal(*kept)


def test_the_paper_network_has_the_parameters_of_the_specification():
    net = models.build("resnet18_dual_ppm", 19)
    norms = sum(parameters(m) for m in net.decoders[0].modules() if isinstance(m, nn.BatchNorm2d))
    assert [parameters(decoder) - norms for decoder in net.decoders] == [281_619] * 2 and norms == 4 * 2 * 128
    assert parameters(net.encoder) == parameters(resnet18(weights=None)) - 513_000  # its classifier of 1,000 classes
    assert parameters(net) == 11_176_512 + 2 * 282_643


def test_the_paper_network_takes_the_weights_of_imagenet_when_asked(monkeypatch):
    given = resnet18(weights=None)
    asked = []
    monkeypatch.setattr(resnet18_dual_ppm, "resnet18", lambda weights: asked.append(weights) or given)
    net = resnet18_dual_ppm.ResNet18DualPPM(3, imagenet=True)
    assert asked == ["IMAGENET1K_V1"] and torch.equal(net.encoder[0].weight, given.conv1.weight)


def test_dilation_computes_what_the_stride_did_in_between():
    torch.manual_seed(0)
    plain = resnet18(weights=None).eval()
    for norm in (m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean)
    x = torch.randn(1, 128, 8, 12)
    expected = plain.layer4(plain.layer3(x))
    dilate(plain.layer3, before=1)
    dilate(plain.layer4, before=2)
    found = plain.layer4(plain.layer3(x))
    assert found.shape == (1, 512, 8, 12)
    torch.testing.assert_close(found[..., ::4, ::4], expected, rtol=1e-4, atol=1e-4)
    assert plain.layer3[1].conv2.dilation == (2, 2) and plain.layer4[1].conv2.dilation == (4, 4)


# Misuse ---------------------------------------------------------------------------------------------


def test_misuse_of_selection_is_refused():
    a, b = random_logits(0, 2, 4, (1, 3, 3))
    for call in (select.agreement, select.variation_ratio, select.ensemble_labels):
        with pytest.raises(ValueError, match="1 decoders can't be compared; pass the logits of at least two"):
            call([a])
        with pytest.raises(ValueError, match="the same for every decoder"):
            call([a, b[:, :3]])
        with pytest.raises(ValueError, match=r"pass \[B,C,H,W\]"):
            call(a.repeat(2, 1, 1, 1))
        with pytest.raises(ValueError, match="logits have NaN"):
            call([a, b * math.nan])
        with pytest.raises(ValueError, match="256 classes; give 1 to 255"):
            call([torch.zeros(1, 256, 1, 1)] * 2)
    with pytest.raises(ValueError, match="no average 'votes'; choose one of: logits, probs"):
        select.ensemble_labels([a, b], average="votes")
    labels, g = torch.zeros(1, 3, 3), torch.Generator()
    with pytest.raises(ValueError, match="drop is 1.5; choose a probability"):
        select.hard_labels(labels, [a, b], 1.5, g)
    with pytest.raises(ValueError, match="no rule 'correct'; choose one of: agree, agree_and_correct"):
        select.hard_labels(labels, [a, b], 0.5, g, easy="correct")
    with pytest.raises(ValueError, match="resize the logits first"):
        select.hard_labels(labels[:, :2], [a, b], 0.5, g)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: train.drop_share(-1), "epochs count from 0"),
        (lambda: train.drop_share(1, ramp=0), "a ramp lasts more than 0"),
        (lambda: train.source_share(1, first=1.5), "choose shares from 0 to 1"),
        (lambda: train.source_share(1, reading="odds"), "no reading 'odds'; choose one of: fraction, ratio"),
        (lambda: train.decoder_similarity(toy_decoder(), toy_decoder(), "angle"), "no similarity 'angle'"),
        (lambda: train.decoder_similarity(toy_decoder(), toy_decoder(), weights="norms"), "no weights 'norms'"),
        (lambda: train.decoder_similarity(nn.ReLU(), nn.ReLU()), "pass two of one kind"),
        (lambda: train.decoder_similarity(toy_decoder(), nn.Conv2d(1, 1, 1)), "pass two of one kind"),
        (lambda: PyramidDecoder(8, 3)(torch.zeros(1, 8, 6, 6)), "train on batches of 2 or more"),
    ],
)
def test_misuse_of_training_parts_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
