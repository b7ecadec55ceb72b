from __future__ import annotations

import geopandas
import numpy as np
import pyproj
import pytest
from shapely import Polygon, box

from segnoise.errors import UserError
from segnoise.vector import metric_areas
from segnoise.vector.areas import square_metres_per_unit


def frame(crs: object, *shapes: object) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(geometry=list(shapes), crs=crs)


def test_utm_is_measured_in_the_plane():
    area, perimeter = metric_areas(frame(32736, box(5e5, 8e6, 5e5 + 30, 8e6 + 20)))
    assert (area[0], perimeter[0]) == (600, 100)


def test_feet_become_metres():
    foot = 0.3048006096012192
    area, perimeter = metric_areas(frame(2263, box(980_000, 190_000, 980_100, 190_050)))
    np.testing.assert_allclose([area[0], perimeter[0]], [5000 * foot**2, 300 * foot], rtol=1e-9)


@pytest.mark.parametrize("latitude", [-33.0, 0.0, 15.0, 52.0, 68.0])
@pytest.mark.parametrize("crs", [4326, 3857, 6933])
def test_degrees_web_mercator_and_equal_area_agree_with_the_geodesic_area(latitude, crs):
    place = frame(4326, box(20, latitude, 20.01, latitude + 0.01))
    expected, length = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(place.geometry[0])
    area, perimeter = metric_areas(place.to_crs(crs))
    np.testing.assert_allclose(area[0], expected, rtol=1e-4)
    if crs != 6933:  # equal areas, but not equal lengths
        np.testing.assert_allclose(perimeter[0], length, rtol=1e-4)


@pytest.mark.parametrize("crs", [32736, 4326])
def test_holes_count_against_the_area_and_towards_the_perimeter(crs):
    x, y, size = (5e5, 8e6, 100.0) if crs == 32736 else (33.0, -18.0, 0.001)
    whole, hole = box(x, y, x + 3 * size, y + 3 * size), box(x + size, y + size, x + 2 * size, y + 2 * size)
    ring = Polygon(whole.exterior.coords, [hole.exterior.coords])
    area, perimeter = metric_areas(frame(crs, whole, hole, ring, ring.reverse()))
    np.testing.assert_allclose(area[2:], area[0] - area[1], rtol=1e-9)
    np.testing.assert_allclose(perimeter[2:], perimeter[0] + perimeter[1], rtol=1e-9)


def test_grads_and_other_meridians_are_not_taken_for_degrees():
    place = frame(4326, box(2.0, 48.0, 2.01, 48.01))
    np.testing.assert_allclose(metric_areas(place.to_crs(4807))[0], metric_areas(place)[0], rtol=1e-3)


def test_a_local_grid_is_measured_in_its_own_unit():
    local = pyproj.CRS('LOCAL_CS["site",UNIT["foot",0.3048]]')
    area, perimeter = metric_areas(frame(local, box(0, 0, 10, 10)))
    np.testing.assert_allclose([area[0], perimeter[0]], [100 * 0.3048**2, 40 * 0.3048])


def test_a_square_degree_shrinks_with_latitude():
    equator, north = (square_metres_per_unit(pyproj.CRS(4326), 12, latitude) for latitude in (0, 60))
    assert equator == pytest.approx(110_574 * 111_320, rel=1e-3)
    assert north == pytest.approx(111_412 * 55_800, rel=1e-3)


def test_empty_geometries_have_no_area():
    area, perimeter = metric_areas(frame(4326, Polygon(), box(0, 0, 1, 1)))
    assert (area[0], perimeter[0]) == (0, 0)
    assert area[1] > 0
    assert metric_areas(frame(4326))[0].shape == (0,)


def test_coordinates_far_outside_the_crs_are_a_clear_error():
    with pytest.raises(UserError, match="outside the area where WGS 84 / UTM zone 36S is defined"):
        metric_areas(frame(32736, box(5e8, 8e6, 5e8 + 10, 8e6 + 10)))


def test_a_frame_without_crs_is_refused():
    with pytest.raises(UserError, match="no CRS"):
        metric_areas(frame(None, box(0, 0, 1, 1)))
