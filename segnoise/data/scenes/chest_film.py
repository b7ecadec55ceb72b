"""From a chest to a film: what the rays meet, vessels and lesions of the lungs, quanta, and the display."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from segnoise.data.scenes.chest_shape import ASPECT, Array, Bone, Chest, Mask
from segnoise.data.scenes.texture import smooth_noise

_LEFT, _RIGHT = 1, -1
_STRIDE = 0.006
"""Heights of the lung from one dot of a vessel to the next."""


def expose(chest: Chest, u: Array, v: Array, pixel: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The film ``H W``, bright where rays are weakened, of a chest seen at the chest coordinates ``u`` and ``v``.

    ``display(-ln(Poisson(n exp(-a)) / n))``: ``a`` is the attenuation summed along each ray, ``n`` the quanta a pixel
    gets in air. ``pixel`` is a pixel's side in heights of the lung.
    """
    shape = (u.shape[0], u.shape[1])
    body = np.clip(1 - (np.abs(u) / chest.body(v)) ** 2, 0, None)
    tissue = np.sqrt(body)
    middle, heart = chest.mediastinum_reach(u, v), chest.heart.reach(u, v)
    depth = _air(chest.cavity(u, v) & (middle > 1), pixel)
    # Some lung lies behind the heart, less and less of it towards the spine.
    behind = (0.7 - 0.58 * np.sqrt(np.clip(1 - heart**2, 0, 1))) * np.clip((middle - 1) / 0.7, 0, 1)
    air = np.where(heart < 1, behind, 1) * depth * _opacities(u, v, shape, pixel, rng)
    fat = float(rng.uniform(0.85, 1.25))
    total = fat * (1.3 + 0.55 * np.clip(v, -0.9, 1.2) + 0.5 * np.clip(v, -0.9, 0)) * tissue
    total -= rng.uniform(0.75, 1.3) * air
    total += _middle(chest, u, v, tissue, rng)
    total += _vessels(u, v, air, rng)
    total += _skin(u, v, tissue, rng)
    inside = np.where(v < 1.0, 1.0, np.exp(-(v - 1.0) / 0.25)) * np.clip(tissue * 3, 0, 1)
    for bone in chest.bones:
        total += inside * _band(bone, u, v)
    total += _gas(chest, u, v, rng)
    return _film(np.clip(total, 0, None), shape, rng)


def _air(cavity: Mask, pixel: float) -> Array:
    """The depth of air along the ray, 0 to 1: a step at the wall, then more and more."""
    inward = ndimage.distance_transform_edt(cavity) * pixel
    return np.where(cavity, 0.42 + 0.58 * (1 - np.exp(-inward / 0.09)), 0.0)


def _middle(chest: Chest, u: Array, v: Array, tissue: Array, rng: np.random.Generator) -> Array:
    """Great vessels, the spine with its discs, and the windpipe."""
    reach = chest.mediastinum_reach(u, v)
    total = 0.2 * np.clip(1 - reach**2, 0, 1) * expit((0.98 - v) / 0.05)
    bow = float(rng.normal(0, 0.015)) * np.sin(2.5 * v)
    off = np.abs(u - bow)
    column = expit((0.095 + 0.02 * v - off) / 0.02)
    disc = np.cos(2 * np.pi * v / rng.uniform(0.085, 0.1))
    total += column * (0.15 + 0.06 * np.clip(disc, -1, 0.4)) + 0.05 * np.exp(-(((off - 0.09) / 0.014) ** 2))
    split = 0.88 * np.clip(v - 0.36, 0, None)
    pipe = np.exp(-((np.abs(off - split) / 0.042) ** 4)) * expit((0.42 - v) / 0.015)
    return total * np.clip(tissue * 4, 0, 1) - 0.34 * pipe * np.clip((tissue - 0.2) * 3, 0, 1)


