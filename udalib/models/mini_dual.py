"""The course's network with two decoders: what `resnet18_dual_ppm` is to Chitta et al. 2018, at the cost of `mini`."""

import torch
from torch import Tensor, nn

from udalib.models.mini import Mini
from udalib.models.parts import Output, conv_bn_relu, resize

WIDTH = 32  # of a decoder's 3x3 convolution; 48 in Mini


class MiniDual(nn.Module):
    """The encoder of `Mini` and twice a narrower copy of its decoder, each with its own random initialisation.

    Layers and the names of the encoder's weights are those of `Mini`. A decoder's 3x3 convolution has two thirds of the
    channels, so that a training of the pair costs at most 1.3 times one of `Mini` (benchmarks/decoders.py).

    Input: images [B, 3, H, W] in 0..255, H and W multiples of 8. Output: logits [B, C, H/4, W/4], the average of the
    decoders', and in `aux` those of both decoders, [2, B, C, H/4, W/4]. `decoders` are the modules.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        first, second = Mini(num_classes), Mini(num_classes)
        self.normalise, self.stem = first.normalise, first.stem
        self.stage1, self.stage2, self.stage3 = first.stage1, first.stage2, first.stage3
        self.decoders = nn.ModuleList([MiniDecoder(first), MiniDecoder(second)])

    def forward(self, images: Tensor) -> Output:
        low = self.stage1(self.stem(self.normalise(images)))
        high = self.stage3(self.stage2(low))
        each = torch.stack([decoder(low, high) for decoder in self.decoders])
        return Output(each.mean(dim=0), aux=each)


class MiniDecoder(nn.Module):
    """The decoder of a `Mini`, narrower: (low [B, 32, h, w], high [B, 96, h/2, w/2]) to logits [B, C, h, w]."""

    def __init__(self, net: Mini):
        super().__init__()
        self.context, self.fuse, self.skip = net.context, net.fuse, net.skip
        self.decoder = conv_bn_relu(48 + 16, WIDTH)
        self.classifier = nn.Conv2d(WIDTH, net.num_classes, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        high = self.fuse(self.context(high))
        return self.classifier(self.decoder(torch.cat([resize(high, low.shape[-2:]), self.skip(low)], dim=1)))
