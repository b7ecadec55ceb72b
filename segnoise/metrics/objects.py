"""Objects found, missed and invented: two instance rasters matched through their overlaps, without geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class ObjectCounts:
    """Objects that were found (tp), invented (fp) and missed (fn); counts add up.

    >>> ObjectCounts(3, 1, 0) + ObjectCounts(1, 0, 2)
    ObjectCounts(tp=4, fp=1, fn=2)
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: ObjectCounts) -> ObjectCounts:
        return ObjectCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)


def object_counts(
    target_instances: ArrayLike, predicted_instances: ArrayLike, valid: ArrayLike | None = None
) -> ObjectCounts:
    """Matches objects whose intersection over union exceeds 1/2, which makes every match unique.

    ``2 |A n B| > |A u B|`` is decided on integers, from the overlaps of all pairs that meet, counted in one pass
    over the two rasters. Ids may have gaps and need not agree.

    Only what is valid and not negative in both rasters exists: an object that is entirely elsewhere is neither
    found nor missed, one that is partly elsewhere is compared by its visible part. For the ignore rule to hold
    exactly, label the predicted instances after hiding the prediction there, since two visible parts may be
    joined under ignored pixels.

    Args:
        target_instances: true object ids ``*S``, 0 background, negative unknown.
        predicted_instances: predicted object ids ``*S``, 0 background, negative where there is no prediction.
        valid: bool ``*S``, false where the truth is unknown.

    Raises:
        ValueError: if the shapes differ.

    >>> true = np.array([[1, 1, 1, 0, 2, 2]])
    >>> object_counts(true, np.array([[7, 7, 0, 0, 0, 9]]))  # IoU 2/3 matches, 1/2 does not
    ObjectCounts(tp=1, fp=1, fn=1)
    """
    target, predicted = np.asarray(target_instances), np.asarray(predicted_instances)
    if target.shape != predicted.shape:
        raise ValueError(f"target instances have shape {target.shape}, predicted ones {predicted.shape}")
    exists = (target >= 0) & (predicted >= 0)
    if valid is not None:
        exists &= np.asarray(valid, dtype=bool)
    rows, columns, overlap = _overlaps(target[exists], predicted[exists])
    # Each pixel lies in one pair, background included, so the sums over pairs are the sizes of the objects.
    true_ids, row = np.unique(rows, return_inverse=True)
    predicted_ids, column = np.unique(columns, return_inverse=True)
    true_size = np.bincount(row, weights=overlap, minlength=len(true_ids))
    predicted_size = np.bincount(column, weights=overlap, minlength=len(predicted_ids))
    both = (rows > 0) & (columns > 0)
    matched = both & (3 * overlap > true_size[row] + predicted_size[column])
    tp = int(matched.sum())
    return ObjectCounts(tp, int((predicted_ids > 0).sum()) - tp, int((true_ids > 0).sum()) - tp)


def object_scores(counts: ObjectCounts) -> dict[str, float | None]:
    """``precision = tp / (tp + fp)``, ``recall = tp / (tp + fn)``, ``f1 = 2 tp / (2 tp + fp + fn)`` of objects.

    The rule for absent classes of :func:`segnoise.metrics.scores`: all None where there are no objects in either
    raster, all 0 where only one has any.

    >>> object_scores(ObjectCounts(tp=3, fp=1, fn=3))
    {'object_precision': 0.75, 'object_recall': 0.5, 'object_f1': 0.6}
    """
    tp, fp, fn = counts.tp, counts.fp, counts.fn
    if tp + fp + fn == 0:
        return {"object_precision": None, "object_recall": None, "object_f1": None}
    return {
        "object_precision": tp / max(tp + fp, 1),
        "object_recall": tp / max(tp + fn, 1),
        "object_f1": 2 * tp / (2 * tp + fp + fn),
    }


def _overlaps(
    a: NDArray[np.integer], b: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The sparse contingency table of two label vectors: ``(a, b, pixels)`` for each pair that occurs."""
    if a.size == 0:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty
    # Neighbouring pixels mostly repeat the pair, so runs are sorted instead of pixels.
    starts = np.flatnonzero(np.concatenate([[True], (a[1:] != a[:-1]) | (b[1:] != b[:-1])]))
    lengths = np.diff(np.append(starts, a.size))
    a_ids, row = np.unique(a[starts], return_inverse=True)
    b_ids, column = np.unique(b[starts], return_inverse=True)
    pairs, pair = np.unique(row * len(b_ids) + column, return_inverse=True)
    pixels = np.bincount(pair, weights=lengths).astype(np.int64)
    return a_ids[pairs // len(b_ids)].astype(np.int64), b_ids[pairs % len(b_ids)].astype(np.int64), pixels
