"""The k cheapest of many, found in samples and parts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.kms import sample_field
from segnoise.noise.order import cheapest, taken

SIDE = 820  # large enough that a sample says where to look


def fields(kind: str) -> list[NDArray[np.float64]]:
    rng = generator(1, kind)
    if kind == "correlated":
        return [sample_field((SIDE, SIDE), rho, rng) for rho in (0.5, 0.999)]
    if kind == "ties":
        return [rng.integers(0, 5, (SIDE, SIDE)).astype(float), rng.integers(2, 9, (40, 40)).astype(float)]
    if kind == "sorted":
        return [np.sort(rng.random(SIDE * SIDE)), np.sort(rng.random(1000))[::-1]]
    cost = rng.random((SIDE, SIDE))
    cost[: SIDE - 100] = np.inf
    return [cost]


@pytest.mark.parametrize("kind", ["correlated", "ties", "sorted", "mostly infinite"])
@pytest.mark.parametrize("share", [1e-6, 0.02, 0.11, 0.5, 0.98, 1.0])
def test_large_sets_give_what_sorting_gives(kind: str, share: float) -> None:
    costs = fields(kind)
    flat = np.concatenate([cost.ravel() for cost in costs])
    k = round(share * len(flat))
    expected = np.zeros(len(flat), dtype=bool)
    expected[np.argsort(flat, kind="stable")[:k]] = True
    expected &= np.isfinite(flat)
    thresholds = cheapest(costs, k)
    chosen = np.concatenate([taken(c, t).ravel() for c, t in zip(costs, thresholds, strict=True)])
    assert np.array_equal(chosen, expected)
