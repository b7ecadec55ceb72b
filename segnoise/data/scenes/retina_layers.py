"""The shape of a macula: its layers over the plane of the retina, the fovea, and the fluid that displaces them.

All lengths are in millimetres: x along a B-scan, y from slice to slice, both 0 at the centre of the scan; heights
are depths, downward. Every surface is an array ``S W``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segnoise.data.scenes.texture import smooth_noise

Array = NDArray[np.float64]

BOUNDARIES = ("ILM", "NFL/GCL", "IPL/INL", "INL/OPL", "OPL/ONL", "EZ", "OS", "RPE", "RPE base", "BM")
"""The boundaries from top to bottom. Those of Chiu et al. (2015), with two more of each pair where fluid parts them."""

LAYERS = ("vitreous", "NFL", "GCL-IPL", "INL", "OPL", "ONL", "EZ-OS", "SRF", "RPE", "PED", "choroid")
"""What lies above, between and below the boundaries; SRF and PED have no thickness where there is none."""

FLUIDS = ("IRF", "SRF", "PED")

_INL, _ONL, _SRF, _PED = (LAYERS.index(name) - 1 for name in ("INL", "ONL", "SRF", "PED"))
_LATTICE = 0.02
_LEAST = 0.03
"""A pocket thinner than this in a slice (6 of 192 rows) is not there: no reader would mark it."""


class Plane:
    """The points ``S W`` of a scan ``width`` mm wide, and smooth noises over them that know nothing of its columns.

    >>> plane = Plane(np.linspace(-2.4, 2.4, 5), np.array([-0.1, 0.1]), width=6.0)
    >>> plane.noise(1.0, np.random.default_rng(0)).shape
    (2, 5)
    """

    def __init__(self, x: Array, y: Array, width: float) -> None:
        self.x, self.y = np.broadcast_arrays(x[None, :], y[:, None])
        self.slices = y
        self.width = width
        self.shape = self.x.shape

    def noise(self, scale: float, rng: np.random.Generator) -> Array:
        """Mean 0, variance 1, correlation ``exp(-d^2 / (4 scale^2))``."""
        shape = int(np.ptp(self.slices) / _LATTICE) + 2, int(self.width / _LATTICE) + 2
        surface = smooth_noise(shape, scale / _LATTICE, rng)
        x, y = (self.x + self.width / 2) / _LATTICE, (self.y - self.slices[0]) / _LATTICE
        return surface.at(x, y).astype(np.float64)


@dataclass(frozen=True)
class Macula:
    """``heights`` ``10 S W`` of ``BOUNDARIES``; ``cysts`` N x (top, bottom) ``N 2 S W`` of the intraretinal pockets,
    equal where a pocket is not; ``filling`` ``S W``, how much solid tissue a PED holds, 0 to 1; ``swelling`` ``S W``,
    how much oedema dims the inner layers, 0 to 1; ``fovea``, its x and y.
    """

    heights: Array
    cysts: Array
    filling: Array
    swelling: Array
    fovea: tuple[float, float]


def draw_macula(plane: Plane, fluids: frozenset[str], rng: np.random.Generator) -> Macula:
    """Draws a macula that holds exactly these fluids, each in some of the slices (in all where there is one slice)."""
    fovea = (float(rng.normal(0, 0.25)), float(rng.normal(0, 0.12)))
    thickness = _healthy(plane, fovea, rng)
    band = _band(plane.slices, rng)
    cysts = _Cysts.none(plane)
    swelling, filling = np.zeros(plane.shape), np.zeros(plane.shape)
    centre = fovea[0] + float(rng.normal(0, 0.4))
    if "PED" in fluids:
        thickness[_PED] = _dome(plane, centre + float(rng.normal(0, 0.5)), band, (0.6, 1.3), (0.09, 0.24), rng)
        solid = rng.uniform(0, 0.35) if rng.random() < 0.6 else rng.uniform(0.4, 0.65)
        filling = np.clip(solid + 0.12 * plane.noise(0.3, rng), 0, 0.8)
    if "SRF" in fluids:
        thickness[_SRF] = _dome(plane, centre + float(rng.normal(0, 0.5)), band, (0.9, 2.0), (0.08, 0.22), rng)
    if "IRF" in fluids:
        cysts = _draw_cysts(plane, centre, band, rng)
        swelling = np.exp(-(((plane.x - centre) / 1.2) ** 2)) * _window(plane, band)
        for layer in (_INL, _ONL):
            room = cysts.room(layer)
            thickness[layer] = np.maximum(1.05 * room, (1 + 0.4 * swelling) * thickness[layer] + 0.45 * room)
    # What a dome lifts is stretched, and the surface of the retina shows less of it than its floor.
    thickness[:_SRF] *= 1 - 0.3 * np.clip((thickness[_SRF] + thickness[_PED]) / 0.2, 0, 1)
    for layer in (_INL, _ONL):
        thickness[layer] = np.maximum(thickness[layer], 1.05 * cysts.room(layer))
    heights = np.concatenate([np.zeros((1, *plane.shape)), np.cumsum(thickness, 0)])
    heights += _floor(plane, rng) - heights[-1]
    place = rng.uniform(0.3, 0.7, len(cysts.layer))[:, None, None]
    tops = heights[cysts.layer] + place * (thickness[cysts.layer] - cysts.chord)
    return Macula(heights, np.stack([tops, tops + cysts.chord], 1), filling, swelling, fovea)


@dataclass(frozen=True)
class _Cysts:
    """The vertical extent of pockets ``N S W``, the smooth thickness each asks of its layer, and that layer."""

    chord: Array
    pillow: Array
    layer: NDArray[np.intp]

    @classmethod
    def none(cls, plane: Plane) -> _Cysts:
        return cls(np.zeros((0, *plane.shape)), np.zeros((0, *plane.shape)), np.zeros(0, dtype=np.intp))

    def room(self, layer: int) -> Array:
        """The p-norm of the pillows: no less than the thickest pocket, and smooth."""
        return (self.pillow[self.layer == layer] ** 4).sum(axis=0) ** 0.25


def _healthy(plane: Plane, fovea: tuple[float, float], rng: np.random.Generator) -> Array:
    """Thickness ``9 S W`` of what lies between the boundaries: inner layers give way at the pit, cones fill it."""
    across, along = plane.x - fovea[0], plane.y - fovea[1]
    r = np.hypot(across, along)
    eye = float(rng.choice([-1.0, 1.0]))
    width = rng.uniform(0.38, 0.55)
    pit = np.exp(-((r / width) ** 2))
    rim = np.exp(-(((r - 1.0) / 0.55) ** 2))
    nasal = np.clip(eye * across, 0, None)
    nerve = (0.014 + 0.014 * nasal + 0.004 * r) * (1 - 0.85 * pit)
    plain = [
        nerve,
        (0.050 + 0.040 * rim) * (1 - 0.93 * pit),
        (0.034 + 0.009 * rim) * (1 - 0.88 * pit),
        0.026 * (1 - 0.65 * pit),
        0.066 + 0.042 * np.exp(-((r / 0.55) ** 2)),
        0.036 + 0.012 * np.exp(-((r / 0.3) ** 2)),
        np.zeros(plane.shape),
        np.full(plane.shape, 0.020),
        np.zeros(plane.shape),
    ]
    scale = float(rng.uniform(0.9, 1.12))
    return np.array(
        [
            t * scale * rng.uniform(0.92, 1.08) * np.exp(0.045 * plane.noise(0.6, rng) + 0.03 * plane.noise(0.15, rng))
            for t in plain
        ]
    )


def _floor(plane: Plane, rng: np.random.Generator) -> Array:
    """Bruch's membrane: the eye's bowl, the tilt of the scan, waves, and the eye's movement between slices."""
    bowl = float(rng.uniform(-0.004, 0.014))
    moved = rng.normal(0, 0.006, len(plane.slices))
    return (
        -bowl * plane.x**2
        + float(rng.normal(0, 0.018)) * plane.x
        + float(rng.normal(0, 0.012)) * plane.y
        + 0.010 * plane.noise(1.2, rng)
        + 0.0025 * plane.noise(0.25, rng)
        + moved[:, None]
    )


