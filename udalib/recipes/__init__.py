"""Every method by name: `run` does it, records it, and never does it twice."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import nn

from udalib import data, labels, models, processes, runs, score, train
from udalib.device import describe, pick
from udalib.recipes import (
    adversarial,
    baselines,
    curriculum,
    gate_study,
    histogram_matching,
    instance_adaptive,
    label_study,
    multi_adversarial,
    multi_level,
    paper,
    self_training,
)
from udalib.recipes.experiment import Experiment, Optimisation, Report, scores_of
from udalib.recipes.paper_experiment import PaperExperiment, at_scale, fingerprint
from udalib.recipes.real_experiment import RealExperiment


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A method: its steps, the type of its settings, and how the profiles change them."""

    steps: Callable[[Experiment, Any], None]
    settings: type[Optimisation]
    profiles: dict[str, dict[str, Any]]

    @property
    def purpose(self) -> str:
        return self.steps.__doc__.splitlines()[0]


RECIPES = {
    "source": Recipe(baselines.source, baselines.Supervised, baselines.SUPERVISED_PROFILES),
    "oracle": Recipe(baselines.oracle, baselines.Supervised, baselines.SUPERVISED_PROFILES),
    "adabn": Recipe(baselines.adabn, baselines.AdaBN, baselines.ADABN_PROFILES),
    "hist-match": Recipe(histogram_matching.hist_match, baselines.Supervised, baselines.SUPERVISED_PROFILES),
    "control": Recipe(self_training.control, self_training.Rounds, self_training.PROFILES),
    "st": Recipe(self_training.st, self_training.SelfTraining, self_training.PROFILES),
    "cbst": Recipe(self_training.cbst, self_training.ClassBalanced, self_training.PROFILES),
    "st-sp": Recipe(self_training.st_sp, self_training.SpatialPriors, self_training.PROFILES),
    "cbst-sp": Recipe(self_training.cbst_sp, self_training.ClassBalancedPriors, self_training.PROFILES),
    "curriculum": Recipe(curriculum.curriculum, curriculum.Curriculum, curriculum.PROFILES),
    "adaptseg": Recipe(adversarial.adaptseg, adversarial.Adversarial, adversarial.PROFILES),
    "advent": Recipe(adversarial.advent, adversarial.Adversarial, adversarial.PROFILES),
    "minent": Recipe(adversarial.minent, adversarial.Aligned, adversarial.PROFILES),
    "singleadv": Recipe(multi_adversarial.singleadv, multi_adversarial.SingleAdversarial, adversarial.PROFILES),
    "multiadv": Recipe(multi_adversarial.multiadv, multi_adversarial.MultiAdversarial, adversarial.PROFILES),
    "proxies": Recipe(multi_adversarial.proxies, multi_adversarial.Proxies, multi_adversarial.PROXIES_PROFILES),
    "sisc": Recipe(multi_level.sisc, multi_level.Windows, multi_level.PROFILES),
    "mlsl": Recipe(multi_level.mlsl, multi_level.WeakLabels, multi_level.PROFILES),
    "iast": Recipe(instance_adaptive.iast, instance_adaptive.InstanceAdaptive, instance_adaptive.PROFILES),
    "labelled": Recipe(instance_adaptive.labelled, instance_adaptive.Labelled, baselines.SUPERVISED_PROFILES),
    "label-study": Recipe(label_study.label_study, label_study.LabelStudy, {}),
    "window-study": Recipe(label_study.window_study, label_study.WindowStudy, label_study.WINDOW_PROFILES),
    "instance-study": Recipe(label_study.instance_study, label_study.InstanceStudy, {}),
    "gate-study": Recipe(gate_study.gate_study, gate_study.GateStudy, {}),
}
# Recipes that train on one side of a benchmark alone: benchmarks that agree in it share the training.
ONE_SIDED = {"source": "source", "oracle": "target"}


def find(name: str) -> Recipe:
    """The recipe called `name`. Raises ValueError, listing the choices, for any other name."""
    if name not in RECIPES:
        raise ValueError(f"There is no recipe {name!r}; choose one of: {', '.join(RECIPES)}.")
    return RECIPES[name]


