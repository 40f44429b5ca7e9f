"""Augmentation of whole batches on the device: one affine sampling for image and label, then colour."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from udalib.data.mining import Mining
from udalib.labels import IGNORE


@dataclass(frozen=True)
class Augmentation:
    """What training may change about an image. Every image of a batch draws its own values.

    crop: height and width of the window in pixels; None keeps the image's size.
    scale: range of the zoom factor. Above 1 the window shows less of the scene; below 1 what lies outside the
        image is grey in the image and ignored in the label.
    flip: mirror half of the images.
    jitter: half-width of the ranges of contrast (relative), brightness and colour cast (in units of 100 grey
        levels).
    """

    crop: tuple[int, int] | None = None
    scale: tuple[float, float] = (0.8, 1.5)
    flip: bool = True
    jitter: float = 0.15

    def __call__(
        self, images: Tensor, labels: Tensor | None, generator: torch.Generator, mining: Mining | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """uint8 [B, 3, H, W] and uint8 [B, H, W] -> float32 [B, 3, h, w] in 0..255 and uint8 [B, h, w].

        generator: a CPU generator, whatever the device of the images, so that a GPU sees the same
            augmentations. mining: steers the windows to rare classes in `labels`.
        """
        half, centre = self._windows(images.shape, generator)
        if mining:
            centre = mining.centres(labels, half, centre, generator)
        grid = self._grid(half, centre, images.shape).to(images.device)
        grey = 118.0
        images = grey + F.grid_sample(images.float() - grey, grid, mode="bilinear", align_corners=False)
        if labels is not None:
            # 255 is moved to 0 for sampling, so that the zeros outside the image come back as ignore.
            shifted = (IGNORE - labels.int()).float()[:, None]
            sampled = F.grid_sample(shifted, grid, mode="nearest", align_corners=False)[:, 0]
            labels = (IGNORE - sampled).to(torch.uint8)
        return self._colours(images, generator), labels

    def _windows(self, shape: torch.Size, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Half-sizes [B, 2] and centres [B, 2], (x, y), of randomly placed, zoomed and mirrored windows.

        Both are shares of the image's half-size; a negative half-width mirrors.
        """
        count, _, height, width = shape
        crop_height, crop_width = self.crop or (height, width)
        zoom = _uniform(count, *self.scale, generator)
        half = torch.stack([crop_width / width / zoom, crop_height / height / zoom], dim=1)
        centre = (1 - half).abs() * (2 * torch.rand(count, 2, generator=generator) - 1)
        if self.flip:
            half[:, 0] *= 1 - 2 * torch.randint(0, 2, (count,), generator=generator)
        return half, centre

    def _grid(self, half: Tensor, centre: Tensor, shape: torch.Size) -> Tensor:
        """Sampling grids [B, h, w, 2] of windows."""
        theta = torch.zeros(len(half), 2, 3)
        theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = half[:, 0], half[:, 1], centre
        size = self.crop or tuple(shape[-2:])
        return F.affine_grid(theta, [len(half), 3, *size], align_corners=False)

    def _colours(self, images: Tensor, generator: torch.Generator) -> Tensor:
        if not self.jitter:
            return images
        count, j = len(images), self.jitter
        contrast = 1 + _uniform(count, -j, j, generator).view(-1, 1, 1, 1)
        brightness = 100 * _uniform(count, -j, j, generator).view(-1, 1, 1, 1)
        cast = 50 * _uniform(count * 3, -j, j, generator).view(-1, 3, 1, 1)
        grey = 118.0
        return (images - grey) * contrast.to(images.device) + (grey + brightness + cast).to(images.device)


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)
