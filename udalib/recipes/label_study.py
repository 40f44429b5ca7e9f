"""Pseudo-labels judged on their own: several selections, one network, no training.

What a selection does to labels (Zou et al., ECCV 2018, claims on class balance and spatial priors; Iqbal and Ali, Sec.
4.3, on windows; Mei et al., ECCV 2020, Tables 2 and 4) shows here without the noise of training on them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from udalib import data, predict, select
from udalib.recipes.experiment import Experiment, Optimisation, quality_of

# From a network and images to a stream of (probs [B, C, H, W], names).
Predict = Callable[[nn.Module, Dataset], Iterable[tuple[Tensor, list[str]]]]


@dataclass(frozen=True)
class LabelStudy(Optimisation):
    """start: the recipe whose network predicts. portions: shares to select. images: of the target, from its first on.

    kernel: of the spatial priors, as a share of the image's height (70 of 1,024 pixels in the paper).
    """

    start: str = "source"
    portions: tuple[float, ...] = (0.2, 0.5)
    images: int = 400
    kernel: float = 70 / 1024


@dataclass(frozen=True)
class InstanceStudy(Optimisation):
    """start: the recipe whose network predicts. images: of the target, from its first on.

    alphas, betas, gammas: what is tried, one of the three at a time beside the others' default, 0.2, 0.9 and 8, as in
        the paper's Tables 2 and 4. constant: the portion that the one threshold of the "constant" baseline keeps.
        portion: of the class-balanced one.
    """

    start: str = "adaptseg"
    images: int = 400
    alphas: tuple[float, ...] = (0.2, 0.3, 0.5)
    betas: tuple[float, ...] = (0.0, 0.5, 0.9, 0.99)
    gammas: tuple[float, ...] = (0.0, 1.0, 4.0, 8.0, 16.0)
    constant: float = 0.386
    portion: float = 0.2


@dataclass(frozen=True)
class WindowStudy(Optimisation):
    """start: the recipe whose network predicts. portions: shares to select. images: of the target, from its first on.

    counts: windows per image. hard: windows whose votes are counted instead of averaged, in one more row. window: their
        side as a share of the image's height. The whole image always counts once, so that no pixel is left out and the
        rows are about the same pixels.
    """

    start: str = "source"
    portions: tuple[float, ...] = (0.2, 0.5, 0.8)
    images: int = 100
    counts: tuple[int, ...] = (5, 25, 50, 100)
    hard: int = 50
    window: float = 0.5


WINDOW_PROFILES = {"smoke": {"counts": (2, 4), "hard": 4}}


def label_study(x: Experiment, s: LabelStudy) -> None:
    """Quality of the labels of ST and CBST, without and with spatial priors, on one network's predictions.

    The prior "oracle" is counted from the target's own labels, class-normalised: what a prior could do at most, had
    source and target been seen from the same places.
    """
    oracle = x.bench.oracle().target
    height, width = x.bench.size
    priors = {
        name: select.SpatialPrior.from_labels(
            (labelled[index].label for index in range(len(labelled))),
            len(x.bench.classes),
            (height, width),
            s.kernel * height,
            normalise=normalise,
        )
        for name, labelled, normalise in (
            ("class", x.bench.source, "class"),
            ("pixel", x.bench.source, "pixel"),
            ("oracle", oracle, "class"),
        )
    }
    selections = []
    for portion in s.portions:
        selections.append(({"selection": "ST", "prior": "", "portion": portion}, select.SelfTraining(portion)))
        selections.append(({"selection": "CBST", "prior": "", "portion": portion}, select.ClassBalanced(portion)))
        for name, prior in priors.items():
            facts = {"prior": name, "portion": portion}
            selections.append(({"selection": "ST-SP", **facts}, select.SelfTraining(portion, prior)))
            selections.append(({"selection": "CBST-SP", **facts}, select.ClassBalanced(portion, prior)))
    _judge(x, s.images, selections)


def instance_study(x: Experiment, s: InstanceStudy) -> None:
    """Quality of the labels of IAST for several alpha, beta and gamma, and of its rivals, on the same predictions."""
    selections: list[tuple[dict[str, Any], Any]] = [
        ({"selection": "constant", "portion": s.constant}, select.SelfTraining(s.constant)),
        ({"selection": "class_balanced", "portion": s.portion}, select.ClassBalanced(s.portion)),
    ]
    tried = [(alpha, 0.9, 8.0) for alpha in s.alphas]
    tried += [(0.2, beta, 8.0) for beta in s.betas] + [(0.2, 0.9, gamma) for gamma in s.gammas]
    for alpha, beta, gamma in dict.fromkeys(tried):
        facts = {"selection": "instance", "alpha": alpha, "beta": beta, "gamma": gamma}
        selections.append((facts, select.InstanceAdaptive(alpha, beta, gamma)))
    _judge(x, s.images, selections)


def window_study(x: Experiment, s: WindowStudy) -> None:
    """Quality of labels from one prediction of the whole image and from the mean over more and more windows."""
    side = max(8, round(s.window * x.bench.size[0] / 8) * 8)

    def over_windows(count: int, vote: str) -> Predict:
        return lambda net, some: predict.windows(
            net,
            data.ordered_batches(some),
            count,
            size=(side, side),
            include_full=True,
            generator=data.seeded(x.bench.seed, count),
            vote=vote,
            batch_size=25,
        )

    ways = [({"windows": 0, "vote": "soft"}, x.predict)]
    ways += [({"windows": count, "vote": "soft"}, over_windows(count, "soft")) for count in s.counts]
    ways += [({"windows": s.hard, "vote": "hard"}, over_windows(s.hard, "hard"))]
    _judge(x, s.images, [({"portion": p}, select.ClassBalanced(p)) for p in s.portions], ways)


def _judge(
    x: Experiment,
    images: int,
    selections: list[tuple[dict[str, Any], Any]],
    ways: list[tuple[dict[str, Any], Predict]] | None = None,
) -> None:
    """Record the quality of the labels of each (facts, selector) on the target's first images.

    ways: (facts, how the network predicts these images); all selections are judged on each. Default: whole images.
    """
    net = x.start_network()
    some = Subset(x.bench.target, range(min(images, len(x.bench.target))))
    oracle = x.bench.oracle().target
    truth = torch.stack([oracle[index].label for index in some.indices])
    classes = len(x.bench.classes)
    for number in x.rounds(net, 1):
        study = []
        for way, predicted_by in ways or [({}, x.predict)]:
            # All selections see the same predictions: 1 GB at most here, kept rather than computed a dozen times.
            predictions = list(predicted_by(net, some))
            predicted = torch.cat([probs.argmax(dim=1).flatten() for probs, _ in predictions])
            share = torch.bincount(predicted, minlength=classes) / len(predicted)
            for facts, selector in selections:
                selector.fit(predictions)
                labels = torch.cat([selector.label(probs).cpu() for probs, _ in predictions])
                # With a prior, what is selected from are the classes of the product.
                shares = getattr(selector, "shares", share).tolist()
                study.append({**way, **facts, "predicted_share": shares, **quality_of(labels, truth, classes)})
                x.report("labels of " + " ".join(map(str, [*way.values(), *facts.values()])))
        x.finish_round(net, number, study=study)
