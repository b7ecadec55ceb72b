"""Expected calibration error: is a prediction of 80 % right eight times in ten?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from segnoise.metrics.outcomes import valid_pairs


class Calibration:
    """Accumulates confidences and whether they were right, in bins of equal width; accumulators add up.

    ``bins`` intervals ``[i / bins, (i + 1) / bins)``, the last one closed. Per bin ``count``, ``correct`` and the
    sum of ``confidence`` are kept (arrays of length ``bins``), which is what a reliability diagram shows.

    >>> calibration = Calibration(bins=10)
    >>> calibration.add([0.9, 0.9, 0.9, 0.9, 0.6], [True, True, True, False, True])
    >>> calibration.ece()  # (4 |0.75 - 0.9| + 1 |1 - 0.6|) / 5
    0.2
    """

    def __init__(self, bins: int = 15) -> None:
        self.bins = bins
        self.count = np.zeros(bins, dtype=np.int64)
        self.correct = np.zeros(bins, dtype=np.int64)
        self.confidence = np.zeros(bins, dtype=np.float64)

    def add(self, confidence: ArrayLike, correct: ArrayLike, valid: ArrayLike | None = None) -> None:
        """Takes the probabilities of the predicted classes ``*S`` and whether each was right ``*S`` (bool).

        Where ``valid`` (bool ``*S``) is false nothing is counted, whatever the others hold.

        Raises:
            ValueError: if the shapes differ or a valid confidence is not in [0, 1].
        """
        values, right = valid_pairs(confidence, correct, valid)
        index = np.minimum((values * self.bins).astype(np.int64), self.bins - 1)
        self.count += np.bincount(index, minlength=self.bins)
        self.correct += np.bincount(index[right], minlength=self.bins)
        self.confidence += np.bincount(index, weights=values, minlength=self.bins)

    def __add__(self, other: Calibration) -> Calibration:
        if self.bins != other.bins:
            raise ValueError(f"calibrations of {self.bins} and {other.bins} bins do not add up")
        total = Calibration(self.bins)
        total.count = self.count + other.count
        total.correct = self.correct + other.correct
        total.confidence = self.confidence + other.confidence
        return total

    def ece(self) -> float | None:
        """``sum_b n_b / N |accuracy_b - confidence_b|`` (Guo et al., ICML 2017); None if nothing was counted."""
        total = self.count.sum()
        return float(np.abs(self.correct - self.confidence).sum() / total) if total else None


def ece(confidence: ArrayLike, correct: ArrayLike, valid: ArrayLike | None = None, bins: int = 15) -> float | None:
    """The expected calibration error of one array; see :class:`Calibration` for the definition and arguments.

    >>> ece([0.8, 0.8, 0.8, 0.8, 0.8], [True, True, True, True, False])
    0.0
    """
    calibration = Calibration(bins)
    calibration.add(confidence, correct, valid)
    return calibration.ece()
