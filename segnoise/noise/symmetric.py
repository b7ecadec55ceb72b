"""Labels that are wrong here and there, each pixel by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segnoise.draws import generator, uniforms
from segnoise.errors import UserError
from segnoise.noise.base import Corruption, Params, check_share, key_of
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import verdict
from segnoise.noise.order import cheapest, count_of, taken
from segnoise.noise.transition import count_classes, kinds, relabelled
from segnoise.noise.vanishing import with_vanished


@dataclass(frozen=True)
class Symmetric(Corruption):
    """Each pixel x has a uniform number ``U_x`` and flips iff it is small: exactly ``round(rate N)`` of N pixels do.

    A flipped pixel takes one of the other classes, each alike, whatever the rate. N counts the known pixels of all
    images, or those of the classes that flip. On object ids there are two classes: flipped objects become background
    and flipped background becomes new objects, one per connected region.

    Args:
        rate: share of the pixels that flip.
        classes: the classes that flip; default: all.

    Raises:
        UserError: a value outside its range.

    >>> labels = np.zeros((8, 8), dtype=np.uint8)
    >>> noisy, record = Symmetric(0.25).corrupt(labels, seed=1)
    >>> int(noisy.sum())
    16
    """

    rate: float
    classes: tuple[int, ...] | None = None
    name: ClassVar[str] = "symmetric"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", check_share(self.name, "rate", self.rate))
        object.__setattr__(self, "classes", check_classes(self.name, self.classes))

    def __str__(self) -> str:
        return f"symmetric({self.rate!r}{write_classes(self.classes)})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "rate": self.rate, "key": key_of(generator)}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        if params["threshold"] is None:
            return labels.copy()
        number = _numbers(labels, params)
        flips = taken(number, params["threshold"]) & self._flips(labels, instances)
        return _flipped(labels, np.flatnonzero(flips), params, instances)

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        classes = count_classes(self.name, images, instances, None, num_classes)
        costs = []
        for labels, drawn in zip(images, params, strict=True):
            cost = _numbers(labels, drawn)
            cost[~self._flips(labels, instances)] = np.inf
            costs.append(cost)
        total = sum(int(np.count_nonzero(np.isfinite(cost))) for cost in costs)
        count = count_of(self.rate, total)
        thresholds = cheapest(costs, count)
        noisy = [
            _flipped(x, np.flatnonzero(taken(c, t)), {**p, "classes": classes}, instances)
            for x, p, c, t in zip(images, params, costs, thresholds, strict=True)
        ]
        why = f"the labels have {total} known pixels that can flip"
        common = with_vanished(verdict(self.rate, count / total if total else 0.0, why), images, noisy, instances)
        common["classes"] = classes
        return [
            (x, {**p, **common, "threshold": t and list(t)}) for x, p, t in zip(noisy, params, thresholds, strict=True)
        ]

    def _flips(self, labels: NDArray[Any], instances: bool) -> NDArray[np.bool_]:
        """Which pixels may flip."""
        known = known_labels(labels, instances)
        return known if self.classes is None else known & np.isin(kinds(labels, instances), self.classes)


def check_classes(name: str, classes: object) -> tuple[int, ...] | None:
    """Distinct class indices from 0 to 254 in the order given, or None for all."""
    if classes is None:
        return None
    listed = classes if isinstance(classes, (tuple, list)) else (classes,)
    whole = all(isinstance(k, (int, float)) and k == int(k) and 0 <= k < 255 for k in listed)
    if not listed or not whole or len(set(listed)) < len(listed):
        raise UserError(f"{name}: classes {classes} must be different class indices, such as classes=(1, 2)")
    return tuple(int(k) for k in listed)


def write_classes(classes: tuple[int, ...] | None) -> str:
    """The option as it is written in an expression."""
    return "" if classes is None else ", classes=(" + ", ".join(map(str, classes)) + ")"


def _numbers(labels: NDArray[Any], params: Params) -> NDArray[np.float64]:
    return generator(params["key"], "flip").random(labels.shape)


def _flipped(labels: NDArray[Any], pixels: NDArray[np.intp], params: Params, instances: bool) -> NDArray[Any]:
    true = kinds(labels.reshape(-1)[pixels], instances).astype(np.int64)
    classes = params["classes"]
    if classes == 2:
        return relabelled(labels, pixels, 1 - true, instances)
    shift = 1 + (uniforms(pixels, params["key"], "target") * (classes - 1)).astype(np.int64)
    return relabelled(labels, pixels, (true + shift) % classes, instances)
