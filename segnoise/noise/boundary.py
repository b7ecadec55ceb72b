"""Edges in the wrong place: boundaries displaced by a field that is correlated along them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from segnoise.draws import generator
from segnoise.errors import UserError, nearest
from segnoise.kms import sample_field
from segnoise.length import Length
from segnoise.noise.base import Corruption, Params, check_rho, key_of, rho_per_axis, write_rho
from segnoise.noise.geometry import CHUNK, boundary_length, known_labels, nearest_other
from segnoise.noise.level import solve_scale, verdict
from segnoise.noise.order import cheapest, count_of, taken

TOPOLOGIES = ("free", "keep")


@dataclass(frozen=True, init=False)
class Boundary(Corruption):
    """Every boundary moves by ``u = s F + bias``, F a KMS field read at the nearest boundary point.

    A pixel x of label i whose nearest other label is j takes j iff u favours j there and ``|u|`` exceeds the
    distance from x to the boundary. Positive u favours the larger label: label values are priorities, so class maps
    and touching instances work alike. s is such that the mean absolute displacement, the changed area over the
    length of the boundaries of all images, is the asked one: to the pixel without bias, within 5 % with one.

    The field is rough, so that far out islands come off the objects, and holes off their surroundings. With
    ``topology=keep`` a pixel stays as it is unless pixels of its new label join it, face to face, to some that had
    the label before; the level is that of what is left, within 5 %.

    Args:
        displacement: mean absolute displacement, such as ``3px`` or ``5m``.
        rho: correlation of the field between neighbouring pixels, one number or one per axis, in [0, 1).
        bias: mean displacement in the same unit; positive makes larger labels (objects) grow.
        topology: free, or keep: no islands and no holes that come off a boundary.

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
    topology: str
    name: ClassVar[str] = "boundary"

    def __init__(
        self,
        displacement: Length | str | float,
        rho: float | Sequence[float] = 0.95,
        bias: Length | str | float = 0,
        topology: str = "free",
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
        if topology not in TOPOLOGIES:
            raise UserError(f"boundary: there is no topology {topology!r}; {nearest(str(topology), TOPOLOGIES)}")
        object.__setattr__(self, "topology", topology)

    def __str__(self) -> str:
        bias = f", bias={self.bias}" if self.bias.value else ""
        topology = ", topology=keep" if self.topology == "keep" else ""
        return f"boundary({self.displacement}, rho={write_rho(self.rho)}{bias}{topology})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {
            "name": self.name,
            "displacement": str(self.displacement),
            "bias": self.bias.value,
            "rho": rho_per_axis(self.name, self.rho, len(shape)),
            "topology": self.topology,
            "key": key_of(generator),
        }

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        pixels, other, start = [], [], 0
        for reach in _parts(labels, params, instances, spacing):
            moved = reach.taken(params, start)
            pixels.append(reach.pixels[moved])
            other.append(reach.other[moved])
            start += len(moved)
        return _moved(labels, params, np.concatenate(pixels), np.concatenate(other))

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

        def level(strengths: Sequence[Params]) -> float:
            moved = (
                np.count_nonzero(_kept(x, {**p, **s}, r)) * r.cell
                for x, p, s, r in zip(images, params, strengths, reaches, strict=True)
            )
            return float(sum(moved) / length) if length else 0.0

        strengths: list[Params]
        if bias or self.topology == "keep":
            low, high = 1e-3 * asked, 1e3 * asked
            scale, _ = solve_scale(lambda s: level([{"scale": s}] * len(reaches)), asked, low, high)
            strengths = [{"scale": scale}] * len(reaches)
        else:
            flips = count_of(asked, length / reaches[0].cell) if reaches else 0
            thresholds = cheapest([reach.cost() for reach in reaches], flips)
            strengths = [{"threshold": t and list(t)} for t in thresholds]
        met = level(strengths)
        why = "the bias alone moves them further" if met > asked else "all that the field can reach has moved"
        common = verdict(asked, met, why if length else "the labels have no boundaries")
        return [{**p, **s, **common} for p, s in zip(params, strengths, strict=True)]


def _move(labels: NDArray[Any], params: Params, reach: _Reach) -> NDArray[Any]:
    moved = reach.taken(params)
    return _moved(labels, params, reach.pixels[moved], reach.other[moved])


