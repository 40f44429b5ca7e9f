"""What the networks cost: parameters, and the time and memory of one step. Run: python benchmarks/networks.py --help

A step is a forward and a backward pass in training mode, without the optimiser. On a CPU times are processor times of
one thread, so that other work on the machine doesn't count. Each network has a process of its own, so that the peak is
its own: on a CPU that of the whole process, on a GPU that of torch's memory.
"""

import argparse
import multiprocessing
import time

import torch

from udalib import models, runs
from udalib.device import autocast, describe, pick, precision

CLASSES = 19


def measure(name: str, size: tuple[int, int], images: int, repeats: int, device_name: str) -> tuple[str, ...]:
    """One row of the table; the times are the fastest of the repeats."""
    if device_name == "cpu":
        torch.set_num_threads(1)
    device = pick(device_name)
    torch.manual_seed(0)
    net = models.build(name, CLASSES).to(device).train()
    batch = torch.randint(0, 256, (images, 3, *size), dtype=torch.uint8, device=device)
    forward, backward = [], []
    for _ in range(1 + repeats):
        started = now(device)
        with autocast(device):
            output = net(batch)
        forward.append(now(device) - started)
        started = now(device)
        sum(logits.float().square().mean() for logits in output[:2] if logits is not None).backward()
        backward.append(now(device) - started)
    peak = torch.cuda.max_memory_allocated(device) // 1024**2 if device.type == "cuda" else runs.peak_memory()
    parameters = sum(weight.numel() for weight in net.parameters())
    return name, f"{parameters / 1e6:.1f}", f"{min(forward[1:]):.3f}", f"{min(backward[1:]):.3f}", str(peak)


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description="Print parameters, times and memory of the networks as a table.")
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="default: all")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 1024), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--images", type=int, default=2, help="in a batch; default: %(default)s")
    parser.add_argument("--repeats", type=int, default=3, help="after one to warm up; default: %(default)s")
    parser.add_argument("--device", default="cpu", help="cpu (one thread) or cuda; default: %(default)s")
    options = parser.parse_args()
    device, processes = pick(options.device), multiprocessing.get_context("spawn")
    where = "CPU, 1 thread" if device.type == "cpu" else describe(device)
    height, width = options.size
    print(f"{options.images} images of {height}x{width}, {CLASSES} classes, {precision(device)}, {where}\n")
    print("| network | parameters (M) | forward (s) | backward (s) | peak (MB) |\n|---|---:|---:|---:|---:|")
    for name in options.networks or models.NETWORKS:
        with processes.Pool(1) as pool:
            row = pool.apply(measure, (name, (height, width), options.images, options.repeats, options.device))
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
