"""Labels for a share of the target: which are opened, what is trained on them, and what the record says."""

import pytest
import torch

from udalib import data, predict, recipes, select, train
from udalib.recipes.experiment import quality_of

SHARE = 0.25  # 4 of the 16 images of the smoke profile


def silent(text):
    pass


def run(recipe, **settings):
    return recipes.run(recipe, profile="smoke", seed=0, report=silent, **settings)


def semi_supervised(**settings):
    return run("iast", **{"warmup": "labelled", "labelled_share": SHARE, **settings})


def test_the_door_opens_the_labels_of_the_share_alone():
    bench = data.benchmark("game-city", "smoke", 0)
    opened, truth = data.open_labelled_share(bench, SHARE), bench.oracle().target
    assert len(opened.labelled) == len(opened.source) == 4 and len(opened.target) == 12
    for sample, position in zip(opened.source, opened.labelled, strict=True):
        assert sample.name == bench.target[position].name and torch.equal(sample.label, truth[position].label)
    assert all(sample.label is None for sample in opened.target)
    others = [position for position in range(16) if position not in opened.labelled]
    assert [sample.name for sample in opened.target] == [bench.target[position].name for position in others]
    assert all(
        torch.equal(sample.label, truth[position].label)
        for sample, position in zip(opened.oracle().target, others, strict=True)
    )
    assert (opened.val, opened.classes, opened.seed) == (bench.val, bench.classes, 0)


def test_the_seed_decides_which_images_are_labelled_and_shares_are_nested():
    chosen = {
        (seed, share): data.open_labelled_share(data.benchmark("game-city", "smoke", seed), share).labelled
        for seed in (0, 1)
        for share in (1 / 8, 1 / 4, 1 / 2)
    }
    for seed in (0, 1):
        eighth, quarter, half = (set(chosen[seed, share]) for share in (1 / 8, 1 / 4, 1 / 2))
        assert eighth < quarter < half and [len(eighth), len(quarter), len(half)] == [2, 4, 8]
    assert chosen[0, 1 / 2] != chosen[1, 1 / 2]


@pytest.mark.parametrize("share", [-0.5, 0.0, 0.01, 0.99, 1.0])
def test_a_share_without_labels_or_without_others_is_refused(share):
    with pytest.raises(ValueError, match=r"labelled_share of .* opens .* of the 16 target images of game-city"):
        data.open_labelled_share(data.benchmark("game-city", "smoke", 0), share)


def test_the_baseline_sees_the_labelled_images_alone(monkeypatch):
    seen, draw = set(), data.training_batches

    def watched(*arguments):
        for batch in draw(*arguments):
            seen.update(batch.names)
            yield batch

    monkeypatch.setattr(data, "training_batches", watched)
    record = run("labelled", labelled_share=SHARE, steps=3).record
    bench = data.open_labelled_share(data.benchmark("game-city", "smoke", 0), SHARE)
    assert seen == {sample.name for sample in bench.source}
    positions = " ".join(map(str, bench.labelled))
    assert record["notes"]["labelled"] == {"images": 4, "of": 16, "positions": positions}
    assert record["settings"]["labelled_share"] == SHARE and record["start"] is None


def test_iast_starts_from_the_baseline_of_the_same_share_and_labels_the_others():
    result = semi_supervised()
    start = run("labelled", labelled_share=SHARE)
    assert result.record["start"] == start.record_path.parent.name
    assert result.record["notes"] == start.record["notes"]
    bench = data.open_labelled_share(data.benchmark("game-city", "smoke", 0), SHARE)
    net, selector = recipes.load_network(start), select.InstanceAdaptive()
    labels = torch.cat([selector.label(*pair) for pair in predict.whole(net, data.ordered_batches(bench.target))])
    truth = torch.stack([sample.label for sample in bench.oracle().target])
    assert result.rounds[0]["labels"] == quality_of(labels, truth, 19)


def test_the_labels_of_the_share_are_trained_on_and_the_source_is_not(monkeypatch):
    drawn, draw = [], data.training_batches

    def watched(dataset, *arguments):
        for batch in draw(dataset, *arguments):
            drawn.append((set(batch.names), batch.labels))
            yield batch

    monkeypatch.setattr(data, "training_batches", watched)
    without = semi_supervised(labelled_weight=0.0, rounds=1)
    bench = data.open_labelled_share(data.benchmark("game-city", "smoke", 0), SHARE)
    truth = {sample.name: sample.label for sample in bench.source}
    assert not any(names & set(truth) for names, _ in drawn[-3:])
    drawn.clear()
    along = semi_supervised(labelled_weight=2.0, rounds=1)
    names = set().union(*(names for names, _ in drawn))
    assert names & set(truth) and names <= {sample.name for sample in bench.whole.target}
    weights = [train.load(result.weights())["classifier.weight"] for result in (without, along)]
    assert not torch.equal(*weights)


def test_the_share_is_passed_on_to_a_recipe_that_takes_one_and_to_no_other():
    assert recipes.start_of("iast", warmup="labelled", labelled_share=0.5).settings == {"labelled_share": 0.5}
    assert recipes.start_of("iast", warmup="adaptseg", labelled_share=0.5).settings == {}
    assert recipes.start_of("iast").settings == {}
    with pytest.raises(ValueError, match="labelled_share of 0 opens 0 of the 16"):
        run("iast", warmup="labelled")


def test_the_share_takes_the_place_of_the_source():
    with pytest.raises(ValueError, match="leave out labelled_share or source_weight"):
        semi_supervised(source_weight=1.0)
