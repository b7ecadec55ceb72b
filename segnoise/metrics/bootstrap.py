"""How sure a mean over patients is: percentile bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segnoise.draws import generator

# Resampled values held at once; more resamples are drawn in turns.
_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A statistic over ``n`` groups and its interval; None where there are no groups, or too few to tell."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def bootstrap_interval(
    values_by_group: Mapping[Any, ArrayLike | None],
    statistic: Callable[..., Any] = np.mean,
    *,
    seed: int,
    n: int = 2000,
    level: float = 0.95,
) -> Interval:
    """A statistic over groups (patients, scenes) and its percentile interval, from groups drawn with replacement.

    The interval reaches from the ``(1 - level) / 2`` to the ``(1 + level) / 2`` quantile of the statistic over
    ``n`` resamples (Efron and Tibshirani 1993, chapter 13). Pixels, slices and images of one patient resemble each
    other, so it is patients that are drawn. With few of them the interval is too narrow: at 95 % that of ten normal
    values holds the mean nine times in ten.

    Args:
        values_by_group: one value per group, or several, which enter as their mean so that groups weigh equally.
            A group whose values are all None or nan is left out. An infinite value (a missed object's distance)
            counts as infinite.
        statistic: takes an array and ``axis``: ``np.mean``, ``np.median``, …
        seed: equal seeds and groups give equal draws, whatever the order of the mapping.
        n: number of resamples.
        level: how often the interval should hold the truth.

    Returns:
        The statistic, the interval's ends and the number of groups that entered. Without groups all ends are
        None; with a single one, ``low`` and ``high`` are.

    Raises:
        ValueError: if n is below 1 or the level not between 0 and 1.

    >>> dice = {"a": 0.9, "b": [0.7, 0.9], "c": None, "d": 0.7}
    >>> bootstrap_interval(dice, seed=0)
    Interval(value=0.8, low=0.7, high=0.9, n=3)
    """
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"needs at least 1 resample and a level between 0 and 1, not n={n} and level={level}")
    values = _group_means(values_by_group)
    if not values.size:
        return Interval(None, None, None, 0)
    value = float(statistic(values, axis=-1))
    if values.size == 1:
        return Interval(value, None, None, 1)
    random = generator(seed, "bootstrap")
    turn = max(_AT_ONCE // values.size, 1)
    resampled = np.concatenate(
        [
            statistic(values[random.integers(values.size, size=(min(turn, n - start), values.size))], axis=-1)
            for start in range(0, n, turn)
        ]
    )
    low, high = (_quantile(resampled, q) for q in ((1 - level) / 2, (1 + level) / 2))
    return Interval(value, low, high, values.size)


def bootstrap_intervals(
    metrics: Mapping[str, Mapping[Any, ArrayLike | None]],
    statistic: Callable[..., Any] = np.mean,
    *,
    seed: int,
    n: int = 2000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """:func:`bootstrap_interval` of several metrics; those known for the same groups see the same resamples.

    >>> table = bootstrap_intervals({"dice": {1: 0.8, 2: 0.9}, "hd95": {1: 3.0, 2: float("nan")}}, seed=0)
    >>> table["dice"].n, table["hd95"]
    (2, Interval(value=3.0, low=None, high=None, n=1))
    """
    return {
        name: bootstrap_interval(values, statistic, seed=seed, n=n, level=level) for name, values in metrics.items()
    }


def _group_means(values_by_group: Mapping[Any, ArrayLike | None]) -> NDArray[np.float64]:
    means = []
    for group in sorted(values_by_group, key=str):
        values = np.asarray(values_by_group[group], dtype=np.float64)  # None becomes nan
        known = values[~np.isnan(values)]
        if known.size:
            means.append(known.mean())
    return np.array(means, dtype=np.float64)


def _quantile(values: NDArray[np.float64], q: float) -> float:
    """The quantile by linear interpolation; infinite where one of the two values it lies between is."""
    between = [float(np.quantile(values, q, method=method)) for method in ("lower", "higher")]
    infinite = [end for end in between if not np.isfinite(end)]
    return infinite[0] if infinite else float(np.quantile(values, q))
