"""Recipes of alignment; the losses and discriminators are tested in test_adversarial.py."""

import functools
import re
from pathlib import Path

import pytest
import torch

from udalib import models, recipes, train
from udalib.recipes.adversarial import WINDOWS, Players, _right, history
from udalib.runs import home, read_record


def silent(text):
    pass


def run(name, **settings):
    return recipes.run(name, profile="smoke", seed=0, report=silent, **settings)


@pytest.mark.parametrize("name", ["adaptseg", "advent"])
def test_a_smoke_run_records_the_game(name):
    result = run(name)
    game = result.rounds[-1]["game"]
    assert 0 <= result.miou <= 1 and len(game["accuracy"]) == len(game["losses"]) == 4
    assert all(0 <= accuracy <= 1 for accuracy in game["accuracy"])
    keys = train.load(result.record_path.parent / "discriminator.pt")
    models.OutputDiscriminator(19, width=16).load_state_dict(keys)


@pytest.mark.parametrize("settings", [{"gan": "least_squares"}, {"game": "minmax"}])
def test_the_other_forms_of_the_game_run(settings):
    assert 0 <= run("adaptseg", **settings).miou <= 1


def test_minent_needs_no_discriminator():
    result = run("minent")
    assert 0 <= result.miou <= 1 and not (result.record_path.parent / "discriminator.pt").exists()


def test_without_a_weight_the_discriminator_does_not_touch_the_network():
    ours, other = (train.load(run("adaptseg", weight=0.0, discriminator_lr=lr).weights()) for lr in (1e-4, 1e-2))
    assert all(torch.equal(ours[key], other[key]) for key in ours)
    aligned = train.load(run("adaptseg", weight=1.0).weights())
    assert not all(torch.equal(ours[key], aligned[key]) for key in ours)


def test_unknown_games_are_refused():
    with pytest.raises(ValueError, match="no game 'chess'; choose one of: non_saturating, minmax"):
        run("adaptseg", game="chess")
    with pytest.raises(ValueError, match="no gan 'wgan'; choose one of: vanilla, least_squares"):
        run("advent", gan="wgan")
    with pytest.raises(ValueError, match="'minmax' has no gan 'least_squares'"):
        run("adaptseg", game="minmax", gan="least_squares")


def test_two_levels_have_two_discriminators_and_train_the_auxiliary_classifier():
    result = run("adaptseg", network="mini_levels", level_weight=0.0002)
    game = result.rounds[-1]["game"]
    assert len(game["accuracy"]) == len(game["aux_accuracy"]) == 4
    assert [len(row) for row in game["losses"] + game["aux_losses"]] == [3] * 4 + [2] * 4
    for name in ("discriminator.pt", "discriminator_aux.pt"):
        keys = train.load(result.record_path.parent / name)
        models.OutputDiscriminator(19, width=16).load_state_dict(keys)
    torch.manual_seed(0)
    fresh, trained = models.build("mini_levels", 19).state_dict(), train.load(result.weights())
    assert not torch.equal(trained["auxiliary.1.weight"], fresh["auxiliary.1.weight"])


def test_a_second_level_does_what_its_weights_say():
    """Without weights it leaves the rest of the network alone; each of the two alone moves it."""
    single = train.load(run("adaptseg").weights())

    def network(level_weight, level_segmentation):
        settings = {"level_weight": level_weight, "level_segmentation": level_segmentation}
        return train.load(run("adaptseg", network="mini_levels", **settings).weights())

    tiny = network(1e-30, 0.0)
    for key, value in single.items():
        torch.testing.assert_close(tiny[key], value)
    for other in (network(1e-30, 1.0), network(1.0, 0.0)):
        assert not torch.equal(other["stage2.0.first.0.weight"], tiny["stage2.0.first.0.weight"])


def test_a_second_level_asks_for_a_network_that_has_one():
    with pytest.raises(ValueError, match="'mini' has no auxiliary output; choose mini_levels"):
        run("adaptseg", level_weight=0.0002)


