"""Datasets: things that yield a `Sample` by index."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset


class Sample(NamedTuple):
    """One image of a domain.

    image: uint8 [3, H, W], RGB.
    label: uint8 [H, W], class indices and 255 = ignore; None where the domain is unlabelled.
    name: unique within its dataset.
    """

    image: Tensor
    label: Tensor | None
    name: str


class ArrayDataset(Dataset[Sample]):
    """A domain whose images lie in one array (in memory or memory-mapped).

    images: uint8 [N, 3, H, W]; labels: uint8 [N, H, W] or None for an unlabelled domain; names: N strings.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray | None, names: Sequence[str]):
        self.images, self.labels, self.names = images, labels, list(names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        # np.array copies: a memory-mapped cache is read-only, tensors are not.
        image = torch.from_numpy(np.array(self.images[index]))
        label = None if self.labels is None else torch.from_numpy(np.array(self.labels[index]))
        return Sample(image, label, self.names[index])


class PseudoLabelled(Dataset[Sample]):
    """An unlabelled domain with pseudo-labels in place of the labels it does not have.

    domain: a dataset whose samples have no label; pseudo_labels: uint8 [N, H, W], 255 = ignore, in the
        domain's order.
    Raises ValueError where the counts differ or the domain is labelled: ground truth must not slip in here.
    """

    def __init__(self, domain: Dataset[Sample], pseudo_labels: Tensor):
        if len(domain) != len(pseudo_labels):
            raise ValueError(
                f"There are {len(pseudo_labels)} pseudo-labels for {len(domain)} images; "
                "label the whole domain, in order."
            )
        if domain[0].label is not None:
            raise ValueError("The domain already has labels; pseudo-labels belong to an unlabelled target.")
        self.domain, self.pseudo_labels = domain, pseudo_labels

    def __len__(self) -> int:
        return len(self.domain)

    def __getitem__(self, index: int) -> Sample:
        return self.domain[index]._replace(label=self.pseudo_labels[index])
