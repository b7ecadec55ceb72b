"""Living tissue as an endoscope meets it: folds, vessels, fat and blood on a wet, uneven surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segnoise.data.scenes.texture import Grid, smooth_noise

REACH = 1.2
"""The plane reaches so far from its middle, times the aspect along a row; lengths are in heights of the image."""

_RED, _PINK = (0.46, 0.13, 0.11), (0.80, 0.42, 0.36)
_FAT, _FASCIA = (0.86, 0.66, 0.38), (0.74, 0.66, 0.63)
_VEIN, _BLOOD = (0.34, 0.08, 0.11), (0.34, 0.03, 0.03)
_SLOPE_Y, _SLOPE_X, _GLOSS = 3, 4, 5


class Tissue:
    """A plane of tissue, drawn once and looked at through a moving camera: colour, slopes and gloss of each place.

    Args:
        rows: rows of the image, so that a pixel of the plane is about one of the image.
        aspect: width of the image over its height.
        rng: of every draw.
    """

    def __init__(self, rows: int, aspect: float, rng: np.random.Generator) -> None:
        self._rows = rows
        shape = (round(2 * REACH * rows), round(2 * REACH * rows * aspect))

        def noise(scale: float) -> Grid:
            return smooth_noise(shape, scale * rows, rng).raster(shape)

        def lines(field: Grid, width: NDArray[np.floating] | float) -> Grid:
            """1 along the curves where a smooth field is 0, falling off with the distance from them."""
            slope = np.hypot(*(np.gradient(field, axis=axis) for axis in range(2)))
            far = field / np.maximum(slope, 0.3 * slope.mean()) / rows
            return np.asarray(np.exp(-np.square(far / width)), dtype=np.float32)

        broad, middle, small, fine, patchy = (noise(scale) for scale in (0.28, 0.1, 0.035, 0.012, 0.12))
        folds = lines(noise(0.2) + 0.25 * middle, 0.025 + 0.012 * np.abs(broad)) * np.clip(0.55 + 0.5 * patchy, 0, 1)
        relief = 0.07 * broad + 0.02 * middle + 0.005 * small + 0.0016 * fine - 0.035 * folds
        colour = _mixed(np.array(_RED), np.array(_PINK), 0.45 + 0.22 * middle + 0.1 * small + 0.07 * fine)
        fascia = 1.6 * (noise(0.16) + 0.3 * small - rng.uniform(0.5, 1.3))
        colour = _mixed(colour, np.array(_FASCIA), np.clip(fascia, 0, 0.85))
        fat = 2.2 * (noise(0.17) + 0.35 * small - rng.uniform(0.4, 1.2))
        colour = _mixed(colour, np.array(_FAT), np.clip(fat, 0, 0.9))
        for scale, width, strength in ((0.15, 0.009, 0.75), (0.055, 0.0045, 0.5)):
            vessels = lines(noise(scale) + 0.1 * small, width) * np.clip(0.4 - 0.7 * patchy, 0, 1)
            colour = _mixed(colour, np.array(_VEIN), strength * vessels)
        pools = np.clip(3 * (noise(0.13) - rng.uniform(1.2, 2.0)), 0, 1)
        colour = _mixed(colour, np.array(_BLOOD), 0.85 * pools)
        gloss = np.clip(0.55 + 0.35 * noise(0.15) + 0.5 * pools, 0.05, 1.3)
        parts = [
            colour * (1 - 0.65 * folds)[..., None],
            *(np.gradient(relief, axis=a)[..., None] * rows for a in (0, 1)),
        ]
        self._plane: Grid = np.concatenate([*parts, gloss[..., None]], axis=-1).astype(np.float32)

    def seen(self, y: Grid, x: Grid, eye_y: Grid, eye_x: Grid) -> Grid:
        """The places ``H W`` under a light beside the eye, RGB ``H W 3``; ``(eye_y, eye_x, 1)`` points to the eye."""
        place = self._at(y, x)
        down, across = place[..., _SLOPE_Y], place[..., _SLOPE_X]
        facing = 1 - down * eye_y - across * eye_x
        facing /= np.sqrt((1 + down * down + across * across) * (1 + eye_y * eye_y + eye_x * eye_x))
        np.clip(facing, 0.05, 1, out=facing)
        wet = 0.55 * place[..., _GLOSS] * np.exp(90 * np.log(facing))
        lit: Grid = place[..., :3] * (facing * np.sqrt(facing))[..., None]
        lit += wet[..., None]
        return lit

    def _at(self, y: Grid, x: Grid) -> Grid:
        """What the plane holds at points, bilinear between its pixels."""
        rows, columns, parts = self._plane.shape
        v = np.clip(y * self._rows + np.float32(rows / 2 - 0.5), 0, rows - 1.01)
        u = np.clip(x * self._rows + np.float32(columns / 2 - 0.5), 0, columns - 1.01)
        low_v, low_u = v.astype(np.int32), u.astype(np.int32)
        wv, wu = (v - low_v)[..., None], (u - low_u)[..., None]
        flat = self._plane.reshape(-1, parts)
        first = low_v * columns + low_u
        upper = flat.take(first, axis=0)
        upper += wu * (flat.take(first + 1, axis=0) - upper)
        first += columns
        lower = flat.take(first, axis=0)
        lower += wu * (flat.take(first + 1, axis=0) - lower)
        lower -= upper
        lower *= wv
        upper += lower
        return upper


def _mixed(first: NDArray[np.floating], second: NDArray[np.floating], share: Grid) -> Grid:
    """Colours ``... 3`` between two, where a share of the second is given."""
    part = np.clip(share, 0, 1)[..., None]
    return np.asarray(first + (second - first) * part, dtype=np.float32)
