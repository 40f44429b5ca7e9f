"""Scores from one confusion matrix: IoU, mean IoU over 19, 16 or 13 classes, quality of pseudo-labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from udalib import labels
from udalib.labels import IGNORE

_CHUNK = 1 << 18  # pixels counted at once, so that the int64 copies stay in the cache


class ConfusionMatrix:
    """Pixel counts over a whole evaluation set, from which every score is computed.

    matrix: int64 [C,C] on the CPU, rows truth, columns prediction. With `merge`, C counts the target classes
    and one more column holds the predictions that match none of them: a miss for their true class, a false
    positive for no class.

    absent: what a class without truth and prediction contributes to the mean. "nan" leaves it out, like the
    released code of AdaptSegNet; "zero" counts it as IoU 0, like that of CBST, CRST and IAST. Report
    `present` next to a mean.

    A subset is scored strictly: predictions outside it are errors. For the masked score, which equals that of
    a network with just these outputs, before `update` set labels outside the subset to 255 and take the
    argmax over the subset's logits alone.
    """

    def __init__(self, num_classes: int, merge: labels.Merge | None = None, absent: str = "nan"):
        """Start at zero.

        num_classes: classes of `pred` and `label`, 1 to 255.
        merge: scores `merge.source` predictions and labels as `merge.target` classes.
        Raises ValueError for another `absent`, and unless `merge.source` has `num_classes` classes.
        """
        if not 1 <= num_classes <= IGNORE:
            raise ValueError(f"num_classes is {num_classes}; choose 1 to {IGNORE}, since train ids are bytes")
        if absent not in ("nan", "zero"):
            raise ValueError(f"absent is {absent!r}; choose 'nan' or 'zero'")
        if merge and len(merge.source) != num_classes:
            raise ValueError(
                f"merge maps {len(merge.source)} classes, but num_classes is {num_classes}; make them equal"
            )
        self.num_classes = num_classes
        self.merge = merge
        self.absent = absent
        scored = len(merge.target) if merge else num_classes
        self.matrix = torch.zeros(scored, scored + 1 if merge else scored, dtype=torch.int64)

    def update(self, pred: Tensor, label: Tensor) -> None:
        """Count the pixels of `pred` [B,H,W] and `label` [B,H,W], integers on one device, but for label 255.

        Raises ValueError for different shapes, a label outside the classes, and a prediction outside the
        classes on a labelled pixel.
        """
        pairs = _count_pairs(label, pred, ("label", "pred"))
        _check_values(pairs.sum(dim=1), self.num_classes, "label")
        labelled = pairs[: self.num_classes]
        if labelled[:, IGNORE].any():
            raise ValueError(f"pred contains {IGNORE} on labelled pixels; pass the argmax over the classes")
        _check_values(labelled.sum(dim=0), self.num_classes, "pred")
        self.matrix += self._merged(labelled[:, : self.num_classes])

    def iou(self) -> Tensor:
        """Return TP / (TP + FP + FN) per class, float64 [C], as fractions; NaN or 0 where absent."""
        hits = self.matrix.diag()
        union = self.matrix.sum(dim=1) + self.matrix.sum(dim=0)[: len(hits)] - hits
        iou = hits.double() / union
        return iou.nan_to_num(nan=0.0) if self.absent == "zero" else iou

    def miou(self, subset: str | None = None) -> float:
        """Return the mean IoU of all classes or of subset "19", "16" or "13"; NaN if no class is present.

        mIoU16 and mIoU13 average the IoUs of this matrix: pixels of the other classes still count as errors.
        Raises ValueError for a subset these classes don't have.
        """
        return self._subset_iou(subset).nanmean().item()

    def present(self, subset: str | None = None) -> int:
        """Return the number of classes that `miou(subset)` averages over."""
        return int((~self._subset_iou(subset).isnan()).sum())

    def pixel_accuracy(self) -> float:
        """Return correct pixels / labelled pixels; NaN before the first."""
        return (self.matrix.diag().sum().double() / self.matrix.sum()).item()

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Pool two matrices, of two processes or folds; raise ValueError if they were made differently."""
        kind = (self.num_classes, self.merge, self.absent)
        if kind != (other.num_classes, other.merge, other.absent):
            raise ValueError("matrices differ in num_classes, merge or absent; add matrices made alike")
        total = ConfusionMatrix(*kind)
        total.matrix = self.matrix + other.matrix
        return total

    def _merged(self, counts: Tensor) -> Tensor:
        if self.merge is None:
            return counts
        rows = torch.from_numpy(self.merge.truth_lut()[: self.num_classes])
        columns = torch.from_numpy(self.merge.lut()[: self.num_classes])
        scored, predicted = self.matrix.shape
        to_row = rows == torch.arange(scored)[:, None]
        to_column = columns == torch.arange(predicted)[:, None]
        return to_row.long() @ counts @ to_column.long().T

    def _subset_iou(self, subset: str | None) -> Tensor:
        if subset is None:
            return self.iou()
        classes = self.merge.target if self.merge else self.num_classes
        return self.iou()[list(labels.subset(classes, subset))]


