"""The recipe of Chitta et al.; its masks, schedules and penalty are tested in test_curriculum_parts.py."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from udalib import data, figures, recipes, tables, train
from udalib.data import Batch
from udalib.labels import CITYSCAPES, IGNORE
from udalib.models import Output
from udalib.recipes.curriculum import Curriculum, _class_weights, agreement_quality, borders, both_decoders
from udalib.recipes.experiment import Experiment


def silent(text):
    pass


def run(**settings):
    return recipes.run("curriculum", profile="smoke", seed=0, report=silent, **settings)


def test_a_smoke_run_records_epochs_and_agreement():
    last = run().rounds[-1]
    assert len(last["epochs"]) == 4 and [entry["epoch"] for entry in last["study"]] == [0, 1, 2, 3, 4]
    for entry in last["study"]:
        assert 0 <= entry["easy"] <= 1 and entry["hard_border"] is None or 0 <= entry["hard_border"] <= 1
    assert 0 <= last["miou"] <= 1


def test_only_hard_source_pixels_are_kept_once_the_ramp_is_over():
    for epoch in run(first_share=1.0, last_share=1.0).rounds[-1]["epochs"][2:]:
        assert epoch["source_kept"] == pytest.approx(epoch["source_hard"]) and epoch["target_kept"] is None


def test_without_mining_all_pixels_are_kept():
    for epoch in run(easy_mining=False, hard_mining=False).rounds[-1]["epochs"]:
        assert epoch["source_kept"] in (1, None) and epoch["target_kept"] in (1, None)


def test_easy_mining_keeps_the_easy_target_pixels():
    for epoch in run(first_share=0.0, last_share=0.0).rounds[-1]["epochs"]:
        assert epoch["target_kept"] == pytest.approx(1 - epoch["target_hard"]) and epoch["source_kept"] is None


@pytest.mark.parametrize(
    "settings",
    [
        {"weights": "paper", "normalise": "all", "average": "probs", "easy": "agree_and_correct"},
        {"weights": "none", "similarity": "inner", "similar_weights": "all", "reading": "ratio"},
    ],
)
def test_every_reading_of_the_paper_runs(settings):
    assert 0 <= run(**settings).miou <= 1


class Captured(Exception):
    """Raised in place of a training."""


def slow_loss(each, labels, truth_known, weights, drop, dropped, normalise):
    """Eq. 1-5 pixel by pixel. each: logits [2, B, C, H, W] of two decoders; dropped: random numbers [B, H, W]."""
    mass, total, here, kept = [0.0, 0.0], [0.0, 0.0], 0, 0
    for b, y, x in np.ndindex(*labels.shape):
        if labels[b, y, x] == IGNORE:
            continue
        here += 1
        says = [int(np.argmax(each[member, b, :, y, x])) for member in range(2)]
        if truth_known:
            label = None if says[0] == says[1] and dropped[b, y, x] < drop else int(labels[b, y, x])
        else:
            label = says[0] if says[0] == says[1] else None
        if label is None:
            continue
        kept += 1
        for member in range(2):
            logits = each[member, b, :, y, x].astype(float)
            total[member] -= weights[label] * (logits[label] - np.log(np.exp(logits).sum()))
            mass[member] += weights[label]
    loss = sum(one / max(by, 1e-12) for one, by in zip(total, mass, strict=True))
    return loss * (kept / here if normalise == "all" else 1)


@pytest.mark.parametrize("normalise", ["kept", "all"])
@pytest.mark.parametrize("share", [1.0, 0.0])  # of source batches
def test_the_loss_of_a_step_equals_a_loop_over_the_pixels(monkeypatch, share, normalise):
    caught = {}

    def train_nothing(self, net, number, plan, batches, loss):
        caught.update(x=self, net=net, batches=batches, loss=loss)
        raise Captured

    monkeypatch.setattr(Experiment, "train", train_nothing)
    with pytest.raises(Captured):
        run(start="", first_share=share, last_share=share, normalise=normalise, ramp=2.0, penalty=0.01)
    x, net, s = caught["x"], caught["net"].net, caught["x"].settings
    weights = _class_weights(x, s).numpy()
    for step in (2, 3, 7):  # of 8, in epochs 1, 1 and 3: source pixels are dropped with 0.5, 0.5 and 1
        drawn = next(caught["batches"](step))
        loss = caught["loss"](caught["net"], drawn, step)
        images, labels = x.augmented(drawn[1], 1, step)
        with torch.no_grad():
            each = both_decoders(net(images), labels.shape[-2:]).numpy()
            penalty = s.penalty * train.decoder_similarity(*net.decoders).item()
        drop = train.drop_share(s.epoch(step), s.ramp)
        dropped = torch.rand(labels.shape, generator=data.seeded(0, -1 - step)).numpy()
        expected = slow_loss(each, labels.numpy(), share == 1, weights, drop, dropped, normalise)
        assert drawn[0] == (0 if share == 1 else 1) and loss.item() == pytest.approx(expected + penalty, rel=1e-4)


def test_the_picture_is_made_from_the_records_of_the_table(tmp_path):
    rows = tables.TABLES["curriculum"].rows
    results = [recipes.run(row.recipe, profile="smoke", report=silent, **row.settings) for row in rows]
    paths = [result.record_path for result in results]
    figures.write_curriculum(paths, tmp_path, count=2)
    assert (tmp_path / "curriculum.png").stat().st_size > 20_000
    with pytest.raises(ValueError, match="source hard mining"):
        figures.write_curriculum(paths[:-2], tmp_path)


def test_the_encoder_can_start_from_another_recipe():
    result = run(lr=0.0, penalty=0.0)
    assert not run(start="").record["start"]
    before = train.load(recipes.run("source", profile="smoke", seed=0, report=silent).weights())
    after = train.load(result.weights())
    assert torch.equal(before["stage3.0.first.0.weight"], after["stage3.0.first.0.weight"])
    assert result.record["start"].startswith("source-")


def test_as_many_classes_count_twice_as_in_the_paper():
    bench = SimpleNamespace(source=None, classes=CITYSCAPES)
    by_share = torch.arange(19.0) + 1  # the first class is the most frequent, the last the rarest
    x = SimpleNamespace(bench=bench, device="cpu", class_weights=lambda domain, exponent: by_share**exponent)
    source, paper = (_class_weights(x, Curriculum(weights=name)).tolist() for name in ("source", "paper"))
    assert source == [1.0] * 13 + [2.0] * 6
    assert sum(paper) == sum(source) and paper[CITYSCAPES.index("rider")] == 2
    assert _class_weights(x, Curriculum(weights="none")) is None


def test_unusable_settings_are_refused():
    with pytest.raises(ValueError, match="no weights 'gold'; choose one of: none, paper, source"):
        run(weights="gold")
    with pytest.raises(ValueError, match="3 steps make no 4 epochs"):
        run(steps=3)


class Toy(torch.nn.Module):
    """Two decoders that predict what the first two channels of the image say."""

    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images):
        each = torch.stack([torch.nn.functional.one_hot(images[:, e].long(), 3).permute(0, 3, 1, 2) for e in (0, 1)])
        return Output(each.float().mean(dim=0), aux=each.float() * torch.tensor([2.0, 1.0]).view(2, 1, 1, 1, 1))


def test_agreement_quality_by_hand():
    truth = torch.zeros(1, 8, 8, dtype=torch.uint8)
    truth[:, :, 4:] = 1
    truth[:, 0, 0] = 255
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    images[:, :2, :, 4:] = 1
    images[:, 1, :, 3] = 2  # the second decoder differs in a column next to the border, where the first one is right
    images[:, :2, 7, 7] = 2  # both are wrong in a corner
    found = agreement_quality(Toy(), [Batch(images, truth, ["a"])])
    assert found["easy"] == pytest.approx(55 / 63) and found["hard_precision"] == 1
    assert found["easy_precision"] == pytest.approx(54 / 55) and found["hard_border"] == 1
    near = [(y, x) for y in range(8) for x in range(8) if 2 <= x <= 5 or (y <= 2 and x <= 2)]
    assert found["border"] == pytest.approx((len(set(near)) - 1) / 63)


def test_borders_are_two_pixels_wide_to_either_side():
    labels = torch.zeros(1, 9, 9, dtype=torch.uint8)
    labels[0, 4, 4] = 7
    expected = torch.zeros(1, 9, 9, dtype=torch.bool)
    expected[0, 2:7, 2:7] = True
    assert torch.equal(borders(labels), expected)
    assert not borders(torch.full((1, 5, 5), 255)).any()
