"""Prediction on whole images, with averaging over scales and mirror images."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from udalib.device import autocast
from udalib.models.parts import resize


@torch.no_grad()
def whole(
    net: nn.Module,
    batches: Iterable[tuple],
    flip: bool = False,
    scales: tuple[float, ...] = (1.0,),
) -> Iterator[tuple[Tensor, list[str]]]:
    """Yield (probs float32 [B, C, H, W], names) for every batch of images, on the network's device.

    batches: tuples that start with images [B, 3, H, W] in 0..255 and end with names, such as `data.Batch`.
    flip: average with the prediction of the mirrored image. scales: average over the image resized by these
    factors (multi-scale testing). Every prediction is resized to the image's own size as logits and averaged
    as a distribution.

    The network is put in evaluation mode. Raises ValueError for an empty `scales` or one that is not
    positive.
    """
    if not scales or min(scales) <= 0:
        raise ValueError(f"scales={scales!r} can't be used; give at least one factor, each above 0, such as (1.0,).")
    device = next(net.parameters()).device
    net.eval()
    views = [(scale, mirrored) for scale in scales for mirrored in ((False, True) if flip else (False,))]
    for batch in batches:
        images, *_, names = batch
        images = images.to(device)
        probs = sum(_view(net, images, scale, mirrored) for scale, mirrored in views)
        yield (probs / len(views) if len(views) > 1 else probs), names


def _view(net: nn.Module, images: Tensor, scale: float, mirrored: bool) -> Tensor:
    size = images.shape[-2:]
    if scale != 1:
        images = resize(images.float(), tuple(round(side * scale) for side in size))
    if mirrored:
        images = images.flip(-1)
    with autocast(images.device):
        logits = net(images).logits
    probs = resize(logits.float(), size).softmax(dim=1)
    return probs.flip(-1) if mirrored else probs