def _band(bone: Bone, u: Array, v: Array) -> Array:
    """The shadow of a bone: a shell, denser at its edges, ending softly."""
    order = np.argsort(bone.u)
    line = np.interp(u, bone.u[order], bone.v[order], left=9.0, right=9.0)
    slope = np.interp(u, bone.u[order], np.gradient(bone.v[order], bone.u[order]))
    across = np.abs(v - line) / np.hypot(1, slope / ASPECT) / bone.half
    ends = np.clip((np.abs(u) - np.abs(bone.u).min()) / 0.1, 0, 1)
    shell = np.clip((1.12 - across) / 0.25, 0, 1) * (0.72 + 0.5 * np.clip(across, 0, 1) ** 4)
    return bone.density * ends * shell


def _vessels(u: Array, v: Array, air: Array, rng: np.random.Generator) -> Array:
    """Trees of vessels that leave the hila and thin out towards the walls."""
    spots: list[tuple[float, float, float]] = []

    def grow(x: float, y: float, way: float, radius: float, length: float) -> None:
        steps = max(4, int(length / _STRIDE))
        for _ in range(steps):
            way += float(rng.normal(0, 0.09))
            x, y = x + np.cos(way) / ASPECT * length / steps, y + np.sin(way) * length / steps
            spots.append((x, y, radius))
        if radius > 0.0022:
            fork = float(rng.uniform(0.25, 0.6))
            for turn, thin in ((fork, 0.76), (-fork * rng.uniform(0.6, 1.2), 0.66)):
                grow(x, y, way + turn, radius * thin, length * float(rng.uniform(0.65, 0.95)))

    for side in (_RIGHT, _LEFT):
        for way in np.linspace(-1.35, 1.35, 7) + rng.normal(0, 0.12, 7):
            towards = way if side == _LEFT else np.pi - way
            grow(side * rng.uniform(0.19, 0.24), 0.46 + 0.09 * way / 1.35, towards, rng.uniform(0.007, 0.011), 0.13)
    points = np.array(spots)
    return _splat(points, u, v) * np.clip(air, 0, 1) * 0.55


def _splat(points: Array, u: Array, v: Array) -> Array:
    """Points (u, v, radius) as soft dots as wide as they are thick, on the grid of an affine ``u, v``."""
    rows, columns = u.shape
    origin = np.array([u[0, 0], v[0, 0]])
    axes = np.array([[u[0, 1] - u[0, 0], u[1, 0] - u[0, 0]], [v[0, 1] - v[0, 0], v[1, 0] - v[0, 0]]])
    x, y = np.linalg.solve(axes, (points[:, :2] - origin).T)
    step = float(np.hypot(axes[1, 0], axes[1, 1]))
    total = np.zeros(u.shape)
    edges = np.quantile(points[:, 2], [0, 0.35, 0.65, 0.85, 1])
    for low, high in pairwise(edges):
        some = (points[:, 2] >= low) & (points[:, 2] <= high)
        radius = float(points[some, 2].mean())
        dots, _, _ = np.histogram2d(y[some], x[some], bins=(rows, columns), range=((0, rows), (0, columns)))
        sigma = max(radius / step, 0.45)
        # As many dots fall on a pixel as it is strides long: what a vessel adds depends on its thickness alone.
        total += 110 * radius * ndimage.gaussian_filter(dots, sigma) * sigma * _STRIDE / step
    return np.clip(total, 0, 0.9)


def _opacities(u: Array, v: Array, shape: tuple[int, int], pixel: float, rng: np.random.Generator) -> Array:
    """How much of the air is there, 0 to 1: consolidation and effusion hide the border of some lungs."""
    left = np.ones(shape)
    wavy = smooth_noise(shape, 0.05 / pixel, rng).raster(shape)
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.5, 0.25, 0.15, 0.1]))):
        side = float(rng.choice([_RIGHT, _LEFT]))
        x, y = side * rng.choice([0.25, 0.9]) * rng.uniform(0.8, 1.1), rng.uniform(0.1, 0.95)
        reach = np.hypot((u - x) / rng.uniform(0.22, 0.5), (v - y) / rng.uniform(0.12, 0.3))
        left *= 1 - rng.uniform(0.5, 0.97) * np.clip(1.8 * (1 - reach + 0.25 * wavy), 0, 1)
    if rng.random() < 0.3:
        side = float(rng.choice([_RIGHT, _LEFT]))
        level = rng.uniform(0.55, 0.92) - 0.13 * np.clip(side * u - 0.35, 0, None) ** 1.5 + 0.008 * wavy
        left *= 1 - rng.uniform(0.8, 1.0) * np.clip((v - level) / 0.06, 0, 1) * (side * u > 0)
    hazy = 1 - np.clip(0.10 * wavy + 0.05 * smooth_noise(shape, 0.012 / pixel, rng).raster(shape), -0.15, 0.25)
    return np.clip(left, 0.03, 1) * hazy


