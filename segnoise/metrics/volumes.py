"""Volume differences: how much of a class is predicted, against how much there is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segnoise.metrics.confusion import Score


def volume_scores(
    confusion: NDArray[np.int64], classes: Sequence[str], spacing: Sequence[float] | None = None
) -> dict[str, Score]:
    """The volume differences of one image or volume, from its confusion matrix, per class and as the mean.

    With ``T`` the true and ``P`` the predicted volume of a class, pixels times the volume of a pixel::

        volume_difference = |P - T|    relative_volume_difference = (P - T) / T

    The first is in the unit of the spacing to the power of its axes (mm^3, of which a thousand make one ml; mm^2
    in 2-D). The second is a ratio and signed: above 0 is too much, below too little.

    Pixels that either map leaves unknown are in no volume. The rule for absent classes of
    :func:`segnoise.metrics.scores`: a class in neither map is None and left out of the means; one that is only
    predicted has an infinite relative difference, one that is only in the truth -1.

    Args:
        confusion: ``C x C`` counts, rows truth (:func:`segnoise.metrics.confusion_matrix`).
        classes: the C names.
        spacing: length of a pixel along each axis; None counts pixels.

    Raises:
        ValueError: if the matrix does not fit the names or a length is not positive.

    >>> s = volume_scores(np.array([[90, 2], [1, 7]]), ["background", "lesion"], spacing=(1.0, 1.0, 2.5))
    >>> s["volume_difference"]["per_class"]["lesion"], s["relative_volume_difference"]["per_class"]["lesion"]
    (2.5, 0.125)
    """
    confusion = np.asarray(confusion)
    if confusion.shape != (len(classes), len(classes)):
        raise ValueError(f"a confusion matrix of shape {confusion.shape} does not fit {len(classes)} classes")
    lengths = np.asarray([1.0] if spacing is None else spacing, dtype=np.float64)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError(f"spacing {spacing} is not one positive length for each axis")
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    occurs = true + predicted > 0
    difference = np.abs(predicted - true) * lengths.prod()
    # Where the truth has nothing, all that is predicted is too much.
    relative = np.divide(predicted - true, true, out=np.full(len(classes), np.inf), where=true > 0)

    def score(values: NDArray[np.float64]) -> Score:
        per_class = {
            name: float(value) if there else None for name, value, there in zip(classes, values, occurs, strict=True)
        }
        return {"mean": float(values[occurs].mean()) if occurs.any() else None, "per_class": per_class}

    return {"volume_difference": score(difference), "relative_volume_difference": score(relative)}
