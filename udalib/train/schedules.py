"""Learning-rate schedules: the factor on the base rate for the share of training done, in [0, 1)."""

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def constant(done: float) -> float:
    return 1.0


def poly(done: float, power: float = 0.9) -> float:
    """(1 - t/T)^power, the DeepLab schedule."""
    return (1 - done) ** power


def poly_epochs(done: float, epochs: int = 20) -> float:
    """`poly` at the start of the current one of 20 epochs: the rate falls in steps (Chitta et al. 2018, Eq. 5)."""
    return poly(math.floor(done * epochs) / epochs)


def cosine(done: float, run: float = 2 / 3, last: float = 0.001) -> float:
    """Two thirds of a half cosine from 1 to 0.001, so that it ends at a quarter: the released code of IAST."""
    return last + (1 - last) * (1 + math.cos(math.pi * done * run)) / 2


def one_cycle(done: float, rise: float = 0.1) -> float:
    """Up along a half cosine for the first tenth, then down to nearly zero (Smith 2018)."""
    if done < rise:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / rise)) / 2
    return (1 + math.cos(math.pi * (done - rise) / (1 - rise))) / 2


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "poly": poly,
    "poly_epochs": poly_epochs,
    "cosine": cosine,
    "one_cycle": one_cycle,
}
