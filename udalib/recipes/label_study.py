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
    """Quality of the labels of ST and CBST, without and with spatial priors, on one network's predictions."""
    net = x.start_network()
    some = Subset(x.bench.target, range(min(s.images, len(x.bench.target))))
    oracle = x.bench.oracle().target
    truth = torch.stack([oracle[index].label for index in some.indices])
    source_labels = [x.bench.source[index].label for index in range(len(x.bench.source))]
    height, width = x.bench.size
    priors = {
        normalise: select.SpatialPrior.from_labels(
            source_labels, len(x.bench.classes), (height, width), s.kernel * height, normalise=normalise
        )
        for normalise in ("class", "pixel")
    }
    selectors = {}
    for portion in s.portions:
        selectors["ST", "", portion] = select.SelfTraining(portion)
        selectors["CBST", "", portion] = select.ClassBalanced(portion)
        for normalise, prior in priors.items():
            selectors["ST-SP", normalise, portion] = select.SelfTraining(portion, prior)
            selectors["CBST-SP", normalise, portion] = select.ClassBalanced(portion, prior)
    for number in x.rounds(net, 1):
        # All selections see the same predictions: 1 GB at most here, kept rather than computed a dozen times.
        predictions = list(x.predict(net, some))
        study = []
        for (method, normalise, portion), selector in selectors.items():
            selector.fit(predictions)
            labels = torch.cat([selector.label(probs).cpu() for probs, _ in predictions])
            facts = {"selection": method, "normalise": normalise, "portion": portion}
            shares = selector.shares.tolist()
            study.append({**facts, "predicted_share": shares, **quality_of(labels, truth, len(x.bench.classes))})
            x.report(f"labels of {method} {normalise} at {portion}")
        x.finish_round(net, number, study=study)
