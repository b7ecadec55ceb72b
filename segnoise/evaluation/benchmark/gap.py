"""How much of the gap between noisy and clean labels is closed, and when there is none to speak of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SMALLEST = 0.01
"""A difference between clean and noisy below this is no gap."""

Scores = Mapping[int, float | None]
"""A score for each seed; None where there is none."""


@dataclass(frozen=True)
class Gap:
    """``closed`` per seed, None where undefined; their mean; and how many of the seeds are undefined."""

    closed: dict[int, float | None]
    mean: float | None
    undefined: int


def gap_closed(method: Scores, noisy: Scores, clean: Scores) -> Gap:
    """``(method - noisy) / (clean - noisy)`` for each seed, then the mean over the seeds where it is defined.

    Undefined for all seeds where clean - noisy, a paired difference, is on average below twice its standard error
    or below 0.01, and for a seed where it is below 0.01. Nothing is clipped: above 1 and below 0 are results.

    >>> gap_closed({0: 0.8, 1: 0.9}, {0: 0.7, 1: 0.7}, {0: 0.9, 1: 0.9})
    Gap(closed={0: 0.5, 1: 1.0}, mean=0.75, undefined=0)
    >>> gap_closed({0: 0.8, 1: 0.9}, {0: 0.7, 1: 0.9}, {0: 0.9, 1: 0.895}).mean is None
    True
    """
    seeds = [seed for seed in method if method[seed] is not None]
    lost = lost_to_noise(noisy, clean)
    hurts = is_gap(list(lost.values()))
    closed: dict[int, float | None] = {}
    for seed in seeds:
        score, base = method[seed], noisy.get(seed)
        defined = hurts and seed in lost and lost[seed] >= SMALLEST
        closed[seed] = (score - base) / lost[seed] if defined and score is not None and base is not None else None
    known = [value for value in closed.values() if value is not None]
    return Gap(closed, float(np.mean(known)) if known else None, len(closed) - len(known))


def lost_to_noise(noisy: Scores, clean: Scores) -> dict[int, float]:
    """clean - noisy for each seed that has both."""
    pairs = {seed: (clean.get(seed), value) for seed, value in noisy.items()}
    return {seed: a - b for seed, (a, b) in pairs.items() if a is not None and b is not None}


def is_gap(lost: list[float]) -> bool:
    """Whether the differences clean - noisy show a gap: at least 0.01 and twice their standard error on average."""
    if not lost:
        return False
    mean = float(np.mean(lost))
    error = float(np.std(lost, ddof=1)) / math.sqrt(len(lost)) if len(lost) > 1 else 0.0
    return mean >= SMALLEST and mean >= 2 * error
