"""How well a score finds what is wrong: area under the ROC curve and average precision, from a stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segnoise.metrics.outcomes import valid_pairs

# A half-precision number in [0, 1/2], read as an integer, grows with the number: 0 is 0 and 1/2 is 14336. Scores
# above 1/2 are counted by their distance from 1, so that the bins are fine at both ends, where posteriors gather.
_HALF = 14336
_BINS = 2 * _HALF + 1


class DetectionCurve:
    """Accumulates label-error scores in [0, 1] of wrong and of right labels; accumulators add up.

    The nearer of a score's distances from 0 and from 1 is rounded to half precision (a relative error below
    2**-11), whatever the number of labels; everything after that is exact. ``wrong`` and ``right`` are the counts
    per rounded score.

    >>> curve = DetectionCurve()
    >>> curve.add([0.9, 0.8, 0.3, 0.1], [True, False, True, False])
    >>> curve.auroc(), curve.average_precision()
    (0.75, 0.8333)
    """

    def __init__(self) -> None:
        self.wrong = np.zeros(_BINS, dtype=np.int64)
        self.right = np.zeros(_BINS, dtype=np.int64)

    def add(self, scores: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None) -> None:
        """Takes scores ``*S``, high where the label is believed wrong, and whether it is wrong ``*S`` (bool).

        Where ``valid`` (bool ``*S``) is false nothing is counted, whatever the others hold.

        Raises:
            ValueError: if the shapes differ or a valid score is not in [0, 1].
        """
        values, wrong = valid_pairs(scores, truth, valid)
        # The absolute value takes the sign from -0.0, which would be read as a large number.
        distance = (
            np.abs(np.where(values <= 0.5, values, 1 - values)).astype(np.float16).view(np.uint16).astype(np.int64)
        )
        index = np.where(values <= 0.5, distance, 2 * _HALF - distance)
        self.wrong += np.bincount(index[wrong], minlength=_BINS)
        self.right += np.bincount(index[~wrong], minlength=_BINS)

    def __add__(self, other: DetectionCurve) -> DetectionCurve:
        total = DetectionCurve()
        total.wrong = self.wrong + other.wrong
        total.right = self.right + other.right
        return total

    def auroc(self) -> float | None:
        """``P(s_wrong > s_right) + P(s_wrong = s_right) / 2`` of one wrong and one right label drawn at random.

        None unless there are both wrong and right labels.
        """
        if not (self.wrong.any() and self.right.any()):
            return None
        below = np.cumsum(self.right) - self.right
        wins = self.wrong * (below + self.right / 2)
        return float(wins.sum() / (float(self.wrong.sum()) * float(self.right.sum())))

    def average_precision(self) -> float | None:
        """``sum_k (R_k - R_{k-1}) P_k`` over thresholds from high to low, ``P`` precision and ``R`` recall.

        Labels of equal score enter together. None unless there are both wrong and right labels.
        """
        if not (self.wrong.any() and self.right.any()):
            return None
        found, flagged = _from_above(self.wrong), _from_above(self.wrong + self.right)
        precision = found / np.maximum(flagged, 1)
        return float((self.wrong[::-1] * precision).sum() / self.wrong.sum())


def auroc(scores: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None) -> float | None:
    """The area under the ROC curve of one array; see :class:`DetectionCurve` for the definition and arguments.

    >>> auroc([0.2, 0.2, 0.7], [False, True, True])
    0.75
    """
    curve = DetectionCurve()
    curve.add(scores, truth, valid)
    return curve.auroc()


def average_precision(scores: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None) -> float | None:
    """The average precision of one array; see :class:`DetectionCurve` for the definition and arguments.

    >>> average_precision([0.2, 0.9, 0.7], [False, True, True])
    1.0
    """
    curve = DetectionCurve()
    curve.add(scores, truth, valid)
    return curve.average_precision()


def _from_above(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum(counts[::-1])
