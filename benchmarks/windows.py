"""What averaging over windows costs, next to the predictions it is made of. Run: python benchmarks/windows.py

Times are ratios of processor time measured in one run, which other programs hardly change; absolute ones depend on the
machine. One thread computes: processor time also counts what idle threads spend waiting for the others, and that is no
part of the work. Averaging costs the same behind any network, so the smallest has the largest ratio, most of all where
it computes in bfloat16; the other is one of the papers'. Memory is the peak of a fresh process.
"""

import resource
import subprocess
import sys

import torch
from timing import least

from udalib import models, predict
from udalib.device import autocast, describe

IMAGES, SIZE, WINDOW, CLASSES = {"mini": 4, "deeplabv2_resnet101": 1}, (128, 256), (64, 64), 19
COUNT, BATCH_SIZE = 50, 25
COUNTS = (10, 50, 250)


def network_and_images(network: str, count: int) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (count, 3, *SIZE), dtype=torch.uint8)
    return models.build(network, CLASSES), images


def over_windows(net: torch.nn.Module, images: torch.Tensor, count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    options = {"size": WINDOW, "generator": generator, "batch_size": BATCH_SIZE}
    for _ in predict.windows(net, [(images, [""] * len(images))], count, **options):
        pass


def peak_memory(count: int) -> float:
    """Peak memory in MB of a process that averages `count` windows of one image."""
    script = f"import windows; print(windows.memory_of({count}))"
    run = subprocess.run([sys.executable, "-c", script], cwd=sys.path[0], capture_output=True, text=True, check=True)
    return float(run.stdout)


def memory_of(count: int) -> float:
    over_windows(*network_and_images("mini", 1), count)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(network: str, count: int) -> None:
    net, images = network_and_images(network, count)
    # The same number of windows in the same batches, predicted and dropped; resizing and softmax are part of that.
    crops = torch.randint(0, 256, (BATCH_SIZE, 3, *WINDOW), dtype=torch.uint8)
    batches = [(crops, [])] * (count * COUNT // BATCH_SIZE)
    over_windows(net, images, BATCH_SIZE)  # warm up
    spent = least(
        forward=lambda: [None for _ in predict.whole(net, batches)],
        windows=lambda: over_windows(net, images, COUNT),
        single=lambda: [None for _ in predict.whole(net, [(images, [])])],
        bare=lambda: bare(net, batches),
    )
    print(f"{network}, {count} images of {SIZE[0]}x{SIZE[1]}, {COUNT} windows of {WINDOW[0]}x{WINDOW[1]}")
    print(f"windows / predictions of their pixels:    {spent['windows'] / spent['forward']:.2f}")
    print(f"windows / the network alone on them:      {spent['windows'] / spent['bare']:.2f}")
    print(f"windows / one pass of the whole images:   {spent['windows'] / spent['single']:.2f}")


@torch.inference_mode()
def bare(net: torch.nn.Module, batches: list[tuple]) -> None:
    """The network's logits at its own resolution, and nothing else."""
    net.eval()
    with autocast(torch.device("cpu")):
        for crops, _ in batches:
            net(crops)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(describe(torch.device("cpu")))
    # First: a process starts with the peak of the one that starts it.
    for count in COUNTS:
        print(f"peak memory with {count:3} windows: {peak_memory(count):.0f} MB")
    for network, count in IMAGES.items():
        measure(network, count)
