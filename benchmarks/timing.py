"""Times that can be compared, for the other benchmarks."""

import time
from collections.abc import Callable
from typing import Any

REPEATS = 7


def least(**works: Callable[[], Any]) -> dict[str, float]:
    """The least processor time of several calls of each work, in seconds, by its name.

    The works take turns: a machine that is slower for a while is so for all of them.
    """
    times = {name: [] for name in works}
    for _ in range(REPEATS):
        for name, work in works.items():
            started = time.process_time()
            work()
            times[name].append(time.process_time() - started)
    return {name: min(of_work) for name, of_work in times.items()}
