"""Toy streets: four classes, 32 x 32 pixels; a whole training takes seconds on them, and their truth is known.

The two domains share their grammar (sky above houses above a road, people on the road) and differ in their light.
"""

import torch
from torch import Tensor, nn

from udalib import models, train
from udalib.labels import CITYSCAPES

NAMES = ("sky", "building", "road", "person")
SIDE = 32
PAINT = torch.tensor([[0.2, 0.5, 1.0], [0.7, 0.5, 0.3], [0.3, 0.3, 0.3], [0.9, 0.2, 0.2]])
NOISE = 0.12
CONTRAST, TINT = 0.55, (0.30, 0.15, 0.0)  # of the target's light


def streets(count: int, seed: int, target: bool = False, roofs: tuple[int, int] = (4, 14)) -> tuple[Tensor, Tensor]:
    """Images, float [count, 3, 32, 32] about 0..1, and their labels, uint8 [count, 32, 32], indices of `NAMES`.

    target: in the light of the target, paler and warmer. roofs: houses end between these rows, the second excluded.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(count, SIDE, SIDE, dtype=torch.uint8)
    for label in labels:
        for left in range(0, SIDE, 8):
            label[int(torch.randint(*roofs, (), generator=generator)) :, left : left + 8] = NAMES.index("building")
        label[20:] = NAMES.index("road")
        for left in torch.randint(0, SIDE - 3, (2,), generator=generator).tolist():
            label[17:23, left : left + 3] = NAMES.index("person")
    images = PAINT[labels.long()].movedim(-1, 1)
    images = images + NOISE * torch.randn(images.shape, generator=generator)
    return (CONTRAST * images + torch.tensor(TINT).view(3, 1, 1) if target else images), labels


class Net(nn.Sequential):
    """Three convolutions, images [B, 3, H, W] to an `Output` with logits [B, 4, H, W]."""

    def __init__(self):
        first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        super().__init__(first, nn.ReLU(), second, nn.ReLU(), nn.Conv2d(8, len(NAMES), 1))

    def forward(self, images: Tensor) -> models.Output:
        return models.Output(super().forward(images))


def source_only(images: Tensor, labels: Tensor, steps: int = 120) -> Net:
    """A network trained on labelled images, eight a step; always the same for the same images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Net()
        optimiser = torch.optim.Adam(net.parameters(), 1e-2)
        for _ in range(steps):
            chosen = torch.randint(len(images), (8,))
            loss = train.cross_entropy(net(images[chosen]).logits, labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return net


@torch.no_grad()
def answer(net: nn.Module, images: Tensor) -> Tensor:
    """The most probable class of each pixel, uint8 [B, H, W]."""
    return net(images).logits.argmax(dim=1).to(torch.uint8)


def iou(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """IoU of the four classes in per cent, float [4]; 0 for a class that occurs neither in truth nor in the answer."""
    said = answer(net, images)
    pairs = [(said == c, labels == c) for c in range(len(NAMES))]
    return 100 * torch.stack([(one & other).sum() / (one | other).sum().clamp(min=1) for one, other in pairs])


def pictures(image: Tensor, *labels: Tensor) -> list[Tensor]:
    """What `show.image_grid` takes: an image [3, H, W] as uint8, and label maps [H, W] as Cityscapes classes."""
    city = torch.tensor([CITYSCAPES.index(name) for name in NAMES], dtype=torch.uint8)
    return [(255 * image.clamp(0, 1)).to(torch.uint8), *(city[label.long()] for label in labels)]
