from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from rasterio.features import rasterize, shapes

from segnoise.vector import trace
from segnoise.vector.canonical import canonical
from segnoise.vector.trace import lattice_vertices

RASTERS = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=10), elements=st.integers(0, 4))

CORNER_CASES = {
    "pinch point": [[1, 0], [0, 1]],
    "pinch point inside one piece": [[1, 1, 1], [1, 0, 1], [1, 1, 0]],
    "two pinches of one hole": [[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]],
    "hole with an island": [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 2, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]],
    "island of the same id": [[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]],
    "hole filled by two": [[1, 1, 1, 1], [1, 2, 3, 1], [1, 1, 1, 1]],
    "one-pixel fields": [[1, 2], [3, 4]],
    "a single pixel": [[1]],
    "the whole raster": [[1, 1, 1], [1, 1, 1]],
    "a line of pixels": [[1, 2, 2, 3, 3, 3]],
    "checkerboard": ((np.indices((7, 8)).sum(axis=0) % 2) * (np.arange(56).reshape(7, 8) + 1)).tolist(),
    "checkerboard of one id": (np.indices((7, 8)).sum(axis=0) % 2).tolist(),
    "diagonal stripes": ((np.indices((8, 9)).sum(axis=0) // 2) % 4).tolist(),
}


def burn(polygons: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    pairs = [(polygon, i) for i, polygon in enumerate(polygons, start=1)]
    if not pairs:
        return np.zeros(shape, np.int32)
    return rasterize(pairs, out_shape=shape, transform=Affine.identity(), dtype=np.int32)


def crack_edges(mask: np.ndarray) -> int:
    """The number of pixel sides between the mask and the rest."""
    padded = np.pad(mask, 1).astype(int)
    return int(np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum())


def as_set(polygons: np.ndarray) -> set[bytes]:
    return set(shapely.to_wkb(shapely.normalize(polygons)).tolist())


def check_exact(labels: np.ndarray) -> None:
    found = canonical(labels)
    outlines = trace(found.ids)
    assert len(outlines) == len(found.values)
    assert shapely.is_valid(outlines).all()
    assert np.array_equal(burn(outlines, labels.shape), found.ids)
    assert shapely.area(outlines).tolist() == found.n_px.tolist()
    edges = [crack_edges(found.ids == i) for i in range(1, len(outlines) + 1)]
    assert shapely.length(outlines).tolist() == edges
    assert shapely.coverage_is_valid(outlines)


@given(RASTERS)
def test_outlines_give_the_raster_its_areas_and_its_perimeters_back(labels):
    check_exact(labels)


@pytest.mark.parametrize("labels", CORNER_CASES.values(), ids=CORNER_CASES.keys())
def test_corner_cases_are_exact_valid_coverages(labels):
    check_exact(np.array(labels, np.int32))


def test_parcels_are_an_exact_valid_coverage(parcels):
    check_exact(parcels((150, 170), 80))


def test_outlines_without_junction_vertices_are_not_a_coverage(parcels):
    """Guards the tests above: what rasterio alone gives, corners only, must fail the check they rely on."""
    ids = canonical(parcels((60, 60), 20)).ids
    corners = np.array([shapely.geometry.shape(s) for s, _ in shapes(ids, mask=ids > 0, connectivity=4)])
    assert as_set(shapely.simplify(trace(ids), 0)) == as_set(shapely.simplify(corners, 0))
    assert not shapely.coverage_is_valid(corners)


def test_empty_raster_has_no_outlines():
    assert trace(np.zeros((5, 4), np.int32)).shape == (0,)
    assert trace(np.zeros((0, 4), np.int32)).shape == (0,)


def test_an_object_in_pieces_is_one_multipolygon():
    (outline,) = trace(np.array([[1, 0, 1]], np.int32))
    assert outline.geom_type == "MultiPolygon"
    assert len(outline.geoms) == 2


def test_coordinates_are_lattice_points_and_each_vertex_turns_or_joins():
    labels = np.array([[1, 1, 1, 1], [2, 2, 3, 3]], np.int32)
    upper = trace(labels)[0]
    assert sorted(set(upper.exterior.coords)) == [(0, 0), (0, 1), (2, 1), (4, 0), (4, 1)]


@given(RASTERS, st.integers(0, 3), st.booleans())
def test_flips_and_turns_of_the_raster_turn_the_polygons(labels, turns, flip):
    height, width = labels.shape
    x, y = np.meshgrid(np.arange(width + 1), np.arange(height + 1))

    def turned(array: np.ndarray) -> np.ndarray:
        return np.rot90(array[:, ::-1] if flip else array, turns)

    # Turning the lattice's own coordinates tells where each lattice point of the turned raster came from.
    source_x, source_y = turned(x), turned(y)
    outlines = trace(canonical(turned(labels)).ids)

    def back(xy: np.ndarray) -> np.ndarray:
        column, row = xy[:, 0].astype(int), xy[:, 1].astype(int)
        return np.column_stack([source_x[row, column], source_y[row, column]]).astype(float)

    assert as_set(shapely.transform(outlines, back)) == as_set(trace(canonical(labels).ids))


@given(RASTERS)
def test_every_lattice_point_where_three_fields_meet_is_a_vertex_of_each(labels):
    found = canonical(labels)
    around = np.pad(found.ids, 1)
    outlines = trace(found.ids)
    corners = [{tuple(point) for point in shapely.get_coordinates(outline).tolist()} for outline in outlines]
    for row, column in np.argwhere(lattice_vertices(found.ids)):
        window = around[row : row + 2, column : column + 2]
        if len(np.unique(window)) >= 3:
            assert all((column, row) in corners[i - 1] for i in np.unique(window[window > 0]))
