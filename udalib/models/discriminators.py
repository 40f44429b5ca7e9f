"""Networks that tell source from target, place by place. They return scores, to which no sigmoid was applied."""

from torch import Tensor, nn

SLOPE = 0.2  # of the leaky ReLU, in all the papers


class OutputDiscriminator(nn.Module):
    """Five strided convolutions on a map of class probabilities or self-information (Tsai et al., CVPR 2018).

    Input: [B, inputs, H, W], at the size of the image and at least 32 x 32. Output: scores [B, 1, H/32, W/32],
    rounded down.

    inputs: the number of classes. width: channels of the first convolution, doubled by each of the next three; 64 in
        the papers (AdaptSegNet, ADVENT and IAST). first_kernel: side of the first kernel, 4; the released code of
        IAST has 3.
    """

    def __init__(self, inputs: int, width: int = 64, first_kernel: int = 4):
        super().__init__()
        channels = [inputs, width, 2 * width, 4 * width, 8 * width, 1]
        kernels = [first_kernel, 4, 4, 4, 4]
        layers = []
        for before, after, kernel in zip(channels, channels[1:], kernels, strict=False):
            layers += [nn.Conv2d(before, after, kernel, stride=2, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(maps)


class FeatureDiscriminator(nn.Module):
    """Convolutions with average pooling in between, on a feature map (Shen et al., D1 and D2).

    Input: [B, inputs, h, w]. Output: scores [B, 1, h', w'], where each halving rounds down. Shen et al. end at 1/32 of
    the image whatever the stride of the map: 3 halvings from stride 4, 2 from stride 8, 1 from stride 16.

    width: channels of all hidden maps. The paper gives neither width nor kernels nor the number of convolutions; ours
        are 3x3, one before each halving and one that makes the score, with as many channels as its decoder.
    """

    def __init__(self, inputs: int, halvings: int, width: int = 128):
        super().__init__()
        layers = []
        for level in range(halvings):
            layers += [
                nn.Conv2d(inputs if level == 0 else width, width, 3, padding=1),
                nn.LeakyReLU(SLOPE, inplace=True),
                nn.AvgPool2d(2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width if halvings else inputs, 1, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)
