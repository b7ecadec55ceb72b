"""Label rasters that look like fields, and the grids they lie on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.spatial import cKDTree

Parcels = Callable[..., NDArray[Any]]


@pytest.fixture(scope="session")
def parcels() -> Parcels:
    """Touching parcels: the Voronoi cells of random seeds, stretched, a fifth of them background."""

    def make(shape: tuple[int, int], count: int, seed: int = 0, background: float = 0.2) -> NDArray[np.int32]:
        rng = np.random.default_rng(seed)
        seeds = rng.random((count, 2)) * shape
        rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
        stretch = np.array([1.0, 0.6])
        _, cell = cKDTree(seeds * stretch).query(np.column_stack([rows.ravel(), columns.ravel()]) * stretch)
        ids = np.where(rng.random(count) < background, 0, np.arange(1, count + 1))
        return ids[cell].reshape(shape).astype(np.int32)

    return make


@pytest.fixture(scope="session")
def utm() -> Callable[..., GeoBox]:
    """A 10 m grid in UTM zone 36 S."""

    def make(shape: tuple[int, int], pixel: float = 10.0) -> GeoBox:
        return GeoBox(shape, Affine(pixel, 0, 500_000, 0, -pixel, 8_000_000), "EPSG:32736")

    return make


@pytest.fixture(scope="session")
def degrees() -> Callable[..., GeoBox]:
    """A grid of about 10 m in degrees, at 45 degrees north, where they are 1.41 times longer one way."""

    def make(shape: tuple[int, int], pixel: float = 1e-4) -> GeoBox:
        return GeoBox(shape, Affine(pixel, 0, 12.0, 0, -pixel, 45.0), "EPSG:4326")

    return make
