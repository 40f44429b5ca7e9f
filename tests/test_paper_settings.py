"""The papers' own settings: that every value is a setting of its recipe, and what the tables mean."""

import dataclasses
import tomllib

import pytest
import torch

from udalib import models, recipes, train
from udalib.recipes import paper

VERSIONS = [(name, profile) for name in paper.recipes() for profile in paper.PROFILES]


@pytest.mark.parametrize(("name", "profile"), VERSIONS)
def test_every_value_is_a_setting_of_its_recipe(name, profile):
    values = paper.settings(name, profile)
    # As overrides they are checked for their names and types.
    assert recipes.settings(name, profile, **values) == recipes.settings(name, profile)
    chosen = dataclasses.asdict(recipes.settings(name, profile))
    assert {key: chosen[key] for key in values} == values
    _check_rates(values["network"], values.get("rates", {}))
    if name == "adabn":
        return  # it trains nothing
    train.Plan(1, values["lr"], values["schedule"], values["optimiser"])  # refuses what the loop doesn't know
    # What our mini network is trained with must not be taken over silently.
    assert {"lr", "optimiser", "schedule", "batch_size", "crop", "scale", "jitter", "label_stride"} <= set(values)


@pytest.mark.parametrize("name", paper.recipes())
def test_a_file_says_what_it_leaves_out_and_nothing_twice(name):
    text = (paper.FOLDER / f"{name}.toml").read_text()
    content = tomllib.loads(text)
    assert set(content) <= {"like", "printed", "released"} and "printed" in content
    before = paper.settings(content["like"], "paper") if "like" in content else {}
    again = [key for key, value in content["printed"].items() if key in before and before[key] == value]
    again += [key for key, value in content.get("released", {}).items() if content["printed"].get(key) == value]
    assert again == []
    assert text.startswith("#") and ("like" in content or "Not settings yet" in text or "missing" in text)


def test_released_changes_what_was_printed():
    printed, released = (recipes.settings("cbst-sp", profile) for profile in paper.PROFILES)
    assert (printed.portion, printed.rounds, printed.variant, printed.mining) == (0.20, 3, "paper", "paper")
    assert (released.portion, released.rounds, released.variant, released.mining) == (0.15, 6, "official", "official")
    assert printed.test_scales == released.test_scales == (0.5, 0.75, 1.0) and released.kernel == 70 / 1024
    iast = recipes.settings("iast", "paper-released")
    rates = [round(iast.lr * iast.lr_factor**number, 6) for number in range(3)]
    assert rates == [3e-5, 2.4e-5, 2e-5] or rates == [3e-5, 2.5e-5, 2e-5]
    steps = iast.epochs * 2975 / iast.batch_size  # an epoch counts the source: a round is twice 24,966 / 8
    assert steps == pytest.approx(6240, rel=0.01)


@pytest.mark.parametrize(("name", "profile"), VERSIONS)
def test_what_comes_before_has_the_same_network_and_parts_for_its_rates(name, profile):
    wanted, values, passed = models.plain(recipes.settings(name, profile).network), {}, []
    while start := recipes.start_of(name, "gta5-cityscapes", profile, **values):
        name, values = start.recipe, start.settings
        before = recipes.settings(name, profile, **values)
        assert before.network == wanted
        _check_rates(wanted, before.rates)
        passed.append(name)
    assert passed in ([], ["source"], ["adaptseg", "source"], ["multiadv", "source"])


def _check_rates(network, rates):
    with torch.device("meta"):
        parts = dict(models.find(network)(19).named_children())
    assert set(rates) <= set(parts)


def test_a_recipe_without_a_file_says_so():
    with pytest.raises(ValueError, match="'label-study' has no settings for the profile 'paper'; .*cbst"):
        recipes.settings("label-study", "paper")
    assert {name for name in recipes.RECIPES if not name.endswith("study")} == set(paper.recipes())


def test_the_steps_of_shen_are_those_of_the_table():
    last = recipes.settings("proxies", "paper")
    start = recipes.start_of("proxies", "gta5-cityscapes", "paper")
    middle = recipes.settings(start.recipe, "paper", **start.settings)
    start = recipes.start_of(start.recipe, "gta5-cityscapes", "paper", **start.settings)
    first = recipes.settings(start.recipe, "paper", **start.settings)
    assert [(s.steps, s.lr, s.schedule) for s in (first, middle, last)] == [
        (80000, 4e-3, "poly"),
        (10000, 1e-4, "constant"),
        (60000, 1e-2, "poly"),
    ]
    assert {(s.optimiser, s.weight_decay, s.crop) for s in (first, middle, last)} == {("sgd", 5e-4, 1.0)}
    assert [(first.batch_size, *first.crop_size), (last.batch_size, *last.crop_size)] == [
        (4, 720, 1280),
        (16, 640, 640),
    ]
    assert (first.pretrained, middle.pretrained, last.pretrained, last.initial) == ("imagenet", "", "imagenet", "fresh")
    assert (middle.weight, middle.level_weight, middle.width) == (0.001, 0.0002, 128)
    # The target is seen whole, and the source at the same size: discriminators of maps compare places of both.
    assert middle.crop_size == middle.target_size == (512, 1024)


def test_the_other_network_of_shen_is_that_of_all_steps():
    start = recipes.start_of("proxies", "gta5-cityscapes", "paper", network="fusion_aspp_vgg16")
    before = recipes.start_of(start.recipe, start.benchmark, "paper", **start.settings)
    assert (start.recipe, before.recipe) == ("multiadv", "source")
    assert start.settings["network"] == before.settings["network"] == "fusion_aspp_vgg16"


def test_semi_supervised_training_starts_from_the_labelled_share():
    chosen = {"warmup": "labelled", "labelled_share": 0.25, "start_settings": {}}
    start = recipes.start_of("iast", "gta5-cityscapes", "paper", **chosen)
    assert start == ("labelled", "gta5-cityscapes", {"labelled_share": 0.25})
