"""The course's network with two decoders: what `resnet18_dual_ppm` is to Chitta et al. 2018, at the cost of `mini`."""

import torch
from torch import Tensor, nn

from udalib.models.parts import Normalise, Output, PyramidPooling, ResidualBlock, conv_bn_relu, resize


class MiniDual(nn.Module):
    """The encoder of `Mini` and twice its decoder, each with its own random initialisation.

    Layers, widths and the names of the encoder's weights are those of `Mini`.

    Input: images [B, 3, H, W] in 0..255, H and W multiples of 8. Output: logits [B, C, H/4, W/4], the average of the
    decoders', and in `aux` those of both decoders, [2, B, C, H/4, W/4]. `decoders` are the modules.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        self.normalise = Normalise(mean=(118.0, 118.0, 118.0), std=(60.0, 60.0, 60.0))
        self.stem = nn.Sequential(conv_bn_relu(3, 16, stride=2), conv_bn_relu(16, 32, stride=2))
        self.stage1 = ResidualBlock(32, 32)
        self.stage2 = nn.Sequential(ResidualBlock(32, 64, stride=2), ResidualBlock(64, 64))
        self.stage3 = nn.Sequential(ResidualBlock(64, 96, dilation=2), ResidualBlock(96, 96, dilation=4))
        self.decoders = nn.ModuleList(MiniDecoder(num_classes) for _ in range(2))

    def forward(self, images: Tensor) -> Output:
        low = self.stage1(self.stem(self.normalise(images)))
        high = self.stage3(self.stage2(low))
        each = torch.stack([decoder(low, high) for decoder in self.decoders])
        return Output(each.mean(dim=0), aux=each)


class MiniDecoder(nn.Module):
    """Pyramid pooling and a skip to stride 4: (low [B, 32, h, w], high [B, 96, h/2, w/2]) to logits [B, C, h, w]."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.context = PyramidPooling(96, 24, grids=((1, 1), (2, 4), (4, 8)))
        self.fuse = conv_bn_relu(self.context.channels, 48, kernel=1)
        self.skip = conv_bn_relu(32, 16, kernel=1)
        self.decoder = conv_bn_relu(48 + 16, 48)
        self.classifier = nn.Conv2d(48, num_classes, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        high = self.fuse(self.context(high))
        return self.classifier(self.decoder(torch.cat([resize(high, low.shape[-2:]), self.skip(low)], dim=1)))
