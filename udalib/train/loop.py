"""The training loop: one network, an optimiser for each of its parts, any batches and any loss."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from udalib.device import precision
from udalib.train import checkpoints
from udalib.train.schedules import SCHEDULES

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Plan:
    """How long and how fast a network learns. Learning rates are those of the schedule's peak."""

    steps: int
    lr: float
    schedule: str = "one_cycle"
    optimiser: str = "adamw"
    weight_decay: float = 1e-4
    momentum: float = 0.9  # SGD only
    betas: tuple[float, float] = (0.9, 0.999)  # AdamW only

    def __post_init__(self):
        for field, table in (("schedule", SCHEDULES), ("optimiser", OPTIMISERS)):
            if (value := getattr(self, field)) not in table:
                raise ValueError(f"There is no {field} {value!r}; choose one of: {', '.join(table)}.")


OPTIMISERS = {
    # Fused: one pass over the weights, 5 % of a step of the mini network on two CPU cores.
    "adamw": lambda weights, plan: torch.optim.AdamW(
        weights, plan.lr, plan.betas, weight_decay=plan.weight_decay, fused=True
    ),
    "sgd": lambda weights, plan: torch.optim.SGD(weights, plan.lr, plan.momentum, weight_decay=plan.weight_decay),
}


def make_fabric(device: torch.device) -> Fabric:
    """Lightning Fabric on one device, in the precision that pays there."""
    number_type = "bf16-mixed" if precision(device) is torch.bfloat16 else "32-true"
    return Fabric(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision=number_type,
    )


def fit(
    net: nn.Module,
    batches: Callable[[int], Iterator[Any]],
    loss: Callable[[nn.Module, Any, int], Tensor],
    plan: Plan | Mapping[str, Plan],
    fabric: Fabric,
    state: Path | None = None,
    save_every: int = 100,
    progress: Progress | None = None,
) -> list[tuple[int, float]]:
    """Train `net` in place and return its loss curve as (step, mean loss since the last entry).

    batches: called with the first step to run, yields one batch for every step from there to the end. A batch
        must be a function of its step alone.
    loss: (network, batch, step) -> scalar. It moves the batch to the device itself.
    plan: of the whole network, or of parts of it by their names as submodules; parts without one stay as they are.
        All plans have the same number of steps.
    state: file of the training state. A training that was killed continues from there and ends with the
        weights it would have had without the interruption, bit for bit on the same machine: the file holds
        weights, optimiser, step and random state, and batches depend on the step. It is removed at the end.

    Raises FloatingPointError where the loss or a weight is no longer finite; the state file holds the last good step.
    """
    plans = plan if isinstance(plan, Mapping) else {"": plan}
    optimisers = [OPTIMISERS[p.optimiser](net.get_submodule(part).parameters(), p) for part, p in plans.items()]
    wrapped, *optimisers = fabric.setup(net, *optimisers)
    wrapped.train()
    start, curve = 0, []
    if state and state.exists():
        start, curve = _resume(state, net, optimisers)
    (steps,) = {p.steps for p in plans.values()}
    log_every = max(1, steps // 30)
    total = torch.zeros((), device=fabric.device)
    for step, batch in enumerate(batches(start), start):
        value = loss(wrapped, batch, step)
        wrapped.zero_grad(set_to_none=True)
        fabric.backward(value)
        for optimiser, p in zip(optimisers, plans.values(), strict=True):
            _set_rate(optimiser, p, step)
            optimiser.step()
        total += value.detach()
        done = step + 1
        if done % log_every == 0 or done == steps:
            since = done - (curve[-1][0] if curve else 0)
            mean = total.item() / since
            # The loss is of the weights before the step; those after it are what would be saved.
            if not (math.isfinite(mean) and all(weight.isfinite().all() for weight in net.parameters())):
                rates = ", ".join(f"{p.lr:g}" for p in plans.values())
                what = f"loss is {mean}" if not math.isfinite(mean) else "weights are no longer finite"
                raise FloatingPointError(
                    f"The training {what} near step {done} of {steps}; lower the learning rate "
                    f"(it is {rates}) and run again."
                )
            curve.append((done, mean))
            total.zero_()
            if progress:
                progress(done, steps, mean)
            # Saved only where a curve entry ends, so that no partial sum has to be carried over.
            if state and done < steps and done // save_every > (done - log_every) // save_every:
                _save(state, net, optimisers, done, curve)
    if state:
        state.unlink(missing_ok=True)
    return curve


def _set_rate(optimiser: torch.optim.Optimizer, plan: Plan, step: int) -> None:
    for group in optimiser.param_groups:
        group["lr"] = plan.lr * SCHEDULES[plan.schedule](step / plan.steps)


def _save(path: Path, net: nn.Module, optimisers: list[torch.optim.Optimizer], step: int, curve: list) -> None:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    checkpoints.save(
        {
            "step": step,
            "curve": [list(entry) for entry in curve],
            "net": net.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in optimisers],
            "random": [torch.get_rng_state(), *cuda],
        },
        path,
    )


def _resume(path: Path, net: nn.Module, optimisers: list[torch.optim.Optimizer]) -> tuple[int, list]:
    saved = checkpoints.load(path)
    net.load_state_dict(saved["net"])
    for optimiser, before in zip(optimisers, saved["optimisers"], strict=True):
        optimiser.load_state_dict(before)
    cpu, *cuda = saved["random"]
    torch.set_rng_state(cpu)
    if cuda:
        torch.cuda.set_rng_state_all(cuda)
    return saved["step"], [tuple(entry) for entry in saved["curve"]]
