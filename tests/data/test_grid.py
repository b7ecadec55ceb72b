from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod

from segnoise.data import describe_grid, pixel_spacing, same_grid

UTM = GeoBox((20, 30), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32633")


def test_utm_spacing_is_the_pixel_size():
    assert pixel_spacing(UTM) == (10, 10)


def test_rotation_keeps_spacing():
    cos, sin = np.cos(0.5), np.sin(0.5)
    turned = GeoBox((20, 30), Affine(20 * cos, 30 * sin, 500000, 20 * sin, -30 * cos, 5000000), "EPSG:32633")
    assert pixel_spacing(turned) == pytest.approx((30, 20))


def test_feet_become_metres():
    feet = GeoBox((20, 30), Affine(10, 0, 2000000, 0, -10, 500000), "EPSG:2225")
    assert pixel_spacing(feet) == pytest.approx((3.048, 3.048), rel=1e-5)


def test_degrees_become_metres_at_the_centre():
    grid = GeoBox((10, 10), Affine(1e-4, 0, 20, 0, -2e-4, 45), "EPSG:4326")
    geod = Geod(ellps="WGS84")
    latitude = 45 - 10e-4
    east = geod.inv(20.0005, latitude, 20.0006, latitude)[2]
    north = geod.inv(20.0005, latitude, 20.0005, latitude - 2e-4)[2]
    assert pixel_spacing(grid) == pytest.approx((north, east), rel=1e-6)


def test_web_mercator_is_told_in_true_metres():
    at_60_north = GeoBox((10, 10), Affine(10, 0, 0, 0, -10, 8399737.9), "EPSG:3857")
    assert pixel_spacing(at_60_north) == pytest.approx((5, 5), rel=0.01)
    at_the_equator = GeoBox((10, 10), Affine(10, 0, 0, 0, -10, 50), "EPSG:3857")
    assert pixel_spacing(at_the_equator) == (10, 10)


def test_no_crs_has_unknown_spacing():
    assert np.isnan(pixel_spacing(GeoBox((20, 30), UTM.affine, None))).all()


def test_the_same_crs_in_another_spelling_is_the_same_grid():
    for spelling in [
        CRS(32633).to_wkt("WKT1_ESRI"),
        CRS(32633).to_wkt("WKT1_GDAL"),
        "+proj=utm +zone=33 +datum=WGS84",
    ]:
        assert same_grid(UTM, GeoBox(UTM.shape, UTM.affine, spelling))


@pytest.mark.parametrize("shift", [1e-9, -1e-9])
def test_rounding_is_no_other_grid_but_a_hundredth_of_a_pixel_is(shift):
    def moved(pixels):
        return GeoBox(UTM.shape, Affine(10, 0, 500000 + 10 * pixels, 0, -10, 5000000), "EPSG:32633")

    assert same_grid(UTM, moved(shift))
    assert not same_grid(UTM, moved(np.sign(shift) * 0.01))


def test_description_names_rotation_and_nameless_crs():
    albers = "+proj=aea +lat_0=23 +lon_0=-96 +lat_1=29.5 +lat_2=45.5 +datum=WGS84"
    text = describe_grid(GeoBox((20, 30), Affine(10, 1, 0, 1, -10, 0), albers))
    assert "without EPSG code" in text
    assert "rotation (1, 1)" in text
    assert "no CRS" in describe_grid(GeoBox((2, 3), Affine.identity(), None))
