"""The course's network: 0.5 M parameters, a few minutes to train on two CPU cores."""

import torch
from torch import Tensor, nn

from udalib.models.parts import Normalise, Output, PyramidPooling, ResidualBlock, conv_bn_relu, resize


class Mini(nn.Module):
    """A residual encoder to stride 8 with a dilated last stage, pyramid pooling and a skip to stride 4.

    The parts are those of the papers' networks (dilated residual stages as in DeepLab, pyramid pooling as in
    PSPNet, one low-level skip as in DeepLab-v3+), at a width at which a course can afford to train them from
    scratch.

    Input: images [B, 3, H, W] in 0..255, H and W multiples of 8. Output: logits [B, C, H/4, W/4] and the
    features [B, 48, H/4, W/4] that the classifier reads.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        # No pre-training, hence no inherited statistics: a grey-level centre and spread near those of street
        # scenes.
        self.normalise = Normalise(mean=(118.0, 118.0, 118.0), std=(60.0, 60.0, 60.0))
        self.stem = nn.Sequential(conv_bn_relu(3, 16, stride=2), conv_bn_relu(16, 32, stride=2))
        self.stage1 = ResidualBlock(32, 32)
        self.stage2 = nn.Sequential(ResidualBlock(32, 64, stride=2), ResidualBlock(64, 64))
        self.stage3 = nn.Sequential(ResidualBlock(64, 96, dilation=2), ResidualBlock(96, 96, dilation=4))
        self.context = PyramidPooling(96, 24, grids=((1, 1), (2, 4), (4, 8)))
        self.fuse = conv_bn_relu(self.context.channels, 48, kernel=1)
        self.skip = conv_bn_relu(32, 16, kernel=1)
        self.decoder = conv_bn_relu(48 + 16, 48)
        self.classifier = nn.Conv2d(48, num_classes, 1)

    def forward(self, images: Tensor) -> Output:
        low = self.stage1(self.stem(self.normalise(images)))
        high = self.fuse(self.context(self.stage3(self.stage2(low))))
        features = self.decoder(torch.cat([resize(high, low.shape[-2:]), self.skip(low)], dim=1))
        return Output(self.classifier(features), features=features)
