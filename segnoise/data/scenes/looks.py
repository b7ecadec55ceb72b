"""The look of every patch, drawn once: which crop grows, what it mixes, how it is textured and where its rows run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.special import ndtri

from segnoise.data.scenes.landscape import Landscape
from segnoise.data.scenes.parcels import REGIMES, Geometries
from segnoise.data.scenes.spectra import CROPS, LAND, MATERIALS
from segnoise.data.scenes.texture import Grid, smooth_noise

CROP_SHARES: dict[str, dict[str, float]] = {
    "smallholder": {
        "maize": 0.26,
        "legume": 0.14,
        "vegetables": 0.16,
        "cereal": 0.08,
        "ripe": 0.06,
        "bare": 0.11,
        "stubble": 0.07,
        "fallow": 0.12,
    },
    "medium": {
        "maize": 0.2,
        "cereal": 0.18,
        "ripe": 0.14,
        "legume": 0.12,
        "sunflower": 0.08,
        "bare": 0.12,
        "stubble": 0.1,
        "fallow": 0.06,
    },
    "large": {
        "maize": 0.22,
        "cereal": 0.2,
        "ripe": 0.14,
        "legume": 0.12,
        "sunflower": 0.06,
        "bare": 0.14,
        "stubble": 0.12,
    },
}
"""How often each regime grows each crop."""


@dataclass(frozen=True)
class Looks:
    """What ``Cover`` gives ranges for, drawn: one row a patch, row ``i`` for the pixels of id ``i``.

    ``plant`` and ``ground`` are reflectances ``P 4``; ``wave`` is the wave vector of rows ``P 2`` (x, y) in radians a
    pixel, seen from ``centre`` and radial where ``pivot``; ``crown_level`` and ``wet_level`` are the levels above
    which a Gaussian texture is a crown or standing water.
    """

    plant: Grid
    ground: Grid
    green: Grid
    slope: Grid
    blotch: Grid
    mottle: Grid
    rows: Grid
    furrow: Grid
    wave: Grid
    tramline: Grid
    drains: Grid
    crown_level: Grid
    roofs: Grid
    wet_level: Grid
    centre: Grid
    pivot: NDArray[np.bool_]


def draw_crops(regime: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.str_]:
    """A crop for every field."""
    crops = np.full(len(regime), "", dtype="<U12")
    for index, name in enumerate(REGIMES):
        here = regime == index
        shares = CROP_SHARES[name]
        crops[here] = rng.choice(list(shares), here.sum(), p=np.array(list(shares.values())))
    return crops


def draw_looks(land: Landscape, crops: NDArray[np.str_], shape: tuple[int, int], rng: np.random.Generator) -> Looks:
    """The looks of ``land.fields`` (ids from 1) and then of ``land.patches``; id 0 is a stretch of plain land."""
    covers = [LAND["scrub"], *(CROPS[name] for name in crops), *(LAND[name] for name in land.cover)]
    geometry = np.concatenate([np.array([shapely.box(0, 0, shape[1], shape[0])]), land.fields, land.patches])
    count = len(covers)
    centre = shapely.get_coordinates(shapely.centroid(geometry))
    pivot = np.full((count, 2), np.nan)
    pivot[1 : 1 + len(land.fields)] = land.pivot
    watered = ~np.isnan(pivot[:, 0])
    centre[watered] = pivot[watered]
    soil = _soils(centre, shape, rng)

    def ranged(name: str) -> NDArray[np.float64]:
        low, high = np.array([getattr(cover, name) for cover in covers]).T
        return rng.uniform(low, high)

    def tinted(spectra: NDArray[np.float64], brightness: float) -> NDArray[np.float64]:
        return spectra * np.exp(0.03 * rng.standard_normal((count, 4)) + brightness * rng.standard_normal((count, 1)))

    plain = {"soil": (1.0, 1.0)}
    plant = tinted(_mixtures([cover.plant for cover in covers], soil, rng), 0.08)
    ground = tinted(_mixtures([cover.ground or plain for cover in covers], soil, rng), 0.10)
    blotch = np.array([cover.blotch for cover in covers])
    lined = np.array([cover.rows[1] + cover.furrow[1] + cover.roofs[1] > 0 for cover in covers])
    heading = _headings(geometry, lined) + np.pi / 2 * (rng.random(count) < 0.12)
    rise = rng.uniform(0, 2 * np.pi, count)
    steepness = ranged("slope") / np.maximum(np.sqrt(shapely.area(geometry)), 10)
    drawn = {
        "plant": plant,
        "ground": ground,
        "green": ranged("green"),
        "slope": steepness[:, None] * np.stack([np.cos(rise), np.sin(rise)], 1),
        "blotch": rng.uniform(blotch[:, :, 0], blotch[:, :, 1]),
        "mottle": ranged("mottle"),
        "rows": ranged("rows"),
        "furrow": ranged("furrow"),
        "wave": 2 * np.pi / ranged("period")[:, None] * np.stack([-np.sin(heading), np.cos(heading)], 1),
        "tramline": ranged("tramline") * (rng.random(count) < 0.75),
        "drains": ranged("drains") * (rng.random(count) < 0.4),
        "crown_level": ndtri(1 - ranged("trees")),
        "roofs": ranged("roofs"),
        "wet_level": ndtri(1 - ranged("wet")),
        "centre": centre,
    }
    return Looks(**{name: values.astype(np.float32) for name, values in drawn.items()}, pivot=watered)


def _soils(centre: NDArray[np.float64], shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """The soil at each patch, ``P 4``: a mixture of three that changes slowly across the scene."""
    lean = np.stack([smooth_noise(shape, 250.0, rng).at(*centre.T) for _ in range(3)], 1)
    weight = np.exp(0.9 * lean)
    weight /= weight.sum(1, keepdims=True)
    return weight @ np.array([MATERIALS[name] for name in ("tan", "red", "dark")])


def _mixtures(
    recipes: list[dict[str, tuple[float, float]]], soil: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """One reflectance a patch, ``P 4``: its recipe's materials in drawn shares."""
    mixed = np.zeros_like(soil)
    total = np.zeros((len(recipes), 1))
    for name in dict.fromkeys(name for recipe in recipes for name in recipe):
        low, high = np.array([recipe.get(name, (0.0, 0.0)) for recipe in recipes]).T
        share = rng.uniform(low, high)[:, None]
        mixed += share * (soil if name == "soil" else np.array(MATERIALS[name]))
        total += share
    return mixed / total


def _headings(geometry: Geometries, wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The direction of the longer side of each wanted patch in radians; 0 for the others."""
    heading = np.zeros(len(geometry))
    corners = shapely.get_coordinates(shapely.oriented_envelope(geometry[wanted])).reshape(-1, 5, 2)
    sides = np.diff(corners[:, :3], axis=1)
    longest = np.hypot(sides[..., 0], sides[..., 1]).argmax(1)
    side = sides[np.arange(len(sides)), longest]
    heading[wanted] = np.arctan2(side[:, 1], side[:, 0])
    return heading
