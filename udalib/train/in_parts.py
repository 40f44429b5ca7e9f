"""Batches that don't fit into memory: a network that takes them in parts, and still trains on the whole."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from udalib import processes
from udalib.models.parts import Output


class InParts(nn.Module):
    """A network that takes a training batch in parts: gradient accumulation for any loss of the whole batch.

    parts: that a batch is split into, at most one for each image. Where several processes run together (see
        `processes`), the batch is first split among them, if it can be split evenly; otherwise each of them does all
        of it.

    The outputs of all parts are joined before the loss sees them, so that a mean over the labelled pixels of the batch
    is one over the whole batch, however they are spread over the parts, and so is any other loss. What layers keep for
    the backward pass is thrown away after each part and computed again when its turn comes (gradient checkpointing,
    Chen et al. 2016), which takes a second forward pass: a batch then needs the memory of one part and of all outputs.
    With one part nothing is computed twice.

    The gradient equals that of the whole batch, up to rounding, unless batch normalisation uses the statistics of the
    batch: these are then of each part alone, and the running ones follow the parts one after another, in every
    process those of its own. With frozen statistics there is no such difference.
    """

    def __init__(self, net: nn.Module, parts: int = 1):
        super().__init__()
        self.net, self.parts = net, parts

    def forward(self, images: Tensor) -> Output:
        everyone = processes.count()
        if not torch.is_grad_enabled():
            return self.net(images)
        if shared := everyone > 1 and len(images) % everyone == 0:
            images = images.chunk(everyone)[processes.rank()]
        if self.parts > 1:
            output = _joined([self._recomputed(part) for part in images.chunk(self.parts)])
        else:
            output = self.net(images)
        return Output(*(_from_all(field) for field in output)) if shared else output

    def _recomputed(self, images: Tensor) -> Output:
        layers = [module for module in self.net.modules() if isinstance(module, nn.BatchNorm2d)]
        modes = [layer.training for layer in layers]
        return checkpoint(
            self.net, images, use_reentrant=False, context_fn=lambda: (nullcontext(), _as_before(layers, modes))
        )


def _joined(outputs: list[Output]) -> Output:
    """The outputs for the parts of a batch as that for the batch."""
    fields = zip(*outputs, strict=True)
    return Output(*(None if parts[0] is None else torch.cat(parts, _batch_dim(parts[0])) for parts in fields))


def _from_all(field: Tensor | None) -> Tensor | None:
    return None if field is None else processes.from_all(field, _batch_dim(field))


def _batch_dim(field: Tensor) -> int:
    """Where the images of a batch are counted: behind the decoders, where a network returns the maps of each."""
    return 1 if field.ndim == 5 else 0


@contextmanager
def _as_before(layers: list[nn.BatchNorm2d], modes: list[bool]) -> Iterator[None]:
    """A context in which batch normalisation does again what it did in these modes, without counting it again."""
    now = [(layer.training, layer.momentum) for layer in layers]
    for layer, training in zip(layers, modes, strict=True):
        layer.training, layer.momentum = training, 0.0
    try:
        yield
    finally:
        for layer, (training, momentum) in zip(layers, now, strict=True):
            layer.training, layer.momentum = training, momentum
