"""The network of Chitta et al. 2018: a dilated ResNet-18 with two pyramid-pooling decoders."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from udalib.models.inputs import TorchvisionInput
from udalib.models.parts import Output, conv_bn_relu, resize


class ResNet18DualPPM(nn.Module):
    """ResNet-18 to stride 8, dilation 2 and 4 in its last two stages, and two decoders on its 512 channels.

    11.7 M parameters: 11,176,512 in the encoder and, for 19 classes, 282,643 in each decoder. The decoders start from
    their own random weights.

    Input: images [B, 3, H, W] in 0..255, RGB. Output: logits [B, C, H/8, W/8] (rounded up), the average of the
    decoders', and in `aux` those of both decoders, [2, B, C, H/8, W/8]. `decoders` are the modules.
    """

    def __init__(self, num_classes: int, imagenet: bool = False):
        """imagenet: start the encoder from torchvision's ImageNet weights, which torchvision downloads once (45 MB).

        The paper starts from weights for the segmentation of ADE20k, which torchvision has not.
        """
        super().__init__()
        self.num_classes = num_classes
        self.normalise = TorchvisionInput()
        net = resnet18(weights="IMAGENET1K_V1" if imagenet else None)
        dilate(net.layer3, before=1)
        dilate(net.layer4, before=2)
        self.encoder = nn.Sequential(
            net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4
        )
        self.decoders = nn.ModuleList(PyramidDecoder(512, num_classes) for _ in range(2))

    def forward(self, images: Tensor) -> Output:
        features = self.encoder(self.normalise(images))
        each = torch.stack([decoder(features) for decoder in self.decoders])
        return Output(each.mean(dim=0), aux=each)


class PyramidDecoder(nn.Module):
    """Average pools of 6x6, 3x3, 2x2 and 1x1 beside the features, and one classifier: [B, D, h, w] to [B, C, h, w].

    The reductions, to D/4 channels, have batch normalisation and ReLU as in Zhao et al. 2017; Chitta et al. do not
    say.

    Raises ValueError for a training batch of one image: its 1x1 pool is one value, which has no variance.
    """

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.grids = (6, 3, 2, 1)
        self.reduce = nn.ModuleList(conv_bn_relu(channels, channels // 4, kernel=1) for _ in self.grids)
        self.classifier = nn.Conv2d(2 * channels, num_classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        _, norm, _ = self.reduce[-1]
        if len(features) == 1 and norm.training:
            raise ValueError("One image has no statistics for batch normalisation; train on batches of 2 or more.")
        context = [
            resize(reduce(F.adaptive_avg_pool2d(features, grid)), features.shape[-2:])
            for grid, reduce in zip(self.grids, self.reduce, strict=True)
        ]
        return self.classifier(torch.cat([features, *context], dim=1))


def dilate(stage: nn.Sequential, before: int) -> None:
    """Replace the stride of 2 of a stage of basic blocks by dilation, in place; `before`: the dilation of its input.

    The strided convolution keeps the dilation of its input and those behind it take twice that, so that the stage
    computes what it did at every place where it did, and more densely in between. Torchvision's own option does so
    for bottleneck blocks only.
    """
    strided = stage[0].conv1
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
            if module.kernel_size == (3, 3):
                dilation = before if module is strided else 2 * before
                module.dilation = module.padding = (dilation, dilation)
