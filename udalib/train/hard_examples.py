"""Cross-entropy of the hardest pixels: online hard example mining, as in the released code of MLSL."""

import torch
from torch import Tensor

from udalib.labels import IGNORE
from udalib.models.parts import resize


def hard_example_labels(logits: Tensor, labels: Tensor, probability: float = 0.6, least: int = 256) -> Tensor:
    """Return labels of the pixels on which the network is not sure of its label, [B, H, W] like `labels`.

    Pixels stay where the probability of their label is at most `probability`; but of the whole batch at least the
    `least` hardest (all, if there are fewer). The others become 255, so that a mean is over those that stay.

    logits: float [B, C, h, w], resized to the labels if they are coarser; no gradient. labels: uint8 [B, H, W],
    255 = ignore.
    """
    probs = resize(logits.detach().float(), labels.shape[-2:]).softmax(dim=1)
    valid = labels != IGNORE
    of_label = probs.gather(1, torch.where(valid, labels, 0).long()[:, None])[:, 0]
    sure = torch.where(valid, of_label, torch.inf)
    hardest = sure.flatten().kthvalue(min(least, sure.numel())).values
    return torch.where(sure <= hardest.clamp(min=probability), labels, IGNORE)
