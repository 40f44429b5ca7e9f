"""The adversarial half-steps: their values, and whose weights they move, in which direction."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from udalib import models, train

GANS = ("vanilla", "least_squares")


class Scale(nn.Module):
    """A discriminator whose score is `weight` times its input."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def mean(values: torch.Tensor, function) -> float:
    values = values.flatten().tolist()
    return sum(map(function, values)) / len(values)


def random_map(seed: int, *shape: int) -> torch.Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gradients(*nets: nn.Module) -> list[torch.Tensor | None]:
    return [weight.grad for net in nets for weight in net.parameters()]


# Values -----------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), images=st.integers(1, 3), height=st.integers(1, 4))
def test_losses_equal_their_formulas(seed, images, height):
    source, target = random_map(seed, images, 1, height, 3), random_map(seed + 1, images + 1, 1, 2, height)
    d = Scale(1.0)
    log_source = mean(source, lambda s: math.log(sigmoid(s)))
    log_not_source = mean(target, lambda s: math.log(1 - sigmoid(s)))
    squares = (mean(source, lambda s: (s - 1) ** 2) + mean(target, lambda s: s**2)) / 2
    expected = {
        train.discriminator_loss(d, source, target): -(log_source + log_not_source) / 2,
        train.discriminator_loss(d, source, target, "least_squares"): squares,
        train.alignment_loss(d, target): -mean(target, lambda s: math.log(sigmoid(s))),
        train.alignment_loss(d, target, "least_squares"): mean(target, lambda s: (s - 1) ** 2),
        train.minmax_loss(d, source, target): log_source + log_not_source,
    }
    for found, value in expected.items():
        assert found.shape == () and found.item() == pytest.approx(value, rel=1e-4)


def test_sure_discriminators_leave_losses_finite():
    d, sure = Scale(1.0), torch.full((1, 1, 2, 2), 200.0, requires_grad=True)
    losses = train.alignment_loss(d, -sure), train.discriminator_loss(d, -sure, sure), train.minmax_loss(d, sure, sure)
    assert [loss.item() for loss in losses] == [200, 200, -200]


def test_polarity_makes_the_sigmoid_the_probability_of_source():
    d = Scale(1.0)
    assert train.SOURCE == 1 and train.TARGET == 0
    right, wrong = (train.discriminator_loss(d, torch.tensor(s), torch.tensor(-s)) for s in (5.0, -5.0))
    assert right < wrong


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), num_classes=st.integers(2, 19), scale=st.sampled_from([1, 100]))
def test_self_information_and_entropy_equal_their_formulas(seed, num_classes, scale):
    probs = (scale * random_map(seed, 2, num_classes, 2, 3)).softmax(dim=1)
    found, entropy = train.weighted_self_information(probs), train.normalised_entropy(probs)
    assert found.shape == probs.shape and entropy.shape == (2, 2, 3)
    wanted = [-p * math.log(p) / math.log(num_classes) if p else 0.0 for p in probs.flatten().tolist()]
    assert found.flatten().tolist() == pytest.approx(wanted, abs=1e-6)
    torch.testing.assert_close(entropy, torch.tensor(wanted).view(probs.shape).sum(1))
    assert entropy.min() >= 0 and entropy.max() < 1 + 1e-6


def test_entropy_reaches_its_bounds_with_finite_gradients():
    logits = torch.tensor([[0.0, 0.0, 0.0], [300.0, 0.0, -300.0]]).T[None, :, None].requires_grad_()
    entropy = train.normalised_entropy(logits.softmax(dim=1))
    assert entropy.flatten().tolist() == pytest.approx([1, 0])
    entropy.mean().backward()
    assert logits.grad.isfinite().all()


# Whose weights, and in which direction --------------------------------------------------------------------


@pytest.mark.parametrize("score", [-2.0, 0.5, 3.0])
@pytest.mark.parametrize("weight", [-1.5, 0.5])
def test_gradients_equal_the_derivatives(score, weight):
    """At one place each: derivatives with respect to the network's output, by hand."""
    x = score / weight
    derivatives = {
        "vanilla": lambda: -(1 - sigmoid(score)) * weight,
        "least_squares": lambda: 2 * (score - 1) * weight,
    }
    for gan in GANS:
        d, target = Scale(weight), torch.tensor(x, requires_grad=True)
        train.alignment_loss(d, target, gan).backward()
        assert target.grad.item() == pytest.approx(derivatives[gan](), rel=1e-4)
        assert d.weight.grad is None

    d, source, target = Scale(weight), torch.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    train.minmax_loss(d, source, target).backward()
    assert source.grad.item() == pytest.approx((1 - sigmoid(score)) * weight, rel=1e-4)  # away from what d calls source
    assert target.grad.item() == pytest.approx(-sigmoid(score) * weight, rel=1e-4)
    assert d.weight.grad is None

    source, target = torch.tensor(x, requires_grad=True), torch.tensor(2 * x, requires_grad=True)
    train.discriminator_loss(d, source, target).backward()
    by_hand = (-(1 - sigmoid(score)) * x + sigmoid(2 * score) * 2 * x) / 2
    assert d.weight.grad.item() == pytest.approx(by_hand, rel=1e-4)
    assert source.grad is None and target.grad is None


