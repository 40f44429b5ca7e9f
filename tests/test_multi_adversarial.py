"""The recipes of Shen et al.; the gate is tested in test_adversarial_gate.py, the networks in test_fusion.py."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from udalib import data, models, predict, recipes, select, train
from udalib.recipes import adversarial
from udalib.recipes.experiment import quality_of
from udalib.recipes.gate_study import GRID
from udalib.recipes.multi_adversarial import MultiAdversarial, confidence_of


def silent(text):
    pass


def run(name, **settings):
    return recipes.run(name, profile="smoke", seed=0, report=silent, **settings)


# The half-steps, on toy networks ------------------------------------------------------------------------


class Toy(nn.Module):
    """Three layers: the first makes `aux`, the second `features` from it, the third logits."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1), nn.Conv2d(5, 2, 1)

    def forward(self, images):
        aux = self.first(images).tanh()
        features = self.second(aux).tanh()
        return models.Output(self.third(features), aux=aux, features=features)


class Game:
    """A toy network with two discriminators, D1 on `features` and D2 on `aux`, and the loss of one step of `play`."""

    def __init__(self, monkeypatch, game="non_saturating", gan="vanilla", weights=(0.5, 0.25)):
        torch.manual_seed(0)
        self.net = Toy()
        self.judges = models.FeatureDiscriminator(5, 1, width=3), models.FeatureDiscriminator(4, 1, width=3)
        self.weights, self.gan, self.game = weights, gan, game
        views = (lambda output: output.features, lambda output: output.aux)
        levels = [adversarial.Level(*level) for level in zip(self.judges, views, weights, strict=True)]
        self.source, self.target = torch.randn(2, 2, 3, 4, 6)
        self.labels = torch.randint(0, 2, (2, 4, 6))
        batch = (self.source, self.labels), (self.target, self.labels)
        kept = {}
        monkeypatch.setattr(adversarial, "_both_domains", lambda x, s: None)

        class Enough(Exception):
            pass

        def capture(players, number, plans, batches, loss):
            kept.update(players=players, plans=plans, loss=loss)
            raise Enough

        x = SimpleNamespace(
            device="cpu",
            rounds=lambda net, count: [1],
            train=capture,
            augmented=lambda batch, number, step: batch,
        )
        settings = MultiAdversarial(steps=4, game=game, gan=gan)
        with pytest.raises(Enough):
            adversarial.play(x, settings, self.net, levels, self.segmentation, {"net": settings.plan(4)})
        self.players, self.plans = kept["players"], kept["plans"]
        self.total = kept["loss"](self.players, batch, 0)

    def segmentation(self, output, labels):
        return train.cross_entropy(output.logits, labels)

    def fooling(self, level):
        """The network's side of one level, as a function of the network's present weights."""
        seen = [(output.features, output.aux)[level] for output in (self.net(self.source), self.net(self.target))]
        if self.game == "minmax":
            return train.minmax_loss(self.judges[level], *seen)
        return train.alignment_loss(self.judges[level], seen[1], self.gan)

    def telling(self, level):
        seen = [(output.features, output.aux)[level] for output in (self.net(self.source), self.net(self.target))]
        return train.discriminator_loss(self.judges[level], *seen, self.gan)

    def grad(self, loss, part):
        found = torch.autograd.grad(loss, list(part.parameters()), retain_graph=True, allow_unused=True)
        return [torch.zeros_like(w) if g is None else g for g, w in zip(found, part.parameters(), strict=True)]


GAMES = [("non_saturating", "vanilla"), ("non_saturating", "least_squares"), ("minmax", "vanilla")]


@pytest.mark.parametrize(("game", "gan"), GAMES)
def test_one_backward_pass_is_all_three_half_steps(monkeypatch, game, gan):
    """Each part of the sum moves its own player: the network by Eq. 4, each discriminator by its own loss."""
    toy = Game(monkeypatch, game, gan)
    network = toy.segmentation(toy.net(toy.source), toy.labels) + sum(
        weight * toy.fooling(level) for level, weight in enumerate(toy.weights)
    )
    torch.testing.assert_close(toy.grad(toy.total, toy.net), toy.grad(network, toy.net))
    for level, judge in enumerate(toy.judges):
        torch.testing.assert_close(toy.grad(toy.total, judge), toy.grad(toy.telling(level), judge))
        assert all(not g.any() for g in toy.grad(toy.telling(level), toy.net))
        assert all(not g.any() for g in toy.grad(network, judge))
    assert set(toy.plans) == {"net", "discriminators"}
    assert set(toy.players.discriminators) == set(toy.judges)


