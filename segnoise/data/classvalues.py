"""From the numbers in a label raster to class indices: what counts as unknown, and what is a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.sample import IGNORE_INDEX
from segnoise.errors import UserError


def class_indices(
    values: NDArray[Any], valid: NDArray[np.bool_], num_classes: int | None, path: str | Path
) -> NDArray[np.int64]:
    """Class indices ``*S``: the values as int64, 255 where they are 255, not valid or not a number.

    Raises UserError for a value outside 0 .. num_classes - 1 (0 .. 254 when ``num_classes`` is None) and for a
    fraction, naming the value and the file.

    >>> class_indices(np.array([0.0, 1.0, np.nan, 9.0]), np.array([True, True, True, False]), 2, "a.tif")
    array([  0,   1, 255, 255])
    >>> class_indices(np.array([0, 3]), np.array([True, True]), 2, "a.tif")
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: a.tif: class value 3 is outside the list of 2 classes (0 to 1, or 255 for ...
    """
    known = valid & np.isfinite(values) if values.dtype.kind == "f" else valid
    values = np.where(known, values, 0)
    if values.dtype.kind == "f" and (fractions := values != np.rint(values)).any():
        raise UserError(f"{path}: label value {values[fractions][0]:g} is not a whole number; give class indices")
    last = (num_classes if num_classes is not None else IGNORE_INDEX) - 1
    known &= values != IGNORE_INDEX
    strange = known & ((values < 0) | (values > last))
    if strange.any():
        listed = f"the list of {num_classes} classes" if num_classes is not None else "the range of class indices"
        raise UserError(
            f"{path}: class value {values[strange][0]:g} is outside {listed} (0 to {last}, or {IGNORE_INDEX} for "
            "unknown); change the class list or the labels"
        )
    return np.where(known, values, IGNORE_INDEX).astype(np.int64)
