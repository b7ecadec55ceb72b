"""Pairs of a probability and what came true, as calibration and detection take them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def valid_pairs(
    probabilities: ArrayLike, outcomes: ArrayLike, valid: ArrayLike | None = None
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """The probabilities and bool outcomes at valid places, as vectors.

    Averaging probabilities in single precision can pass 1 by a rounding error; such values become 0 or 1.

    Raises:
        ValueError: if the shapes differ, or a valid probability lies outside [0, 1] by more than 1e-5 or is nan.

    >>> valid_pairs([0.2, float("nan")], [True, False], valid=[True, False])
    (array([0.2]), array([ True]))
    """
    values, truth = np.asarray(probabilities), np.asarray(outcomes, dtype=bool)
    keep = np.ones(values.shape, dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
    if not values.shape == truth.shape == keep.shape:
        raise ValueError(f"probabilities {values.shape}, outcomes {truth.shape} and valid {keep.shape} differ in shape")
    kept = values[keep]
    if kept.size and not -1e-5 <= kept.min() <= kept.max() <= 1 + 1e-5:
        raise ValueError(f"probabilities must lie in [0, 1], not in [{kept.min():g}, {kept.max():g}]")
    return np.clip(kept, 0, 1), truth[keep]