@pytest.mark.parametrize(("game", "gan"), GAMES)
def test_a_level_moves_the_layers_below_its_map_alone(monkeypatch, game, gan):
    toy = Game(monkeypatch, game, gan)
    first, second, third = toy.net.first, toy.net.second, toy.net.third
    moved = [[any(g.any() for g in toy.grad(toy.fooling(i), part)) for part in (first, second, third)] for i in (0, 1)]
    assert moved == [[True, True, False], [True, False, False]]


@pytest.mark.parametrize(("game", "gan"), GAMES)
@pytest.mark.parametrize("level", [0, 1])
def test_each_half_step_goes_down_its_own_side(monkeypatch, game, gan, level):
    """A step of the network raises what D says of the target; a step of D tells the domains apart better."""
    toy = Game(monkeypatch, game, gan)

    def said_of_target():
        output = toy.net(toy.target)
        return toy.judges[level]((output.features, output.aux)[level]).mean().item()

    before, telling = said_of_target(), toy.telling(level).item()
    step = toy.grad(toy.fooling(level), toy.net)
    with torch.no_grad():
        for weight, g in zip(toy.net.parameters(), step, strict=True):
            weight -= 1e-2 * g
    if game != "minmax":  # whose step also moves the source
        assert said_of_target() > before
    with torch.no_grad():
        for weight, g in zip(toy.net.parameters(), step, strict=True):
            weight += 1e-2 * g
    step = toy.grad(toy.telling(level), toy.judges[level])
    with torch.no_grad():
        for weight, g in zip(toy.judges[level].parameters(), step, strict=True):
            weight -= 1e-2 * g
    assert toy.telling(level).item() < telling


def test_the_record_of_a_step_holds_all_losses(monkeypatch):
    toy = Game(monkeypatch)
    by_hand = [toy.segmentation(toy.net(toy.source), toy.labels)]
    by_hand += [loss(level) for level in (0, 1) for loss in (toy.fooling, toy.telling)]
    assert toy.players.losses[0].tolist() == pytest.approx([value.item() for value in by_hand], rel=1e-5)
    assert toy.players.scores[0, :, 1].tolist() == [2 * 2 * 6, 2 * 2 * 6]  # two domains, two images, 2x3 places


# The recipes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "files"), [("singleadv", 1), ("multiadv", 2)])
def test_alignment_starts_from_a_source_run_of_its_network(name, files):
    result = run(name)
    game = result.rounds[-1]["game"]
    assert ("aux_accuracy" in game) == (files == 2) and len(game["accuracy"]) == 4
    kept = sorted(path.name for path in result.record_path.parent.glob("discriminator*.pt"))
    assert kept == ["discriminator.pt", "discriminator_aux.pt"][:files]
    assert result.record["start"] == run("source", network="mini_fusion").record_path.parent.name


def test_both_weights_count():
    def network(name, **settings):
        return train.load(run(name, **settings).weights())["decoder.blocks.0.refine.0.0.weight"]

    single = network("singleadv")
    torch.testing.assert_close(network("multiadv", level_weight=0.0), single)
    assert not torch.equal(network("multiadv", level_weight=1.0), single)


def by_hand(start):
    """The stream of the aligned network's predictions and confidences on the target."""
    aligned = run(start)
    net = recipes.load_network(aligned)
    target = data.benchmark("game-city", "smoke", 0).target
    return list(predict.judged(net, data.ordered_batches(target), confidence_of(aligned, net))), net, target


def test_confidence_is_the_discriminators_probability_of_source():
    stream, net, target = by_hand("multiadv")
    folder = run("multiadv").record_path.parent
    batch = next(iter(data.ordered_batches(target)))
    with torch.no_grad():
        output = net(batch.images)
        for number, (name, seen, halvings) in enumerate(
            (("discriminator.pt", output.features, 3), ("discriminator_aux.pt", output.aux, 2))
        ):
            judge = models.FeatureDiscriminator(48, halvings, width=32)
            judge.load_state_dict(train.load(folder / name))
            torch.testing.assert_close(stream[0][1][:, number], judge(seen).sigmoid()[:, 0])
    assert stream[0][1].shape == (16, 2, 2, 4)
    for (probs, _, names), (wanted, others) in zip(
        stream, predict.whole(net, data.ordered_batches(target)), strict=True
    ):
        torch.testing.assert_close(probs, wanted)
        assert names == others


