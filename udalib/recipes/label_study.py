"""Pseudo-labels judged on their own: several selections, one network, no training.

What a selection does to labels (Zou et al., ECCV 2018, claims on class balance and spatial priors) shows here
without the noise of training on them.
"""

from dataclasses import dataclass

import torch
from torch.utils.data import Subset

from udalib import select
from udalib.recipes.experiment import Experiment, Optimisation, quality_of


@dataclass(frozen=True)
class LabelStudy(Optimisation):
    """start: the recipe whose network predicts. portions: shares to select. images: of the target, from its first on.

    kernel: of the spatial priors, as a share of the image's height (70 of 1,024 pixels in the paper).
    """

    start: str = "source"
    portions: tuple[float, ...] = (0.2, 0.5)
    images: int = 400
    kernel: float = 70 / 1024


PROFILES: dict[str, dict] = {}


def label_study(x: Experiment, s: LabelStudy) -> None:
    """Quality of the labels of ST and CBST, without and with spatial priors, on one network's predictions.

    The prior "oracle" is counted from the target's own labels, class-normalised: what a prior could do at most, had
    source and target been seen from the same places.
    """
    net = x.start_network()
    some = Subset(x.bench.target, range(min(s.images, len(x.bench.target))))
    oracle = x.bench.oracle().target
    truth = torch.stack([oracle[index].label for index in some.indices])
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
    selectors = {}
    for portion in s.portions:
        selectors["ST", "", portion] = select.SelfTraining(portion)
        selectors["CBST", "", portion] = select.ClassBalanced(portion)
        for name, prior in priors.items():
            selectors["ST-SP", name, portion] = select.SelfTraining(portion, prior)
            selectors["CBST-SP", name, portion] = select.ClassBalanced(portion, prior)
    for number in x.rounds(net, 1):
        # All selections see the same predictions: 1 GB at most here, kept rather than computed a dozen times.
        predictions = list(x.predict(net, some))
        study = []
        for (method, prior, portion), selector in selectors.items():
            selector.fit(predictions)
            labels = torch.cat([selector.label(probs).cpu() for probs, _ in predictions])
            facts = {"selection": method, "prior": prior, "portion": portion}
            shares = selector.shares.tolist()
            study.append({**facts, "predicted_share": shares, **quality_of(labels, truth, len(x.bench.classes))})
            x.report(f"labels of {method} {prior} at {portion}")
        x.finish_round(net, number, study=study)
