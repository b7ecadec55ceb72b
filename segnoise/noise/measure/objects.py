"""Objects missed, invented, merged and split, by size, over all images of a set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from segnoise.noise.measure.classes import share
from segnoise.noise.measure.matching import Objects

LEAST_OBJECTS = 5
"""With fewer objects missed, or fewer found, nothing is said about how size matters."""


def describe_objects(sets: Sequence[Objects]) -> dict[str, Any]:
    """Counts, shares of the true objects, the same by tercile of their area, and how missing depends on area.

    - ``true`` and ``given`` objects; ``missed``, ``merged`` and ``split`` true ones and ``extra`` given ones
      (:func:`match_objects`), each also as a ``_share`` of the true ones.
    - ``terciles``, from small to large: ``up_to`` (px), ``true`` and the four shares; extra objects count where their
      own area falls.
    - ``size_slope``: how missing depends on size (:func:`size_slope`).
    """
    area = np.concatenate([np.zeros(0, dtype=np.int64), *(m.true_area for m in sets)])
    extra_area = np.concatenate([np.zeros(0, dtype=np.int64), *(m.given_area[m.extra] for m in sets)])
    hit = {
        what: np.concatenate([np.zeros(0, dtype=bool), *(getattr(m, what) for m in sets)])
        for what in ("missed", "merged", "split")
    }
    counts = {"missed": int(hit["missed"].sum()), "extra": len(extra_area)}
    counts |= {what: int(hit[what].sum()) for what in ("merged", "split")}
    return {
        "true": len(area),
        "given": sum(len(m.given_area) for m in sets),
        **counts,
        **{f"{what}_share": share(count, len(area)) for what, count in counts.items()},
        "terciles": _terciles(area, extra_area, hit),
        "size_slope": size_slope(area, hit["missed"]),
    }


def size_slope(area: NDArray[np.int64], missed: NDArray[np.bool_]) -> dict[str, float] | None:
    """The ``slope`` g of ``P(missed) = sigmoid(a - g log(area / median area))``, its ``error`` and ``deviance``.

    The likelihood is multiplied by a normal prior of standard deviation 5 on the slope, so that it has a maximum also
    where size decides alone. ``deviance`` is twice the gain in log-likelihood over g = 0; by chance it exceeds 4 once
    in twenty-two times. None for fewer than five objects missed or found.

    >>> area, missed = np.repeat([10, 20], 100), np.arange(200) % 100 < np.repeat([60, 20], 100)
    >>> round(size_slope(area, missed)["slope"], 1), round(float(np.log2(6)), 1)
    (2.6, 2.6)
    """
    if min(np.count_nonzero(missed), np.count_nonzero(~missed)) < LEAST_OBJECTS:
        return None
    design = np.stack([np.ones(len(area)), -np.log(area / np.median(area))], axis=1)
    prior = np.diag([0.0, 1 / 25])
    weights = np.array([logit(missed.mean()), 0.0])
    alike = _log_likelihood(design @ weights, missed)
    for _ in range(100):
        # Newton's step, shortened where it would overshoot into saturation.
        rate = expit(design @ weights)
        curvature = design.T @ (design * (rate * (1 - rate))[:, None]) + prior
        step = np.linalg.solve(curvature, design.T @ (missed - rate) - prior @ weights)
        weights = weights + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    return {
        "slope": float(weights[1]),
        "error": float(np.sqrt(np.linalg.inv(curvature)[1, 1])),
        "deviance": 2 * (_log_likelihood(design @ weights, missed) - alike),
    }


def _log_likelihood(logits: NDArray[np.float64], missed: NDArray[np.bool_]) -> float:
    return float(-np.logaddexp(0, np.where(missed, -logits, logits)).sum())


def _terciles(
    area: NDArray[np.int64], extra_area: NDArray[np.int64], hit: dict[str, NDArray[np.bool_]]
) -> list[dict[str, Any]]:
    if not len(area):
        return []
    bounds = np.quantile(area, [1 / 3, 2 / 3])
    which, which_extra = np.searchsorted(bounds, area), np.searchsorted(bounds, extra_area)
    rows = []
    for k, up_to in enumerate([*bounds, area.max()]):
        here = which == k
        count = int(here.sum())
        row: dict[str, Any] = {"up_to": float(up_to), "true": count}
        row["missed_share"] = share(int(hit["missed"][here].sum()), count)
        row["extra_share"] = share(int((which_extra == k).sum()), count)
        row |= {f"{what}_share": share(int(hit[what][here].sum()), count) for what in ("merged", "split")}
        rows.append(row)
    return rows
