"""Flicker: pixels whose predicted class changes from frame to frame although the truth does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class FlickerCounts:
    """Pixels that keep their true class to the next frame, and how many of them change their prediction; counts add up.

    >>> FlickerCounts(2, 10) + FlickerCounts(1, 10)
    FlickerCounts(changed=3, kept=20)
    """

    changed: int = 0
    kept: int = 0

    def __add__(self, other: FlickerCounts) -> FlickerCounts:
        return FlickerCounts(self.changed + other.changed, self.kept + other.kept)


def flicker_counts(target: ArrayLike | None, prediction: ArrayLike, ignore_index: int = 255) -> FlickerCounts:
    """Compares each frame with the next one.

    With y the truth and p the prediction, over pixels x and frames t whose four values are all known::

        kept = #{(t, x) : y_t(x) = y_t+1(x)}    changed = #{(t, x) : y_t(x) = y_t+1(x), p_t(x) != p_t+1(x)}

    Where the truth changes, a prediction may change or lag; that is for the other scores to judge. A pixel that is
    unknown in a frame, or has no prediction there, tells nothing about its step to or from that frame. Counts of the
    runs of a sequence between gaps add up, as do those of clips that share one frame.

    Args:
        target: true class indices ``T *S``, ``ignore_index`` where unknown; None where there is no truth: every pixel
            is then taken to keep its class, so that movement counts as flicker.
        prediction: predicted class indices ``T *S`` of consecutive frames, ``ignore_index`` where there is none.
        ignore_index: the value that stands for "unknown".

    Raises:
        ValueError: if the shapes differ.

    >>> truth = np.array([[0, 0, 1, 1], [0, 1, 1, 255], [0, 1, 1, 1]])
    >>> flicker_counts(truth, np.array([[0, 0, 1, 0], [1, 0, 1, 1], [0, 1, 1, 0]]))
    FlickerCounts(changed=3, kept=5)
    """
    prediction = np.asarray(prediction)
    given = prediction != ignore_index
    kept = given[1:] & given[:-1]
    if target is not None:
        target = np.asarray(target)
        if target.shape != prediction.shape:
            raise ValueError(f"target has shape {target.shape}, prediction {prediction.shape}")
        kept &= (target[1:] != ignore_index) & (target[1:] == target[:-1])
    return FlickerCounts(int((kept & (prediction[1:] != prediction[:-1])).sum()), int(kept.sum()))


def flicker(counts: FlickerCounts) -> float | None:
    """``changed / kept``: 0 is steady (right or wrong), None where there is nothing to compare.

    >>> flicker(FlickerCounts(changed=3, kept=20)), flicker(FlickerCounts())
    (0.15, None)
    """
    return counts.changed / counts.kept if counts.kept else None
