"""The input conventions of networks that start from ImageNet weights."""

from torch import Tensor

from udalib.models.parts import Normalise


class CaffeInput(Normalise):
    """What networks converted from Caffe expect: BGR, 0..255, the mean of ImageNet subtracted, no division.

    Input: images [B, 3, H, W] in 0..255, RGB like everywhere in this package. The mean is that of AdaptSegNet, whose
    code prints it in the order B, G, R.
    """

    def __init__(self):
        super().__init__(mean=(104.00698793, 116.66876762, 122.67891434), std=(1.0, 1.0, 1.0))

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.flip(1))


class TorchvisionInput(Normalise):
    """What torchvision's ImageNet weights expect: RGB, less its mean, divided by its standard deviation."""

    def __init__(self):
        super().__init__(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
