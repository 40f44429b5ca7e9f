"""What averaging over windows costs, next to the predictions it is made of. Run: python benchmarks/windows.py

Times are ratios of processor time measured in one run, which other programs hardly change; absolute ones depend on the
machine. One thread computes: processor time also counts what idle threads spend waiting for the others, and that is no
part of the work. Memory is the peak of a fresh process.
"""

import resource
import subprocess
import sys
import time

import torch

from udalib import models, predict

IMAGES, SIZE, WINDOW, CLASSES = 4, (128, 256), (64, 64), 19
COUNT, BATCH_SIZE, REPEATS = 50, 25, 3
COUNTS = (10, 50, 250)


def network_and_images(count: int) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (count, 3, *SIZE), dtype=torch.uint8)
    return models.build("mini", CLASSES), images


def over_windows(net: torch.nn.Module, images: torch.Tensor, count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    options = {"size": WINDOW, "generator": generator, "batch_size": BATCH_SIZE}
    for _ in predict.windows(net, [(images, [""] * len(images))], count, **options):
        pass


def timed(work) -> float:
    """The least of several processor times, in seconds."""
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def peak_memory(count: int) -> float:
    """Peak memory in MB of a process that averages `count` windows of one image."""
    script = f"import windows; print(windows.memory_of({count}))"
    run = subprocess.run([sys.executable, "-c", script], cwd=sys.path[0], capture_output=True, text=True, check=True)
    return float(run.stdout)


def memory_of(count: int) -> float:
    over_windows(*network_and_images(1), count)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    torch.set_num_threads(1)
    net, images = network_and_images(IMAGES)
    # The same number of windows in the same batches, predicted and dropped; resizing and softmax are part of that.
    crops = torch.randint(0, 256, (BATCH_SIZE, 3, *WINDOW), dtype=torch.uint8)
    batches = [(crops, [])] * (IMAGES * COUNT // BATCH_SIZE)
    over_windows(net, images, BATCH_SIZE)  # warm up
    forward = timed(lambda: [None for _ in predict.whole(net, batches)])
    windows = timed(lambda: over_windows(net, images, COUNT))
    single = timed(lambda: [None for _ in predict.whole(net, [(images, [])])])
    print(f"{IMAGES} images of {SIZE[0]}x{SIZE[1]}, {COUNT} windows of {WINDOW[0]}x{WINDOW[1]}, {CLASSES} classes")
    with torch.inference_mode():
        net.eval()
        bare = timed(lambda: [net(crops) for crops, _ in batches])
    print(f"windows / predictions of their pixels:    {windows / forward:.2f}")
    print(f"windows / the network alone on them:      {windows / bare:.2f}")
    print(f"windows / one pass of the whole images:   {windows / single:.2f}")
    for count in COUNTS:
        print(f"peak memory with {count:3} windows: {peak_memory(count):.0f} MB")


if __name__ == "__main__":
    main()
