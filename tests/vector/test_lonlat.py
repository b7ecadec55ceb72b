from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely
from shapely import MultiPolygon, Polygon, box

from segnoise.errors import UserError
from segnoise.vector import polygonize
from segnoise.vector.lonlat import bounding_box, to_lonlat


def lonlat(crs: object, *shapes: object) -> np.ndarray:
    return to_lonlat(geopandas.GeoDataFrame(geometry=list(shapes), crs=crs))


def test_a_simplified_coverage_is_still_one_in_rounded_degrees(parcels, utm):
    labels = parcels((150, 150), 90)
    shapes = to_lonlat(polygonize(labels, utm(labels.shape), tolerance_m=10.0))
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)


def test_coordinates_have_seven_decimals_and_lie_within_a_centimetre():
    place = geopandas.GeoDataFrame(geometry=[box(500_003, 8_000_007, 500_023, 8_000_017)], crs=32736)
    (shape,) = to_lonlat(place)
    xy = shapely.get_coordinates(shape)
    assert (np.round(xy, 7) == xy).all()
    back = geopandas.GeoSeries([shape], crs=4326).to_crs(32736)[0]
    assert back.hausdorff_distance(place.geometry[0]) < 0.012


def test_outer_rings_turn_left_and_holes_right():
    ring = Polygon(box(0, 0, 3, 3).exterior.coords, [box(1, 1, 2, 2).exterior.coords])
    for shape in lonlat(4326, ring, ring.reverse(), MultiPolygon([ring.reverse()])):
        for part in shapely.get_parts(shape):
            assert part.exterior.is_ccw
            assert not part.interiors[0].is_ccw


def test_vertices_that_round_together_become_one():
    (shape,) = lonlat(4326, Polygon([(0, 0), (1, 0), (1, 1e-9), (1, 1), (0, 1)]))
    assert len(shape.exterior.coords) == 5


def test_what_rounding_made_invalid_is_repaired():
    thin = Polygon([(0, 0), (1, 0), (1, 1), (0.5, 4e-8), (0, 1)])
    holed = Polygon(box(0, 0, 1, 1).exterior.coords, [[(0.5, 0.5), (0.5 + 1e-9, 0.5), (0.5, 0.5 + 1e-9)]])
    shapes = lonlat(4326, thin, holed)
    assert shapely.is_valid(shapes).all()
    np.testing.assert_allclose(shapely.area(shapes), [0.5, 1.0], atol=1e-6)
    assert len(shapes[1].interiors) == 0
    xy = shapely.get_coordinates(shapes)
    assert (np.round(xy, 7) == xy).all()


def test_a_polygon_smaller_than_the_rounding_is_empty():
    (shape,) = lonlat(4326, Polygon([(0, 0), (1e-9, 0), (0, 1e-9)]))
    assert shape.is_empty


def test_heights_are_dropped():
    (shape,) = lonlat(4326, Polygon([(0, 0, 5), (1, 0, 5), (1, 1, 5)]))
    assert not shape.has_z


class TestAntimeridian:
    def test_a_projected_polygon_across_it_is_cut_in_two(self):
        field = box(140_000, 8_100_000, 190_000, 8_150_000)
        (shape,) = lonlat(32701, field)
        assert shape.geom_type == "MultiPolygon"
        west, east = sorted(part.bounds for part in shape.geoms)
        assert west[0] == -180
        assert east[2] == 180
        assert west[2] < -179
        assert east[0] > 179
        back = sum(part.area for part in geopandas.GeoSeries(shapely.get_parts(shape), crs=4326).to_crs(32701).geometry)
        assert back == pytest.approx(field.area, rel=1e-3)

    def test_longitudes_beyond_180_are_brought_back(self):
        beyond, across = lonlat(4326, box(200, 0, 210, 5), box(170, -10, 190, 10))
        assert beyond.bounds == (-160, 0, -150, 5)
        assert [part.bounds for part in across.geoms] == [(170, -10, 180, 10), (-180, -10, -170, 10)]

    def test_a_polygon_that_touches_it_is_not_cut(self):
        (shape,) = lonlat(4326, box(170, 0, 180, 5))
        assert shape.bounds == (170, 0, 180, 5)

    def test_a_polygon_around_the_globe_in_degrees_is_meant_so(self):
        (shape,) = lonlat(4326, box(-180, -90, 180, 90))
        assert shape.area == 360 * 180

    def test_the_bounding_box_is_the_narrowest(self):
        fiji = np.array([box(177, -20, 179, -16), box(-179, -19, -178, -18)])
        assert bounding_box(fiji) == [177, -20, -178, -16]
        assert bounding_box(lonlat(4326, box(170, -10, 190, 10))) == [170, -10, -170, 10]
        assert bounding_box(np.array([box(-10, 0, 5, 1), box(20, -3, 30, 1)])) == [-10, -3, 30, 1]


def test_coordinates_outside_the_crs_are_a_clear_error():
    with pytest.raises(UserError, match="outside the area where CRS 'WGS 84 / UTM zone 36S' is defined"):
        lonlat(32736, box(5e8, 8e6, 5e8 + 10, 8e6 + 10))
    with pytest.raises(UserError, match="outside the area"):
        lonlat(4326, box(500_000, 4_000_000, 500_010, 4_000_010))


def test_a_local_crs_is_a_clear_error():
    with pytest.raises(UserError, match="'site' cannot be converted"):
        lonlat('LOCAL_CS["site",UNIT["metre",1]]', box(0, 0, 1, 1))
