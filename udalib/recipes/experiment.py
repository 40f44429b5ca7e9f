"""What every recipe needs: a benchmark opened once, training with resuming, and a score after every round."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from udalib import data, models, predict, runs, score, train

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """The settings that every training of the mini network shares; recipes override their values.

    lr, batch_size: held against others on game-dashcam by the source network's mean IoU on the target. Over the seeds
        100-102, 2e-3 gave 39.9 +- 0.7 and 5e-3 40.0 +- 1.0; 8 images in half as many steps gave 39.3 and 39.1 on the
        seeds 100 and 101, 4 images 39.0 and 41.0.
    crop: side of the training window as a share of the image's side. scale, jitter: see `data.Augmentation`.
    label_stride: the loss reads every second pixel of every second row; logits have stride 4, and the released code
        of CBST reads every eighth.
    class_weight: the loss weighs class c by (its share of the training labels) ** -class_weight. On game-dashcam
        (seed 100) 0, 0.25 and 0.5 gave the same mean IoU, and 0.5 the best two-wheelers; 0 is the plain loss of the
        papers. No target label is needed.
    """

    network: str = "mini"
    batch_size: int = 4
    lr: float = 5e-3
    schedule: str = "one_cycle"
    optimiser: str = "adamw"
    weight_decay: float = 1e-4
    crop: float = 0.75
    scale: tuple[float, float] = (0.6, 1.2)
    jitter: float = 0.15
    label_stride: int = 2
    class_weight: float = 0.5

    def plan(self, steps: int, lr_factor: float = 1) -> train.Plan:
        return train.Plan(steps, lr_factor * self.lr, self.schedule, self.optimiser, self.weight_decay)

    def augmentation(self, size: tuple[int, int]) -> data.Augmentation:
        height, width = (max(8, round(side * self.crop / 8) * 8) for side in size)
        return data.Augmentation(crop=(height, width), scale=tuple(self.scale), jitter=self.jitter)


class Experiment:
    """One run of one recipe: the benchmark, the device, the run's folder, and the steps all recipes share."""

    def __init__(
        self,
        bench: data.Benchmark,
        settings: Optimisation,
        run: runs.Run,
        device: torch.device,
        start: runs.Result | None,
        report: Report,
    ):
        self.bench, self.settings, self.run, self.device = bench, settings, run, device
        self.start, self.report = start, report
        self.fabric = train.make_fabric(device)
        self.augmentation = settings.augmentation(bench.size)
        self._round_started = time.monotonic()

    # Networks -------------------------------------------------------------------------------------------

    def fresh_network(self) -> nn.Module:
        """An untrained network; the run's seed decides its weights."""
        torch.manual_seed(self.bench.seed)
        return models.build(self.settings.network, len(self.bench.classes)).to(self.device)

    def start_network(self) -> nn.Module:
        """The network that the run this one starts from ended with."""
        net = self.fresh_network()
        net.load_state_dict(train.load(self.start.weights(), self.device))
        return net

    def rounds(self, net: nn.Module, count: int) -> Iterator[int]:
        """The rounds still to be run, of 1 .. count, with `net` set to the end of the last finished one."""
        finished = len(self.run.rounds)
        if finished:
            net.load_state_dict(train.load(self.run.weights(finished), self.device))
        for number in range(finished + 1, count + 1):
            self._round_started = time.monotonic()
            yield number

    # Steps ----------------------------------------------------------------------------------------------

    def predict(self, net: nn.Module, dataset) -> Iterator[tuple[Tensor, list[str]]]:
        return predict.whole(net, data.ordered_batches(dataset))

    def draw(self, dataset, batch_size: int, number: int, steps: int) -> Callable[[int], Iterator[data.Batch]]:
        """The batches of round `number` from any step on, for `train.fit`."""
        seed = self._seed(number)
        return lambda start: data.training_batches(dataset, batch_size, seed, steps, start)

    def augmented(
        self, batch: data.Batch, number: int, step: int, mining: data.Mining | None = None
    ) -> tuple[Tensor, Tensor]:
        """Augmented images and their labels at `label_stride`, on the device; a function of (seed, round, step)."""
        generator = data.seeded(self._seed(number) + 1, step)
        stride = self.settings.label_stride
        images, labels = (part.to(self.device) for part in batch[:2])
        images, labels = self.augmentation(images, labels, generator, mining)
        return images, labels[:, ::stride, ::stride]

    def class_weights(self, dataset, exponent: float) -> Tensor | None:
        """Weights [C] of the loss, share ** -exponent of a labelled dataset's classes; their mean over its pixels is 1.

        None, the plain loss, for the exponent 0.
        """
        if exponent == 0:
            return None
        classes = len(self.bench.classes)
        counts = torch.zeros(classes, dtype=torch.int64)
        for batch in data.ordered_batches(dataset, batch_size=64):
            counts += torch.bincount(batch.labels.flatten().int(), minlength=256)[:classes]
        share = counts.clamp(min=1) / counts.sum()
        weights = share**-exponent
        return (weights / (weights * share).sum()).to(self.device)

    def train(
        self, net: nn.Module, number: int, plan: train.Plan | Mapping[str, train.Plan], batches, loss
    ) -> list[tuple[int, float]]:
        """Train `net` for one round and return the loss curve; continues where a killed process stopped."""
        torch.manual_seed(self._seed(number))
        return train.fit(
            net,
            batches,
            loss,
            plan,
            self.fabric,
            state=self.run.state(number),
            progress=Stopwatch(lambda text: self.report(f"round {number}, {text}")),
        )

    def finish_round(
        self,
        net: nn.Module,
        number: int,
        pseudo_labels: Tensor | None = None,
        scales: tuple[float, ...] = (),
        **facts: Any,
    ) -> None:
        """Keep the network, score it on the validation set, and append everything to the record.

        pseudo_labels: uint8 [N, H, W], the labels this round was trained on; their quality is reported.
        scales: score it also as tested on images of these scales and their mirror images.
        facts: further entries of the round's record, such as thresholds.
        """
        train.save(net.state_dict(), self.run.weights(number))
        scores = scores_of(self.confusion(net))
        if scales:
            facts["multi_scale"] = scores_of(self.confusion(net, flip=True, scales=scales))
        if pseudo_labels is not None:
            facts["labels"] = quality_of(pseudo_labels, self._truth, len(self.bench.classes))
        facts["seconds"] = round(time.monotonic() - self._round_started, 1)
        self.run.add_round({"round": number, **scores, **facts})
        self.report(f"round {number} done: mIoU {100 * scores['miou']:.1f}")

    def confusion(self, net: nn.Module, **test: Any) -> score.ConfusionMatrix:
        """The confusion matrix of `net` on the validation set. test: options of `predict.whole`."""
        matrix = score.ConfusionMatrix(len(self.bench.classes), self.bench.merge)
        for batch in data.ordered_batches(self.bench.val):
            for probs, _ in predict.whole(net, [batch], **test):
                matrix.update(probs.argmax(dim=1).cpu(), batch.labels)
        return matrix

    @cached_property
    def _truth(self) -> Tensor:
        """The target's ground truth [N, H, W], for reports on label quality and for nothing else."""
        target = self.bench.oracle().target
        return torch.stack([target[index].label for index in range(len(target))])

    def _seed(self, number: int) -> int:
        return 1000 * self.bench.seed + 10 * number