def _band(slices: Array, rng: np.random.Generator) -> tuple[float, float]:
    """The centre, on a slice, and half the width of the strip along y that disease keeps to: 45 to 75 % of the scan."""
    pitch = float(slices[1] - slices[0]) if len(slices) > 1 else 1.0
    half = 0.5 * rng.uniform(0.45, 0.75) * pitch * len(slices)
    return float(rng.choice(slices)), max(half, 0.75 * pitch)


def _window(plane: Plane, band: tuple[float, float]) -> Array:
    return np.clip(1 - ((plane.y - band[0]) / band[1]) ** 2, 0, None)


def _dome(
    plane: Plane,
    centre: float,
    band: tuple[float, float],
    reach: tuple[float, float],
    height: tuple[float, float],
    rng: np.random.Generator,
) -> Array:
    """The thickness of a lens of fluid with a wavy outline and roof, sometimes with a smaller one beside it."""
    total = np.zeros(plane.shape)
    first = float(rng.uniform(*reach))
    tall = min(float(rng.uniform(*height)), 0.18 * first)
    aside = float(rng.choice([-1.0, 1.0])) * first * float(rng.uniform(1.2, 1.8))
    lenses = [(centre, first, tall), (centre + aside, 0.45 * first, 0.55 * tall)]
    for x, size, high in lenses[: 2 if rng.random() < 0.35 else 1]:
        off = (plane.x - x) / size
        lean = float(rng.uniform(-0.35, 0.35))
        r2 = off**2 * (1 + lean * np.clip(off, -1, 1)) + ((plane.y - band[0]) / band[1]) ** 2
        r2 *= np.exp(0.16 * plane.noise(0.4, rng))
        lens = np.clip(1 - r2, 0, None) ** float(rng.uniform(0.75, 1.2))
        total = np.maximum(total, high * lens * np.exp(0.1 * plane.noise(0.3, rng)))
    return _seen(total)


