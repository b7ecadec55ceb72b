"""Outlines drawn with few vertices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segnoise.errors import UserError
from segnoise.length import Length, length_of
from segnoise.noise.base import Corruption, Params
from segnoise.noise.geometry import boundary_length, compact, known_labels


@dataclass(frozen=True, init=False)
class Polygonise(Corruption):
    """Outlines lose the vertices that matter least and are rasterised again by pixel centre; nothing is random.

    All labels are traced as one coverage, whose borders between junctions are simplified together (Visvalingam and
    Whyatt): while a vertex spans with its two neighbours a triangle smaller than ``tolerance**2``, the smallest goes.
    Borders stay shared and none crosses another. The edge of the map and of unknown regions stays as it is. The
    record says what mean displacement this is: changed area over the length of the boundaries.

    Args:
        tolerance: such as ``5px`` or ``20m``; its square is the area of a triangle.

    Raises:
        UserError: a negative tolerance, or labels that are not 2-D.

    Visvalingam, M., Whyatt, J. D. Line generalisation by repeated elimination of points. The Cartographic
    Journal 30 (1993).

    >>> disc = (np.hypot(*np.mgrid[-20:21, -20:21]) < 16).astype(np.uint8)
    >>> noisy, record = Polygonise("6px").corrupt(disc, seed=1)
    >>> int(disc.sum()), int(noisy.sum()), round(record["params"][0]["displacement"], 2)
    (793, 761, 0.41)
    """

    tolerance: Length
    name: ClassVar[str] = "polygonise"

    def __init__(self, tolerance: Length | str | float) -> None:
        object.__setattr__(self, "tolerance", length_of(self.name, "tolerance", tolerance))

    def __str__(self) -> str:
        return f"polygonise({self.tolerance})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "tolerance": str(self.tolerance)}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        if labels.ndim != 2:
            raise UserError(f"polygonise: outlines need 2-D labels, these have {labels.ndim} axes; corrupt each slice")
        pixel = math.sqrt(math.prod(self.tolerance.pixel(spacing, 2)))
        return _simplified(labels, known_labels(labels, instances), self.tolerance.value / pixel)

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        noisy, changed, length = [], 0.0, 0.0
        for labels, drawn in zip(images, params, strict=True):
            noisy.append(self.apply(labels, drawn, instances, spacing))
            pixel = self.tolerance.pixel(spacing, 2)
            changed += int(np.count_nonzero(noisy[-1] != labels)) * math.prod(pixel)
            length += boundary_length(labels, known_labels(labels, instances), pixel)
        met = {"met": self.tolerance.value, "displacement": changed / length if length else 0.0}
        return [(one, {**p, **met}) for one, p in zip(noisy, params, strict=True)]


def _simplified(labels: NDArray[Any], known: NDArray[np.bool_], tolerance: float) -> NDArray[Any]:
    """The labels with simpler outlines; the tolerance in pixels."""
    # These load slowly, and only this corruption needs them.
    import shapely
    from affine import Affine
    from rasterio.features import rasterize

    from segnoise.vector import trace

    if tolerance == 0 or not known.any():
        return labels.copy()
    values, position = compact(labels[known])
    regions = np.zeros(labels.shape, dtype=np.int32)
    regions[known] = position + 1
    outlines = shapely.coverage_simplify(trace(regions), tolerance, simplify_boundary=False)
    shapes = list(zip(outlines, range(1, len(values) + 1), strict=True))
    drawn = rasterize(shapes, labels.shape, fill=0, transform=Affine.identity(), dtype="int32")
    noisy = labels.copy()
    found = known & (drawn > 0)
    noisy[found] = values[drawn[found] - 1]
    return noisy
