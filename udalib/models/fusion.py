"""The decoder of Shen et al.: maps of an encoder merged two by two, and ASPP at stride 4."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from udalib.models.parts import Output, conv_bn_relu, resize


class FusionBlock(nn.Module):
    """Merge a coarse map [B, coarse, h, w] into a finer one [B, fine, h', w']: [B, width, h', w'].

    The coarse map passes 3x3 convolutions with these `dilations`, is enlarged, and is added to the finer one, which a
    1x1 convolution brings to as many channels. The paper says "a few" dilated convolutions; ours are two, of 1 and 2.
    It says nothing of batch normalisation, which all of ours have, nor of the ReLU that ours has after the sum.
    """

    def __init__(self, coarse: int, fine: int, width: int, dilations: Sequence[int] = (1, 2)):
        super().__init__()
        channels = [coarse] + [width] * len(dilations)
        self.refine = nn.Sequential(
            *(
                conv_bn_relu(before, after, dilation=dilation)
                for before, after, dilation in zip(channels, channels[1:], dilations, strict=False)
            )
        )
        self.lateral = nn.Sequential(nn.Conv2d(fine, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return F.relu(resize(self.refine(coarse), fine.shape[-2:]) + self.lateral(fine))


class FusionDecoder(nn.Module):
    """Fusion blocks from the coarsest map of an encoder to its finest, and the sum of dilated classifiers (ASPP).

    channels: of the encoder's maps, the finest first; three or more. width: of the merged maps, 128 in the paper.
    rates: of the classifiers' dilation, of which the paper does not say that they are added up (as in DeepLab-v2).

    Input: the maps, the finest first. Output: logits at the size of the finest map; in `features` the last merged map,
    of that size too, and in `aux` the one before. They are what the paper's discriminators D1 and D2 see; it does not
    say which map D2 does.
    """

    def __init__(self, channels: Sequence[int], width: int, num_classes: int, rates: Sequence[int] = (1, 2, 4, 8)):
        super().__init__()
        *finer, coarse = channels
        self.blocks = nn.ModuleList()
        for fine in reversed(finer):
            self.blocks.append(FusionBlock(coarse, fine, width))
            coarse = width
        self.classifiers = nn.ModuleList(
            nn.Conv2d(width, num_classes, 3, padding=rate, dilation=rate) for rate in rates
        )

    def forward(self, maps: Sequence[Tensor]) -> Output:
        *finer, merged = maps
        before = merged
        for block, fine in zip(self.blocks, reversed(finer), strict=True):
            before, merged = merged, block(merged, fine)
        return Output(sum(classifier(merged) for classifier in self.classifiers), aux=before, features=merged)
