"""ResNet-38, model A1 of Wu, Shen and van den Hengel (2016), a network of CBST and of MLSL."""

import torch.nn.functional as F
from torch import Tensor, nn

from udalib.models.inputs import TorchvisionInput
from udalib.models.mini_image import ImageHead
from udalib.models.parts import Output

EPSILON = 1.001e-5  # of the batch normalisation
RATE = 12  # dilation of the classifier


class ResNet38(nn.Module):
    """A wide and shallow residual network with pre-activation, output stride 8, and two convolutions as classifier.

    124.0 M parameters for 19 classes: 105.1 M in the features and 19.0 M in the classifier. MLSL prints the classifier,
    but not its dilation. torchvision has no ImageNet weights for it; those of its authors are for MXNet alone.

    Input: images [B, 3, H, W] in 0..255, RGB, normalised as torchvision's networks (the specification doesn't say).
    Output: logits [B, C, H/8, W/8], rounded up, and the features [B, 4096, H/8, W/8] that the classifier reads.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        self.normalise = TorchvisionInput()
        self.stem = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.stage2 = stage(3, 64, (128, 128), stride=2)
        self.stage3 = stage(3, 128, (256, 256), stride=2)
        self.stage4 = stage(6, 256, (512, 512), stride=2)
        # Dilated where others have a stride: the first convolution reads the map of the stage before, and keeps its
        # dilation; those behind it take twice that.
        self.stage5 = stage(3, 512, (512, 1024), dilation=2, first_dilation=1)
        self.stage6 = Block(1024, (512, 1024, 2048), kernels=(1, 3, 1), dilations=(1, 4, 1), dropout=0.3)
        self.stage7 = Block(2048, (1024, 2048, 4096), kernels=(1, 3, 1), dilations=(1, 4, 1), dropout=0.5)
        self.norm = nn.BatchNorm2d(4096, eps=EPSILON)
        self.classifier = nn.Sequential(
            nn.Conv2d(4096, 512, 3, padding=RATE, dilation=RATE),
            nn.ReLU(inplace=True),
            nn.Conv2d(512, num_classes, 3, padding=RATE, dilation=RATE),
        )

    def forward(self, images: Tensor) -> Output:
        x = self.stem(self.normalise(images))
        x = self.stage5(self.stage4(self.stage3(self.stage2(x))))
        features = F.relu(self.norm(self.stage7(self.stage6(x))))
        return Output(self.classifier(features), features=features)


class ResNet38Image(ResNet38):
    """`ResNet38`, weights and names included, with the image head of MLSL on its features; its logits are in `aux`.

    The head has 47.2 M parameters for 19 classes.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes)
        self.head = ImageHead(4096, num_classes, width=2048)

    def forward(self, images: Tensor) -> Output:
        output = super().forward(images)
        return output._replace(aux=self.head(output.features))


class Block(nn.Module):
    """Convolutions, each behind batch normalisation and ReLU, and a shortcut: [B, D, h, w] to [B, D', h', w'].

    channels, kernels, dilations: of the convolutions; the stride is that of the first one. dropout: before the last. A
    block that changes the number of channels has a 1x1 projection as shortcut, which reads what the first convolution
    reads.
    """

    def __init__(
        self,
        inputs: int,
        channels: tuple[int, ...],
        kernels: tuple[int, ...],
        dilations: tuple[int, ...],
        stride: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        before = (inputs, *channels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(count, eps=EPSILON) for count in before[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(
                before[i],
                channels[i],
                kernels[i],
                stride=stride if i == 0 else 1,
                padding=dilations[i] * (kernels[i] // 2),
                dilation=dilations[i],
                bias=False,
            )
            for i in range(len(channels))
        )
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Conv2d(inputs, channels[-1], 1, stride, bias=False) if inputs != channels[-1] else None

    def forward(self, x: Tensor) -> Tensor:
        out, shortcut = x, x
        last = len(self.convolutions) - 1
        for i, (norm, convolution) in enumerate(zip(self.norms, self.convolutions, strict=True)):
            out = F.relu(norm(out))
            if i == 0 and self.projection is not None:
                shortcut = self.projection(out)
            out = convolution(self.dropout(out) if i == last else out)
        return out + shortcut


def stage(
    blocks: int,
    inputs: int,
    channels: tuple[int, int],
    stride: int = 1,
    dilation: int = 1,
    first_dilation: int | None = None,
) -> nn.Sequential:
    """Blocks of two 3x3 convolutions; the first block has the stride, its first convolution `first_dilation`."""
    kernels, dilations = (3, 3), (dilation, dilation)
    first = Block(inputs, channels, kernels, (first_dilation or dilation, dilation), stride)
    return nn.Sequential(first, *(Block(channels[-1], channels, kernels, dilations) for _ in range(blocks - 1)))
