"""A slice as a picture: grey imagery at its true proportions, classes as fill and outline, a map of probability."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from segnoise.data import IGNORE_INDEX
from segnoise.evaluation.pictures import colour_uri
from segnoise.inference.palette import class_colour

_FILL = 0.38
_DENSEST = 0.75
DOUBT_COLOUR = "#ff28c8"
"""Of labels that look wrong: the colour of no class and of no scan."""

_NO_DATA = 40


def shown_size(shape: tuple[int, int], spacing: tuple[float, float], scale: float) -> tuple[int, int]:
    """Pixels of the picture (height, width) at ``scale`` pixels a millimetre; a side that is not known counts as 1."""
    sides = np.nan_to_num(np.array(spacing), nan=1.0) * shape * scale
    return max(round(float(sides[0])), 1), max(round(float(sides[1])), 1)


def overlay_uri(
    grey: NDArray[np.uint8],
    observed: NDArray[np.bool_],
    size: tuple[int, int],
    *,
    outline: NDArray[np.integer[Any]],
    fill: NDArray[np.integer[Any]] | None = None,
    wrong: NDArray[np.floating] | None = None,
) -> str:
    """One slice ``H W`` as a data URI of ``size``.

    Args:
        grey: the image, 0 … 255; where not ``observed`` it is dark.
        size: height and width of the picture.
        outline: class indices whose borders are drawn, 255 where unknown.
        fill: class indices whose insides are tinted.
        wrong: values in 0..1, which tint the image the denser the larger they are.
    """
    image = np.where(observed, grey, _NO_DATA).astype(np.uint8)
    colours = np.repeat(_resized(image, size, Image.Resampling.BICUBIC)[..., None], 3, -1).astype(np.float64)
    if wrong is not None:
        p = _resized(np.clip(wrong, 0, 1).astype(np.float32), size, Image.Resampling.NEAREST)[..., None]
        colours = (1 - _DENSEST * p) * colours + _DENSEST * p * _rgb(DOUBT_COLOUR)
    if fill is not None:
        tinted = _resized(fill.astype(np.uint8), size, Image.Resampling.NEAREST)
        for k in _objects(tinted):
            here = tinted == k
            colours[here] = (1 - _FILL) * colours[here] + _FILL * _rgb(class_colour(k))
    lines = _resized(outline.astype(np.uint8), size, Image.Resampling.NEAREST)
    for k in _objects(lines):
        here = lines == k
        colours[here & ~ndimage.binary_erosion(here, border_value=1)] = _rgb(class_colour(k))
    opaque = np.full((*size, 1), 255.0)
    return colour_uri(np.concatenate([colours, opaque], -1).round().astype(np.uint8), max(size), quality=90)


def _resized(values: NDArray[Any], size: tuple[int, int], how: Image.Resampling) -> NDArray[Any]:
    return np.asarray(Image.fromarray(values).resize((size[1], size[0]), how))


def _objects(labels: NDArray[np.uint8]) -> list[int]:
    return [int(k) for k in np.unique(labels) if k not in (0, IGNORE_INDEX)]


def _rgb(colour: str) -> NDArray[np.float64]:
    return np.array(list(bytes.fromhex(colour[1:])), dtype=np.float64)
