"""Colours of one domain on the images of another."""

import torch
from torch import Tensor


def match_histograms(images: Tensor, references: Tensor) -> Tensor:
    """Give each image the histogram of its reference, channel by channel, as far as a map of grey levels can.

    images, references: uint8 [B, 3, H, W] on one device, of any sizes. Returns uint8, of the shape of `images`: a level
    becomes the smallest one that at least as large a share of the reference does not exceed (histogram specification,
    Gonzalez and Woods, Digital Image Processing).

    Raises ValueError for another number of references than of images.
    """
    if images.shape[:2] != references.shape[:2]:
        raise ValueError(f"images is {list(images.shape)} and references {list(references.shape)}; give one for each")
    # In whole numbers: shares are compared as count * size of the other, so that equal shares are equal.
    of_image, of_reference = (
        _levels_up_to(part) * other[0, 0].numel() for part, other in ((images, references), (references, images))
    )
    level = torch.searchsorted(of_reference, of_image)  # [B * 3, 256]
    flat = images.reshape(len(level), -1)
    return level.gather(1, flat.long()).to(torch.uint8).view(images.shape)


def _levels_up_to(images: Tensor) -> Tensor:
    """How many pixels of each channel are at most as bright as each level: int64 [B * 3, 256]."""
    flat = images.reshape(images.shape[0] * images.shape[1], -1).long()
    offsets = 256 * torch.arange(len(flat), device=flat.device)[:, None]
    return torch.bincount((flat + offsets).flatten(), minlength=256 * len(flat)).view(-1, 256).cumsum(dim=1)