def settings(name: str, profile: str = "quick", **overrides: Any) -> Optimisation:
    """The settings of a recipe under a profile, with some of them overridden.

    profile: one of `data.PROFILES`, or "paper" or "paper-released", see `recipes.paper`, which add the settings of
        `PaperScale`.

    Raises ValueError for unknown names and for values of another type than the default's.
    """
    recipe = find(name)
    if profile in paper.PROFILES:
        of_profile, kind = paper.settings(name, profile), at_scale(recipe.settings)
    else:
        of_profile, kind = recipe.profiles.get(data.find_profile(profile).name, {}), recipe.settings
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key, value in overrides.items():
        if key not in fields:
            raise ValueError(f"Recipe {name!r} has no setting {key!r}; its settings are: {', '.join(fields)}.")
        if not _fits(value, fields[key].type):
            default = {} if fields[key].type is dict else fields[key].default
            raise ValueError(f"Setting {key!r} of recipe {name!r} can't be {value!r}; give a value like {default!r}.")
    return kind(**{**of_profile, **overrides})


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value can stand for a setting annotated as `kind`: a plain type, or a tuple of plain types.

    tuple[float, float] has two entries, tuple[float, ...] any number.
    """
    if isinstance(value, bool):
        return kind is bool
    if kinds := get_args(kind):
        if kinds[-1] is Ellipsis and isinstance(value, tuple | list):
            kinds = kinds[:1] * len(value)
        return isinstance(value, tuple | list) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    return isinstance(value, int | float if kind is float else kind)


class Start(NamedTuple):
    """The run that another one starts from: its recipe, benchmark and settings."""

    recipe: str
    benchmark: str
    settings: dict[str, Any]


def start_of(name: str, benchmark: str = "game-city", profile: str = "quick", **overrides: Any) -> Start | None:
    """What a run of a recipe with these settings starts from; None if from nothing.

    The run before has the settings of its own recipe, under the papers' profiles with `start_settings` over them, and
    the same network, or the one that this network extends; and the same labelled share of the target, if both take one.
    Raises ValueError as `settings` does.
    """
    chosen = settings(name, profile, **overrides)
    if before := getattr(chosen, "start", ""):
        network, given = models.plain(chosen.network), getattr(chosen, "start_settings", {})
        same = models.plain(settings(before, profile, **given).network) == network
        passed_on = dict(given) if same else {"network": network, **given}
        if hasattr(chosen, "labelled_share") and hasattr(find(before).settings, "labelled_share"):
            passed_on["labelled_share"] = chosen.labelled_share
        return Start(before, benchmark, passed_on)
    if name in ONE_SIDED and (first := data.first_with(benchmark, ONE_SIDED[name])) != benchmark:
        return Start(name, first, overrides)
    return None


def code_version(name: str, chosen: Optimisation) -> str:
    """Version of the code that a recipe with these settings depends on, that of its network included."""
    return _code_version(find(name).steps.__module__, models.find(chosen.network).__module__)


# Read once: a process runs the code it was started with.
_code_version = functools.cache(runs.code_version)


def run(
    name: str,
    benchmark: str = "game-city",
    profile: str = "quick",
    seed: int = 0,
    root: str | Path | None = None,
    device: str | None = None,
    report: Report | None = None,
    fold: int | None = None,
    **overrides: Any,
) -> runs.Result:
    """Run a recipe on a benchmark, or fetch the record of having done so with the same settings and code.

    A run that was interrupted continues. The recipe it starts from, if any, is run first. benchmark: see
    `data.find_pair`. root: folder of the data; device: "cpu", "cuda", ...; neither changes what is computed, but for
    rounding in the device's number type, see `device.precision`. report: called with lines of progress; default
    `print`. fold: of a benchmark in folds, run this one alone; without it, all of them are run, and the confusion
    matrices of their validation sets added. overrides: settings of the recipe.

    Under the papers' profiles several processes may call it at once, see `processes`.

    Raises ValueError for unknown names and unusable values, for the oracle of a target without labels, for the papers'
    profiles on an embedded benchmark, and for several processes under another profile.
    """
    chosen, target_device = settings(name, profile, **overrides), pick(device)
    device_in_words = describe(target_device)
    pair = data.find_pair(benchmark)
    real, of_paper = isinstance(pair, data.RealPair), profile in paper.PROFILES
    if of_paper and not real:
        raise ValueError(f"Profile {profile!r} is for real datasets; choose a benchmark such as gta5-cityscapes.")
    if processes.count() > 1 and not of_paper:
        raise ValueError(f"Profile {profile!r} runs in one process; choose {' or '.join(paper.PROFILES)}.")
    kind = PaperExperiment if of_paper else RealExperiment if real else Experiment
    report = report or (lambda text: print(f"{name} on {benchmark}: {text}", flush=True))
    identity = {
        "recipe": name,
        "benchmark": pair.name if real else benchmark,
        "profile": profile,
        "seed": seed,
        "settings": _plain_settings(chosen),
        "code": code_version(name, chosen),
        "fold": fold,
    }
    side = ONE_SIDED.get(name)
    if real:
        if (side == "target" or getattr(chosen, "labelled_share", 0)) and not pair.target_has_labels:
            raise ValueError(f"{benchmark} has no oracle, since its target has no labels; choose another recipe.")
        identity["data"] = data.fingerprint(pair, profile, root)
        identity["scoring"] = _code_version(kind.__module__)
    if of_paper:
        identity["pretrained"] = fingerprint(chosen.pretrained)
        pair = chosen.resized(pair)
    if pair.folds and fold is None:
        parts = [run(name, benchmark, profile, seed, root, device, report, k, **overrides) for k in range(pair.folds)]
        return _pooled(identity, parts, pair.merge)
    start = None
    if before := start_of(name, benchmark, profile, **overrides):
        # All folds have one source, and what has no folds may share it too.
        of_fold = (fold or 0) if data.find_pair(before.benchmark).folds else None
        start = run(before.recipe, before.benchmark, profile, seed, root, device, fold=of_fold, **before.settings)
    elif side == "source" and fold:
        start = run(name, benchmark, profile, seed, root, device, fold=0, **overrides)
    identity["start"] = _name(start) if start else None
    with processes.open_run(identity) as record:
        if not record.finished:
            progress = _opening(report, "decoded" if real else "rendered")
            if real:
                bench = data.open_real(pair, profile, seed, root, fold=fold, progress=progress)
            else:
                bench = data.benchmark(benchmark, profile, seed, root, fold=fold, progress=progress)
            experiment = kind(bench, chosen, record, target_device, start, report)
            find(name).steps(experiment, chosen)
            record.write(
                "finished",
                device=device_in_words + (f", {n} processes" if (n := processes.count()) > 1 else ""),
                stands_for=pair.stands_for,
                classes=list(bench.classes.names),
                scored_classes=list((bench.merge.target if bench.merge else bench.classes).names),
                **({"protocol": _protocol(bench, chosen, record.rounds)} if real else {}),
            )
    return runs.Result(runs.read_record(record.record_path), record.record_path)


def _protocol(bench: data.RealBenchmark, chosen: Optimisation, rounds: list[dict[str, Any]]) -> dict[str, str]:
    """The benchmark's protocol with what the run adds: the target images it was trained on, and its test."""
    target, trained_on = bench.protocol["target"], next((r["images"] for r in reversed(rounds) if "images" in r), None)
    if trained_on and chosen.image_list:
        target += f"; trained on the {trained_on} of them that {Path(chosen.image_list).name} lists"
    elif trained_on and chosen.image_share < 1:
        target += f"; trained on the {trained_on} of them with the best scores"
    return {**bench.protocol, "target": target, "test": _tested(chosen)}


