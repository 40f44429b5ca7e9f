"""Checkpoints that are either whole or absent, and that load without running code."""

import os
from pathlib import Path
from typing import Any

import torch


def save(state: Any, path: Path) -> None:
    """Write `state` (tensors, numbers, strings, lists, dicts) to `path`.

    A kill at any moment leaves the old file or the new one, never a part.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with open(partial, "wb") as handle:
        torch.save(state, handle)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(partial, path)


def load(path: Path, device: torch.device | str = "cpu") -> Any:
    """Read what `save` wrote. Raises ValueError where the file is not a readable checkpoint."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises a different type for every kind of damage
        raise ValueError(f"{path} is not a readable checkpoint ({error}); delete it and run again.") from error
