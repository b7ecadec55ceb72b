"""What made the labels wrong: the errors shared out over moved boundaries, lost and invented objects, and patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segnoise.noise.latent import Together, latent_of
from segnoise.noise.measure.objects import size_slope
from segnoise.noise.measure.zones import EDGES

REACHES = (2, 4, 8, 16)
"""Distances, in pixels, that moved boundaries may be found to reach."""

LEAST_PIXELS = 500
"""An error rate of fewer pixels is no evidence."""

PATCHY = 0.01
"""Patches that make up less than this share of the changed pixels are not told from the tail of moved boundaries."""

Sides = tuple[list[list[Together]], list[list[Together]]]
"""Outside (0) and inside (1) of objects, per axis and image: how errors occur together."""


@dataclass(frozen=True)
class Evidence:
    """What the causes are told apart by, summed over all images.

    ``zones`` are the counts of :func:`segnoise.noise.measure.zones.count_zones`; ``length`` is that of the true
    boundaries of objects that are not lost, in pixels; ``far[reach]`` are the errors further than that from a
    boundary; ``along`` the correlation of moves along boundaries. Of true objects come area and fate, of extra ones
    area and largest distance from a boundary.
    """

    zones: NDArray[np.int64]
    length: float
    far: dict[int, Sides]
    along: float | None
    true_area: NDArray[np.int64]
    missed: NDArray[np.bool_]
    merged: NDArray[np.bool_]
    split: NDArray[np.bool_]
    extra_area: NDArray[np.int64]
    extra_reach: NDArray[np.float64]


def describe_causes(evidence: Evidence) -> dict[str, Any]:
    """The levels of noises that, one after another, would make such errors; 0 where a cause is not seen.

    - Boundaries reach so far (``reach_px``: 2, 4, 8 or 16) that beyond it the error rate no longer falls with distance.
    - ``patches``: that ``rate``, which is what happens anywhere, and its latent correlation ``rho`` per axis. It is
      read inside objects if extra objects are ``commission``, else everywhere.
    - ``commission``: extra over true objects (``rate``), if the extra ones are about as large as true ones; or the area
      by which errors are more frequent outside of objects than inside, if that is beyond chance.
    - ``omission``: share of objects missed (``rate``) beyond those that patches swallow, and its ``size_slope`` if that
      is twice its standard error.
    - ``boundary``: changed area within reach over the length of the boundaries (``displacement_px``), lost and extra
      objects and patches apart; ``bias_px``, the same with signs, positive where larger labels grew; ``rho`` along the
      boundaries.
    - ``merge`` and ``split``: shares of the true objects involved (``rate``).
    """
    zones = _Zones(evidence.zones.sum(axis=-1))
    reach = zones.reach()
    beyond = EDGES.index(reach) + 1
    inside, outside = zones.rate(np.s_[beyond:, 1, 0]), zones.rate(np.s_[beyond:, 0, 0])
    islands = (evidence.extra_reach <= reach) & (evidence.extra_area < _small(evidence))
    invented = evidence.extra_area[~islands]
    alike = len(invented) > 0 and float(np.median(invented)) >= _small(evidence)
    rho = _rho(evidence.far[reach], slice(None))
    excess = inside.pixels >= LEAST_PIXELS and outside.above(inside, rho)
    patches = inside + outside
    if alike or excess:
        patches = inside if inside.pixels >= LEAST_PIXELS else zones.rate(np.s_[beyond:, 0, 0, 0])
        rho = _rho(evidence.far[reach], slice(1, None))
    rate = patches.rate if patches.pixels >= LEAST_PIXELS else 0.0
    if rate * zones.rate(np.s_[:]).pixels < PATCHY * zones.rate(np.s_[:]).errors:
        rate, rho = 0.0, None
    commission = 0.0
    objects = len(evidence.true_area)
    if objects and alike:
        commission = len(invented) / objects
    elif objects and excess:
        area = (outside.rate - rate) * zones.rate(np.s_[:, 0, 0]).pixels
        commission = area / float(evidence.true_area.sum())
    missed = float(evidence.missed.mean()) if objects else 0.0
    omission = max(0.0, (missed - rate) / (1 - rate)) if rate < 1 else 0.0
    slope = size_slope(evidence.true_area, evidence.missed) if omission else None
    return {
        "reach_px": reach,
        "boundary": _boundary(evidence, zones, beyond, alike or excess, _Patches(rate, rho)),
        "omission": {
            "rate": omission,
            "size_slope": slope["slope"] if slope and abs(slope["slope"]) > 2 * slope["error"] else 0.0,
        },
        "commission": {"rate": commission},
        "merge": {"rate": float(evidence.merged.mean()) if objects else 0.0},
        "split": {"rate": float(evidence.split.mean()) if objects else 0.0},
        "patches": {"rate": rate, "rho": rho},
    }


class _Rate(NamedTuple):
    errors: int
    pixels: int

    @property
    def rate(self) -> float:
        return self.errors / self.pixels if self.pixels else 0.0

    def __add__(self, other: tuple[int, ...]) -> _Rate:  # type: ignore[override]
        return _Rate(self.errors + other[0], self.pixels + other[1])

    def above(self, other: _Rate, rho: Sequence[float] | None) -> bool:
        """Whether this rate is the greater by two standard errors, errors being correlated."""
        both = self + other
        if not self.pixels or not both.errors:
            return False
        variance = both.rate * (1 - both.rate) * _clumping(rho) * (1 / self.pixels + 1 / other.pixels)
        return self.rate - other.rate > 2 * math.sqrt(variance)


class _Patches(NamedTuple):
    rate: float
    rho: list[float] | None


class _Zones:
    """Counts by band, side, lost, extra and growth, and the rates of any part of them."""

    def __init__(self, counts: NDArray[np.int64]) -> None:
        self.counts = counts

    def rate(self, part: Any) -> _Rate:
        counts = self.counts[part].reshape(-1, 3).sum(axis=0)
        return _Rate(int(counts[0] + counts[2]), int(counts.sum()))

    def net(self, part: Any) -> int:
        counts = self.counts[part].reshape(-1, 3).sum(axis=0)
        return int(counts[2] - counts[0])

    def reach(self) -> int:
        """The first distance beyond which the error rate is about constant, as far as there are pixels to tell."""
        for reach in REACHES[:-1]:
            start, stop = EDGES.index(reach) + 1, EDGES.index(2 * reach) + 1
            near, far = self.rate(np.s_[start:stop, :, 0]), self.rate(np.s_[stop:, :, 0])
            enough = min(near.pixels, far.pixels) >= LEAST_PIXELS
            if enough and near.rate <= 1.5 * far.rate + 10 / near.pixels:
                return reach
        return REACHES[-1]


def _boundary(evidence: Evidence, zones: _Zones, beyond: int, without_extra: bool, patches: _Patches) -> dict[str, Any]:
    extra = 0 if without_extra else slice(None)
    outside, inside = np.s_[:beyond, 0, 0, extra], np.s_[:beyond, 1, 0, extra]
    out, within = zones.rate(outside), zones.rate(inside)
    near = out + within
    moved = near.errors - patches.rate * near.pixels
    chance = math.sqrt(patches.rate * (1 - patches.rate) * _clumping(patches.rho) * near.pixels)
    if not evidence.length or moved <= 2 * chance:
        return {"displacement_px": 0.0, "bias_px": 0.0, "rho": None}
    net = zones.net(outside) + zones.net(inside) - patches.rate * (out.pixels - within.pixels)
    displacement = moved / evidence.length
    bias = max(-displacement, min(displacement, net / evidence.length))
    return {"displacement_px": displacement, "bias_px": bias, "rho": evidence.along}


def _small(evidence: Evidence) -> float:
    """An extra object below this area is smaller than nine in ten true ones."""
    return float(np.quantile(evidence.true_area, 0.1)) if len(evidence.true_area) else 0.0


def _rho(sides: Sides, which: slice) -> list[float] | None:
    axes = [list(chain(*maps)) for maps in zip(*sides[which], strict=True)]
    latent = latent_of(axes)
    return None if latent is None or None in latent["rho"] else latent["rho"]


def _clumping(rho: Sequence[float] | None) -> float:
    """By how much correlation multiplies the variance of an error rate."""
    return math.prod((1 + r * r) / (1 - min(r, 0.999) ** 2) for r in rho or (0.9, 0.9))
