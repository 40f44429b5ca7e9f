import os
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from udalib import data, models, train
from udalib.train.schedules import SCHEDULES

# Losses ---------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), ignored=st.floats(0, 0.99), weighted=st.booleans())
def test_cross_entropy_equals_torch_where_pixels_are_labelled(seed, ignored, weighted):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 5, 6, generator=generator)
    labels = torch.randint(0, 4, (2, 5, 6), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    labels[0, 0, 0] = 1
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0]) if weighted else None
    expected = F.cross_entropy(logits, labels, weight, ignore_index=255)
    torch.testing.assert_close(train.cross_entropy(logits, labels, weight), expected)


def test_cross_entropy_without_valid_pixels_is_zero_with_a_graph():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = train.cross_entropy(logits, torch.full((1, 4, 4), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


def test_cross_entropy_resizes_coarse_logits():
    logits = torch.randn(1, 3, 4, 4)
    labels = torch.randint(0, 3, (1, 16, 16))
    expected = F.cross_entropy(F.interpolate(logits, (16, 16), mode="bilinear"), labels)
    torch.testing.assert_close(train.cross_entropy(logits, labels), expected)


def test_ignored_pixels_have_no_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels = torch.randint(0, 3, (1, 4, 4))
    labels[0, 1] = 255
    train.cross_entropy(logits, labels).backward()
    assert not logits.grad[0, :, 1].any() and logits.grad[0, :, 0].any()


# Schedules and plans --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_stay_between_zero_and_one(name):
    factors = [SCHEDULES[name](step / 100) for step in range(100)]
    assert all(0 < factor <= 1 for factor in factors) and max(factors) > 0.99


def test_poly_is_the_printed_formula():
    assert SCHEDULES["poly"](0.5) == pytest.approx(0.5**0.9)


@pytest.mark.parametrize("field", ["schedule", "optimiser"])
def test_unknown_plan_values_are_refused(field):
    with pytest.raises(ValueError, match=f"no {field} 'magic'; choose one of"):
        train.Plan(steps=1, lr=0.1, **{field: "magic"})


# The loop -------------------------------------------------------------------------------------------------


class Dropper(nn.Module):
    """A toy with dropout, so that the random state matters."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x)


class Killed(Exception):
    pass


def fit(state=None, die_at=None, steps=40, lr=0.01):
    torch.manual_seed(3)
    net = Dropper()

    def batches(start):
        for step in range(start, steps):
            if step == die_at:
                raise Killed
            yield torch.randn(5, 6, generator=data.seeded(7, step))

    plan = train.Plan(steps, lr, schedule="one_cycle")
    fabric = train.make_fabric(torch.device("cpu"))
    curve = train.fit(net, batches, lambda net, x, step: net(x).square().mean(), plan, fabric, state, save_every=5)
    return net.state_dict(), curve


@pytest.mark.parametrize("die_at", [1, 17, 39])
def test_a_killed_training_ends_with_the_same_bits(tmp_path, die_at):
    expected, expected_curve = fit()
    state = tmp_path / "state.pt"
    with pytest.raises(Killed):
        fit(state, die_at)
    torch.manual_seed(99)  # whatever else the process did in between
    weights, curve = fit(state)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert curve == expected_curve and not state.exists()


def three_parts():
    torch.manual_seed(3)
    return nn.Sequential(OrderedDict(body=nn.Linear(6, 4), head=nn.Linear(4, 1), rest=nn.Linear(1, 1)))


def fit_in_parts(state=None, die_at=None):
    net = three_parts()
    plans = {"body": train.Plan(20, 0.0), "head": train.Plan(20, 0.1, "constant", "sgd", weight_decay=0, momentum=0.5)}

    def batches(start):
        for step in range(start, 20):
            if step == die_at:
                raise Killed
            yield torch.randn(5, 6, generator=data.seeded(7, step))

    train.fit(
        net,
        batches,
        lambda net, x, step: net(x).square().mean(),
        plans,
        train.make_fabric(torch.device("cpu")),
        state,
        save_every=5,
    )
    return net


def test_parts_of_a_network_learn_by_their_own_plans(tmp_path):
    fresh = three_parts()
    by_hand = torch.optim.SGD(fresh.head.parameters(), 0.1, momentum=0.5)
    before = {name: weight.clone() for name, weight in fresh.state_dict().items()}
    for step in range(20):
        x = torch.randn(5, 6, generator=data.seeded(7, step))
        by_hand.zero_grad()
        fresh(x).square().mean().backward()
        by_hand.step()
    found = fit_in_parts().state_dict()
    assert all(torch.equal(found[name], before[name]) for name in found if not name.startswith("head"))
    torch.testing.assert_close(found["head.weight"], fresh.head.weight.detach())

    state = tmp_path / "state.pt"
    with pytest.raises(Killed):
        fit_in_parts(state, die_at=12)
    resumed = fit_in_parts(state).state_dict()
    assert all(torch.equal(found[name], resumed[name]) for name in found)


def test_an_exploding_loss_stops_with_a_sentence():
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        fit(lr=1e30)


def test_weights_that_overflow_are_never_the_last_good_step(tmp_path):
    state, batches = tmp_path / "state.pt", lambda start: iter([torch.full((1, 1), 2.0)] * 3)
    plan = train.Plan(3, 3e38, "constant", "sgd", momentum=0.0)
    with pytest.raises(FloatingPointError, match="weights are no longer finite near step 1 of 3; lower the learning"):
        train.fit(
            nn.Linear(1, 1),
            batches,
            lambda net, x, step: net(x).sum(),
            plan,
            train.make_fabric(torch.device("cpu")),
            state,
            save_every=1,
        )
    assert not state.exists()


def test_checkpoints_are_whole_or_refused(tmp_path, monkeypatch):
    path = tmp_path / "net.pt"
    train.save({"weight": torch.arange(3)}, path)

    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        train.save({"weight": torch.zeros(3)}, path)
    assert torch.equal(train.load(path)["weight"], torch.arange(3))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        train.load(path)


# Batch normalisation --------------------------------------------------------------------------------------


def test_source_passes_leave_the_running_statistics_alone():
    net = models.build("mini", 3).train()
    images = torch.rand(2, 3, 32, 64) * 255
    before = {name: value.clone() for name, value in net.named_buffers() if "running" in name}
    with train.keep_statistics(net):
        net(images)
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers() if name in before)
    net(images)
    assert not any(torch.equal(value, before[name]) for name, value in net.named_buffers() if name in before)


def test_adapted_statistics_are_the_mean_over_batches():
    torch.manual_seed(0)
    net = models.build("mini", 3)
    layer = net.stem[0][1]
    inputs = []
    layer.register_forward_hook(lambda module, args, out: inputs.append(args[0]))
    batches = [data.Batch(torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8), None, []) for _ in range(3)]
    train.adapt_statistics(net, batches, torch.device("cpu"))
    expected = torch.stack([x.mean(dim=(0, 2, 3)) for x in inputs]).mean(dim=0)
    torch.testing.assert_close(layer.running_mean, expected)
    assert layer.momentum == 0.1
