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
from segnoise.noise.order import count_of, kth, taken


@dataclass(frozen=True, init=False)
class Boundary(Corruption):
    """Every boundary moves by ``u = s F + bias``, F a KMS field read at the nearest boundary point.

    A pixel x of label i whose nearest other label is j takes j iff u favours j there and ``|u|`` exceeds the
    distance from x to the boundary. Positive u favours the larger label: label values are priorities, so class maps
    and touching instances work alike. s is such that the mean absolute displacement, the changed area over the
    length of the boundaries, is the asked one: to the pixel without bias, by bisection with one.

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

    def fit(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> Params:
        return self._solve(labels, params, _reach(labels, params, instances, spacing))

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        return self._move(labels, params, _reach(labels, params, instances, spacing))

    def fit_apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> tuple[NDArray[Any], Params]:
        reach = _reach(labels, params, instances, spacing)
        fitted = self._solve(labels, params, reach)
        return self._move(labels, fitted, reach), fitted

    @staticmethod
    def _solve(labels: NDArray[Any], params: Params, reach: _Reach) -> Params:
        asked = Length.of(params["displacement"]).value
        flips = count_of(asked, reach.length / reach.cell)
        if params["bias"] == 0:
            threshold = kth(reach.cost(), flips)
            strength = {"scale": 0.0 if threshold is None else threshold[0]}
            strength["last"] = -1 if threshold is None else threshold[1]
        else:
            strength = {"scale": _bisect(reach, params["bias"], flips)}
        changed = int(np.count_nonzero(reach.taken({**params, **strength})))
        met = changed * reach.cell / reach.length if reach.length else 0.0
        return {**params, **strength, "flips": changed, "met": met}

    @staticmethod
    def _move(labels: NDArray[Any], params: Params, reach: _Reach) -> NDArray[Any]:
        noisy = labels.copy()
        flip = reach.taken(params)
        noisy.ravel()[reach.pixels[flip]] = labels.ravel()[reach.other[flip]]
        return noisy


class _Reach(NamedTuple):
    """The pixels that a displacement can reach, with what it takes; one entry a pixel that has a boundary."""

    pixels: NDArray[np.intp]  # flat index
    other: NDArray[np.int64]  # flat index of the nearest pixel across the boundary
    distance: NDArray[np.float64]  # to the boundary, in the displacement's unit
    pull: NDArray[np.float64]  # the field at the boundary point, positive where it favours the other label
    grows: NDArray[np.bool_]  # the other label is the larger one
    length: float
    cell: float

    def cost(self) -> NDArray[np.float64]:
        """The scale at which a pixel flips without bias."""
        cost = np.full(len(self.pixels), np.inf)
        np.divide(self.distance, self.pull, out=cost, where=self.pull > 0)
        return cost

    def taken(self, params: Params) -> NDArray[np.bool_]:
        if "last" in params:
            return taken(self.cost(), None if params["last"] < 0 else (params["scale"], params["last"]))
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
    field = sample_field(labels.shape, params["rho"], generator(params["key"], "displacement")).ravel()[point]
    return _Reach(
        pixels,
        other,
        distance.ravel()[pixels],
        np.where(grows, field, -field),
        grows,
        boundary_length(labels, known, pixel),
        math.prod(pixel),
    )


def _bisect(reach: _Reach, bias: float, flips: int) -> float:
    """The smallest scale at which at least so many pixels flip, or the scale that comes nearest from below."""

    def count(scale: float) -> int:
        return int(np.count_nonzero(reach.moved(scale, bias)))

    low, high = 0.0, abs(bias)
    if not len(reach.pixels) or count(low) >= flips:
        return low
    for _ in range(20):
        if count(high) >= flips:
            break
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if count(middle) >= flips else (middle, high)
    return min((low, high), key=lambda scale: abs(count(scale) - flips))


def _length(what: str, value: Length | str | float) -> Length:
    if isinstance(value, Length):
        return value
    if isinstance(value, str):
        return Length.of(value)
    if value == 0:
        return Length(0.0, "px")
    raise UserError(f"boundary: {what} {value} needs a unit, such as {value}px or {value}m")
