"""Building blocks that several networks share."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Output(NamedTuple):
    """What every network returns.

    logits: float [B, C, h, w], before upsampling, at the network's output stride.
    aux: further logits (a second decoder, an auxiliary level) or features (an earlier map of the decoder), or None.
    features: float [B, D, h', w'], the map the classifier reads, or None.
    """

    logits: Tensor
    aux: Tensor | None = None
    features: Tensor | None = None


class Normalise(nn.Module):
    """The input convention of a network: images in 0..255 (uint8 or float) to what its first layer expects.

    It is part of the network, so that a checkpoint can't be fed with another network's convention.
    """

    def __init__(self, mean: tuple[float, float, float], std: tuple[float, float, float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        scaled = (images.float() - self.mean) / self.std
        return scaled.contiguous(memory_format=torch.channels_last)


def conv_bn_relu(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016, basic block), with dilation."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.first = conv_bn_relu(inputs, outputs, stride=stride, dilation=dilation)
        self.second = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x), inplace=True)


class PyramidPooling(nn.Module):
    """Context from average pools over coarse grids (Zhao et al. 2017), concatenated to the input.

    The reductions carry no batch normalisation: a pooled map of 1x1 has one value per image, too few for
        statistics.
    """

    def __init__(self, channels: int, reduced: int, grids: tuple[tuple[int, int], ...]):
        super().__init__()
        self.grids = grids
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, reduced, 1), nn.ReLU(inplace=True)) for _ in grids
        )
        self.channels = channels + reduced * len(grids)

    def forward(self, x: Tensor) -> Tensor:
        context = [
            resize(reduce(F.adaptive_avg_pool2d(x, grid)), x.shape[-2:])
            for grid, reduce in zip(self.grids, self.reduce, strict=True)
        ]
        return torch.cat([x, *context], dim=1)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of [B, D, h, w] to [B, D, *size] (align_corners=False, everywhere in this package)."""
    return x if x.shape[-2:] == torch.Size(size) else F.interpolate(x, size, mode="bilinear", align_corners=False)
