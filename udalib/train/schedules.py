"""Learning-rate schedules: the factor on the base rate for the share of training done, in [0, 1)."""

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def constant(done: float) -> float:
    return 1.0


def poly(done: float, power: float = 0.9) -> float:
    """(1 - t/T)^power, the DeepLab schedule."""
    return (1 - done) ** power


def one_cycle(done: float, rise: float = 0.1) -> float:
    """Up along a half cosine for the first tenth, then down to nearly zero (Smith 2018)."""
    if done < rise:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / rise)) / 2
    return (1 + math.cos(math.pi * (done - rise) / (1 - rise))) / 2


SCHEDULES: dict[str, Schedule] = {"constant": constant, "poly": poly, "one_cycle": one_cycle}
