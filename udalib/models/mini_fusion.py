"""The course's encoder-decoder: what `fusion_aspp_resnet101` is to Shen et al., at the cost of `mini`."""

from torch import Tensor, nn

from udalib.models.fusion import FusionDecoder
from udalib.models.parts import Normalise, Output, ResidualBlock, conv_bn_relu


class MiniFusion(nn.Module):
    """A residual encoder to stride 16 and a `FusionDecoder` back to stride 4, with merged maps of 48 channels.

    Input: images [B, 3, H, W] in 0..255, H and W multiples of 8. Output: logits [B, C, H/4, W/4]; the merged maps, from
    which the logits come, [B, 48, H/4, W/4] in `features` and [B, 48, H/8, W/8] in `aux`.
    """

    merged_channels = 48

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        # As in `Mini`, no inherited statistics.
        self.normalise = Normalise(mean=(118.0, 118.0, 118.0), std=(60.0, 60.0, 60.0))
        self.stem = nn.Sequential(conv_bn_relu(3, 16, stride=2), conv_bn_relu(16, 32, stride=2))
        self.stage1 = ResidualBlock(32, 32)
        self.stage2 = nn.Sequential(ResidualBlock(32, 64, stride=2), ResidualBlock(64, 64))
        self.stage3 = nn.Sequential(ResidualBlock(64, 128, stride=2), ResidualBlock(128, 128, dilation=2))
        self.decoder = FusionDecoder((32, 64, 128), self.merged_channels, num_classes)

    def forward(self, images: Tensor) -> Output:
        fine = self.stage1(self.stem(self.normalise(images)))
        middle = self.stage2(fine)
        return self.decoder((fine, middle, self.stage3(middle)))