@pytest.mark.parametrize("start", ["singleadv", "multiadv"])
def test_proxies_are_the_gates_labels(start):
    stream, *_ = by_hand(start)
    gate = select.AdversarialGate(0.6, 0.8).fit(stream)
    labels = torch.cat([gate.label(probs, confidence) for probs, confidence, _ in stream])
    result = run("proxies", start=start)
    entry = result.rounds[0]
    truth = torch.stack([data.benchmark("game-city", "smoke", 0, oracle=True).target[i].label for i in range(16)])
    assert entry["labels"] == quality_of(labels, truth, 19)
    assert entry["thresholds"] == pytest.approx(gate.thresholds.tolist())
    assert entry["confidence_threshold"] == pytest.approx(gate.confidence_threshold)
    assert 0 <= entry["multi_scale"]["miou"] <= 1 and result.record["start"].startswith(f"{start}-")
    assert not [path.name for path in result.record_path.parent.iterdir() if path.name not in
                ("record.json", "round1.pt", "lock")]  # fmt: skip


# After so few steps at so small a rate the weights are still those of the beginning.
STILL = {"lr": 1e-9, "test_scales": (1.0,)}


def test_the_aligned_network_can_go_on():
    aligned = train.load(run("multiadv").weights())
    after = train.load(run("proxies", initial="aligned", **STILL).weights())
    torch.testing.assert_close(after["stage1.first.0.weight"], aligned["stage1.first.0.weight"])


def test_without_a_gate_proxies_are_class_balanced_and_a_fresh_network_begins_untrained():
    stream, *_ = by_hand("multiadv")
    result = run("proxies", keep=1.0, portion=0.5, **STILL)
    plain = select.ClassBalanced(0.5).fit(stream)
    assert result.rounds[0]["confidence_threshold"] is None
    assert result.rounds[0]["thresholds"] == pytest.approx(plain.thresholds.tolist())
    torch.manual_seed(0)
    fresh, after = models.build("mini_fusion", 19).state_dict(), train.load(result.weights())
    torch.testing.assert_close(after["stage1.first.0.weight"], fresh["stage1.first.0.weight"])


def test_the_gate_study_judges_the_grid_and_its_rivals():
    study = run("gate-study").rounds[-1]["study"]
    of = {(entry["keep"], entry["portion"], entry["gated"]): entry for entry in study}
    assert len(of) == len(study) == 2 * len(GRID) - sum(keep == 1 for keep, _ in GRID)
    stream, *_ = by_hand("multiadv")
    gate = select.AdversarialGate(0.6, 0.5).fit(stream)
    labels = torch.cat([gate.label(probs, confidence) for probs, confidence, _ in stream])
    truth = torch.stack([data.benchmark("game-city", "smoke", 0, oracle=True).target[i].label for i in range(16)])
    assert quality_of(labels, truth, 19).items() <= of[0.6, 0.5, True].items()
    for (keep, portion, gated), entry in of.items():
        if gated and keep < 1:
            assert of[keep, portion, False]["coverage"] == pytest.approx(entry["coverage"], abs=0.02)
    assert of[1.0, 1.0, True]["coverage"] == pytest.approx(1, abs=1e-3)  # all but the least sure pixel of each class


def test_unusable_settings_are_refused_before_any_work():
    for name, settings, sentence in [
        ("proxies", {"start": "adaptseg"}, "no start 'adaptseg'; choose one of: singleadv, multiadv"),
        ("proxies", {"initial": "imagenet"}, "no initial 'imagenet'; choose one of: fresh, aligned"),
        ("proxies", {"keep": 0.0}, "keep is 0.0"),
        ("gate-study", {"start": "source"}, "no start 'source'"),
        ("gate-study", {"normalise": "mean"}, "no normalisation 'mean'"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            run(name, **settings)


# What comes before --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "before"),
    [
        ("proxies", {}, ("multiadv", "game-city", {})),
        ("proxies", {"start": "singleadv"}, ("singleadv", "game-city", {})),
        ("multiadv", {}, ("source", "game-city", {"network": "mini_fusion"})),
        ("adabn", {"network": "mini_fusion"}, ("source", "game-city", {"network": "mini_fusion"})),
        ("adaptseg", {"network": "mini_levels"}, ("source", "game-city", {})),
        ("mlsl", {}, ("source", "game-city", {})),
        ("iast", {}, ("adaptseg", "game-city", {})),
        ("curriculum", {"start": "source", "network": "resnet18_dual_ppm"},
         ("source", "game-city", {"network": "resnet18_dual_ppm"})),
        ("curriculum", {}, ("source", "game-city", {})),
        ("curriculum", {"start": ""}, None),
        ("source", {}, None),
    ],
)  # fmt: skip
def test_the_run_before_has_the_same_network(name, settings, before):
    assert recipes.start_of(name, "game-city", "quick", **settings) == before


def test_one_sided_recipes_start_from_the_first_benchmark_with_that_side():
    assert recipes.start_of("source", "synth-city") is None
    assert recipes.start_of("source", "game-dashcam", network="mini_fusion") == (
        "source", "game-city", {"network": "mini_fusion"},
    )  # fmt: skip
