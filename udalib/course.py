"""What every notebook of the course starts and ends with."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from udalib import data, recipes, runs
from udalib.device import describe, pick


@dataclass
class Lesson:
    """The validated parameters of a notebook."""

    name: str
    benchmark: str
    profile: str
    seed: int
    data_root: str | None
    device: str | None
    out: str | None
    _started: float = field(default_factory=time.monotonic, repr=False)

    def open_benchmark(self, oracle: bool = False) -> data.Benchmark:
        """The benchmark of the parameters; oracle: with the target's labels."""
        return data.benchmark(self.benchmark, self.profile, self.seed, self.data_root, oracle=oracle)

    def run(self, recipe: str, **settings: Any) -> runs.Result:
        """Run a recipe with the parameters of the notebook, or fetch its record. See `recipes.run`."""
        return recipes.run(recipe, self.benchmark, self.profile, self.seed, self.data_root, self.device, **settings)

    def finish(self, **findings: Any) -> Path:
        """Write the notebook's own record (its parameters, `findings`, versions, time) and return its file.

        findings: plain numbers, strings, lists and dicts. The file is
        <out>/<name>-<benchmark>-<profile>-seed<n>.json; `out` defaults to `notebooks` in `runs.home()`.
        """
        folder = Path(self.out) if self.out else runs.home() / "notebooks"
        folder.mkdir(parents=True, exist_ok=True)
        parameters = {key: value for key, value in asdict(self).items() if not key.startswith("_")}
        record = {
            **parameters,
            "device": describe(pick(self.device)),
            "versions": runs.versions(),
            "seconds": round(time.monotonic() - self._started, 1),
            "peak_memory_mb": runs.peak_memory(),
            "findings": findings,
        }
        path = folder / f"{self.name}-{self.benchmark}-{self.profile}-seed{self.seed}.json"
        runs.write_atomically(path, json.dumps(record, indent=1))
        return path


def begin(
    name: str,
    benchmark: str,
    profile: str | None,
    seed: int,
    data_root: str | None,
    device: str | None,
    out: str | None,
    expected: dict[str, str],
) -> Lesson:
    """Check the parameters of a notebook, seed the global random states, and say what will happen.

    profile: None reads $UDALIB_PROFILE, else "quick". data_root: of a benchmark on real datasets, None reads
    $UDALIB_DATA_ROOT. expected: how long the notebook takes, by profile.

    Raises ValueError in one sentence for a name or value that can't be used.
    """
    profile = profile or os.environ.get("UDALIB_PROFILE") or "quick"
    data.find_profile(profile)
    if isinstance(data.find_pair(benchmark), data.RealPair):
        data_root = data_root or os.environ.get("UDALIB_DATA_ROOT") or None
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed={seed!r} can't be used; give a whole number from 0 on.")
    chosen = pick(device)
    torch.manual_seed(seed)
    np.random.seed(seed)
    print(f"{benchmark}, profile {profile}, seed {seed}, on {describe(chosen)}")
    print(f"expected time: {expected.get(profile, 'not measured')}")
    return Lesson(name, benchmark, profile, seed, data_root, device, out)


def check(name: str, answer: Any, expected: Any | Callable[[Any], bool], tolerance: float = 1e-6) -> None:
    """Print how an exercise stands: "not done yet" while the answer is None, else whether it is right. Never
    raises.

    expected: the right value (numbers and tensors are compared within `tolerance`), or a function that judges
        the answer.
    """
    if answer is None:
        print(f"{name}: not done yet")
        return
    try:
        right = expected(answer) if callable(expected) else _equal(answer, expected, tolerance)
        print(f"{name}: " + ("correct" if right else "not right yet"))
    except Exception as error:  # whatever a reader's attempt returns, the notebook goes on
        print(f"{name}: not right yet ({type(error).__name__}: {error})")


def _equal(answer: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(expected, str | bool):
        return answer == expected
    answer, expected = torch.as_tensor(answer).double(), torch.as_tensor(expected).double()
    return answer.shape == expected.shape and torch.allclose(answer, expected, rtol=0, atol=tolerance, equal_nan=True)
