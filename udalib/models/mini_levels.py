"""The course's network with a classifier on an earlier map too, for alignment on two levels: Tsai et al., CVPR 2018."""

import torch
from torch import Tensor, nn

from udalib.models.mini import Mini
from udalib.models.parts import Output, conv_bn_relu, resize


class MiniLevels(Mini):
    """`Mini`, weights and names included, with an `auxiliary` classifier on the map before the last encoder stage.

    AdaptSegNet's is a second head on the last but one stage of a ResNet-101. `aux` has its logits, [B, C, H/8, W/8].
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes)
        self.auxiliary = nn.Sequential(conv_bn_relu(64, 48), nn.Conv2d(48, num_classes, 1))

    def forward(self, images: Tensor) -> Output:
        low = self.stage1(self.stem(self.normalise(images)))
        middle = self.stage2(low)
        wide = resize(self.fuse(self.context(self.stage3(middle))), low.shape[-2:])
        features = self.decoder(torch.cat([wide, self.skip(low)], dim=1))
        return Output(self.classifier(features), aux=self.auxiliary(middle), features=features)
