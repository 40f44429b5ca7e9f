"""Adversarial alignment: what a discriminator learns, and what the segmentation network learns from it.

A step of the papers, at one level, with lambda_adv about 0.001:

    loss = cross_entropy(net(x_s).logits, y_s) + lambda_adv * alignment_loss(d, p_t)    # trains the network
    loss_d = discriminator_loss(d, p_s, p_t)                                            # trains the discriminator

p_s and p_t are what the discriminator sees: softmax output, its self-information, or features; two levels are two
discriminators, whose terms are added. Neither loss has a gradient for the other side's weights, so one backward pass
through loss + loss_d serves both optimisers, as when AdaptSegNet steps both after computing both.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What a discriminator is to say: as in Shen et al., Eq. 2-3, and IAST, Eq. 2, so that the sigmoid of a vanilla score is
# the probability of source. The released codes of AdaptSegNet, ADVENT and IAST have 0 for source and 1 for target,
# which gives the same losses.
SOURCE, TARGET = 1.0, 0.0

GANS = {"vanilla": F.binary_cross_entropy_with_logits, "least_squares": F.mse_loss}


def discriminator_loss(discriminator: nn.Module, source: Tensor, target: Tensor, gan: str = "vanilla") -> Tensor:
    """Loss of telling source from target, for the discriminator alone: half of each domain's mean over all scores.

    discriminator: [B, D, H, W] -> scores [B, 1, h, w], without a sigmoid. source, target: its inputs, float
        [B, D, H, W], which are detached.
    gan: "vanilla" is -(log S(d(source)) + log(1 - S(d(target)))) / 2 with the sigmoid S (AdaptSegNet, ADVENT; Shen et
        al., Eq. 2-3); "least_squares" is ((d(source) - 1)^2 + d(target)^2) / 2 (IAST, Eq. 2).

    Raises ValueError for another `gan`.
    """
    on_source = _loss(discriminator(source.detach()), SOURCE, gan)
    on_target = _loss(discriminator(target.detach()), TARGET, gan)
    return (on_source + on_target) / 2


def alignment_loss(discriminator: nn.Module, target: Tensor, gan: str = "vanilla") -> Tensor:
    """Loss of a target that is not taken for source, for the network alone; the non-saturating form.

    "vanilla" is -log S(d(target)), "least_squares" (d(target) - 1)^2, both means over all scores; the source has no
    part in it. Arguments and errors are those of `discriminator_loss`, but `target` is not detached. The
    discriminator's weights get no gradient.
    """
    with _frozen(discriminator):
        return _loss(discriminator(target), SOURCE, gan)


def minmax_loss(discriminator: nn.Module, source: Tensor, target: Tensor) -> Tensor:
    """The network's side of the literal min-max game, log S(d(source)) + log(1 - S(d(target))): Shen et al., Eq. 2-4.

    It also moves the source towards the target, and its gradient vanishes where the discriminator is sure; hence
    `alignment_loss` is the usual choice. Means over all scores; the discriminator's weights get no gradient.
    """
    with _frozen(discriminator):
        return -_loss(discriminator(source), SOURCE, "vanilla") - _loss(discriminator(target), TARGET, "vanilla")


def weighted_self_information(probs: Tensor) -> Tensor:
    """Return -p log2(p) / log2(C) of `probs` [B, C, H, W], float32 of this shape: what ADVENT's discriminator sees.

    Vu et al., CVPR 2019; 0 where p is 0 or 1.
    """
    probs = probs.float()
    # The derivative of p log p is infinite at 0, where softmax underflows; the released code adds the same number.
    return -probs * torch.log2(probs + 1e-30) / math.log2(probs.shape[1])


def normalised_entropy(probs: Tensor) -> Tensor:
    """Return the entropy of each pixel as a share of the largest possible, float32 [B, H, W] in 0..1.

    `probs` is [B, C, H, W]. The mean of the map is the loss of MinEnt (Vu et al., CVPR 2019).
    """
    return weighted_self_information(probs).sum(dim=1)


def _loss(scores: Tensor, domain: float, gan: str) -> Tensor:
    """Mean loss of `scores` where they should say `domain`."""
    if gan not in GANS:
        raise ValueError(f"There is no GAN loss {gan!r}; choose one of: {', '.join(GANS)}.")
    scores = scores.float()
    return GANS[gan](scores, torch.full_like(scores, domain))


@contextmanager
def _frozen(net: nn.Module) -> Iterator[None]:
    """A context in which forward passes record no gradient for the weights, only for the input."""
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
