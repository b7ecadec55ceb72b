"""Edges in the wrong place: boundaries displaced by a field that is correlated along them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.kms import sample_field
from segnoise.noise.base import Corruption, Params, check_rho, key_of, rho_per_axis, write_rho
from segnoise.noise.geometry import boundary_length, known_labels, nearest_other
from segnoise.noise.length import Length
from segnoise.noise.level import solve_scale, verdict
from segnoise.noise.order import cheapest, count_of, taken


@dataclass(frozen=True, init=False)
class Boundary(Corruption):
    """Every boundary moves by ``u = s F + bias``, F a KMS field read at the nearest boundary point.

    A pixel x of label i whose nearest other label is j takes j iff u favours j there and ``|u|`` exceeds the
    distance from x to the boundary. Positive u favours the larger label: label values are priorities, so class maps
    and touching instances work alike. s is such that the mean absolute displacement, the changed area over the
    length of the boundaries of all images, is the asked one: to the pixel without bias, within 5 % with one.

    Args:
        displacement: mean absolute displacement, such as ``3px`` or ``5m``.
        rho: correlation of the field between neighbouring pixels, one number or one per axis, in [0, 1).
        bias: mean displacement in the same unit; positive makes larger labels (objects) grow.

    Raises:
        UserError: a value outside its range, a unit that is missing or differs, or a bias larger than the
            displacement.

    >>> labels = np.zeros((40, 40), dtype=np.uint8)
    >>> labels[10:30, 10:30] = 1
    >>> noisy, record = Boundary("1px").corrupt(labels, seed=1)
    >>> int((noisy != labels).sum()), round(80 * np.pi / 4)
    (63, 63)
    """

    displacement: Length
    rho: float | tuple[float, ...]
    bias: Length
    name: ClassVar[str] = "boundary"

    def __init__(
        self, displacement: Length | str | float, rho: float | Sequence[float] = 0.95, bias: Length | str | float = 0
    ) -> None:
        distance = _length("displacement", displacement)
        shift = _length("bias", bias)
        if shift.value == 0 or distance.value == 0:
            shift = Length(shift.value, distance.unit)
        if shift.unit != distance.unit:
            raise UserError(f"boundary: bias {shift} must have the unit of the displacement {distance}")
        if distance.value < 0 or not math.isfinite(distance.value):
            raise UserError(f"boundary: displacement {distance} must not be negative")
        if abs(shift.value) > distance.value:
            raise UserError(f"boundary: the mean absolute displacement {distance} cannot be below the bias {shift}")
        object.__setattr__(self, "displacement", distance)
        object.__setattr__(self, "rho", check_rho(self.name, rho))
        object.__setattr__(self, "bias", shift)

    def __str__(self) -> str:
        bias = f", bias={self.bias}" if self.bias.value else ""
        return f"boundary({self.displacement}, rho={write_rho(self.rho)}{bias})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {
            "name": self.name,
            "displacement": str(self.displacement),
            "bias": self.bias.value,
            "rho": rho_per_axis(self.name, self.rho, len(shape)),
            "key": key_of(generator),
        }

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        return _move(labels, params, _reach(labels, params, instances, spacing))

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        reaches = [_reach(x, p, instances, spacing) for x, p in zip(images, params, strict=True)]
        fitted = self._solve(images, params, reaches, instances, spacing)
        return [(_move(x, p, reach), p) for x, p, reach in zip(images, fitted, reaches, strict=True)]

    def _solve(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        reaches: Sequence[_Reach],
        instances: bool,
        spacing: Sequence[float] | None,
    ) -> list[Params]:
        asked, bias = self.displacement.value, self.bias.value
        pixels = [self.displacement.pixel(spacing, x.ndim) for x in images]
        length = sum(boundary_length(x, known_labels(x, instances), p) for x, p in zip(images, pixels, strict=True))

        def level(taken: Sequence[NDArray[np.bool_]]) -> float:
            changed = sum(r.cell * np.count_nonzero(t) for r, t in zip(reaches, taken, strict=True))
            return float(changed / length) if length else 0.0

        strengths: list[Params]
        if bias == 0:
            flips = count_of(asked, length / reaches[0].cell) if reaches else 0
            thresholds = cheapest([reach.cost() for reach in reaches], flips)
            strengths = [{"threshold": t and list(t)} for t in thresholds]
        else:
            low, high = 1e-3 * asked, 1e3 * asked
            scale, _ = solve_scale(lambda s: level([r.moved(s, bias) for r in reaches]), asked, low, high)
            strengths = [{"scale": scale}] * len(reaches)
        met = level([reach.taken({**p, **s}) for reach, p, s in zip(reaches, params, strengths, strict=True)])
        why = "the bias alone moves them further" if met > asked else "all that the field can reach has moved"
        common = verdict(asked, met, why if length else "the labels have no boundaries")
        return [{**p, **s, **common} for p, s in zip(params, strengths, strict=True)]


def _move(labels: NDArray[Any], params: Params, reach: _Reach) -> NDArray[Any]:
    noisy = labels.copy()
    flip = reach.taken(params)
    noisy.ravel()[reach.pixels[flip]] = labels.ravel()[reach.other[flip]]
    return noisy


class _Reach(NamedTuple):
    """The pixels that a displacement can reach, with what it takes; one entry a pixel that has a boundary.

    Without bias a pixel whose pull is not positive stays whatever the scale, and has no entry.
    """

    pixels: NDArray[np.intp]  # flat index
    other: NDArray[np.int64]  # flat index of the nearest pixel across the boundary
    distance: NDArray[np.float64]  # to the boundary, in the displacement's unit
    pull: NDArray[np.float64]  # the field at the boundary point, positive where it favours the other label
    grows: NDArray[np.bool_]  # the other label is the larger one
    cell: float  # area of a pixel

    def cost(self) -> NDArray[np.float64]:
        """The scale at which a pixel flips without bias."""
        return self.distance / self.pull

    def taken(self, params: Params) -> NDArray[np.bool_]:
        if "threshold" in params:
            return taken(self.cost(), params["threshold"])
        return self.moved(params["scale"], params["bias"])

    def moved(self, scale: float, bias: float) -> NDArray[np.bool_]:
        return scale * self.pull + np.where(self.grows, bias, -bias) > self.distance


def _reach(labels: NDArray[Any], params: Params, instances: bool, spacing: Sequence[float] | None) -> _Reach:
    pixel = Length.of(params["displacement"]).pixel(spacing, labels.ndim)
    known = known_labels(labels, instances)
    nearest, distance = nearest_other(labels, known, pixel)
    pixels = np.flatnonzero(nearest.ravel() >= 0)
    other = nearest.ravel()[pixels]
    grows = labels.ravel()[other] > labels.ravel()[pixels]
    # Both sides of a boundary must read the field at the same place, so it is read on the larger label's side.
    point = np.where(grows, other, nearest.ravel()[other])
    pull = sample_field(labels.shape, params["rho"], generator(params["key"], "displacement")).ravel()[point]
    np.negative(pull, out=pull, where=~grows)
    moves = (pull > 0) | (params["bias"] != 0)
    pixels = pixels[moves]
    return _Reach(pixels, other[moves], distance.ravel()[pixels], pull[moves], grows[moves], math.prod(pixel))


def _length(what: str, value: Length | str | float) -> Length:
    if isinstance(value, Length):
        return value
    if isinstance(value, str):
        return Length.of(value)
    if value == 0:
        return Length(0.0, "px")
    raise UserError(f"boundary: {what} {value} needs a unit, such as {value}px or {value}m")
