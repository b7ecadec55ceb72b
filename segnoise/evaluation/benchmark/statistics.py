"""The statistics of a comparison: paired differences, correction for many tests, ranks and what tells them apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

FEWEST_UNITS = 5
"""Of fewer units than this ranks say nothing, and no critical difference is given."""

FEWEST_SIGNED = 6
"""Fewer pairs than this cannot reach 5 % in a signed-rank test."""


@dataclass(frozen=True)
class Paired:
    """Mean of the paired differences, its 95 % interval by Student's t and the p-value (None for a single pair)."""

    count: int
    mean: float
    low: float | None
    high: float | None
    p: float | None


def paired(differences: Sequence[float]) -> Paired:
    """The t test of paired differences against 0.

    >>> result = paired([0.1, 0.2, 0.3])
    >>> round(result.mean, 3), round(result.low, 3), round(result.high, 3), round(result.p, 4)
    (0.2, -0.048, 0.448, 0.0742)
    """
    values = np.asarray(differences, dtype=float)
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Paired(n, mean, None, None, None)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    reach = float(stats.t.ppf(0.975, n - 1)) * error
    if error == 0:
        return Paired(n, mean, mean, mean, 1.0 if mean == 0 else 0.0)
    return Paired(n, mean, mean - reach, mean + reach, float(2 * stats.t.sf(abs(mean) / error, n - 1)))


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean; None for a single value."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number by Holm's step-down rule; what is None is no test and does not count.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    order = sorted((p, k) for k, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    so_far = 0.0
    for rank, (p, k) in enumerate(order):
        so_far = max(so_far, min(1.0, (len(order) - rank) * p))
        corrected[k] = so_far
    return corrected


@dataclass(frozen=True)
class Ranks:
    """Mean ranks (1 is best) over units, Friedman's p-value, and the critical difference of mean ranks at 5 %."""

    units: int
    mean: list[float]
    p: float
    critical: float


def rank(scores: Sequence[Sequence[float | None]]) -> Ranks | None:
    """Friedman's test and Nemenyi's critical difference for ``scores[unit][method]``; None without 5 units.

    A missing score ranks last, ties share the mean of their ranks, and two methods are told apart if their mean ranks
    differ by at least ``q sqrt(k (k + 1) / (6 N))``, q the 95 % point of the studentised range over sqrt 2.

    Source: Demšar, *Statistical comparisons of classifiers over multiple data sets*, JMLR 2006.

    >>> result = rank([[0.9, 0.8, 0.7]] * 5)
    >>> result.mean, round(result.p, 4), round(result.critical, 3)
    ([1.0, 2.0, 3.0], 0.0067, 1.482)
    """
    table = np.array([[-np.inf if v is None else v for v in unit] for unit in scores], dtype=float)
    if len(table) < FEWEST_UNITS or table.shape[1] < 3:
        return None
    ranks = np.vstack([stats.rankdata(-unit) for unit in table])
    n, k = ranks.shape
    spread = float(((ranks - (k + 1) / 2) ** 2).sum())
    # Friedman's statistic with its correction for ties: the sum of squares between over that within units.
    between = n * float(((ranks.mean(0) - (k + 1) / 2) ** 2).sum())
    p = float(stats.chi2.sf(n * (k - 1) * between / spread, k - 1)) if spread else 1.0
    q = float(stats.studentized_range.ppf(0.95, k, math.inf)) / math.sqrt(2)
    return Ranks(n, [float(r) for r in ranks.mean(0)], p, q * math.sqrt(k * (k + 1) / (6 * n)))


def not_told_apart(mean_ranks: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """The longest runs of methods, in the order of their ranks, within the critical difference: (first, last).

    >>> not_told_apart([1.0, 1.5, 2.4, 4.0], critical=1.0)
    [(0, 1), (1, 2)]
    """
    found: list[tuple[int, int]] = []
    ordered = sorted(mean_ranks)
    for start, value in enumerate(ordered):
        end = max(k for k, other in enumerate(ordered) if other - value < critical)
        if end > start and (not found or end > found[-1][1]):
            found.append((start, end))
    return found


def signed_rank(differences: Sequence[float]) -> float | None:
    """Wilcoxon's signed-rank p-value over units; None for fewer than 6, or where nothing differs."""
    if len(differences) < FEWEST_SIGNED or not any(differences):
        return None
    return float(stats.wilcoxon(differences).pvalue)


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's correlation of two lists of scores; None for fewer than three or where one list is constant."""
    if len(a) < 3 or len(set(a)) == 1 or len(set(b)) == 1:
        return None
    return float(stats.spearmanr(a, b).statistic)
