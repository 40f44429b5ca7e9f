"""What selection costs, next to the prediction it follows and to a full sort. Run: python benchmarks/selection.py

All figures are ratios measured in one run; absolute times depend on the machine.
"""

import time

import torch

from udalib import data, models, predict, select

IMAGES, SIZE, CLASSES, PORTION = 64, (128, 256), 19, 0.2


def timed(work):
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main() -> None:
    torch.manual_seed(0)
    net = models.build("mini", CLASSES)
    images = torch.randint(0, 256, (IMAGES, 3, *SIZE), dtype=torch.uint8)
    batches = [data.Batch(part, None, []) for part in images.split(16)]
    list(predict.whole(net, batches))  # warm up
    prediction, stream = timed(lambda: list(predict.whole(net, batches)))
    fitting, selector = timed(lambda: select.SelfTraining(PORTION).fit(stream))
    labelling, _ = timed(lambda: [selector.label(probs) for probs, _ in stream])
    sorting, ranked = timed(
        lambda: torch.cat([probs.amax(dim=1).flatten() for probs, _ in stream]).sort(descending=True).values
    )
    assert ranked[round(PORTION * len(ranked)) - 1].item() == selector.thresholds
    print(f"{IMAGES} images of {SIZE[0]}x{SIZE[1]}, {CLASSES} classes, {torch.get_num_threads()} threads")
    print(f"threshold / prediction: {fitting / prediction:.2f}")
    print(f"labels / prediction:    {labelling / prediction:.2f}")
    print(f"threshold / full sort:  {fitting / sorting:.2f}, with constant memory instead of all confidences")


if __name__ == "__main__":
    main()
