"""Label maps to corrupt: parcels that touch, and their classes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from segnoise.draws import generator


def voronoi(shape: tuple[int, ...], seed: int, cell: float = 18.0, share: float = 0.6) -> NDArray[np.int32]:
    """Ids of cells around random points, a share of them kept and the rest background."""
    rng = generator(seed, "parcels")
    count = max(int(np.prod(shape) / cell ** len(shape)), 2)
    points = rng.random((count, len(shape))) * shape
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, len(shape))
    ids = cKDTree(points).query(grid)[1].reshape(shape) + 1
    kept = np.concatenate([[False], rng.random(count) < share])
    return np.where(kept[ids], ids, 0).astype(np.int32)


@pytest.fixture(scope="session")
def parcels() -> NDArray[np.int32]:
    """Object ids, 160 x 200: some parcels touch, some lie alone."""
    return voronoi((160, 200), seed=1)


@pytest.fixture(scope="session")
def blocks() -> NDArray[np.int32]:
    """Object ids in a volume, 24 x 28 x 32."""
    return voronoi((24, 28, 32), seed=2, cell=9.0)


@pytest.fixture(scope="session")
def classes(parcels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Four classes with an unknown corner, 160 x 200."""
    labels = (parcels % 4).astype(np.uint8)
    labels[:40, :50] = 255
    return labels


@pytest.fixture(scope="session")
def cells() -> NDArray[np.int32]:
    """Object ids, 400 x 400: discs of radius 8 to 15 in rows, none of which touch."""
    rows, columns = np.mgrid[:400, :400]
    ids = np.zeros((400, 400), np.int32)
    for k in range(81):
        ids[np.hypot(rows - 22 - 44 * (k // 9), columns - 22 - 44 * (k % 9)) < 8 + 7 * k % 8] = k + 1
    return ids