@dataclass(frozen=True)
class LabelQuality:
    """How good pseudo-labels are, over the pixels that have truth; undefined shares are NaN.

    coverage: labelled pixels / pixels with truth.
    precision: float64 [C], of the pixels labelled c, the share that is c.
    recall: float64 [C], of the pixels that are c, labelled or not, the share labelled c.
    iou: float64 [C], over the labelled pixels alone, hits / (labelled c + labelled pixels that are c - hits): IAST,
        Table 4.
    overall_precision, overall_recall: the same as precision and recall, with the pixels of all classes pooled.
    kept: int64 [C], pixels labelled c.
    """

    coverage: float
    precision: Tensor
    recall: Tensor
    iou: Tensor
    overall_precision: float
    overall_recall: float
    kept: Tensor


def label_quality(pseudo: Tensor, truth: Tensor, num_classes: int) -> LabelQuality:
    """Compare pseudo-labels with the ground truth, both uint8 [N,H,W] with 255 = ignore, for reports only.

    Raises ValueError for different shapes and for values outside the classes.
    """
    pairs = _count_pairs(truth, pseudo, ("truth", "pseudo"))
    _check_values(pairs.sum(dim=1), num_classes, "truth")
    _check_values(pairs.sum(dim=0), num_classes, "pseudo")
    with_truth = pairs[:num_classes].double()
    labelled = with_truth[:, :num_classes]
    hits = labelled.diag()
    return LabelQuality(
        coverage=(labelled.sum() / with_truth.sum()).item(),
        precision=hits / labelled.sum(dim=0),
        recall=hits / with_truth.sum(dim=1),
        iou=hits / (labelled.sum(dim=0) + labelled.sum(dim=1) - hits),
        overall_precision=(hits.sum() / labelled.sum()).item(),
        overall_recall=(hits.sum() / with_truth.sum()).item(),
        kept=labelled.sum(dim=0).long(),
    )


def _count_pairs(row: Tensor, column: Tensor, names: tuple[str, str]) -> Tensor:
    """Count the pairs of byte values of two label maps, int64 [256,256] on the CPU."""
    if row.shape != column.shape:
        raise ValueError(f"{names[0]} has shape {list(row.shape)} and {names[1]} {list(column.shape)}; make them equal")
    counts = torch.zeros(256 * 256, dtype=torch.int64, device=row.device)
    for rows, columns in zip(row.flatten().split(_CHUNK), column.flatten().split(_CHUNK), strict=True):
        pairs = _bytes(rows, names[0]) << 8 | _bytes(columns, names[1])
        counts += torch.bincount(pairs, minlength=256 * 256)
    return counts.view(256, 256).cpu()


def _bytes(values: Tensor, name: str) -> Tensor:
    if values.is_floating_point() or (values.dtype != torch.uint8 and (values.long() & ~255).any()):
        raise ValueError(f"{name} must hold integers 0 to 255; pass class indices, with {IGNORE} for ignore")
    return values.long()


def _check_values(counts: Tensor, num_classes: int, name: str) -> None:
    """Raise ValueError unless all `counts` [256] of label values are of classes or 255."""
    outside = counts[num_classes:IGNORE].nonzero()
    if len(outside):
        raise ValueError(
            f"{name} contains {num_classes + outside[0].item()}, but the classes are 0 to {num_classes - 1} "
            f"and {IGNORE} for ignore; map it to these classes first"
        )
