"""What selection costs, next to the prediction it follows and to a full sort. Run: python benchmarks/selection.py

All figures are ratios of processor time measured in one run, each the least of several, which other programs hardly
change; absolute times depend on the machine. One thread computes: processor time also counts what idle threads spend
waiting for the others, and that is no part of the work. Selection costs the same behind any network, so the smallest
has the largest ratios, most of all where it computes in bfloat16; the other is the papers'.
"""

import torch
from timing import least

from udalib import data, models, predict, select
from udalib.device import describe

IMAGES, SIZE, CLASSES, PORTION = {"mini": 64, "deeplabv2_resnet101": 4}, (128, 256), 19, 0.2


def measure(network: str, count: int) -> None:
    torch.manual_seed(0)
    net = models.build(network, CLASSES)
    images = torch.randint(0, 256, (count, 3, *SIZE), dtype=torch.uint8)
    batches = [data.Batch(part, None, [""] * len(part)) for part in images.split(16)]
    stream = list(predict.whole(net, batches))
    selector = select.SelfTraining(PORTION).fit(stream)
    assert ranked(stream)[round(PORTION * count * SIZE[0] * SIZE[1]) - 1].item() == selector.thresholds
    spent = least(
        prediction=lambda: [None for _ in predict.whole(net, batches)],
        threshold=lambda: select.SelfTraining(PORTION).fit(stream),
        labels=lambda: [selector.label(probs) for probs, _ in stream],
        sort=lambda: ranked(stream),
        adaptive=lambda: instance_adaptive_labels(net, batches),
    )
    print(f"{network}, {count} images of {SIZE[0]}x{SIZE[1]}, {CLASSES} classes")
    for name, beside, note in (
        ("threshold", "prediction", ""),
        ("labels", "prediction", ""),
        ("threshold", "sort", ", with constant memory instead of all confidences"),
        ("adaptive", "prediction", ": prediction and instance adaptive labels in one pass"),
    ):
        print(f"{name} / {beside}: {spent[name] / spent[beside]:.2f}{note}")


def ranked(stream: list[tuple[torch.Tensor, list[str]]]) -> torch.Tensor:
    """All confidences, the largest first."""
    return torch.cat([probs.amax(dim=1).flatten() for probs, _ in stream]).sort(descending=True).values


def instance_adaptive_labels(net: torch.nn.Module, batches: list[data.Batch]) -> None:
    """Predict images and label them, with thresholds that move from one to the next; nothing is kept."""
    selector = select.InstanceAdaptive()
    for probs, names in predict.whole(net, batches):
        selector.label(probs, names)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(describe(torch.device("cpu")))
    for network, count in IMAGES.items():
        measure(network, count)
