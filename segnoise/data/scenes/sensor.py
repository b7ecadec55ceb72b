"""From the light to the file: relief and haze, the sensor's blur, bands that do not quite meet, noise, numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.data.scenes.texture import Grid, smooth_noise

PATH = (0.135, 0.115, 0.100, 0.085)
"""What haze itself reflects towards the sensor, blue to near infrared."""

VEIL = (1.0, 0.8, 0.65, 0.4)
"""How much of a patch of haze each band sees."""

_ROWS_AT_ONCE = 128


def observe(light: Grid, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Turns reflectance ``4 H W`` (overwritten) into surface reflectance x 10000, never 0 where there is ground.

    A band is ``noise + (K * (relief . light . (1 - h v) + h v path))(x - shift)``: ``h`` are patches of haze, ``K``
    a Gaussian of 0.5 to 0.65 px, ``shift`` up to 0.18 px and another for each band.
    """
    bands, *grid = light.shape
    shape = (grid[0], grid[1])
    far = max(400.0, max(shape) / 2)
    relief = (
        1 + 0.05 * smooth_noise(shape, far, rng).raster(shape) + 0.035 * smooth_noise(shape, 60.0, rng).raster(shape)
    )
    haze = np.clip(smooth_noise(shape, 130.0, rng).raster(shape) - 0.6, 0, 1.6) * rng.uniform(0.05, 0.13) + 0.02
    width = rng.uniform(0.5, 0.65)
    parts = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, shape[0], _ROWS_AT_ONCE)]
    image = np.empty(light.shape, dtype=np.uint16)
    for band in range(bands):
        layer = light[band]
        for rows in parts:
            layer[rows] *= relief[rows]
            layer[rows] += VEIL[band] * haze[rows] * (PATH[band] - layer[rows])
        for axis in range(2):
            layer = ndimage.correlate1d(layer, _kernel(width, rng.uniform(-0.18, 0.18)), axis=axis, mode="nearest")
        for rows in parts:
            some = layer[rows]
            some += np.sqrt(2.5e-6 + 4e-5 * np.maximum(some, 0)) * rng.standard_normal(some.shape, dtype=np.float32)
            image[band, rows] = np.clip(np.rint(some * 10000), 1, 10000)
    return image


def _kernel(width: float, shift: float) -> NDArray[np.float64]:
    """Five taps of a Gaussian centred ``shift`` pixels off the middle."""
    taps = np.exp(-0.5 * ((np.arange(-2, 3) - shift) / width) ** 2)
    return taps / taps.sum()