def _moved(labels: NDArray[Any], params: Params, pixels: NDArray[np.intp], other: NDArray[np.int64]) -> NDArray[Any]:
    """The labels with pixels that took another one."""
    if params["topology"] == "keep":
        kept = _joined(labels, pixels, other)
        pixels, other = pixels[kept], other[kept]
    noisy = labels.copy()
    noisy.ravel()[pixels] = labels.ravel()[other]
    return noisy


def _kept(labels: NDArray[Any], params: Params, reach: _Reach) -> NDArray[np.bool_]:
    """Which pixels of a reach take their other label and may keep it."""
    moved = reach.taken(params)
    if params["topology"] == "keep":
        moved[moved] = _joined(labels, reach.pixels[moved], reach.other[moved])
    return moved


def _joined(labels: NDArray[Any], pixels: NDArray[np.intp], other: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which changed pixels hang together, face to face in their new label, with pixels that had it before."""
    new = labels.copy()
    new.ravel()[pixels] = labels.ravel()[other]
    number = np.full(labels.shape, -1, dtype=np.int32)
    number.ravel()[pixels] = np.arange(len(pixels))
    held = np.zeros(len(pixels), dtype=bool)
    pairs = []
    for axis in range(labels.ndim):
        numbers, labelled = number.swapaxes(0, axis), new.swapaxes(0, axis)
        first, second = numbers[:-1], numbers[1:]
        alike = labelled[:-1] == labelled[1:]
        held[first[alike & (first >= 0) & (second < 0)]] = True
        held[second[alike & (second >= 0) & (first < 0)]] = True
        both = alike & (first >= 0) & (second >= 0)
        pairs.append((first[both], second[both]))
    one, two = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, two)), shape=(len(pixels), len(pixels)))
    count, region = connected_components(graph, directed=False)
    kept = np.zeros(count, dtype=bool)
    kept[region[held]] = True
    return kept[region]


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

    def taken(self, params: Params, start: int = 0) -> NDArray[np.bool_]:
        """Which pixels move; ``start`` is the number of entries of the whole reach before this part of it."""
        if "threshold" in params:
            threshold = params["threshold"]
            return taken(self.cost(), threshold and (threshold[0], max(threshold[1] - start, -1)))
        return self.moved(params["scale"], params["bias"])

    def moved(self, scale: float, bias: float) -> NDArray[np.bool_]:
        return scale * self.pull + np.where(self.grows, bias, -bias) > self.distance


def _reach(labels: NDArray[Any], params: Params, instances: bool, spacing: Sequence[float] | None) -> _Reach:
    parts = list(_parts(labels, params, instances, spacing))
    return _Reach(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.other for part in parts]),
        np.concatenate([part.distance for part in parts]),
        np.concatenate([part.pull for part in parts]),
        np.concatenate([part.grows for part in parts]),
        parts[0].cell,
    )


def _parts(labels: NDArray[Any], params: Params, instances: bool, spacing: Sequence[float] | None) -> Iterator[_Reach]:
    """The reach, some pixels at a time."""
    pixel = Length.of(params["displacement"]).pixel(spacing, labels.ndim)
    known = known_labels(labels, instances)
    nearest, distance = nearest_other(labels, known, pixel)
    nearest, distance = nearest.ravel(), distance.ravel()
    field = sample_field(labels.shape, params["rho"], generator(params["key"], "displacement")).ravel()
    value = labels.ravel()
    for start in range(0, max(labels.size, 1), CHUNK):
        there = nearest[start : start + CHUNK]
        pixels = start + np.flatnonzero(there >= 0)
        other = there[pixels - start]
        grows = value[other] > value[pixels]
        # Both sides of a boundary must read the field at the same place, so it is read on the larger label's side.
        pull = field[np.where(grows, other, nearest[other])]
        np.negative(pull, out=pull, where=~grows)
        moves = np.flatnonzero((pull > 0) | (params["bias"] != 0))
        pixels = pixels[moves]
        yield _Reach(pixels, other[moves], distance[pixels], pull[moves], grows[moves], math.prod(pixel))


def _length(what: str, value: Length | str | float) -> Length:
    if isinstance(value, Length):
        return value
    if isinstance(value, str):
        return Length.of(value)
    if value == 0:
        return Length(0.0, "px")
    raise UserError(f"boundary: {what} {value} needs a unit, such as {value}px or {value}m")