def _draw_cysts(plane: Plane, centre: float, band: tuple[float, float], rng: np.random.Generator) -> _Cysts:
    """A cluster of rounded pockets: large ones in the outer nuclear layer, smaller ones in the inner."""
    pitch = abs(float(plane.slices[1] - plane.slices[0])) if len(plane.slices) > 1 else 0.0
    chords, pillows, layers = [], [], []
    for rank in range(int(rng.integers(8, 21))):
        outer = rng.random() < 0.55
        wide = float(rng.uniform(0.13, 0.36) if outer else rng.uniform(0.1, 0.26))
        tall = float(rng.uniform(0.2, 0.32)) * wide + 0.01
        x = centre + (float(rng.normal(0, 0.75)) if rank else 0.0)
        deep = min(max(wide, 0.9 * pitch), band[1])
        away = float(rng.uniform(-1, 1)) * (band[1] - deep) if rank else 0.0
        r2 = ((plane.x - x) / wide) ** 2 + ((plane.y - band[0] - away) / deep) ** 2
        r2 *= np.exp(0.22 * plane.noise(0.12, rng))
        chord = _seen(2 * tall * np.sqrt(np.clip(1 - r2, 0, None)))
        if chord.any():
            chords.append(chord)
            # sqrt(1 - r2) <= exp(-r2 / 2): the pillow is thicker than the pocket everywhere.
            pillows.append(2 * tall * np.exp(-r2 / 5))
            layers.append(_ONL if outer else _INL)
    return _Cysts(np.array(chords), np.array(pillows), np.array(layers, dtype=np.intp))


def _seen(thickness: Array) -> Array:
    """Nothing in the slices in which the pocket is nowhere thick enough to see."""
    return np.where(thickness.max(axis=1, keepdims=True) < _LEAST, 0.0, thickness)