class Stopwatch:
    """Turns training progress into lines of text with the time that is left."""

    def __init__(self, report: Report):
        self.report = report
        self.first: tuple[int, float] | None = None

    def __call__(self, step: int, steps: int, loss: float) -> None:
        now = time.monotonic()
        self.first = self.first or (step, now)
        pace = (now - self.first[1]) / max(1, step - self.first[0])
        left = f", {_minutes(pace * (steps - step))} left" if step > self.first[0] else ""
        self.report(f"step {step}/{steps}, loss {loss:.3f}{left}")


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def scores_of(matrix: score.ConfusionMatrix) -> dict[str, Any]:
    """A confusion matrix as the entries of a record: plain numbers, None where a score is undefined."""
    scores = {
        "miou": _plain(matrix.miou()),
        "present": matrix.present(),
        "iou": _plain(matrix.iou()),
        "pixel_accuracy": _plain(matrix.pixel_accuracy()),
        "confusion": matrix.matrix.tolist(),
    }
    for which in ("16", "13"):
        if len(matrix.iou()) > int(which):
            scores[f"miou{which}"] = _plain(matrix.miou(subset=which))
    return scores


def quality_of(pseudo_labels: Tensor, truth: Tensor, num_classes: int) -> dict[str, Any]:
    """The quality of pseudo-labels as the entries of a record."""
    quality = score.label_quality(pseudo_labels, truth, num_classes)
    return {
        "coverage": _plain(quality.coverage),
        "precision": _plain(quality.overall_precision),
        "recall": _plain(quality.overall_recall),
        "class_precision": _plain(quality.precision),
        "class_recall": _plain(quality.recall),
        "class_iou": _plain(quality.iou),
        "class_share": _plain(quality.kept / quality.kept.sum().clamp(min=1)),
    }


def _plain(value: float | Tensor) -> Any:
    if isinstance(value, Tensor):
        return [_plain(entry) for entry in value.tolist()]
    return None if math.isnan(value) else round(value, 6)
