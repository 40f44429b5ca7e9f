"""Networks and their parts. `build` is the one way to make a network by name."""

import torch
from torch import nn

from udalib.models.discriminators import FeatureDiscriminator, OutputDiscriminator
from udalib.models.fusion_aspp import FusionASPPResNet101, FusionASPPVGG16
from udalib.models.mini import Mini
from udalib.models.mini_dual import MiniDual
from udalib.models.mini_fusion import MiniFusion
from udalib.models.mini_image import ImageHead, MiniImage
from udalib.models.mini_levels import MiniLevels
from udalib.models.parts import Output
from udalib.models.resnet18_dual_ppm import ResNet18DualPPM

NETWORKS = {
    "mini": Mini,
    "mini_dual": MiniDual,
    "mini_fusion": MiniFusion,
    "mini_image": MiniImage,
    "mini_levels": MiniLevels,
    "fusion_aspp_resnet101": FusionASPPResNet101,
    "fusion_aspp_vgg16": FusionASPPVGG16,
    "resnet18_dual_ppm": ResNet18DualPPM,
}
# Networks that are another one with more heads, and can begin with its weights.
EXTENDED = {"mini_dual": "mini", "mini_image": "mini", "mini_levels": "mini"}


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


__all__ = [
    "EXTENDED",
    "NETWORKS",
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
    "build",
    "find",
    "plain",
]
