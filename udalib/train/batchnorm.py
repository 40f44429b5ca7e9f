"""Whose statistics batch normalisation keeps. On small networks this decides more than most methods."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from udalib.data import Batch
from udalib.device import autocast


def _layers(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


@contextmanager
def keep_statistics(net: nn.Module) -> Iterator[None]:
    """A context in which training-mode forward passes leave the running statistics alone.

    The source passes of an adaptation run in it, so that the running statistics, which prediction uses,
    describe the target alone.
    """
    momenta = [layer.momentum for layer in _layers(net)]
    for layer in _layers(net):
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(_layers(net), momenta, strict=True):
            layer.momentum = momentum


@contextmanager
def frozen_statistics(net: nn.Module) -> Iterator[None]:
    """A context in which batch normalisation uses its running statistics and leaves them alone, as when predicting.

    The papers train so, with the statistics of ImageNet; scale and shift are learnt all the same.
    """
    for layer in _layers(net):
        layer.eval()
    try:
        yield
    finally:
        for layer in _layers(net):
            layer.train()


@torch.no_grad()
def adapt_statistics(net: nn.Module, batches: Iterable[Batch], device: torch.device) -> None:
    """Replace the running statistics of `net` by those of `batches` (AdaBN, Li et al. 2016), in place.

    Every batch has the same weight in the mean; the network's weights stay, and no label is looked at.
    """
    momenta = [layer.momentum for layer in _layers(net)]
    for layer in _layers(net):
        layer.reset_running_stats()
        layer.momentum = None  # torch's name for the plain average over all batches
    net.train()
    for batch in batches:
        with autocast(device):
            net(batch.images.to(device))
    for layer, momentum in zip(_layers(net), momenta, strict=True):
        layer.momentum = momentum
