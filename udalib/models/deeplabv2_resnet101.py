"""DeepLab-v2 on ResNet-101 (Chen et al., TPAMI 2018), as AdaptSegNet, ADVENT and CRST have it, and as IAST has it.

All forms have an output stride of 8, the last two stages dilated instead of strided, and as classifier the sum of
dilated convolutions. They differ in where a block's stride sits and in which input they expect, so that their weights
can't be exchanged, although most of them have the same shapes.
"""

from torch import Tensor, nn
from torchvision.models import ResNet, resnet101

from udalib.models.inputs import CaffeInput, TorchvisionInput
from udalib.models.parts import Output

RATES = (6, 12, 18, 24)


class ASPP(nn.Module):
    """Four dilated 3x3 convolutions whose outputs are added up: features [B, D, h, w] to logits [B, C, h, w].

    branches: how many of them take part, from the smallest rate on. The code of AdaptSegNet returns too early and uses
        two; the weights of the others exist there, but were never trained.
    """

    def __init__(self, channels: int, num_classes: int, branches: int = len(RATES)):
        super().__init__()
        self.branches = branches
        self.conv2d_list = nn.ModuleList(
            nn.Conv2d(channels, num_classes, 3, padding=rate, dilation=rate) for rate in RATES
        )
        for convolution in self.conv2d_list:
            nn.init.normal_(convolution.weight, std=0.01)

    def forward(self, features: Tensor) -> Tensor:
        return sum(convolution(features) for convolution in self.conv2d_list[: self.branches])


class CaffeResNet101(nn.Module):
    """The trunk of AdaptSegNet's networks: torchvision's ResNet-101 with the strides and dilations of Caffe's.

    The stride of a stage sits on the first 1x1 convolution of its first block, every block of the last two stages
    has the dilation of its stage (2 and 4), and pooling rounds up. Names of weights are torchvision's. 42.5 M
    parameters. Scale and shift of all batch normalisations are frozen (`requires_grad` is False); the statistics are
    not.

    normalise: the input convention, see `models.inputs`; BGR without division here. CRST has torchvision's instead.
    """

    def __init__(self):
        super().__init__()
        self.normalise = CaffeInput()
        trunk = resnet101()
        as_in_caffe(trunk)
        self.conv1, self.bn1, self.relu, self.maxpool = trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4
        freeze_affine(self)

    def levels(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """From images [B, 3, H, W] to the output of the third and the fourth stage, 1,024 and 2,048 channels."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(self.normalise(images)))))
        third = self.layer3(self.layer2(self.layer1(x)))
        return third, self.layer4(third)


class DeepLabV2ResNet101(CaffeResNet101):
    """The single-level network of AdaptSegNet, ADVENT and CRST: one ASPP, `layer5`, on the fourth stage.

    43.9 M parameters for 19 classes.

    Input: images [B, 3, H, W] in 0..255, RGB. Output: logits [B, C, H/8 + 1, W/8 + 1] for sides that are multiples of
    8, and the features [B, 2048, ...] that the classifier reads.
    """

    def __init__(self, num_classes: int, branches: int = len(RATES)):
        super().__init__()
        self.num_classes = num_classes
        self.layer5 = ASPP(2048, num_classes, branches)

    def forward(self, images: Tensor) -> Output:
        _, features = self.levels(images)
        return Output(self.layer5(features), features=features)


class DeepLabV2ResNet101Multi(CaffeResNet101):
    """The multi-level network of AdaptSegNet and ADVENT: an auxiliary ASPP on the third stage, the main one as above.

    `layer5` is the auxiliary and `layer6` the main one. 44.6 M parameters for 19 classes.

    branches: 4 in ADVENT; the weights that AdaptSegNet released were trained with 2, see `ASPP`.

    Input and output as those of `DeepLabV2ResNet101`, and in `aux` the auxiliary logits, as large as the main ones.
    """

    def __init__(self, num_classes: int, branches: int = len(RATES)):
        super().__init__()
        self.num_classes = num_classes
        self.layer5 = ASPP(1024, num_classes, branches)
        self.layer6 = ASPP(2048, num_classes, branches)

    @property
    def auxiliary(self) -> ASPP:
        """The auxiliary classifier, by the name that it has in the other networks of two levels."""
        return self.layer5

    def forward(self, images: Tensor) -> Output:
        third, fourth = self.levels(images)
        return Output(self.layer6(fourth), aux=self.layer5(third), features=fourth)


class DeepLabV2ResNet101IAST(nn.Module):
    """The network of IAST: torchvision's ResNet-101, dilated as torchvision does it, and one ASPP.

    46.0 M parameters for 19 classes, of which the 2.0 M of torchvision's classifier `backbone.fc` are carried along
    unused, like in the released checkpoints. Scale and shift of all batch normalisations are frozen, as in the released
    warm-up and self-training; its source training learns them.

    imagenet: start the backbone from torchvision's ImageNet weights (IMAGENET1K_V1), as IAST does; torchvision
        downloads them once (170 MB).

    Input: images [B, 3, H, W] in 0..255, RGB. Output: logits [B, C, H/8, W/8], rounded up, and the features
    [B, 2048, H/8, W/8] that the classifier reads.
    """

    def __init__(self, num_classes: int, imagenet: bool = False):
        super().__init__()
        self.num_classes = num_classes
        self.normalise = TorchvisionInput()
        self.backbone = resnet101(
            weights="IMAGENET1K_V1" if imagenet else None, replace_stride_with_dilation=[False, True, True]
        )
        self.backbone.fc.requires_grad_(False)
        self.decoder = nn.ModuleDict({"aspp": ASPP(2048, num_classes)})
        freeze_affine(self)

    def forward(self, images: Tensor) -> Output:
        net = self.backbone
        x = net.maxpool(net.relu(net.bn1(net.conv1(self.normalise(images)))))
        features = net.layer4(net.layer3(net.layer2(net.layer1(x))))
        return Output(self.decoder["aspp"](features), features=features)


def as_in_caffe(trunk: ResNet) -> None:
    """Give a ResNet of bottleneck blocks the strides, dilations and pooling of `CaffeResNet101`, in place."""
    trunk.maxpool.ceil_mode = True
    stages = ((trunk.layer1, 1, 1), (trunk.layer2, 2, 1), (trunk.layer3, 1, 2), (trunk.layer4, 1, 4))
    for stage, stride, dilation in stages:
        for block in stage:
            block.conv2.stride = (1, 1)
            block.conv2.dilation = block.conv2.padding = (dilation, dilation)
        stage[0].conv1.stride = stage[0].downsample[0].stride = (stride, stride)


def freeze_affine(net: nn.Module) -> None:
    """Keep scale and shift of every batch normalisation from being trained; what papers call frozen batch norm.

    In training mode the statistics still come from the batch, and the running ones move.
    """
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