def test_a_loss_that_is_not_finite_stops_the_run_and_its_record_says_so(monkeypatch):
    monkeypatch.setattr(train, "alignment_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(FloatingPointError, match="The training loss is nan near step 1 of 4"):
        run("adaptseg", weight=0.5)
    records = map(read_record, (home() / "runs").glob("adaptseg-*/record.json"))
    (stopped,) = (record for record in records if record["status"] == "stopped")
    assert stopped["settings"]["weight"] == 0.5 and "loss is nan" in stopped["stopped"]


def test_the_last_good_step_is_kept_where_the_message_says(monkeypatch):
    """Two good steps, then a loss that isn't a number."""
    losses, fooled = [], train.alignment_loss

    def fooling(*arguments):
        losses.append(fooled(*arguments))
        return losses[-1] * (1 if len(losses) < 3 else float("nan"))

    monkeypatch.setattr(train, "alignment_loss", fooling)
    monkeypatch.setattr(train, "fit", functools.partial(train.fit, save_every=1))
    with pytest.raises(FloatingPointError, match="nan near step 3 of 4") as stopped:
        run("adaptseg", weight=0.25)
    (kept,) = re.findall(r"The last good step is kept in (.+)\.$", str(stopped.value))
    saved = train.load(Path(kept))
    assert saved["step"] == 2 and [step for step, _ in saved["curve"]] == [1, 2]
    assert {name.partition(".")[0] for name in saved["net"]} == {"net", "discriminators", "losses", "scores"}
    assert all(value.isfinite().all() for value in saved["net"].values())
    models.build("mini", 19).load_state_dict(
        {name.removeprefix("net."): value for name, value in saved["net"].items() if name.startswith("net.")}
    )


class Mean(torch.nn.Module):
    def forward(self, maps):
        return maps.mean(dim=(1, 2, 3), keepdim=True)


@pytest.mark.parametrize(("gan", "border"), [("vanilla", 0.0), ("least_squares", 0.5)])
def test_right_scores_are_counted_by_hand(gan, border):
    source = torch.tensor([border + 1, border - 1, border + 0.1]).view(3, 1, 1, 1)
    target = torch.tensor([border - 1, border + 1]).view(2, 1, 1, 1)
    assert _right(Mean(), source, target, gan).tolist() == [3, 5]


def test_history_warns_of_a_game_that_went_wrong():
    players = Players(torch.nn.Identity(), torch.nn.Identity())
    players.losses += torch.tensor([1.0, 0.7, 0.7]) * 5
    players.scores += torch.tensor([80, 100])
    assert history(players.losses, players.scores, 100)["warnings"] == []
    assert history(players.losses, players.scores, 100)["losses"][0] == pytest.approx([1.0, 0.7, 0.7])
    players.scores[: WINDOWS // 2] = torch.tensor([51, 100])
    assert "at chance in 10 of 20" in history(players.losses, players.scores, 100)["warnings"][0]
    players.scores[:] = torch.tensor([100, 100])
    players.losses[-1, 0] = 20.0
    never, grew = history(players.losses, players.scores, 100)["warnings"]
    assert "never wrong in 20 of 20" in never and "grew from 1.00 to 4.00" in grew


def test_history_tells_two_discriminators_apart():
    players = Players(torch.nn.Identity(), torch.nn.Identity(), torch.nn.Identity())
    players.losses += torch.tensor([1.0, 0.7, 0.6, 0.5, 0.4]) * 5
    players.scores[:, 0], players.scores[:, 1] = torch.tensor([80, 100]), torch.tensor([10, 10])
    game = history(players.losses, players.scores, 100)
    assert game["accuracy"] == pytest.approx([0.8] * 20) and game["aux_accuracy"] == [1.0] * 20
    assert game["losses"][0] == pytest.approx([1.0, 0.7, 0.6]) and game["aux_losses"][0] == pytest.approx([0.5, 0.4])
    assert game["warnings"] == ["The second discriminator was never wrong in 20 of 20 parts of the training."]


def test_history_of_a_training_shorter_than_its_windows():
    players = Players(torch.nn.Identity(), torch.nn.Identity())
    window = torch.arange(3) * WINDOWS // 3
    players.losses[window] += 2.0
    players.scores[window] += torch.tensor([6, 8])
    found = history(players.losses, players.scores, 3)
    assert found["accuracy"] == [0.75] * 3 and found["losses"] == [[2.0] * 3] * 3
