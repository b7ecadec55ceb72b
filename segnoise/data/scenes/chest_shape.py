"""The shape of a chest as a frontal film shows it: lungs, heart, mediastinum, diaphragm, body, and its bones.

Chest coordinates: ``u`` to the right of the picture in half widths of the thorax from the midline, ``v`` downward from
the apex of the lungs (0) to the level of the diaphragm's edge (1). The patient's left, with the heart, is at ``u > 0``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import expit

ASPECT = 0.64
"""Half the width of a thorax over the height of its lungs."""

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Half widths by level: the inside of the thorax, the mediastinum to the patient's right and left, the body.
_WALL = ((0.0, 0.06, 0.14, 0.28, 0.5, 0.75, 0.95, 1.2), (0.40, 0.60, 0.71, 0.83, 0.94, 1.0, 1.0, 0.97))
_RIGHT = ((0.0, 0.05, 0.12, 0.25, 0.38, 0.48, 0.6, 1.2), (0.34, 0.20, 0.15, 0.14, 0.17, 0.21, 0.16, 0.15))
_LEFT = ((0.0, 0.05, 0.12, 0.2, 0.27, 0.34, 0.42, 0.5, 1.2), (0.36, 0.22, 0.16, 0.17, 0.225, 0.18, 0.24, 0.26, 0.2))
_BODY = (
    (-0.6, -0.28, -0.18, -0.1, 0.02, 0.15, 0.3, 0.5, 1.0, 1.5),
    (0.30, 0.30, 0.42, 0.85, 1.3, 1.42, 1.3, 1.2, 1.17, 1.15),
)


@dataclass(frozen=True)
class Curve:
    """A width or a height as a smooth function of the other coordinate, constant beyond its ends."""

    at: tuple[float, ...]
    value: tuple[float, ...]

    def __call__(self, where: Array) -> Array:
        return PchipInterpolator(self.at, self.value)(np.clip(where, self.at[0], self.at[-1]))


@dataclass(frozen=True)
class Bone:
    """A band about a line ``v(u)`` between two columns: half its width, and how much it weakens the rays."""

    u: Array
    v: Array
    half: float
    density: float


@dataclass(frozen=True)
class Heart:
    """A superellipse about (u, v) = (x, y), with half axes in heights of the lung, its long one turned downward."""

    x: float
    y: float
    long: float
    short: float
    turn: float

    def reach(self, u: Array, v: Array) -> Array:
        """Below 1 in the heart's shadow, 1 on its outline."""
        a, b = ASPECT * (u - self.x), v - self.y
        along = (a * np.cos(self.turn) + b * np.sin(self.turn)) / self.long
        across = (b * np.cos(self.turn) - a * np.sin(self.turn)) / self.short
        return (np.abs(along) ** 2.3 + np.abs(across) ** 2.3) ** (1 / 2.3)


@dataclass(frozen=True)
class Chest:
    """The outlines of a chest in chest coordinates; ``dome`` holds one curve ``v(|u|)`` a side, right then left."""

    wall: tuple[Curve, Curve]
    mediastinum: tuple[Curve, Curve]
    dome: tuple[Curve, Curve]
    body: Curve
    heart: Heart
    bones: tuple[Bone, ...]

    def cavity(self, u: Array, v: Array) -> Mask:
        """Inside the thorax and above the diaphragm: lungs, and what lies between them."""
        return (v > 0) & (np.abs(u) < _sides(u, v, self.wall)) & (v < self.diaphragm(u))

    def diaphragm(self, u: Array) -> Array:
        """The level of the diaphragm's shadow: two domes that meet under the heart."""
        left = expit(u / 0.06)
        return (1 - left) * self.dome[0](np.abs(u)) + left * self.dome[1](np.abs(u))

    def mediastinum_reach(self, u: Array, v: Array) -> Array:
        """Below 1 in the shadow of the great vessels and the spine."""
        return np.abs(u) / _sides(u, v, self.mediastinum)

    def lungs(self, u: Array, v: Array) -> Mask:
        """The lung fields: the cavity but for the shadows of heart and mediastinum."""
        return self.cavity(u, v) & (self.heart.reach(u, v) > 1) & (self.mediastinum_reach(u, v) > 1)


