"""CPU seconds of functions that are compared inside one process."""

from __future__ import annotations

import time
from collections.abc import Callable


def cpu(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def compare(rounds: int, **functions: Callable[[], object]) -> dict[str, float]:
    """The minimum CPU seconds of each function, run in turn after one warm-up each."""
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(cpu(function))
    return {name: min(values) for name, values in times.items()}
