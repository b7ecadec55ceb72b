"""Levels met by bisection: the draws are made once, and one scale common to all images is searched."""

from __future__ import annotations

import math
from collections.abc import Callable

HALVINGS = 20
NEAR = 0.01
"""The search stops at a level this near to the asked one, relative to it."""

MISSED = 0.05
"""A level further than this from the asked one, relative to it, is said to be missed, with the reason."""


def solve_scale(measure: Callable[[float], float], asked: float, low: float, high: float) -> tuple[float, float]:
    """The scale whose level is within 1 % of the asked one, or else the nearest that was seen, and that level.

    The interval is halved 20 times on the log scale. ``measure`` is a step function that does not fall; a scale of 0
    is no noise at all, and is the answer where the smallest step is further away than none. A greater ``asked`` never
    gives a smaller level.

    Args:
        measure: the level at a scale, over all images together.
        asked: the level to meet.
        low, high: the scales to search between, both above 0; ``high`` is the answer where even it falls short.

    Raises:
        ValueError: bounds that do not enclose an interval above 0.

    >>> scale, met = solve_scale(lambda s: s * s, asked=2.0, low=1e-3, high=1e3)
    >>> round(scale, 1), abs(met - 2) <= 0.02
    (1.4, True)
    >>> solve_scale(lambda s: s // 1, asked=7.0, low=1e-3, high=4.0)
    (4.0, 4.0)
    >>> solve_scale(lambda s: 0.0 if s == 0 else 1.0, asked=0.2, low=1e-3, high=4.0)
    (0.0, 0.0)
    """
    if not 0 < low < high:
        raise ValueError(f"bounds {low} and {high} must satisfy 0 < low < high")
    none = (0.0, float(measure(0.0)))
    most = (high, float(measure(high)))
    if asked <= none[1]:
        return none
    if asked >= most[1]:
        return most
    seen = [none, most]
    bottom, top = math.log(low), math.log(high)
    for _ in range(HALVINGS):
        middle = (bottom + top) / 2
        scale = math.exp(middle)
        met = float(measure(scale))
        seen.append((scale, met))
        if abs(met - asked) <= NEAR * asked:
            break
        bottom, top = (middle, top) if met < asked else (bottom, middle)
    return min(seen, key=lambda step: (abs(step[1] - asked), step[0]))


def verdict(asked: float, met: float, why: str) -> dict[str, float | str]:
    """What a record says about a level: ``met``, and ``why`` where it misses the asked one by more than 5 %.

    >>> verdict(0.3, 0.31, "too few objects"), verdict(0.3, 0.25, "the labels have 4 objects")
    ({'met': 0.31}, {'met': 0.25, 'why': 'the labels have 4 objects'})
    """
    missed = abs(met - asked) > MISSED * asked
    return {"met": met, "why": why} if missed else {"met": met}
