"""What an OCT scanner shows of a macula: reflectivities, vessels and their shadows, attenuation, speckle, display."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.data.scenes.retina_layers import LAYERS, Macula, Plane
from segnoise.data.scenes.texture import Grid, smooth_noise

DECIBELS = {
    "vitreous": -4.0,
    "NFL": 25.0,
    "GCL-IPL": 19.5,
    "INL": 15.0,
    "OPL": 19.0,
    "ONL": 12.5,
    "EZ-OS": 19.0,
    "SRF": 0.0,
    "RPE": 26.5,
    "PED": 1.0,
    "choroid": 20.0,
}
"""Reflectivity of each layer over the scanner's noise, before attenuation and speckle."""

_CYST = 0.0
_SOLID = 20.0


def scan(
    macula: Macula, plane: Plane, rows: int, depth: float, disease: bool, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """B-scans ``S rows W``, 8-bit, of a macula whose heights (mm) count from the top of the picture.

    A pixel is ``display(10 log10(I s + n))``: ``I`` is the reflectivity under shadow, attenuation and roll-off, ``s``
    and ``n`` the mean of a few squared circular complex Gaussian fields as wide as the optics resolve: speckle and the
    scanner's noise. ``depth`` is the height of a pixel row in mm.
    """
    z = ((np.arange(rows) + 0.5) * depth).astype(np.float32)[None, :, None]
    heights = macula.heights.astype(np.float32)[:, :, None, :]
    light = _layers(heights, z, depth, plane, rng)
    _lines(light, heights, z, plane, rng)
    _choroid(light, heights, z, plane, rng)
    if disease:
        _foci(light, heights, depth, rng)
    _fluid(light, macula, heights, z, depth, rng)
    light += _shade(heights, z, macula, plane, rng)
    return _display(light, rng)


def _above(z: Grid, height: Grid, soft: float) -> Grid:
    """1 below a boundary, 0 above it, and a ramp ``2 soft`` high around it."""
    ramp = z - height
    ramp *= 0.5 / soft
    ramp += 0.5
    return np.clip(ramp, 0, 1, out=ramp)


def _layers(heights: Grid, z: Grid, depth: float, plane: Plane, rng: np.random.Generator) -> Grid:
    """The reflectivity of the layers in dB, ``S H W``: each layer's own, uneven along it."""
    level = [
        np.full(plane.shape, DECIBELS[name], dtype=np.float32)
        + (rng.normal(0, 0.8) + 0.7 * plane.noise(0.35, rng)).astype(np.float32)
        for name in LAYERS
    ]
    light = np.broadcast_to(level[0][:, None, :], (plane.shape[0], z.shape[1], plane.shape[1])).copy()
    for index, height in enumerate(heights, start=1):
        light += (level[index] - level[index - 1])[:, None, :] * _above(z, height, 0.7 * depth)
    return light


def _lines(light: Grid, heights: Grid, z: Grid, plane: Plane, rng: np.random.Generator) -> None:
    """Thin bright lines: the ellipsoid zone, the limiting membranes, and the hyaloid where the vitreous has parted."""

    def line(height: Grid, width: float, strength: Grid | float) -> None:
        light.__iadd__(strength * np.exp(-(((z - height) / width) ** 2)))

    broken = np.clip(1.2 + 0.5 * plane.noise(0.3, rng), 0.2, 1.3).astype(np.float32)[:, None, :]
    line(heights[5] + 0.008, 0.007, 7.5 * broken)
    line(heights[5] - 0.022, 0.005, 4.0)
    line(heights[0] + 0.003, 0.005, 2.5)
    if rng.random() < 0.4:
        parted = np.clip(rng.uniform(0.0, 0.05) + 0.03 * plane.noise(1.5, rng), 0.004, None).astype(np.float32)
        line(heights[0] - parted[:, None, :], 0.006, rng.uniform(9, 17))


def _choroid(light: Grid, heights: Grid, z: Grid, plane: Plane, rng: np.random.Generator) -> None:
    """Vessel lumens, small above and large below, dark in bright stroma, over the sclera; all fading with depth."""
    below = z - heights[9]
    slices, rows, columns = light.shape
    bottom = (rng.uniform(0.15, 0.28) + 0.03 * plane.noise(0.8, rng)).astype(np.float32)[:, None, :]
    fine, coarse = (
        [smooth_noise((rows, columns), size * columns, rng).raster((rows, columns)) for _ in range(slices + 1)]
        for size in (0.009, 0.02)
    )
    for s in range(slices):
        small, large = (0.8 * noise[s] + 0.6 * noise[s + 1] for noise in (fine, coarse))
        deep = np.clip((below[s] - 0.03) / 0.1, 0, 1)
        lumen = small + deep * (large - small)
        inside = np.clip(below[s] / 0.04, 0, 1) * (below[s] < bottom[s])
        light[s] -= inside * rng.uniform(4, 7) * np.clip(0.5 + 1.1 * (lumen - 0.5 + 0.3 * deep), 0, 1)
    light -= np.where(below > 0, 33 * below + 3.0 * np.clip((below - bottom) / 0.02, 0, 1), 0)


def _foci(light: Grid, heights: Grid, depth: float, rng: np.random.Generator) -> None:
    """Small bright spots in the outer layers, in one slice each, some with a shadow."""
    slices, rows, columns = light.shape
    for _ in range(int(rng.integers(3, 8)) * slices // 2):
        s, x = int(rng.integers(slices)), int(rng.integers(columns))
        top, bottom = heights[2, s, 0, x], heights[5, s, 0, x]
        at = (top + rng.uniform(0.1, 0.9) * (bottom - top)) / depth
        tall, wide = rng.uniform(0.8, 1.8, 2)
        lines = slice(max(int(at) - 6, 0), min(int(at) + 7, rows))
        places = slice(max(x - 6, 0), min(x + 7, columns))
        dy = (np.arange(lines.start, lines.stop) + 0.5 - at)[:, None] / tall
        dx = (np.arange(places.start, places.stop) - x)[None, :] / wide
        light[s, lines, places] += rng.uniform(6, 14) * np.exp(-(dx**2) - dy**2)
        if rng.random() < 0.3:
            light[s, int(min(at + 3, rows)) :, places] -= 4 * np.exp(-(dx**2))


def _fluid(light: Grid, macula: Macula, heights: Grid, z: Grid, depth: float, rng: np.random.Generator) -> None:
    """Pockets in the retina, and the solid part of a PED; fluid is not quite empty."""
    solid = macula.filling.astype(np.float32)[:, None, :]
    inside = _above(z, heights[8], 0.7 * depth) * (1 - _above(z, heights[9], 0.7 * depth))
    light += inside * solid * (_SOLID - DECIBELS["PED"])
    swollen = macula.swelling.astype(np.float32)[:, None, :]
    light -= 1.5 * swollen * ((z > heights[2]) & (z < heights[5]))
    for top, bottom in macula.cysts.astype(np.float32):
        some = np.flatnonzero((bottom > top).any(axis=1))
        pocket = _above(z, top[some, None, :], 0.7 * depth) * (1 - _above(z, bottom[some, None, :], 0.7 * depth))
        light[some] += pocket * (_CYST + rng.uniform(-1, 3) - light[some])


def _shade(heights: Grid, z: Grid, macula: Macula, plane: Plane, rng: np.random.Generator) -> Grid:
    """What weakens the signal, in dB: the tissue above, distance from the focus, the pupil, opacities, and vessels."""
    gain = rng.normal(0, 0.5, (len(plane.slices), 1)) + 1.0 * plane.noise(0.7, rng)
    edge = np.clip(np.abs(plane.x - rng.normal(0, 0.4)) - 1.8, 0, None)
    gain -= rng.uniform(0, 5) * edge
    gain -= rng.uniform(2, 5) * np.clip(plane.noise(0.3, rng) - 1.6, 0, 1)
    total = np.minimum(heights[0] - z, 0) * 6.0 - rng.uniform(2, 6) * z / z.max()
    total += gain.astype(np.float32)[:, None, :]
    for _ in range(int(rng.integers(4, 9))):
        width = float(rng.uniform(0.02, 0.07))
        start = float(rng.uniform(-3, 3))
        path = start + float(rng.normal(0, 0.35)) * plane.slices + 0.05 * rng.standard_normal()
        path = path + 0.08 * np.sin(2 * np.pi * (plane.slices / rng.uniform(0.8, 2) + rng.random()))
        away = np.abs(plane.x - path[:, None])
        # The fovea has no vessels.
        clear = np.clip((np.hypot(path - macula.fovea[0], plane.slices - macula.fovea[1]) - 0.35) / 0.2, 0, 1)
        profile = (np.exp(-((away / width) ** 2)) * clear[:, None]).astype(np.float32)[:, None, :]
        level = heights[0] + np.float32(rng.uniform(0.5, 1.2)) * width
        total += 6 * profile * np.exp(-(((z - level) / width) ** 2))
        total -= rng.uniform(2.5, 7) * profile * np.clip((z - level) / 0.06, 0, 1)
    return total


def _display(light: Grid, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Speckle, noise, logarithm and the operator's brightness and contrast."""
    looks = int(rng.integers(4, 10))
    fine = (0.0, rng.uniform(0.55, 0.8), rng.uniform(0.7, 1.05))
    speckle, noise = _waves(light.shape, looks, fine, rng), _waves(light.shape, looks, fine, rng)
    floor = rng.uniform(1.5, 4.0)
    power = 10 ** ((light - floor) / 10) * speckle + noise
    low, high = rng.uniform(-1.5, 1.0), rng.uniform(21, 26)
    return np.clip((10 * np.log10(power) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)


def _waves(shape: tuple[int, ...], looks: int, width: tuple[float, ...], rng: np.random.Generator) -> Grid:
    """The mean of ``looks`` squared complex Gaussian fields of this width: mean 1."""
    total = np.zeros(shape, dtype=np.float32)
    for _ in range(2 * looks):
        wave = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), width, truncate=2.5)
        total += wave * wave
    total /= total.mean()
    return total
