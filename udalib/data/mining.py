"""Random crops that are steered to rare classes: Zou et al., ECCV 2018, Section 5, and its released code."""

from dataclasses import dataclass

import torch
from torch import Tensor

RARE = 0.001  # share of the predicted pixels below which a class is mined, paper and released code


@dataclass(frozen=True)
class Mining:
    """Where crops go first.

    wanted: classes that are mined. fallback: classes that are mined in images without any wanted one.
    probability: share of the crops for which this is tried. source: whether source crops are mined too.
    inside: only pixels around which the whole window fits are candidates; else any pixel is, and the window is
        shifted to stay inside.
    """

    wanted: tuple[int, ...]
    fallback: tuple[int, ...] = ()
    probability: float = 1.0
    inside: bool = False
    source: bool = False

    @classmethod
    def paper(cls, shares: Tensor) -> "Mining":
        """Mine the classes that `shares` [C] of the predictions give less than 0.1 % of the pixels."""
        return cls(_below(shares))

    @classmethod
    def official(cls, shares: Tensor) -> "Mining":
        """As the released code: in four of five crops, else the three rarest, and only where a window fits."""
        return cls(_below(shares), tuple(shares.argsort()[:3].tolist()), probability=0.8, inside=True, source=True)

    def centres(self, labels: Tensor, half: Tensor, centres: Tensor, generator: torch.Generator) -> Tensor:
        """Replace the random `centres` [B,2] of windows by pixels of a mined class, where there are any.

        labels: uint8 [B,H,W]. half, centres: (x, y) as shares of the image's half-size; `half` is that of the
        window. A class is drawn uniformly from those present, then one of its pixels. generator: on the CPU.
        """
        centres = centres.clone()
        room = (1 - half.abs()).clamp(min=0)
        for index, label in enumerate(labels):
            if torch.rand((), generator=generator) < self.probability:
                places = self._places(label, half[index].abs(), generator)
                if places is not None:
                    place = places[_draw(len(places), generator)]
                    centres[index] = place.clamp(-room[index], room[index])
        return centres

    def _places(self, label: Tensor, half: Tensor, generator: torch.Generator) -> Tensor | None:
        """Centres [n,2] of the pixels of one mined class that is present, or None."""
        size = torch.tensor(label.shape[::-1])
        for classes in (self.wanted, self.fallback):
            found = []
            for name in classes:
                places = (2 * (label == name).nonzero().cpu().flip(1) + 1) / size - 1
                if self.inside:
                    places = places[(places.abs() <= 1 - half).all(dim=1)]
                if len(places):
                    found.append(places)
            if found:
                return found[_draw(len(found), generator)]
        return None


def _below(shares: Tensor) -> tuple[int, ...]:
    return tuple((shares < RARE).nonzero().flatten().tolist())


def _draw(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))
