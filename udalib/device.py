"""Where computation happens, and in which number type."""

import os

import torch

NUMBER_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick(name: str | None = None) -> torch.device:
    """The device called `name` ("cpu", "cuda", "cuda:1", "mps"), or the best one there is.

    Raises ValueError where that device does not exist on this machine.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"Device {name!r} can't be used on this machine; leave it out, or choose cpu.") from error
    return device


def precision(device: torch.device) -> torch.dtype:
    """The number type that $UDALIB_PRECISION names, else bfloat16 where the device has fast instructions for it.

    A CPU without AMX or AVX512-BF16 emulates bfloat16: measured on such a CPU, a training step of the mini
    network took twelve times as long as in float32, which is chosen there.

    Raises ValueError for another name than "float32" or "bfloat16".
    """
    if name := os.environ.get("UDALIB_PRECISION"):
        if name not in NUMBER_TYPES:
            raise ValueError(f"$UDALIB_PRECISION is {name!r}; choose {' or '.join(NUMBER_TYPES)}, or leave it out.")
        return NUMBER_TYPES[name]
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    if device.type == "cpu":
        able = getattr(torch.cpu, "get_capabilities", dict)()  # older releases of torch can't tell: float32 then
        if able.get("amx_bf16") or able.get("avx512_bf16"):
            return torch.bfloat16
    return torch.float32


def autocast(device: torch.device) -> torch.autocast:
    """A context in which forward passes use `precision(device)`."""
    dtype = precision(device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def describe(device: torch.device) -> str:
    """The device in words, for records: a GPU's name or the number of CPU threads, and the number type."""
    name = f"{device.type.upper()}, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return f"{name}, {str(precision(device)).removeprefix('torch.')}"
