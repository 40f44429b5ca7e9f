"""Networks and their parts. `build` makes a network by name; `pretrained` one that starts from ImageNet weights, and
`load_released` one that somebody else trained."""

import torch
from torch import nn

from udalib.models.deeplabv2_resnet101 import DeepLabV2ResNet101, DeepLabV2ResNet101IAST, DeepLabV2ResNet101Multi
from udalib.models.discriminators import FeatureDiscriminator, OutputDiscriminator
from udalib.models.fcn8s_vgg16 import FCN8sVGG16
from udalib.models.fusion_aspp import FusionASPPResNet101, FusionASPPVGG16
from udalib.models.mini import Mini
from udalib.models.mini_dual import MiniDual
from udalib.models.mini_fusion import MiniFusion
from udalib.models.mini_image import ImageHead, MiniImage
from udalib.models.mini_levels import MiniLevels
from udalib.models.parts import Output
from udalib.models.released import FORMS, AsReleased, find_form, load_initial, load_released
from udalib.models.resnet18_dual_ppm import ResNet18DualPPM
from udalib.models.resnet38 import ResNet38, ResNet38Image

NETWORKS = {
    "mini": Mini,
    "mini_dual": MiniDual,
    "mini_fusion": MiniFusion,
    "mini_image": MiniImage,
    "mini_levels": MiniLevels,
    "deeplabv2_resnet101": DeepLabV2ResNet101,
    "deeplabv2_resnet101_multi": DeepLabV2ResNet101Multi,
    "deeplabv2_resnet101_iast": DeepLabV2ResNet101IAST,
    "fcn8s_vgg16": FCN8sVGG16,
    "resnet38": ResNet38,
    "resnet38_image": ResNet38Image,
    "fusion_aspp_resnet101": FusionASPPResNet101,
    "fusion_aspp_vgg16": FusionASPPVGG16,
    "resnet18_dual_ppm": ResNet18DualPPM,
}
# Networks whose backbone is one of torchvision's; they have an option `imagenet`.
ON_IMAGENET = (
    "deeplabv2_resnet101_iast",
    "fcn8s_vgg16",
    "fusion_aspp_resnet101",
    "fusion_aspp_vgg16",
    "resnet18_dual_ppm",
)
# Networks that are another one with more heads, and can begin with its weights.
EXTENDED = {"mini_dual": "mini", "mini_image": "mini", "mini_levels": "mini", "resnet38_image": "resnet38"}


def find(name: str) -> type[nn.Module]:
    """The class of the network called `name`. Raises ValueError, listing the choices, for any other name."""
    if name not in NETWORKS:
        raise ValueError(f"There is no network {name!r}; choose one of: {', '.join(NETWORKS)}.")
    return NETWORKS[name]


def plain(name: str) -> str:
    """The name of the network that the one called `name` extends, or else its own."""
    return EXTENDED.get(name, name)


def build(name: str, num_classes: int) -> nn.Module:
    """A freshly initialised network, in channels_last memory format.

    Its forward pass takes images [B, 3, H, W] in 0..255 and returns an `Output`. The weights come from torch's
    global random state: seed it first for a reproducible initialisation.

    Raises ValueError for an unknown name.
    """
    return find(name)(num_classes).to(memory_format=torch.channels_last)


def pretrained(name: str, num_classes: int) -> nn.Module:
    """As `build`, starting from the ImageNet weights that torchvision has for the network's backbone.

    torchvision downloads them at the first call, into the folder of `torch.hub`.

    Raises ValueError for an unknown name, for a network that torchvision has no weights for, and where they can't be
    fetched.
    """
    network = find(name)
    if name not in ON_IMAGENET:
        raise ValueError(
            f"torchvision has no ImageNet weights for {name!r}; it has some for {', '.join(ON_IMAGENET)}, and "
            "models.load_initial reads those of AdaptSegNet."
        )
    try:
        net = network(num_classes, imagenet=True)
    except (OSError, RuntimeError) as error:  # no connection, no space; a file that isn't what was asked for
        raise ValueError(
            f"The ImageNet weights for {name!r} can't be fetched ({error}); connect this machine to the network, or "
            f"put torchvision's file into {torch.hub.get_dir()}/checkpoints."
        ) from error
    return net.to(memory_format=torch.channels_last)


__all__ = [
    "EXTENDED",
    "NETWORKS",
    "ON_IMAGENET",
    "FORMS",
    "AsReleased",
    "DeepLabV2ResNet101",
    "DeepLabV2ResNet101IAST",
    "DeepLabV2ResNet101Multi",
    "FCN8sVGG16",
    "FeatureDiscriminator",
    "FusionASPPResNet101",
    "FusionASPPVGG16",
    "ImageHead",
    "Mini",
    "MiniDual",
    "MiniFusion",
    "MiniImage",
    "MiniLevels",
    "Output",
    "OutputDiscriminator",
    "ResNet18DualPPM",
    "ResNet38",
    "ResNet38Image",
    "build",
    "find",
    "find_form",
    "load_initial",
    "load_released",
    "plain",
    "pretrained",
]