def _tested(chosen: Optimisation) -> str:
    """How a run's networks are tested, in words."""
    scales, seen = getattr(chosen, "test_scales", ()), getattr(chosen, "target_size", ())
    size = f", seen at {seen[0]}x{seen[1]}" if seen else ""
    again = f"; in the last round also at the scales {', '.join(map(str, scales))} with mirror images" if scales else ""
    return f"scale 1, no mirror images{size}{again}"


def _pooled(identity: dict[str, Any], folds: list[runs.Result], merge: labels.Merge | None) -> runs.Result:
    """One result from those of all folds: scores of the added confusion matrices, and the mean over folds beside.

    A fold of ten images often lacks a class; pooling counts every pixel once (the paper does not say which). Target
    images are in nine folds of ten, so the quality of pseudo-labels is the mean over the folds.
    """
    first = folds[0].record
    with processes.open_run({**identity, "folds": [_name(fold) for fold in folds]}) as record:
        if not record.finished:
            for rounds in zip(*(fold.rounds for fold in folds), strict=True):
                matrix = score.ConfusionMatrix(len(first["classes"]), merge)
                matrix.matrix = torch.tensor([part["confusion"] for part in rounds]).sum(dim=0)
                each = [part["miou"] for part in rounds]
                scores = {
                    **scores_of(matrix),
                    "miou_of_folds": each,
                    "seconds": sum(part["seconds"] for part in rounds),
                }
                if "labels" in rounds[0]:
                    scores["labels"] = _means([part["labels"] for part in rounds])
                record.add_round({"round": rounds[0]["round"], **scores})
            kept = ("device", "stands_for", "classes", "scored_classes", "protocol")
            record.write("finished", **{key: first[key] for key in kept if key in first})
    return runs.Result(runs.read_record(record.record_path), record.record_path)


def _means(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Entry by entry the mean of the `parts` that have a number there; None where none has."""
    stacked = {key: np.array([part[key] for part in parts], float) for key in parts[0]}
    return {key: np.ma.masked_invalid(values).mean(axis=0).tolist() for key, values in stacked.items()}


def _name(result: runs.Result) -> str:
    return result.record_path.parent.name


def load_network(result: runs.Result, number: int | None = None, device: str | None = None) -> nn.Module:
    """The network of a finished run after round `number` (default: the last), in evaluation mode.

    Raises ValueError for a run in folds, which has a network for each.
    """
    if "folds" in result.record:
        raise ValueError("This run has one network per fold; load that of recipes.run(..., fold=0).")
    net = models.build(result.record["settings"]["network"], len(result.record["classes"]))
    net.load_state_dict(train.load(result.weights(number)))
    return net.to(pick(device)).eval()


def _plain_settings(chosen: Optimisation) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(chosen).items()}


def _opening(report: Report, verb: str) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == total or done % 200 == 0:
            report(f"{verb} {done}/{total} images")

    return progress