def draw_chest(rng: np.random.Generator) -> Chest:
    """Draws a chest: narrow or broad, deeply or poorly inspired, with a small or a large heart."""
    depth = float(rng.normal(0, 0.045))
    wall = _varied(_WALL, 0.025, rng), _varied(_WALL, 0.025, rng)
    right, left = _varied(_RIGHT, 0.06, rng), _varied(_LEFT, 0.06, rng)
    domes = []
    for top in (0.84, 0.885):
        top += depth + float(rng.normal(0, 0.018))
        crest = float(rng.uniform(0.42, 0.56))
        corner = float(rng.uniform(0.13, 0.2))
        at = (0.0, 0.2, crest - 0.1, crest, crest + 0.1, 0.78, 0.92, 1.02)
        drop = np.array([0.07, 0.025, *rng.uniform(-0.002, 0.002, 3), 0.3 * corner, 0.65 * corner, corner])
        domes.append(Curve(at, tuple(top + drop)))
    size = float(rng.uniform(0.86, 1.16))
    heart = Heart(
        float(0.15 + rng.normal(0, 0.02)),
        float(0.70 + depth + rng.normal(0, 0.012)),
        0.31 * size,
        0.215 * size,
        float(rng.normal(0.62, 0.08)),
    )
    body = _varied(_BODY, 0.02, rng)
    return Chest(wall, (right, left), (domes[0], domes[1]), body, heart, tuple(_bones(wall, rng)))


def _bones(wall: tuple[Curve, Curve], rng: np.random.Generator) -> list[Bone]:
    """Ten pairs of ribs, behind and in front, and the clavicles."""
    bones = []
    pitch = float(rng.normal(0.097, 0.004))
    lift, drop = float(rng.uniform(0.0, 0.03)), float(rng.uniform(0.10, 0.19))
    half = float(rng.uniform(0.014, 0.019))
    dense = float(rng.uniform(0.8, 1.25))
    run = np.linspace(0, 1, 60)
    for k in range(10):
        start = -0.035 + pitch * k + float(rng.normal(0, 0.004))
        for side, edge in zip((-1, 1), wall, strict=True):
            outer = float(edge(np.array(max(start + drop, 0.02)))) * 1.01
            first = 0.11
            # Behind, a rib leaves the spine level and turns down at the wall; in front it comes back, sloping down.
            fall = drop * (0.6 + 0.05 * k) + float(rng.normal(0, 0.004))
            behind = start - lift * np.sin(np.pi * run) + fall * (1 - np.sqrt(1 - 0.985 * run**2))
            bones.append(Bone(side * (first + (outer - first) * run), behind, half * (0.8 + 0.03 * k), 0.30 * dense))
            if 1 <= k <= 6:
                inner = outer * (0.45 + 0.03 * k)
                back = behind[-1] + (0.10 + 0.012 * k) * (1 - run) ** 0.8 + 0.02 * np.sin(np.pi * run)
                u = side * (inner + (outer - inner) * run)
                bones.append(Bone(u, back, half * 1.05, 0.19 * dense))
    tip = float(rng.normal(-0.015, 0.02))
    for side in (-1, 1):
        level = 0.115 + (tip - 0.115) * run + float(rng.normal(0, 0.006))
        level += 0.03 * np.sin(np.pi * (run * 1.8 - 0.1)) + 0.02 * np.sin(np.pi * run)
        bones.append(Bone(side * np.linspace(0.08, 1.05, 60), level, half * 1.65, 0.36 * dense))
    return bones


def _varied(points: tuple[tuple[float, ...], tuple[float, ...]], amount: float, rng: np.random.Generator) -> Curve:
    """The curve, wider or narrower as a whole and a little along it; its ends move with it."""
    at, value = (np.array(p) for p in points)
    own = np.convolve(rng.standard_normal(len(at) + 2), [0.4, 0.8, 0.4], mode="valid")
    return Curve(tuple(at), tuple(value * (1 + amount * rng.standard_normal() + amount * own)))


def _sides(u: Array, where: Array, curves: tuple[Curve, Curve]) -> Array:
    return np.where(u < 0, curves[0](where), curves[1](where))
