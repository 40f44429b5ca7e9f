"""The course's network with a second head that says which classes an image contains: Iqbal and Ali, MLSL, Sec. 3.3."""

import torch
from torch import Tensor, nn

from udalib.models.mini import Mini
from udalib.models.parts import Output, resize


class ImageHead(nn.Module):
    """From features [B, inputs, h, w] to one logit per image and class, [B, C].

    A 1x1 and a 3x3 convolution, the mean over the map, and two linear layers, with a ReLU after each but the last; the
    released code has one after the first convolution alone. In the paper they have 2,048, 2,048, 512 and C outputs, on
    the 4,096 channels of a ResNet-38: 47 M parameters. width: of the convolutions; the first linear layer has a
    quarter of it.
    """

    def __init__(self, inputs: int, num_classes: int, width: int):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(inputs, width, 1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
        )
        self.linear = nn.Sequential(nn.Linear(width, width // 4), nn.ReLU(), nn.Linear(width // 4, num_classes))

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(self.convolutions(features).mean(dim=(2, 3)))


class MiniImage(Mini):
    """`Mini`, weights and names included, with an `ImageHead` on its encoder, whose logits [B, C] are in `aux`."""

    def __init__(self, num_classes: int):
        super().__init__(num_classes)
        self.head = ImageHead(96, num_classes, width=96)

    def forward(self, images: Tensor) -> Output:
        low = self.stage1(self.stem(self.normalise(images)))
        high = self.stage3(self.stage2(low))
        wide = resize(self.fuse(self.context(high)), low.shape[-2:])
        features = self.decoder(torch.cat([wide, self.skip(low)], dim=1))
        return Output(self.classifier(features), aux=self.head(high), features=features)
