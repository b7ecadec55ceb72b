"""Levels met by bisection."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segnoise.noise.level import MISSED, NEAR, solve_scale, verdict

STEPS = st.lists(st.tuples(st.floats(1e-2, 1e2), st.floats(1e-3, 1)), min_size=1, max_size=30)


def staircase(steps: list[tuple[float, float]], scale: float) -> float:
    """A function that rises by each height where its scale is passed."""
    return math.fsum(height for at, height in steps if at <= scale)


@given(STEPS, st.floats(1e-3, 40))
def test_no_reachable_level_is_nearer_but_for_one_percent(steps: list[tuple[float, float]], asked: float) -> None:
    scale, met = solve_scale(lambda s: staircase(steps, s), asked, 1e-3, 1e3)
    assert met == staircase(steps, scale)
    reachable = [0.0, *(staircase(steps, at) for at, _ in steps)]
    # two steps closer together than the last of the 20 halvings are one
    nearest = min(abs(level - asked) for level in reachable)
    width = math.log(1e6) / 2**20
    close = any(0 < abs(math.log(a / b)) <= width for a, _ in steps for b, _ in steps)
    assert close or abs(met - asked) <= max(nearest, NEAR * asked) + 1e-12


@given(STEPS, st.lists(st.floats(0, 40), min_size=2, max_size=6))
def test_a_greater_level_asked_never_gives_a_smaller_one(steps: list[tuple[float, float]], asked: list[float]) -> None:
    met = [solve_scale(lambda s: staircase(steps, s), level, 1e-3, 1e3)[1] for level in sorted(asked)]
    assert (np.diff(met) >= 0).all()


def test_level_zero_is_scale_zero() -> None:
    assert solve_scale(lambda s: min(s, 1.0), 0.0, 1e-3, 1e3) == (0.0, 0.0)


def test_bounds_must_enclose_an_interval_above_zero() -> None:
    with pytest.raises(ValueError, match="0 < low < high"):
        solve_scale(lambda s: s, 1.0, 0.0, 1.0)


@given(st.floats(0, 10), st.floats(0, 10))
def test_a_reason_is_given_iff_the_level_is_missed_by_more_than_five_percent(asked: float, met: float) -> None:
    assert ("why" in verdict(asked, met, "a reason")) == (abs(met - asked) > MISSED * asked)