def toys() -> tuple[nn.Module, nn.Module, torch.Tensor, torch.Tensor]:
    """A network with 3 classes, a discriminator, and images of two domains."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.Softmax(dim=1))
    return net, models.OutputDiscriminator(3, width=2), random_map(1, 2, 3, 32, 64), random_map(2, 2, 3, 32, 64)


@pytest.mark.parametrize("gan", GANS)
def test_each_half_step_moves_one_side_and_lowers_its_loss(gan):
    net, d, source, target = toys()
    half_steps = [
        (net, d, 0.1, lambda: train.alignment_loss(d, net(target), gan)),
        (d, net, 0.1, lambda: train.discriminator_loss(d, net(source), net(target), gan)),
    ]
    if gan == "vanilla":
        half_steps.append((net, d, 0.1, lambda: train.minmax_loss(d, net(source), net(target))))
    for moved, still, rate, loss in half_steps:
        net.zero_grad(), d.zero_grad()
        before = loss()
        before.backward()
        assert all(grad is not None and grad.any() for grad in gradients(moved))
        assert gradients(still) == [None] * len(gradients(still))
        with torch.no_grad():
            for weight in moved.parameters():
                weight -= rate * weight.grad
        assert loss() < before


@pytest.mark.parametrize("gan", GANS)
def test_alignment_raises_the_score_of_the_target(gan):
    net, d, _, target = toys()
    before = d(net(target)).mean()
    train.alignment_loss(d, net(target), gan).backward()
    torch.optim.SGD(net.parameters(), 1e-2).step()
    assert d(net(target)).mean() > before


@pytest.mark.parametrize("gan", GANS)
def test_one_backward_pass_serves_both_sides_of_two_levels(gan):
    """The gradients of the sum are those of the separate half-steps, and no level disturbs the other."""
    net, d_main, source, target = toys()
    d_aux = models.OutputDiscriminator(4, width=2)
    stem = net[:2]

    def network_loss(d, part, weight):
        return weight * train.alignment_loss(d, part(target), gan)

    def loss_of(d, part):
        return train.discriminator_loss(d, part(source), part(target), gan)

    everything = net, d_main, d_aux
    total = (
        network_loss(d_main, net, 0.5) + network_loss(d_aux, stem, 0.1) + loss_of(d_main, net) + loss_of(d_aux, stem)
    )
    total.backward()
    together = gradients(*everything)
    for part in everything:
        part.zero_grad()
    network_loss(d_main, net, 0.5).backward()
    network_loss(d_aux, stem, 0.1).backward()
    assert gradients(d_main, d_aux) == [None] * len(gradients(d_main, d_aux))
    loss_of(d_main, net).backward()
    assert gradients(d_aux) == [None] * len(gradients(d_aux))
    loss_of(d_aux, stem).backward()
    torch.testing.assert_close(together, gradients(*everything))


def test_weights_keep_their_own_setting():
    net, d, _, target = toys()
    d.layers[0].weight.requires_grad_(False)
    train.alignment_loss(d, net(target))
    with pytest.raises(RuntimeError):
        train.alignment_loss(d, target[:, :1])
    settings = [weight.requires_grad for weight in d.parameters()]
    assert settings == [False] + [True] * (len(settings) - 1)


def test_half_precision_inputs_give_float32_losses():
    d = Scale(1.0)
    for gan in GANS:
        assert train.alignment_loss(d.bfloat16(), torch.ones(1, 1, 2, 2).bfloat16(), gan).dtype == torch.float32


def test_an_unknown_loss_is_refused():
    for refuse in (
        lambda: train.alignment_loss(Scale(1.0), torch.zeros(1), "wasserstein"),
        lambda: train.discriminator_loss(Scale(1.0), torch.zeros(1), torch.zeros(1), "wasserstein"),
    ):
        with pytest.raises(ValueError, match="no GAN loss 'wasserstein'; choose one of: vanilla, least_squares"):
            refuse()


# Discriminators ---------------------------------------------------------------------------------------


def count(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


def test_parameter_counts_are_those_of_the_papers():
    assert count(models.OutputDiscriminator(19)) == 2_781_121  # AdaptSegNet, ADVENT
    assert count(models.OutputDiscriminator(19, first_kernel=3)) == 2_772_609  # IAST
    assert count(models.OutputDiscriminator(16)) == 2_781_121 - 3 * 64 * 16
    assert count(models.OutputDiscriminator(19, width=16)) == 179_185
    assert count(models.FeatureDiscriminator(128, halvings=3)) == 3 * (9 * 128 * 128 + 128) + 9 * 128 + 1


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("size", [(512, 1024), (64, 128), (32, 32), (720, 1280)])
def test_output_discriminators_end_at_a_thirty_second(size, kernel):
    with torch.device("meta"):
        scores = models.OutputDiscriminator(19, first_kernel=kernel)(torch.empty(2, 19, *size))
    assert scores.shape == (2, 1, size[0] // 32, size[1] // 32)


@pytest.mark.parametrize("stride, halvings", [(4, 3), (8, 2), (16, 1), (32, 0)])
def test_feature_discriminators_end_at_a_thirty_second(stride, halvings):
    with torch.device("meta"):
        d = models.FeatureDiscriminator(128, halvings, width=32)
        scores = d(torch.empty(2, 128, 512 // stride, 1024 // stride))
    assert scores.shape == (2, 1, 16, 32)


def test_scores_are_not_squashed_and_every_weight_learns():
    torch.manual_seed(0)
    for d, x in (
        (models.OutputDiscriminator(3, width=4), random_map(0, 2, 3, 64, 128)),
        (models.FeatureDiscriminator(6, halvings=2, width=4), random_map(0, 2, 6, 16, 32)),
    ):
        scores = d(100 * x)
        assert scores.min() < 0 or scores.max() > 1
        scores.square().mean().backward()
        assert all(grad.any() for grad in gradients(d))
