"""Labels that are right but in the wrong place: how far whole maps are shifted, and how much of the error that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.noise.measure.classes import share


@dataclass(frozen=True)
class Shift:
    """One map's mean move of its objects (px per axis), and the changed pixels where both maps are known, before and
    after the given map is moved back by whole pixels."""

    objects: int
    mean: NDArray[np.float64]
    before: int
    after: int


def shift_of(
    given: NDArray[Any], clean: NDArray[Any], known: NDArray[np.bool_], moves: NDArray[np.float64]
) -> Shift | None:
    """The shift of one map, from the moves of its objects' centroids; None without objects."""
    if not len(moves):
        return None
    mean = moves.mean(0)
    back = np.rint(mean).astype(int)
    # The pixel at x in the true map is at x + back in the given one, where both exist.
    there = tuple(slice(max(b, 0), n + min(b, 0)) for b, n in zip(back, clean.shape, strict=True))
    here = tuple(slice(max(-b, 0), n - max(b, 0)) for b, n in zip(back, clean.shape, strict=True))
    both = known[here] & known[there]
    before = np.count_nonzero((given[here] != clean[here]) & both)
    after = np.count_nonzero((given[there] != clean[here]) & both)
    return Shift(len(moves), mean, int(before), int(after))


def describe_shift(shifts: Sequence[Shift | None]) -> dict[str, Any]:
    """The shift of all maps: over objects found one to one, so a map weighs as much as it has of them.

    ``mean_px`` per axis; ``length_px``, the mean length of the maps' own shifts (which may point anywhere); and
    ``errors_left``, the share of the changed pixels that stays when every map is moved back by whole pixels.
    """
    told = [s for s in shifts if s is not None]
    objects = sum(s.objects for s in told)
    if not objects:
        return {"mean_px": None, "length_px": None, "errors_left": None}
    return {
        "mean_px": (np.sum([s.objects * s.mean for s in told], axis=0) / objects).tolist(),
        "length_px": sum(s.objects * math.hypot(*s.mean) for s in told) / objects,
        "errors_left": share(sum(s.after for s in told), sum(s.before for s in told)),
    }
