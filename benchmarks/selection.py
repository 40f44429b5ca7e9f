"""What selection costs, next to the prediction it follows and to a full sort. Run: python benchmarks/selection.py

All figures are ratios of processor time measured in one run, each the least of several, which other programs hardly
change; absolute times depend on the machine. One thread computes: processor time also counts what idle threads spend
waiting for the others, and that is no part of the work.
"""

import time

import torch

from udalib import data, models, predict, select

IMAGES, SIZE, CLASSES, PORTION = 64, (128, 256), 19, 0.2
REPEATS = 3


def timed(work):
    """The least of several processor times, in seconds, and the result."""
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        result = work()
        times.append(time.process_time() - started)
    return min(times), result


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = models.build("mini", CLASSES)
    images = torch.randint(0, 256, (IMAGES, 3, *SIZE), dtype=torch.uint8)
    batches = [data.Batch(part, None, [""] * len(part)) for part in images.split(16)]
    list(predict.whole(net, batches))  # warm up
    prediction, stream = timed(lambda: list(predict.whole(net, batches)))
    fitting, selector = timed(lambda: select.SelfTraining(PORTION).fit(stream))
    labelling, _ = timed(lambda: [selector.label(probs) for probs, _ in stream])
    sorting, ranked = timed(
        lambda: torch.cat([probs.amax(dim=1).flatten() for probs, _ in stream]).sort(descending=True).values
    )
    assert ranked[round(PORTION * len(ranked)) - 1].item() == selector.thresholds
    forward, _ = timed(lambda: [None for _ in predict.whole(net, batches)])
    adaptive, _ = timed(lambda: instance_adaptive_labels(net, batches))
    print(f"{IMAGES} images of {SIZE[0]}x{SIZE[1]}, {CLASSES} classes")
    print(f"threshold / prediction: {fitting / prediction:.2f}")
    print(f"labels / prediction:    {labelling / prediction:.2f}")
    print(f"threshold / full sort:  {fitting / sorting:.2f}, with constant memory instead of all confidences")
    print(f"prediction and instance adaptive labels / prediction: {adaptive / forward:.2f}")


def instance_adaptive_labels(net: torch.nn.Module, batches: list[data.Batch]) -> None:
    """Predict images and label them, with thresholds that move from one to the next; nothing is kept."""
    selector = select.InstanceAdaptive()
    for probs, names in predict.whole(net, batches):
        selector.label(probs, names)


if __name__ == "__main__":
    main()
