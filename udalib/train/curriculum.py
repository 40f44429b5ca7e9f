"""Schedules and a penalty for two decoders: Chitta et al. 2018, strategic curriculum of proxy labels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

READINGS = ("fraction", "ratio")
SIMILARITIES = ("cosine", "inner")
WEIGHTS = ("convolutions", "all")


def drop_share(epoch: float, ramp: float = 10) -> float:
    """Return the probability with which source hard mining drops an easy pixel, rho(e) in the paper.

    It rises linearly from 0 in epoch 0 to 1 in epoch `ramp`, and stays there: the last ten of 20 epochs train on the
    hard pixels of the source alone. epoch counts from 0; fractions of an epoch are accepted.

    Raises ValueError for a negative epoch and a ramp that is not positive.
    """
    return _ramped(epoch, 0.0, 1.0, ramp)


def source_share(
    epoch: float, first: float = 0.9, last: float = 0.1, ramp: float = 10, reading: str = "fraction"
) -> float:
    """Return the probability with which a batch comes from the source, gamma(e) in the paper.

    gamma goes linearly from `first` in epoch 0 to `last` in epoch `ramp`, and stays there.
    reading: the paper calls gamma a ratio. "fraction" takes it as source / (source + target), the one under which 0.9
        and 0.1 mirror each other; "ratio" as source / target, so that the share is gamma / (1 + gamma).

    Raises ValueError as `drop_share` does, for an unknown reading, and for first or last values outside 0..1
    (fraction) or below 0 (ratio).
    """
    if reading not in READINGS:
        raise ValueError(f"There is no reading {reading!r}; choose one of: {', '.join(READINGS)}.")
    if not all(value >= 0 and (reading == "ratio" or value <= 1) for value in (first, last)):
        raise ValueError(f"first is {first} and last {last}; choose shares from 0 to 1, or ratios of at least 0")
    gamma = _ramped(epoch, first, last, ramp)
    return gamma if reading == "fraction" else gamma / (1 + gamma)


def decoder_similarity(
    first: nn.Module, second: nn.Module, similarity: str = "cosine", weights: str = "convolutions"
) -> Tensor:
    """Return how alike the weights of two decoders of the same structure are, a scalar with a graph.

    The second term of Eq. 4, which a loss adds times beta, 0.01 in the paper. All weights of a decoder are one vector.
    similarity: "cosine" of the two vectors, as the paper's text says, in -1..1; or their "inner" product, as Eq. 4
        prints, which grows and falls without bound with the weights.
    weights: of "convolutions" alone, or "all" parameters, biases and batch normalisation included; the paper says all
        weights. Scales of batch normalisation start at 1 in both decoders, which makes them alike from the start.

    Raises ValueError for unknown options, and for decoders without such weights or of different structure.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(f"There is no similarity {similarity!r}; choose one of: {', '.join(SIMILARITIES)}.")
    if weights not in WEIGHTS:
        raise ValueError(f"There are no weights {weights!r}; choose one of: {', '.join(WEIGHTS)}.")
    vectors, shapes = [], []
    for decoder in (first, second):
        if weights == "all":
            chosen = list(decoder.parameters())
        else:
            chosen = [module.weight for module in decoder.modules() if isinstance(module, nn.Conv2d)]
        shapes.append([weight.shape for weight in chosen])
        vectors.append([weight.flatten() for weight in chosen])
    if not vectors[0] or shapes[0] != shapes[1]:
        raise ValueError("The decoders have no such weights or differ in structure; pass two of one kind")
    one, other = map(torch.cat, vectors)
    return F.cosine_similarity(one, other, dim=0) if similarity == "cosine" else one @ other


def _ramped(epoch: float, first: float, last: float, ramp: float) -> float:
    """Linear from `first` at 0 to `last` at `ramp`, constant from there."""
    if not (epoch >= 0 and ramp > 0):
        raise ValueError(f"epoch is {epoch} and ramp {ramp}; epochs count from 0, and a ramp lasts more than 0")
    done = min(epoch / ramp, 1)
    return first * (1 - done) + last * done
