"""The networks of Shen et al.: an encoder-decoder on VGG16 or ResNet-101, with ASPP at stride 4."""

from torch import Tensor, nn
from torchvision.models import resnet101, vgg16

from udalib.models.fusion import FusionDecoder
from udalib.models.inputs import TorchvisionInput
from udalib.models.parts import Output


class FusionASPP(nn.Module):
    """Encoder stages and a `FusionDecoder` with 128 channels.

    Input: images [B, 3, H, W] in 0..255, RGB. Output: logits [B, C, H/4, W/4]; the merged maps, from which the logits
    come, [B, 128, H/4, W/4] in `features` and [B, 128, H/8, W/8] in `aux`. Sides that are no multiples of the
    encoder's stride are rounded, up by a ResNet and down by a VGG.

    stages: modules from the normalised images to maps at stride 4, and from each map to the next. channels: of these.
    """

    merged_channels = 128

    def __init__(self, num_classes: int, stages: list[nn.Module], channels: tuple[int, ...]):
        super().__init__()
        self.num_classes = num_classes
        self.normalise = TorchvisionInput()
        self.stages = nn.ModuleList(stages)
        self.decoder = FusionDecoder(channels, self.merged_channels, num_classes)

    def forward(self, images: Tensor) -> Output:
        x, maps = self.normalise(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return self.decoder(maps)


class FusionASPPResNet101(FusionASPP):
    """With the four stages of a ResNet-101, strides 4 to 32: the last is merged with the one before, and so on."""

    def __init__(self, num_classes: int, imagenet: bool = False):
        """imagenet: start the encoder from torchvision's ImageNet weights, which torchvision downloads once (171 MB).

        The paper starts from weights for ImageNet too.
        """
        net = resnet101(weights="IMAGENET1K_V1" if imagenet else None)
        first = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1)
        super().__init__(num_classes, [first, net.layer2, net.layer3, net.layer4], (256, 512, 1024, 2048))


class FusionASPPVGG16(FusionASPP):
    """With the convolutions of a VGG16 without batch normalisation, up to conv5_3: strides 4, 8 and 16.

    The paper gives no details of its VGG16; the fully connected layers and the last pooling are left out here.
    """

    def __init__(self, num_classes: int, imagenet: bool = False):
        """imagenet: as in `FusionASPPResNet101`; 528 MB are downloaded, most of which belong to layers left out."""
        layers = vgg16(weights="IMAGENET1K_V1" if imagenet else None).features
        super().__init__(num_classes, [layers[:16], layers[16:23], layers[23:30]], (256, 512, 512))
