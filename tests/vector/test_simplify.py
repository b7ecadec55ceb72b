from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from shapely import Polygon, box

from segnoise.errors import UserError
from segnoise.vector import polygonize, simplify_coverage, trace
from segnoise.vector.canonical import canonical
from segnoise.vector.simplify import drop_vertices

RASTERS = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 4))


def vertices(shapes: np.ndarray) -> set[tuple[float, float]]:
    return {tuple(point) for point in shapely.get_coordinates(shapes).tolist()}


@settings(deadline=None)
@given(RASTERS, st.sampled_from([0.5, 0.75, 1.0, 2.0, 5.0, 50.0]))
def test_simplified_coverages_are_valid_coverages_of_their_own_vertices(labels, tolerance):
    exact = trace(canonical(labels).ids)
    simplified = drop_vertices(exact, tolerance)
    assert shapely.is_valid(simplified).all()
    assert shapely.coverage_is_valid(simplified)
    assert (shapely.area(simplified) > 0).all()
    assert vertices(simplified) <= vertices(exact)


def test_simplifying_corners_only_outlines_tears_the_coverage(parcels):
    """Guards the tests above: without the junction vertices of ``trace`` the same call gives gaps and overlaps."""
    exact = trace(canonical(parcels((80, 80), 30)).ids)
    assert shapely.coverage_is_valid(drop_vertices(exact, 1.5))
    corners_only = shapely.simplify(exact, 0)
    assert not shapely.coverage_is_valid(shapely.coverage_simplify(corners_only, 1.5))


def test_a_staircase_vanishes_above_pixel_over_root_two():
    steps = np.array([(0, 0), (50, 0), (50, 10), (40, 10), (40, 20), (30, 20), (30, 30), (0, 30)])
    stairs = Polygon(steps + np.array([500_000, 8_000_000]))
    frame = geopandas.GeoDataFrame(geometry=[stairs], crs=32736)
    below, above = (simplify_coverage(frame, 10 / np.sqrt(2) + more).geometry[0] for more in (-0.01, 0.01))
    assert below.equals(stairs)
    assert len(above.exterior.coords) < len(stairs.exterior.coords)


class TestSimplifyCoverage:
    @pytest.mark.parametrize("grid", ["utm", "degrees"])
    @pytest.mark.parametrize("tolerance_m", [0.0, 10.0])
    def test_coverage_stays_valid_in_metres_and_degrees(self, parcels, request, grid, tolerance_m):
        labels = parcels((120, 130), 60)
        frame = polygonize(labels, request.getfixturevalue(grid)(labels.shape))
        simplified = simplify_coverage(frame, tolerance_m)
        assert len(simplified) == len(frame)
        assert shapely.coverage_is_valid(simplified.geometry.to_numpy())
        assert simplified.is_valid.all()
        assert vertices(simplified.geometry.to_numpy()) <= vertices(frame.geometry.to_numpy())
        assert (simplified.count_coordinates().sum() < frame.count_coordinates().sum()) == (tolerance_m > 0)

    def test_equals_the_simplification_inside_polygonize(self, parcels, utm):
        labels = parcels((120, 130), 60)
        after = simplify_coverage(polygonize(labels, utm(labels.shape)), 10.0)
        within = polygonize(labels, utm(labels.shape), tolerance_m=10.0)
        assert shapely.equals_exact(after.geometry.to_numpy(), within.geometry.to_numpy()).all()

    @pytest.mark.parametrize(("crs", "pixel"), [(2263, 10 / 0.3048006096), (32618, 10.0)])
    def test_tolerance_is_metres_whatever_the_unit(self, crs, pixel):
        x, y = (980_000, 190_000) if crs == 2263 else (583_000, 4_507_000)
        stairs = np.array([(0, 0), (5, 0), (5, 1), (4, 1), (4, 2), (3, 2), (3, 3), (0, 3)]) * pixel + (x, y)
        frame = geopandas.GeoDataFrame(geometry=[Polygon(stairs)], crs=crs)
        assert len(simplify_coverage(frame, 7.0).geometry[0].exterior.coords) == 9
        assert len(simplify_coverage(frame, 7.2).geometry[0].exterior.coords) < 9

    def test_a_frame_without_rows_stays_empty(self):
        frame = geopandas.GeoDataFrame({"id": []}, geometry=[], crs=32736)
        assert len(simplify_coverage(frame, 5.0)) == 0

    def test_rows_without_area_are_left_out_and_counted(self):
        frame = geopandas.GeoDataFrame(geometry=[box(0, 0, 1, 1), Polygon()], crs=32736)
        kept = simplify_coverage(frame, 0.0)
        assert (kept.index.tolist(), kept.attrs["collapsed"]) == ([0], 1)

    def test_overlapping_polygons_are_refused(self):
        frame = geopandas.GeoDataFrame(geometry=[box(0, 0, 2, 2), box(1, 1, 3, 3)], crs=32736)
        with pytest.raises(UserError, match="overlap"):
            simplify_coverage(frame, 1.0)

    def test_polygons_without_crs_are_refused(self):
        with pytest.raises(UserError, match="no CRS"):
            simplify_coverage(geopandas.GeoDataFrame(geometry=[box(0, 0, 1, 1)]), 1.0)

    def test_a_negative_tolerance_is_refused(self):
        with pytest.raises(ValueError, match="negative"):
            simplify_coverage(geopandas.GeoDataFrame(geometry=[box(0, 0, 1, 1)], crs=32736), -1.0)