def _skin(u: Array, v: Array, tissue: Array, rng: np.random.Generator) -> Array:
    """What lies outside the ribs: shoulder blades, breasts, folds of muscle."""
    total = np.zeros(u.shape)
    breast = float(rng.uniform(0.0, 0.34)) if rng.random() < 0.5 else 0.0
    low, wide = rng.uniform(0.72, 0.9), rng.uniform(0.42, 0.55)
    for side in (_RIGHT, _LEFT):
        r2 = ((side * u - 0.6) / wide) ** 2 + ((v - low + 0.16) / 0.22) ** 2
        total += breast * np.sqrt(np.clip(1 - r2, 0, 1)) * np.clip((v - low + 0.4) / 0.3, 0, 1)
        inner = rng.uniform(0.72, 0.98) + 0.25 * np.abs(v - 0.2) ** 1.3 + 0.03 * np.sin(9 * v)
        blade = expit((side * u - inner) / 0.012) * expit((0.42 - v) / 0.03) * expit((v + 0.01) / 0.02)
        total += rng.uniform(0.06, 0.16) * blade
    return total * np.clip(3 * tissue, 0, 1)


def _gas(chest: Chest, u: Array, v: Array, rng: np.random.Generator) -> Array:
    """Gas in the stomach, under the left dome, and in the bowel: dark, and not lung."""
    total = np.zeros(u.shape)
    stomach = chest.diaphragm(u) + rng.uniform(0.02, 0.035)
    pockets = [(float(rng.normal(0.47, 0.06)), stomach)] if rng.random() < 0.65 else []
    for x in rng.uniform(-0.7, 0.7, int(rng.integers(0, 4))):
        pockets.append((float(x), chest.diaphragm(np.full(u.shape, x)) + rng.uniform(0.08, 0.35)))
    for x, top in pockets:
        below = (v - top) / rng.uniform(0.05, 0.1)
        # Round above, level below where the gas lies on what was drunk.
        upright = np.where(below < 0.5, (2 * below - 1) ** 2, (1.3 * (below - 0.5)) ** 4)
        reach = ((u - x) / rng.uniform(0.1, 0.26)) ** 2 + upright
        total -= rng.uniform(0.3, 0.9) * np.sqrt(np.clip(1 - reach, 0, 1))
    return total


def _film(total: Array, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Scatter, quanta, the focal spot, the heel of the anode, and a window of the reader's choice."""
    seen = np.exp(-total)
    seen = 0.93 * seen + 0.07 * ndimage.gaussian_filter(seen, 0.08 * shape[0], truncate=2.5)
    down, across = (np.linspace(-1, 1, n) * rng.normal(0, 0.05) for n in shape)
    heel = down[:, None] + across
    quanta = float(rng.uniform(500, 6000))
    counts = rng.poisson(quanta * ndimage.gaussian_filter(seen * np.exp(heel), rng.uniform(0.4, 0.7)))
    film = -np.log((counts + 0.5) / quanta)
    film = ndimage.gaussian_filter(film, 0.35) + 0.012 * smooth_noise(shape, 1.2, rng).raster(shape)
    low, high = np.quantile(film, [0.05, 0.995])
    low, high = low - rng.uniform(0.0, 0.4), high + rng.uniform(-0.15, 0.15)
    value = np.clip((film - low) / (high - low), 0, 1) ** rng.uniform(0.8, 1.3)
    return np.rint(255 * value).astype(np.uint8)
