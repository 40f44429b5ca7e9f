"""FCN-8s on VGG-16 (Long, Shelhamer and Darrell, CVPR 2015), one of the two networks of CBST."""

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg16

from udalib.models.inputs import TorchvisionInput
from udalib.models.parts import Output, resize


class FCN8sVGG16(nn.Module):
    """VGG-16 with its linear layers turned into convolutions, and scores at three strides added up.

    134.4 M parameters for 19 classes. Of the published variants this is the one whose convolutions keep the size of
    their input (no margin of 100 pixels) and whose enlargements by two are bilinear and fixed: the specification says
    neither, and the parameters of learnt ones would make it 134.5 M.

    imagenet: start from torchvision's ImageNet weights (IMAGENET1K_V1), the linear layers included; torchvision
        downloads them once (530 MB). CBST starts from Caffe's, which torchvision has not.

    Input: images [B, 3, H, W] in 0..255, RGB, at least 32 x 32. Output: logits [B, C, H/8, W/8], rounded down, and the
    features [B, 4096, H/32, W/32] that the coarsest classifier reads.
    """

    def __init__(self, num_classes: int, imagenet: bool = False):
        super().__init__()
        self.num_classes = num_classes
        self.normalise = TorchvisionInput()
        net = vgg16(weights="IMAGENET1K_V1" if imagenet else None)
        stages = list(net.features)
        # Each ends with a pooling: the third at stride 8, the fourth at 16, the fifth at 32.
        self.to_pool3 = nn.Sequential(*stages[:17])
        self.to_pool4 = nn.Sequential(*stages[17:24])
        self.to_pool5 = nn.Sequential(*stages[24:])
        self.fc6 = as_convolution(net.classifier[0], inputs=512, kernel=7)
        self.fc7 = as_convolution(net.classifier[3], inputs=4096, kernel=1)
        self.score_pool3 = nn.Conv2d(256, num_classes, 1)
        self.score_pool4 = nn.Conv2d(512, num_classes, 1)
        self.score_fc7 = nn.Conv2d(4096, num_classes, 1)

    def forward(self, images: Tensor) -> Output:
        pool3 = self.to_pool3(self.normalise(images))
        pool4 = self.to_pool4(pool3)
        x = F.dropout(F.relu(self.fc6(self.to_pool5(pool4))), training=self.training)
        features = F.dropout(F.relu(self.fc7(x)), training=self.training)
        logits = resize(self.score_fc7(features), pool4.shape[-2:]) + self.score_pool4(pool4)
        logits = resize(logits, pool3.shape[-2:]) + self.score_pool3(pool3)
        return Output(logits, features=features)


def as_convolution(linear: nn.Linear, inputs: int, kernel: int) -> nn.Conv2d:
    """The convolution that computes what `linear` does on [inputs, kernel, kernel] maps, at every place of a map."""
    convolution = nn.Conv2d(inputs, linear.out_features, kernel, padding=kernel // 2)
    convolution.weight = nn.Parameter(linear.weight.detach().view_as(convolution.weight))
    convolution.bias = linear.bias
    return convolution
