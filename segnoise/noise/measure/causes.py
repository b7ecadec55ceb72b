"""What made the labels wrong: the errors shared out over moved boundaries, lost and invented objects, and patches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtri

from segnoise.draws import generator
from segnoise.kms import sample_field
from segnoise.noise.latent import Together, latent_of
from segnoise.noise.measure.objects import size_slope
from segnoise.noise.measure.zones import EDGES, size_of

REACHES = (2, 4, 8, 16)
"""Distances, in pixels, that moved boundaries may be found to reach."""

LEAST_PIXELS = 500
"""An error rate of fewer pixels is no evidence."""

PATCHY = 0.05
"""Patches that make up less than this share of the changed pixels are not told from the tail of moved boundaries."""

SPARSE = 0.2
"""Patches denser than this run into each other, and say nothing about how many objects were invented."""

LEAST_IMAGES = 10
"""Fewer images than this say nothing about how unlike they are."""

DENSEST = 0.95
"""Patches make up no more than this of an image that has them."""

UNEVEN = 0.7
"""Patches in more of the images than this are in all of them."""

Sides = tuple[list[list[Together]], list[list[Together]]]
"""Outside (0) and inside (1) of objects, per axis and image: how errors occur together."""


@dataclass(frozen=True)
class Evidence:
    """What the causes are told apart by, summed over all images.

    ``zones`` are the counts of :func:`segnoise.noise.measure.zones.count_zones`; ``length`` is that of the true
    boundaries of objects that are not lost, in pixels; ``far[reach]`` are the errors further than that from a
    boundary; ``along`` the correlation of moves along boundaries. Of true objects come area and fate, of extra ones
    area and largest distance from a boundary. ``by_image`` are, for each image, errors and pixels of kept objects and
    background in each band of distance from a boundary.
    """

    zones: NDArray[np.int64]
    by_image: NDArray[np.int64]
    length: float
    far: dict[int, Sides]
    along: float | None
    true_area: NDArray[np.int64]
    missed: NDArray[np.bool_]
    merged: NDArray[np.bool_]
    split: NDArray[np.bool_]
    extra_area: NDArray[np.int64]
    extra_reach: NDArray[np.float64]


def describe_causes(evidence: Evidence, shift: dict[str, Any]) -> dict[str, Any]:
    """The levels of noises that, one after another, would make such errors; 0 where a cause is not seen.

    - Boundaries reach so far (``reach_px``: 2, 4, 8 or 16) that beyond it the error rate no longer falls with distance.
    - ``patches``: that ``rate``, which is what happens anywhere, its latent correlation ``rho`` per axis, and the
      share of ``images`` that have them: 1, or less where the images differ more than fields of that rate and
      correlation do.
    - ``commission``: extra over true objects (``rate``). Islands of moved boundaries do not count: extra objects within
      reach that are small: smaller than nine in ten true ones, or than a quarter of their median. If most of the others
      are not small, all of them count; else the large ones, beyond those that a field of the rate and correlation of
      the patches inside of objects has.
    - ``omission``: share of objects missed (``rate``) beyond those that patches swallow, and its ``size_slope``
      if its deviance exceeds 4.
    - ``boundary``: changed area within reach over the length of the boundaries (``displacement_px``), lost and extra
      objects and patches apart; ``bias_px``, the same with signs, positive where larger labels grew; ``rho`` along the
      boundaries.
    - ``misregistration``: length of the shift of whole maps (``shift_px``), if it is at least half a pixel and moving
      the maps back undoes 30 % of the changes; the rest is then left to ``boundary``.
    - ``merge`` and ``split``: shares of the true objects involved (``rate``).
    """
    everything = _Zones(evidence.zones.sum(axis=-1))
    reach = everything.reach()
    invented = _invented(evidence, everything, reach)
    zones = everything
    if invented.number:
        # What was invented hides how the errors fall off with distance, so that is looked at again without it.
        zones = everything.without(1 if invented.alone else _size_of_small(evidence))
        reach = zones.reach()
        invented = _invented(evidence, everything, reach)
    patches = zones.rate(np.s_[EDGES.index(reach) + 1 :, :, 0])
    rho = _rho(evidence.far[reach], slice(1, None) if invented.number else slice(None))
    if invented.number and not invented.alone:
        patches = everything.rate(np.s_[EDGES.index(reach) + 1 :, 1, 0])
    rate = patches.rate if patches.pixels >= LEAST_PIXELS else 0.0
    whole = everything.rate(np.s_[:])
    if rate * whole.pixels < PATCHY * whole.errors:
        rate, rho = 0.0, None
    affected = _affected(evidence.by_image, reach, rate, rho)
    objects = len(evidence.true_area)
    missed = float(evidence.missed.mean()) if objects else 0.0
    omission = max(0.0, (missed - rate) / (1 - rate)) if rate < 1 else 0.0
    slope = size_slope(evidence.true_area, evidence.missed) if omission else None
    left = shift["errors_left"]
    shifted = left is not None and left <= 0.7 and shift["length_px"] >= 0.5
    return {
        "reach_px": reach,
        "misregistration": {"shift_px": shift["length_px"] if shifted else 0.0},
        "boundary": _boundary(evidence, zones, reach, _Patches(rate, rho), left if shifted else 1.0),
        "omission": {
            "rate": omission,
            "size_slope": slope["slope"] if slope and slope["deviance"] > 4 else 0.0,
        },
        "commission": {"rate": invented.number / objects if objects else 0.0},
        "merge": {"rate": float(evidence.merged.mean()) if objects else 0.0},
        "split": {"rate": float(evidence.split.mean()) if objects else 0.0},
        "patches": {"rate": rate, "rho": rho, "images": affected},
    }


class _Rate(NamedTuple):
    errors: int
    pixels: int

    @property
    def rate(self) -> float:
        return self.errors / self.pixels if self.pixels else 0.0


class _Invented(NamedTuple):
    number: float
    alone: bool  # no extra object is anything else


class _Patches(NamedTuple):
    rate: float
    rho: list[float] | None


class _Zones:
    """Counts by band, side, lost, size of extra object and growth."""

    def __init__(self, counts: NDArray[np.int64]) -> None:
        self.counts = counts

    def without(self, size: int) -> _Zones:
        """Without extra objects of this size or more."""
        return _Zones(self.counts[:, :, :, :size])

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


def _invented(evidence: Evidence, zones: _Zones, reach: int) -> _Invented:
    """How many extra objects were drawn as objects."""
    small = _small(evidence)
    areas = evidence.extra_area[(evidence.extra_reach > reach) | (evidence.extra_area >= small)]
    large = int(np.count_nonzero(areas >= small))
    if 2 * large >= len(areas):
        return _Invented(len(areas), True)
    inside = zones.rate(np.s_[EDGES.index(reach) + 1 :, 1, 0])
    outside = zones.rate(np.s_[:, 0, 0]).pixels
    if inside.pixels < LEAST_PIXELS or not large or inside.rate > SPARSE:
        return _Invented(0.0, False)
    rho = _rho(evidence.far[reach], slice(1, None)) or _rho(evidence.far[reach], slice(None))
    axes = len(evidence.far[reach][0])
    chance = outside * _density(inside.rate, tuple(rho or (0.9,) * axes), small)
    beyond = large > 1.25 * chance + 3 * math.sqrt(chance) + 1
    told = float((evidence.true_area >= small).mean())
    return _Invented((large - chance) / told if beyond else 0.0, False)


def _affected(by_image: NDArray[np.int64], reach: int, rate: float, rho: list[float] | None) -> float:
    """The share of images with patches, such that rates vary from image to image as much as they do.

    With patches of rate p / s in a share s of the images, and a squared coefficient of variation v(p / s) among
    those, that among all is ``(1 + v) / s - 1``.
    """
    errors, pixels = by_image[:, EDGES.index(reach) + 1 :].sum(axis=1).T
    told = pixels > LEAST_PIXELS
    if not rate or rho is None or np.count_nonzero(told) < LEAST_IMAGES or not errors[told].any():
        return 1.0
    rates = errors[told] / pixels[told]
    seen = float(np.square(rates).mean() / rates.mean() ** 2)
    within, share = tuple(round(r, 3) for r in rho), 1.0
    side = round(float(np.median(pixels[told])) ** (1 / len(rho)))
    for _ in range(4):
        share = (1 + _variation(round(rate / share, 3), within, side)) / seen
        share = min(max(share, 1 / len(rates), rate / DENSEST), 1.0)
    return share if share <= UNEVEN else 1.0


@lru_cache(maxsize=256)
def _variation(rate: float, rho: tuple[float, ...], side: int) -> float:
    """The squared coefficient of variation of the share above the level of a rate, among fields of this side."""
    level = float(ndtri(1 - rate))
    axes = len(rho)
    shape = (min(side, round((2**16) ** (1 / axes))),) * axes
    shares = [
        np.count_nonzero(sample_field(shape, [min(r, 0.999) for r in rho], generator(k, "variation")) > level)
        for k in range(32)
    ]
    return float(np.var(shares)) / max(float(np.mean(shares)), 1.0) ** 2


@lru_cache(maxsize=64)
def _density(rate: float, rho: tuple[float, ...], area: float) -> float:
    """Regions of at least this area, per pixel, where a KMS field exceeds the level that has the rate."""
    if not rate:
        return 0.0
    shape = (round((2**18) ** (1 / len(rho))),) * len(rho)
    field = sample_field(shape, [min(r, 0.999) for r in rho], generator(0, "density"))
    regions, _ = ndimage.label(field > np.quantile(field, 1 - rate))
    return float(np.count_nonzero(np.bincount(regions.ravel())[1:] >= area) / field.size)


def _boundary(evidence: Evidence, zones: _Zones, reach: int, patches: _Patches, left: float) -> dict[str, Any]:
    stop = EDGES.index(reach) + 1
    out, within = zones.rate(np.s_[:stop, 0, 0]), zones.rate(np.s_[:stop, 1, 0])
    pixels = out.pixels + within.pixels
    moved = out.errors + within.errors - patches.rate * pixels
    clumping = math.prod((1 + r * r) / (1 - min(r, 0.999) ** 2) for r in patches.rho or (0.9, 0.9))
    chance = math.sqrt(patches.rate * (1 - patches.rate) * clumping * pixels)
    if not evidence.length or moved <= 2 * chance:
        return {"displacement_px": 0.0, "bias_px": 0.0, "rho": None}
    net = zones.net(np.s_[:stop, :, 0]) - patches.rate * (out.pixels - within.pixels)
    displacement = left * moved / evidence.length
    bias = max(-displacement, min(displacement, net / evidence.length))
    return {"displacement_px": displacement, "bias_px": bias, "rho": evidence.along}


def _small(evidence: Evidence) -> float:
    """What has less than this area is hardly an object: truth may hold specks, so the median counts too."""
    area = evidence.true_area
    return max(float(np.quantile(area, 0.1)), float(np.median(area)) / 4) if len(area) else 0.0


def _size_of_small(evidence: Evidence) -> int:
    return int(size_of(np.array([max(round(_small(evidence)), 1)]))[0])


def _rho(sides: Sides, which: slice) -> list[float] | None:
    axes = [list(chain(*maps)) for maps in zip(*sides[which], strict=True)]
    latent = latent_of(axes)
    return None if latent is None or None in latent["rho"] else latent["rho"]
