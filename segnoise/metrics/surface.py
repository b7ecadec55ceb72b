"""Distances between the predicted and the true surface of a class: Hausdorff, average, and surface Dice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segnoise.metrics.confusion import Score


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """How far each surface element of one class lies from the other map's surface, in both directions.

    ``predicted`` holds the distances of the predicted elements to the true surface, ``true`` those of the true
    elements to the predicted surface; float64 vectors in the unit of the spacing, infinite where the other map has
    nothing of the class.

    The scores follow the rule for absent classes of :func:`segnoise.metrics.scores`: None where neither map has
    a known surface; the worst there is (distance infinite, Dice 0) where only one map has the class.
    """

    predicted: NDArray[np.float64]
    true: NDArray[np.float64]

    def hausdorff(self, percentile: float = 95.0) -> float | None:
        """The larger of the two directions' percentiles; 95 gives HD95 and 100 the Hausdorff distance itself.

        ``max(P_q{d(p, T) : p in P}, P_q{d(t, P) : t in T})``, percentiles with linear interpolation.

        >>> SurfaceDistances(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0])).hausdorff(50)
        1.0
        """
        sides = [side for side in (self.predicted, self.true) if side.size]
        if not sides:
            return None
        # An infinite distance means that the other map lacks the class, so all are.
        return max(float(np.percentile(side, percentile)) if np.isfinite(side[0]) else np.inf for side in sides)

    def assd(self) -> float | None:
        """The average symmetric surface distance: the mean over the elements of both surfaces.

        >>> SurfaceDistances(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0])).assd()
        0.6
        """
        both = self._both()
        return float(both.mean()) if both.size else None

    def nsd(self, tolerance: float) -> float | None:
        """The normalised surface Dice: the share of both surfaces' elements within ``tolerance`` of the other.

        ``(#{p : d(p, T) <= tolerance} + #{t : d(t, P) <= tolerance}) / (#P + #T)`` (Nikolov et al., JMIR 2021;
        elements are counted, not weighted by their area, as in Seidlitz et al., Medical Image Analysis 2022).

        Raises:
            ValueError: if the tolerance is negative or not finite.

        >>> SurfaceDistances(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0])).nsd(tolerance=1)
        0.8
        """
        if not 0 <= tolerance < np.inf:
            raise ValueError(f"a tolerance is a finite distance of at least 0, not {tolerance}")
        both = self._both()
        # Three pixels of 0.1 mm are 0.30000000000000004 mm, which a tolerance of 0.3 mm has to admit.
        return float((both <= tolerance * (1 + 1e-9)).mean()) if both.size else None

    def _both(self) -> NDArray[np.float64]:
        return np.concatenate([self.predicted, self.true])


def surface_distances(
    target: ArrayLike,
    prediction: ArrayLike,
    cls: int,
    spacing: Sequence[float] | None = None,
    ignore_index: int = 255,
) -> SurfaceDistances:
    """Measures, from every surface element of a class, the distance to the other map's surface.

    A surface element is a pixel of the class that shares an edge (in 3-D: a face) with a known pixel of another
    class or with the rim of the image; distances are Euclidean, between pixel centres. This is MONAI's definition
    (without its subvoxels), and without ignored pixels its values.

    A pixel that either map leaves unknown is taken out of both, so what lies under it changes nothing. The cuts this
    makes are no surface: a pixel that borders only on ignored ones is not counted. It can still be the nearest to the
    other map's elements, since the surface may run there; a distance beside ignored pixels is therefore to what is
    seen of the other object, and may be shorter or longer than the true one. The rim is a surface, unlike in
    :func:`segnoise.metrics.boundary_counts`; where objects only appear to end there, pad both maps with
    ``ignore_index``.

    Args:
        target: true class indices ``*S``, ``ignore_index`` where unknown.
        prediction: predicted class indices ``*S``, ``ignore_index`` where there is none.
        cls: the class whose surface is compared.
        spacing: length of a pixel along each axis, in mm, say; None measures in pixels.
        ignore_index: the value that stands for "unknown".

    Raises:
        ValueError: if the shapes differ, or the spacing is not one positive number per axis.

    >>> true = np.zeros((8, 8), int); true[2:5, 2:5] = 1
    >>> moved = surface_distances(true, np.roll(true, 2, axis=1), cls=1, spacing=(1.0, 0.5))
    >>> moved.hausdorff(100), moved.assd(), moved.nsd(tolerance=0.5)
    (1.0, 0.5, 0.625)
    """
    target, prediction = np.asarray(target), np.asarray(prediction)
    if target.shape != prediction.shape:
        raise ValueError(f"target has shape {target.shape}, prediction {prediction.shape}")
    step = np.ones(target.ndim) if spacing is None else np.asarray(spacing, dtype=np.float64)
    if step.shape != (target.ndim,) or not (np.isfinite(step) & (step > 0)).all():
        raise ValueError(f"spacing {spacing} is not one positive length for each of {target.ndim} axes")
    box = _box((target == cls) | (prediction == cls))
    target, prediction = target[box], prediction[box]
    known = (target != ignore_index) & (prediction != ignore_index)
    true, predicted = (target == cls) & known, (prediction == cls) & known
    return SurfaceDistances(_distances(predicted, true, known, step), _distances(true, predicted, known, step))


def surface_scores(
    target: ArrayLike,
    prediction: ArrayLike,
    classes: Mapping[int, str],
    tolerance: float,
    spacing: Sequence[float] | None = None,
    ignore_index: int = 255,
) -> dict[str, Score]:
    """``hd95``, ``assd`` and ``nsd`` of one image or volume, per class and as the mean over classes.

    Means leave out the classes that neither map has. A class that only one map has makes the means of the
    distances infinite: it cannot be made to vanish from a table by leaving it out.

    Args:
        classes: names by class index, of the classes to score (usually without the background).
        tolerance: for the surface Dice, in the unit of the spacing.
        target, prediction, spacing, ignore_index: as :func:`surface_distances` takes them.

    >>> true = np.zeros((8, 8), int); true[2:5, 2:5] = 1
    >>> s = surface_scores(true, np.roll(true, 1, axis=0), {1: "lesion", 2: "vessel"}, tolerance=1)
    >>> s["hd95"], s["nsd"]["mean"]
    ({'mean': 1.0, 'per_class': {'lesion': 1.0, 'vessel': None}}, 1.0)
    """
    measured = {name: surface_distances(target, prediction, k, spacing, ignore_index) for k, name in classes.items()}
    table = {
        "hd95": {name: distances.hausdorff() for name, distances in measured.items()},
        "assd": {name: distances.assd() for name, distances in measured.items()},
        "nsd": {name: distances.nsd(tolerance) for name, distances in measured.items()},
    }
    return {metric: _score(per_class) for metric, per_class in table.items()}


def _score(per_class: dict[str, float | None]) -> Score:
    occurring = [value for value in per_class.values() if value is not None]
    return {"mean": float(np.mean(occurring)) if occurring else None, "per_class": per_class}


def _distances(
    source: NDArray[np.bool_], other: NDArray[np.bool_], known: NDArray[np.bool_], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From each counted surface element of the source to the nearest surface element of the other, cuts included."""
    from scipy.spatial import KDTree

    elements = source & _beside(known & ~source)
    surface = other & _beside(~other)
    distances = np.zeros(np.count_nonzero(elements))
    if not surface.any():
        return np.full(distances.shape, np.inf)
    # Good predictions share most elements with the truth, and those need no search.
    apart = ~surface[elements]
    if apart.any():
        tree = KDTree(np.argwhere(surface) * step, leafsize=32, balanced_tree=False)
        distances[apart] = tree.query(np.argwhere(elements & ~surface) * step)[0]
    return distances


def _beside(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels with a neighbour across a face that is in the mask or beyond the rim."""
    near = np.zeros_like(mask)
    for axis in range(mask.ndim):
        along, from_ = np.moveaxis(near, axis, 0), np.moveaxis(mask, axis, 0)
        along[1:] |= from_[:-1]
        along[:-1] |= from_[1:]
        along[:1] = True
        along[-1:] = True
    return near


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The bounding box of a mask and one pixel around it, within the image; empty where the mask is."""
    box = []
    for axis in range(mask.ndim):
        there = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(max(there[0] - 1, 0), there[-1] + 2) if there.size else slice(0))
    return tuple(box)
