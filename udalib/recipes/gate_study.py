"""Labels behind the adversarial gate judged on their own: Shen et al., Table 4, without training on them."""

from dataclasses import dataclass

import torch
from torch.utils.data import Subset

from udalib import data, predict, select
from udalib.labels import IGNORE
from udalib.recipes.experiment import Experiment, Optimisation, quality_of
from udalib.recipes.multi_adversarial import ALIGNMENTS, confidence_of

# p1 and p2: the rows of Table 4, and the gate alone, without class balancing.
GRID = (
    *((0.5, 0.4), (0.5, 0.6), (0.5, 0.8), (0.6, 0.4), (0.6, 0.5), (0.6, 0.6), (0.6, 0.8)),
    *((0.8, 0.3), (0.8, 0.4), (0.8, 0.5)),
    *((1.0, 0.2), (1.0, 0.3), (1.0, 0.4), (1.0, 0.48)),
    *((0.5, 1.0), (1.0, 1.0)),
)

TRIES, CLOSE = 6, 0.005  # to meet the share of a gate within 0.5 % of it


@dataclass(frozen=True)
class GateStudy(Optimisation):
    """start: the recipe whose network and discriminators label, "multiadv" or "singleadv".

    normalise: see `select.AdversarialGate`. images: of the target, from its first on.
    """

    start: str = "multiadv"
    network: str = "mini_fusion"
    normalise: str = "minmax"
    images: int = 400

    def __post_init__(self):
        if self.start not in ALIGNMENTS:
            raise ValueError(f"A gate has no start {self.start!r}; choose one of: {', '.join(ALIGNMENTS)}.")
        select.AdversarialGate(normalise=self.normalise)


def gate_study(x: Experiment, s: GateStudy) -> None:
    """Quality of gated labels over p1 and p2, and of ungated labels of the same share, on the same predictions.

    What a gate labels is about p1 times p2: t1 is read from coarse cells, and the largest quotient labels pixels that
    their own class would not. So the ungated rival of each gate is class-balanced at the share it really labelled.
    """
    net = x.start_network()
    judge = confidence_of(x.start, net)
    some = Subset(x.bench.target, range(min(s.images, len(x.bench.target))))
    oracle = x.bench.oracle().target
    truth = torch.stack([oracle[index].label for index in some.indices])
    for number in x.rounds(net, 1):
        # 1 GB at most here, kept rather than computed two dozen times.
        predictions = list(predict.judged(net, data.ordered_batches(some), judge))
        predicted = torch.cat([probs.argmax(dim=1).flatten() for probs, *_ in predictions])
        shares = torch.bincount(predicted, minlength=len(x.bench.classes)) / len(predicted)
        study = []
        for keep, portion in GRID:
            x.report(f"labels of p1 {keep:g}, p2 {portion:g}")
            gate = select.AdversarialGate(keep, portion, s.normalise).fit(predictions)
            gated = torch.cat([gate.label(probs, confidence).cpu() for probs, confidence, _ in predictions])
            selections = {True: gated}
            if keep < 1:
                selections[False] = _class_balanced(predictions, _share(gated))
            for passed, labels in selections.items():
                facts = {"keep": keep, "portion": portion, "gated": passed, "predicted_share": shares.tolist()}
                study.append({**facts, **quality_of(labels, truth, len(x.bench.classes))})
        x.finish_round(net, number, study=study)


def _class_balanced(predictions: list[tuple], wanted: float) -> torch.Tensor:
    """Ungated class-balanced labels [N, H, W] of about this share of the pixels."""
    portion = wanted
    for _ in range(TRIES):
        selector = select.ClassBalanced(min(portion, 1.0)).fit(predictions)
        labels = torch.cat([selector.label(probs).cpu() for probs, *_ in predictions])
        if abs(_share(labels) / wanted - 1) < CLOSE:
            break
        portion *= wanted / _share(labels)
    return labels


def _share(labels: torch.Tensor) -> float:
    return (labels != IGNORE).float().mean().item()
