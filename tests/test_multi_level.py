"""The recipes of MLSL; windows and weak labels are tested in test_windows.py and test_weak_labels.py."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from udalib import data, models, predict, recipes, select, train


def silent(text):
    pass


def run(name, **settings):
    return recipes.run(name, profile="smoke", seed=0, report=silent, **settings)


def test_the_image_head_reads_the_encoder():
    net = models.build("mini_image", 5).train()
    output = net(torch.randint(0, 256, (2, 3, 32, 64)))
    assert output.logits.shape == (2, 5, 8, 16) and output.aux.shape == (2, 5)
    output.aux.sum().backward()
    assert net.stage3[1].second[0].weight.grad.abs().sum() > 0 and net.classifier.weight.grad is None
    plain = models.build("mini", 5)
    missing, strange = net.load_state_dict(plain.state_dict(), strict=False)
    assert not strange and all(name.startswith("head.") for name in missing)
    images = torch.randint(0, 256, (1, 3, 32, 64))
    with torch.no_grad():
        assert torch.equal(net.eval()(images).logits, plain.eval()(images).logits)


def test_the_papers_head_has_its_parameters():
    head = models.ImageHead(4096, 19, width=2048)
    assert sum(weight.numel() for weight in head.parameters()) == 47_200_275


@given(seed=st.integers(0, 10**6), least=st.integers(1, 60), ignored=st.floats(0, 1), sharp=st.sampled_from([0.1, 5.0]))
def test_hard_examples_equal_a_slow_reference(seed, least, ignored, sharp):
    generator = torch.Generator().manual_seed(seed)
    logits = sharp * torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator).to(torch.uint8)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    probs = logits.softmax(dim=1)
    sure = {
        (b, y, x): probs[b, labels[b, y, x].item(), y, x].item()
        for b in range(2)
        for y in range(4)
        for x in range(5)
        if labels[b, y, x] != 255
    }
    hardest = set(sorted(sure, key=sure.get)[:least])
    kept = {pixel for pixel, p in sure.items() if p <= 0.6} | hardest
    found = train.hard_example_labels(logits, labels, least=least)
    assert {tuple(pixel) for pixel in (found != 255).nonzero().tolist()} == kept
    assert all(found[pixel] == labels[pixel] for pixel in kept)


@pytest.mark.parametrize("with_prior", [False, True])
def test_labels_are_those_of_the_averaged_windows(with_prior):
    result = run("sisc", prior=with_prior)
    prior = select.SpatialPrior.load(result.record_path.parent / "prior.pt") if with_prior else None
    net = recipes.load_network(recipes.run("source", profile="smoke", seed=0, report=silent))
    target = data.benchmark("game-city", "smoke", 0).target
    stream = predict.windows(
        net, data.ordered_batches(target), 6, size=(32, 32), generator=data.seeded(0, 1), batch_size=25
    )
    assert result.rounds[0]["thresholds"] == select.ClassBalanced(0.2, prior).fit(stream).thresholds.tolist()
    covered = result.record["notes"]["covered"]
    assert covered[0] == round(stream.coverage, 6) < 1 and len(covered) == len(result.rounds)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sisc", {"include_full": True, "placement": "official", "flip": True, "hard_examples": True, "rounds": 1}),
        ("sisc", {"vote": "hard", "rounds": 1}),
        ("mlsl", {"presence": "crop", "eta": 0.0225, "strict": False, "weak_weight": 0.04, "rounds": 1}),
    ],
)
def test_the_other_choices_run(name, settings):
    assert 0 <= run(name, **settings).miou <= 1


def test_weak_labels_train_the_head_and_the_encoder():
    ours, without = (train.load(run("mlsl", weak_weight=weight).weights()) for weight in (1.0, 0.0))
    assert not torch.equal(ours["stage3.0.first.0.weight"], without["stage3.0.first.0.weight"])
    assert not torch.equal(ours["head.linear.2.bias"], without["head.linear.2.bias"])


def test_unknown_presence_is_refused():
    with pytest.raises(ValueError, match="no presence 'somewhere'; choose one of: image, crop"):
        run("mlsl", presence="somewhere")


def test_the_window_study_judges_every_way_at_every_portion():
    study = run("window-study").rounds[-1]["study"]
    ways = [(0, "soft"), (2, "soft"), (4, "soft"), (4, "hard")]
    found = [(entry["windows"], entry["vote"], entry["portion"]) for entry in study]
    assert found == [(*way, portion) for way in ways for portion in (0.2, 0.5, 0.8)]
    whole = run("label-study").rounds[-1]["study"]
    same = next(e for e in whole if (e["selection"], e["prior"], e["portion"]) == ("CBST", "", 0.5))
    assert study[1]["class_precision"] == same["class_precision"] and study[1]["coverage"] == same["coverage"]
    assert study[4]["precision"] != study[1]["precision"]
