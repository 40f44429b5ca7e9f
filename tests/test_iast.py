"""The recipe of IAST and its regularisers; the selector is tested in test_instance_adaptive.py."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from udalib import data, figures, predict, recipes, score, select, tables, train
from udalib.recipes.experiment import quality_of


def silent(text):
    pass


def run(**settings):
    return recipes.run("iast", profile="smoke", seed=0, report=silent, **{"warmup": "source", **settings})


def by_hand(logits, where, per_pixel, normalise):
    """Mean over the chosen pixels, one pixel at a time, in Python's floats."""
    values = []
    for b, y, x in where.nonzero().tolist():
        exps = [math.exp(value) for value in logits[b, :, y, x].tolist()]
        values.append(per_pixel([e / sum(exps) for e in exps]))
    mean = sum(values) / len(values) if values else 0.0
    return mean / logits.shape[1] if normalise == "elements" else mean


@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.0, 0.3, 1.0]), normalise=st.sampled_from(train.NORMALISE))
def test_regularisers_equal_sums_by_hand(seed, share, normalise):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 4, 3, 5, generator=generator)
    where = torch.rand(2, 3, 5, generator=generator) < share
    flat = by_hand(logits, where, lambda p: -sum(map(math.log, p)) / len(p), normalise)
    unsure = by_hand(logits, where, lambda p: -sum(q * math.log(q) for q in p), normalise)
    assert train.flatness(logits, where, normalise).item() == pytest.approx(flat, rel=1e-4, abs=1e-6)
    assert train.entropy(logits, where, normalise).item() == pytest.approx(unsure, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("regulariser", [train.flatness, train.entropy])
def test_regularisers_of_no_pixel_are_zero_with_a_graph(regulariser):
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    value = regulariser(logits, torch.zeros(1, 4, 4, dtype=torch.bool))
    value.backward()
    assert value.item() == 0 and torch.equal(logits.grad, torch.zeros_like(logits))
    with pytest.raises(ValueError, match="no normalisation 'images'; choose one of: elements, pixels"):
        regulariser(logits, torch.ones(1, 2, 2, dtype=torch.bool), "images")


def test_the_smallest_entropy_is_certain_and_the_smallest_divergence_uniform():
    certain, uniform = torch.tensor([40.0, 0, 0]).view(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    everywhere = torch.ones(1, 1, 1, dtype=torch.bool)
    assert train.entropy(certain, everywhere) < 1e-6 and train.entropy(uniform, everywhere, "pixels").item() == (
        pytest.approx(math.log(3))
    )
    assert train.flatness(uniform, everywhere, "pixels").item() == pytest.approx(math.log(3))
    assert train.flatness(certain, everywhere) > train.flatness(uniform, everywhere)


def test_labels_and_thresholds_are_those_of_the_start_network():
    first = run().rounds[0]
    net = recipes.load_network(recipes.run("source", profile="smoke", seed=0, report=silent))
    target = data.benchmark("game-city", "smoke", 0).target
    selector = select.InstanceAdaptive()
    labels = torch.cat([selector.label(*pair) for pair in predict.whole(net, data.ordered_batches(target))])
    assert first["thresholds"] == selector.thresholds.tolist()
    oracle = data.benchmark("game-city", "smoke", 0, oracle=True).target
    truth = torch.stack([oracle[index].label for index in range(len(oracle))])
    assert first["labels"] == quality_of(labels, truth, 19)
    assert first["trajectory"] == {"order": list(range(16)), "thresholds": selector.trajectory.tolist()}


def test_images_of_several_scales_are_not_mirrored():
    result = run()
    val = data.benchmark("game-city", "smoke", 0).val
    net = recipes.load_network(result)
    matrix = score.ConfusionMatrix(19)
    for batch in data.ordered_batches(val):
        for probs, _ in predict.whole(net, [batch], scales=(0.5, 0.625, 0.75, 0.88, 1.0)):
            matrix.update(probs.argmax(dim=1), batch.labels)
    assert result.rounds[-1]["multi_scale"]["confusion"] == matrix.matrix.tolist()
    assert "multi_scale" not in result.rounds[0]


def test_a_random_order_and_its_thresholds_are_kept():
    result = run(order="random", variant="official", alpha_step=0.05)
    first, second = (entry["trajectory"] for entry in result.rounds)
    assert first["order"] == second["order"] != list(range(16)) and sorted(first["order"]) == list(range(16))
    assert np.shape(first["thresholds"]) == (16, 19) and first["thresholds"] != second["thresholds"]
    assert [entry["alpha"] for entry in result.rounds] == pytest.approx([0.2, 0.25])


@pytest.mark.parametrize("settings", [{"selector": "class_balanced"}, {"selector": "constant", "portion": 0.4}])
def test_the_rivals_of_the_selector_run(settings):
    entry = run(**settings).rounds[0]
    wanted = select.ClassBalanced(0.2) if settings["selector"] == "class_balanced" else select.SelfTraining(0.4)
    net = recipes.load_network(recipes.run("source", profile="smoke", seed=0, report=silent))
    target = data.benchmark("game-city", "smoke", 0).target
    wanted.fit(predict.whole(net, data.ordered_batches(target)))
    assert entry["thresholds"] == torch.as_tensor(wanted.thresholds).tolist()


def test_the_middle_of_a_round_can_label_the_next():
    last, middle = run(epochs=1.0), run(epochs=1.0, labeller="middle")
    assert last.rounds[0]["miou"] == middle.rounds[0]["miou"]
    assert last.rounds[1]["thresholds"] != middle.rounds[1]["thresholds"]
    assert (middle.record_path.parent / "round1.middle.pt").exists()


def test_by_default_the_target_alone_is_read(monkeypatch):
    drawn, draw = set(), data.training_batches

    def watched(dataset, *arguments):
        for batch in draw(dataset, *arguments):
            drawn.update(batch.names)
            yield batch

    recipes.run("adaptseg", profile="smoke")  # the warm-up does read the source
    monkeypatch.setattr(data, "training_batches", watched)
    run(rounds=1, lr=3e-5)
    bench = data.benchmark("game-city", "smoke", 0)
    assert drawn and drawn <= {sample.name for sample in bench.target}
    assert not drawn & {sample.name for sample in bench.source}


def test_the_source_can_stay():
    without, along = train.load(run().weights()), train.load(run(source_weight=1.0).weights())
    assert not torch.equal(without["classifier.weight"], along["classifier.weight"])


def test_a_warm_up_comes_first():
    result = run(warmup="minent", rounds=1)
    assert result.record["start"].startswith("minent-")


def test_unusable_settings_are_refused_before_any_work():
    for settings, sentence in [
        ({"selector": "oracle"}, "no selector 'oracle'; choose one of: instance"),
        ({"labeller": "best"}, "no labeller 'best'; choose one of: last, middle"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"normalise": "images"}, "no normalise 'images'"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            run(**settings)


def test_the_instance_study_judges_every_setting():
    study = recipes.run("instance-study", profile="smoke", seed=0, report=silent, start="source").rounds[-1]["study"]
    assert [entry["selection"] for entry in study] == ["constant", "class_balanced"] + ["instance"] * 10
    of = {tuple(entry.get(key) for key in ("alpha", "beta", "gamma")): entry for entry in study}
    net = recipes.load_network(recipes.run("source", profile="smoke", seed=0, report=silent))
    target = data.benchmark("game-city", "smoke", 0).target
    stream = list(predict.whole(net, data.ordered_batches(target)))
    selector = select.InstanceAdaptive(0.3, 0.9, 8)
    labels = torch.cat([selector.label(probs) for probs, _ in stream])
    truth = torch.stack([data.benchmark("game-city", "smoke", 0, oracle=True).target[i].label for i in range(16)])
    quality = score.label_quality(labels, truth, 19)
    assert of[0.3, 0.9, 8.0]["coverage"] == pytest.approx(quality.coverage, abs=1e-6)
    found = [math.nan if iou is None else iou for iou in of[0.3, 0.9, 8.0]["class_iou"]]
    assert found == pytest.approx(quality.iou.tolist(), abs=1e-6, nan_ok=True)


def test_the_picture_shows_labels_in_three_ways(tmp_path):
    rows = tables.TABLES["instance_adaptive"].rows
    results = [recipes.run(row.recipe, profile="smoke", report=silent, **row.settings) for row in rows]
    paths = [result.record_path for result in results]
    figures.write_instance_labels(paths, tmp_path, count=2)
    assert (tmp_path / "instance_labels.png").stat().st_size > 20_000
    with pytest.raises(ValueError, match="warm-up"):
        figures.write_instance_labels(paths[:3] + paths[4:], tmp_path)
