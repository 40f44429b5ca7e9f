"""One run in several processes, each with a GPU of its own: joining them, and what they tell each other.

They are started by torchrun, which stops all of them when one fails, and every one of them goes through the same steps.
They share the work of prediction, scoring and training, and hold the same results after each; the first of them writes
the record. In a single process all of this does nothing.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from udalib import runs


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _together() else 1


def rank() -> int:
    """Which of them this is, from 0 on."""
    return dist.get_rank() if _together() else 0


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def join(device: str | None = None) -> str | None:
    """Join the processes that torchrun started, and return the device of this one; `device` itself without torchrun.

    device: "cpu" or "cuda"; default: GPUs where there are any.

    Raises ValueError where there are more processes than GPUs, and for a single GPU by its number.
    """
    wanted = int(os.environ.get("WORLD_SIZE", 1))
    if wanted == 1:
        return device
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"{wanted} processes can't share the device {kind!r}; leave it out, or choose cuda or cpu.")
    here = int(os.environ.get("LOCAL_WORLD_SIZE", wanted))
    if kind == "cuda" and torch.cuda.device_count() < here:
        raise ValueError(f"There are {here} processes for {torch.cuda.device_count()} GPUs; start one for each.")
    fabric = Fabric(accelerator=kind, devices=here, num_nodes=wanted // here, strategy="ddp")
    fabric.launch()
    return str(fabric.device)


def share_of(dataset: Dataset) -> Dataset:
    """The part of a dataset that this process works on: every so-manyth image."""
    return dataset if count() == 1 else Subset(dataset, range(rank(), len(dataset), count()))


def summed(values: Tensor) -> Tensor:
    """The sum over all processes of a tensor on the CPU, such as the matrix of a `score.ConfusionMatrix`."""
    if count() == 1:
        return values
    total = values.to(_meeting_place())
    dist.all_reduce(total)
    return total.cpu()


def told(message: Any, teller: int) -> Any:
    """What the process `teller` passes as `message`, in all processes: anything that can be pickled."""
    box = [message]
    dist.broadcast_object_list(box, teller, device=_meeting_place())
    return box[0]


def passed(values: Tensor | None, shape: tuple[int, ...], teller: int) -> Tensor:
    """The float32 tensor of this shape that the process `teller` has, in all processes."""
    whole = values.contiguous() if rank() == teller else torch.empty(shape, device=_meeting_place())
    dist.broadcast(whole, teller)
    return whole


def _meeting_place() -> torch.device:
    """Where the processes exchange tensors."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


# Training -----------------------------------------------------------------------------------------------


def from_all(mine: Tensor, dim: int = 0) -> Tensor:
    """The pieces of all processes, of one shape, joined along `dim` in the order of the processes: float32.

    Where every process then computes the same loss from the whole, and `in_step` averages the gradients, each weight
    gets the gradient of that loss: a process has it for its own piece alone, and so multiplies it by their number.
    """
    mine = mine.float()  # gloo has no bfloat16
    pieces = [torch.empty(mine.shape, device=mine.device) for _ in range(count())]
    dist.all_gather(pieces, mine.detach().contiguous())
    if mine.requires_grad:
        mine = mine.view_as(mine)  # the hook is for this use of the tensor
        mine.register_hook(lambda gradient: gradient * count())
    pieces[rank()] = mine
    return torch.cat(pieces, dim)


@contextmanager
def in_step(net: nn.Module) -> Iterator[None]:
    """A context in which every backward pass averages the gradients over the processes, and after which they agree.

    What stays different until then are the running statistics of batch normalisation; those of the first process are
    kept.
    """
    if count() == 1:
        yield
        return
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    hooks = [weight.register_post_accumulate_grad_hook(_average_gradient) for weight in weights]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    with torch.no_grad():
        for tensor in net.state_dict().values():
            whole = tensor.contiguous()
            dist.broadcast(whole, 0)
            tensor.copy_(whole)


def _average_gradient(weight: Tensor) -> None:
    total = weight.grad.contiguous()
    dist.all_reduce(total)  # gloo has no mean
    weight.grad.copy_(total / count())


# Records ------------------------------------------------------------------------------------------------


class Follower(runs.Run):
    """The run of a process that isn't the first: it reads what that one has written, and writes no record."""

    def __init__(self, folder: Path, identity: dict[str, Any], finished: bool):
        super().__init__(folder, identity)
        self._finished = finished

    @property
    def finished(self) -> bool:
        return self._finished

    def write(self, status: str, **facts: Any) -> None:
        pass

    def state(self, number: int) -> Path:
        """A file of this process alone, which begins as a copy of the first one's."""
        first = super().state(number)
        own = first.with_name(f"{first.name}.{rank()}")
        if first.exists():
            shutil.copyfile(first, own)
        else:
            own.unlink(missing_ok=True)
        return own


@contextmanager
def open_run(identity: dict[str, Any]) -> Iterator[runs.Run]:
    """As `runs.open_run`, by all processes at once; what the first has written is complete when the context ends."""
    if count() == 1:
        with runs.open_run(identity) as run:
            yield run
    elif rank() == 0:
        with runs.open_run(identity) as run:
            told((run.folder, run.finished), 0)
            yield run
        told(None, 0)
    else:
        folder, finished = told(None, 0)
        yield Follower(folder, identity, finished)
        told(None, 0)
