"""Prediction on whole images, with what a judge thinks of them: adversarial confidence in Shen et al., Sec. 2.3."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from udalib.device import autocast
from udalib.models.parts import Output, resize


@torch.no_grad()
def judged(
    net: nn.Module, batches: Iterable[tuple], judge: Callable[[Output], Tensor]
) -> Iterator[tuple[Tensor, Tensor, list[str]]]:
    """Yield (probs float32 [B, C, H, W], confidence [B, D, h, w], names) for every batch, on the network's device.

    batches: as in `whole`, whose probabilities these are. judge: from the network's output, in float32, to its
    confidence in the images' places, such as what D discriminators say of it.

    The network is put in evaluation mode.
    """
    device = next(net.parameters()).device
    net.eval()
    for images, *_, names in batches:
        with autocast(device):
            output = net(images.to(device))
        output = Output(*(None if part is None else part.float() for part in output))
        yield resize(output.logits, images.shape[-2:]).softmax(dim=1), judge(output), names
