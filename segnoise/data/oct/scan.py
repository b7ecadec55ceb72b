"""What a device's own file holds: B-scans and the heights of layers, and the items they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.item import Item
from segnoise.data.oct.layers import heights_to_mask, layer_classes
from segnoise.data.source import ArrayLabels, ArraySource

_MISSING = 3e38


@dataclass(frozen=True)
class Scan:
    """A scan ``B-scans rows columns``; heights of boundaries ``B-scans columns`` by name, in pixels from the top.

    ``spacing`` is the depth and width of a pixel in mm, nan where the file does not say. Values that are not finite
    are not observed; heights of nan or 3.4e38, as devices write it, are missing.
    """

    name: str
    values: NDArray[Any]
    spacing: tuple[float, float]
    heights: Mapping[str, NDArray[Any]]


def scan_items(scan: Scan) -> tuple[list[str], list[Item]]:
    """The classes between the boundaries the scan has, from top to bottom, and its B-scans with their masks.

    A boundary that is missing or 0 everywhere was not segmented and is left out; with none there are no labels. The
    group is the scan.
    """
    heights = {name: _clean(values) for name, values in scan.heights.items()}
    depth = {name: np.nanmedian(h) for name, h in heights.items() if np.isfinite(h).any() and np.nanmax(h) > 0}
    boundaries = sorted(depth, key=lambda name: (depth[name], name))
    items = []
    digits = len(str(len(scan.values) - 1))
    for k, image in enumerate(scan.values):
        labels = None
        if boundaries:
            labels = ArrayLabels(heights_to_mask(np.stack([heights[b][k] for b in boundaries]), len(image)))
        name = f"{scan.name}/{k:0{digits}d}"
        source = ArraySource(image[None], scan.spacing, name)
        items.append(Item(name, source, labels, group=scan.name))
    return layer_classes(boundaries) if boundaries else [], items


def _clean(heights: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(heights, dtype=np.float64)
    return np.where(np.isfinite(values) & (values < _MISSING), values, np.nan)
