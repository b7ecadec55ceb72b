"""From the map to the light: the reflectance of every pixel, before any sensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segnoise.data.scenes.looks import Looks
from segnoise.data.scenes.spectra import MATERIALS, ROOFS
from segnoise.data.scenes.texture import Grid, smooth_noise

_ROWS_AT_ONCE = 128
_HEADLAND = 4
_PLOT = (8.0, 7.0)


def paint(patch: NDArray[np.int32], fields: int, looks: Looks, rng: np.random.Generator) -> Grid:
    """Reflectance ``4 H W`` of a map of patch ids ``H W``, of which ids 1 to ``fields`` are fields.

    A pixel mixes its patch's plants and ground: share of plants = green + slope + blotches + rows - tramlines - wet.
    Crowns stand where a fine texture exceeds the patch's level, roofs on a lattice of plots; both throw shadows.
    """
    shape: tuple[int, int] = patch.shape
    fine, middle, coarse, damp = (smooth_noise(shape, scale, rng).raster(shape) for scale in (1.8, 8.0, 28.0, 18.0))
    turned = _near_edge(patch, _HEADLAND) & (patch <= fields) & ~looks.pivot[patch]
    light = np.empty((4, *shape), dtype=np.float32)
    roofs = np.full(shape, -1, dtype=np.int8)
    plots = rng.random((64, 64)), rng.integers(0, len(ROOFS), (64, 64))
    for start in range(0, shape[0], _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        _ground_and_plants(light, rows, patch, looks, turned, (fine, middle, coarse, damp))
        _roofs(roofs, rows, patch, looks, plots)
    _stand(light, patch, looks, roofs, middle, rng)
    return light


def _ground_and_plants(
    light: Grid,
    rows: slice,
    patch: NDArray[np.int32],
    looks: Looks,
    turned: NDArray[np.bool_],
    textures: tuple[Grid, Grid, Grid, Grid],
) -> None:
    here = patch[rows]
    fine, middle, coarse, damp = (texture[rows] for texture in textures)
    y, x = np.meshgrid(
        np.arange(rows.start, rows.start + len(here), dtype=np.float32) + 0.5,
        np.arange(here.shape[1], dtype=np.float32) + 0.5,
        indexing="ij",
    )
    x, y = x - looks.centre[here, 0], y - looks.centre[here, 1]
    wx, wy = looks.wave[here, 0], looks.wave[here, 1]
    phase = np.where(turned[rows], wy * x - wx * y, wx * x + wy * y)
    radial = looks.pivot[here]
    phase[radial] = np.hypot(wx[radial], wy[radial]) * np.hypot(x[radial], y[radial])
    phase += 0.5 * coarse
    stripe = np.sin(phase) * (1 + 0.35 * middle)

    green = looks.green[here] + looks.slope[here, 0] * x + looks.slope[here, 1] * y
    for scale, texture in enumerate((fine, middle, coarse)):
        green += looks.blotch[here, scale] * texture
    green += looks.rows[here] * stripe
    green += looks.drains[here] * np.exp(-((damp / 0.11) ** 2))
    green -= looks.tramline[here] * (np.sin(phase / 3) > 0.92)
    wet = np.clip(1.5 * (damp + 0.3 * middle - looks.wet_level[here]), 0, 1)
    green = np.clip(green * (1 - 0.3 * wet), 0, 1)
    bright = 1 + looks.furrow[here] * stripe * (1 - green) + looks.mottle[here] * fine
    bright *= 1 - 0.3 * wet
    for band in range(4):
        ground, plant = looks.ground[here, band], looks.plant[here, band]
        light[band, rows] = bright * (ground + green * (plant - ground))


def _roofs(
    roofs: NDArray[np.int8],
    rows: slice,
    patch: NDArray[np.int32],
    looks: Looks,
    plots: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> None:
    """Marks roofs by their kind: each plot of a built-up patch's own lattice has one or none."""
    r, c = np.nonzero(looks.roofs[patch[rows]] > 0)
    here = patch[rows][r, c]
    x, y = c + 0.5 - looks.centre[here, 0], r + rows.start + 0.5 - looks.centre[here, 1]
    along = looks.wave[here] / np.hypot(looks.wave[here, 0], looks.wave[here, 1])[:, None]
    u, v = (x * along[:, 0] + y * along[:, 1]) / _PLOT[0], (y * along[:, 0] - x * along[:, 1]) / _PLOT[1]
    i, j = np.floor(u).astype(np.int64) + here, np.floor(v).astype(np.int64) + 7 * here
    chance, kind = plots[0][i % 64, j % 64], plots[1][i % 64, j % 64]
    wide = 0.35 + 0.3 * plots[0][j % 64, i % 64]
    built = (chance < looks.roofs[here]) & (u % 1 < wide) & (v % 1 < 0.5)
    roofs[r[built] + rows.start, c[built]] = kind[built]


def _stand(
    light: Grid,
    patch: NDArray[np.int32],
    looks: Looks,
    roofs: NDArray[np.int8],
    middle: Grid,
    rng: np.random.Generator,
) -> None:
    """Adds what stands on the ground: crowns, lit from one side, roofs, and the shadows of both."""
    shape: tuple[int, int] = patch.shape
    sun = [(1, 1), (1, -1), (2, 0), (1, 0)][rng.integers(4)]
    texture = smooth_noise(shape, 1.15, rng).raster(shape)
    crowns = texture > looks.crown_level[patch]
    tall = crowns | (roofs >= 0)
    shadow = np.zeros(shape, dtype=bool)
    for step in (1, 2):
        shadow |= np.roll(tall, (step * sun[0], step * sun[1]), axis=(0, 1))
    shadow &= ~tall
    relief = np.clip(1 + 0.28 * (texture - np.roll(texture, sun, axis=(0, 1))) + 0.08 * middle, 0.4, 1.7)
    for band in range(4):
        layer = light[band]
        layer[shadow] *= 0.66
        layer[crowns] = relief[crowns] * MATERIALS["crown"][band]
        layer[roofs >= 0] = np.array(ROOFS, dtype=np.float32)[roofs[roofs >= 0], band]


def _near_edge(patch: NDArray[np.int32], reach: int) -> NDArray[np.bool_]:
    """Pixels with another patch ``reach`` pixels away in one of the four directions."""
    near = np.zeros(patch.shape, dtype=bool)
    for axis in range(2):
        for side in (-reach, reach):
            near |= np.roll(patch, side, axis=axis) != patch
    return near
