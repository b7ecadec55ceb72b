"""Arrays as pictures that travel inside a page: imagery stretched for the eye, label maps, probability maps."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp, Resampling

from segnoise.data import IGNORE_INDEX
from segnoise.inference.palette import class_colour

_PROBABILITY = colormaps["magma"]


def probability_stops(count: int = 9) -> list[str]:
    """The colours of the probability map from 0 to 1, for the bar beside it."""
    return ["#" + bytes(round(255 * float(v)) for v in _PROBABILITY(x)[:3]).hex() for x in np.linspace(0, 1, count)]


def shown_bands(path: Path, bands: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
    """Which bands of a raster (counted from 1) are its channels, and which of them make its picture.

    The picture has three bands (red, green, blue) or one (grey). The file's own colour interpretation decides;
    without one bands 3, 2, 1, for satellites store blue first; without those the first three channels.

    Args:
        path: the raster.
        bands: its channels; all but alpha by default.
    """
    with rasterio.open(path) as src:
        interpretation = dict(zip(src.indexes, src.colorinterp, strict=True))
    channels = list(bands) if bands else [b for b, kind in interpretation.items() if kind != ColorInterp.alpha]
    named = {interpretation[b]: b for b in channels}
    rgb = [named[kind] for kind in (ColorInterp.red, ColorInterp.green, ColorInterp.blue) if kind in named]
    if len(rgb) == 3:
        return channels, rgb
    if {1, 2, 3} <= set(channels):
        return channels, [3, 2, 1]
    return channels, channels[:3] if len(channels) >= 3 else channels[:1]


def stretch_limits(images: Sequence[NDArray[np.float32]], observed: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """The 2nd and 98th percentile of each band over all observed pixels, ``C 2``.

    >>> stretch_limits([np.arange(101, dtype=np.float32)[None, None]], [np.ones((1, 101), dtype=bool)]).tolist()
    [[2.0, 98.0]]
    """
    values = np.concatenate([image[:, seen] for image, seen in zip(images, observed, strict=True)], axis=1)
    if values.shape[1] == 0:
        return np.tile([0.0, 1.0], (len(values), 1))
    low, high = np.percentile(values, [2, 98], axis=1)
    return np.stack([low, np.where(high > low, high, low + 1)], axis=1)


def stretched(
    image: NDArray[np.float32], observed: NDArray[np.bool_], limits: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """``C H W`` (1 or 3 bands) as ``H W 4`` 8-bit colours, transparent where not observed."""
    low, high = limits[:, :1, None], limits[:, 1:, None]
    scaled = np.clip((image - low) / (high - low), 0, 1) * 255
    rgb = np.moveaxis(np.broadcast_to(scaled, (3, *image.shape[1:])), 0, -1)
    alpha = np.where(observed, 255, 0)[..., None]
    return np.concatenate([rgb.round(), alpha], axis=-1).astype(np.uint8)


def colour_uri(rgba: NDArray[np.uint8], longest: int, quality: int = 84) -> str:
    """A picture ``H W 4`` as a data URI, reduced to ``longest`` pixels: JPEG, or WebP where parts are transparent."""
    picture = Image.fromarray(rgba, "RGBA")
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    if rgba[..., 3].min(initial=255) == 255:
        return _uri(picture.convert("RGB"), "JPEG", quality=quality, optimize=True)
    return _uri(picture, "WEBP", quality=quality, method=4)


def label_uri(labels: NDArray[np.integer], longest: int) -> str:
    """A label map as a PNG with a palette, transparent where the label is 255."""
    picture = Image.fromarray(labels.astype(np.uint8), "P")
    colours = [bytes.fromhex(class_colour(k)[1:]) for k in range(IGNORE_INDEX)] + [b"\0\0\0"]
    picture.putpalette(b"".join(colours))
    picture.thumbnail((longest, longest), Image.Resampling.NEAREST)
    return _uri(picture, "PNG", optimize=True, transparency=IGNORE_INDEX)


def probability_uri(probability: NDArray[np.floating], known: NDArray[np.bool_], longest: int) -> str:
    """A map of values in 0..1 as a PNG with a palette, transparent where not known."""
    levels = np.where(known, np.clip(np.nan_to_num(probability), 0, 1) * 254, 255).round().astype(np.uint8)
    picture = Image.fromarray(levels, "P")
    ramp = (_PROBABILITY(np.arange(256) / 254)[:, :3] * 255).round().astype(np.uint8)
    picture.putpalette(ramp.tobytes())
    picture.thumbnail((longest, longest), Image.Resampling.NEAREST)
    return _uri(picture, "PNG", optimize=True, transparency=255)


def overview(path: Path, longest: int) -> tuple[NDArray[np.uint8], float]:
    """A whole raster reduced to ``longest`` pixels, ``H W 4`` stretched colours, and pixels of the raster per pixel.

    GDAL reduces while it reads, so memory grows with ``longest`` and not with the raster.
    """
    _, bands = shown_bands(path)
    with rasterio.open(path) as src:
        ratio = max(1.0, max(src.height, src.width) / longest)
        size = (max(round(src.height / ratio), 1), max(round(src.width / ratio), 1))
        image = src.read(bands, out_shape=(len(bands), *size), resampling=Resampling.average).astype(np.float32)
        observed = src.dataset_mask(out_shape=size) > 0
    observed &= np.isfinite(image).all(axis=0)
    image = np.where(observed, image, 0)
    return stretched(image, observed, stretch_limits([image], [observed])), ratio


def _uri(picture: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
