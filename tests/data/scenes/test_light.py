"""Claims about textures and the sensor."""

from __future__ import annotations

import numpy as np
import pytest

from segnoise.data.scenes.sensor import observe
from segnoise.data.scenes.spectra import CROPS, LAND, MATERIALS
from segnoise.data.scenes.texture import Surface, smooth_noise
from segnoise.draws import generator


@pytest.mark.parametrize("scale", [1.5, 6.0])
def test_noise_has_unit_variance_and_the_stated_correlation(scale: float) -> None:
    shape = (900, 900)
    noise = smooth_noise(shape, scale, generator(0)).raster(shape).astype(float)
    # Bilinear reading between nodes takes a little variance.
    assert noise.std() == pytest.approx(1, abs=0.08)
    lag = round(1.5 * scale)
    measured = np.mean(noise[:, :-lag] * noise[:, lag:]) / noise.var()
    assert measured == pytest.approx(np.exp(-(lag**2) / (4 * scale**2)), abs=0.06)


def test_a_surface_reads_the_same_at_points_and_as_a_raster() -> None:
    surface = Surface(generator(1).standard_normal((9, 7)), step=5.0)
    raster = surface.raster((40, 28))
    rows, columns = np.mgrid[0:40, 0:28]
    points = surface.at(columns.ravel() + 0.5, rows.ravel() + 0.5)
    np.testing.assert_allclose(points, raster.ravel(), atol=1e-6)


def test_the_sensor_keeps_the_level_of_even_land_and_adds_noise_that_grows_with_it() -> None:
    levels = np.array([0.05, 0.45], dtype=np.float32)
    light = np.repeat(levels, 100) * np.ones((4, 200, 1), dtype=np.float32)
    image = observe(light, generator(2)).astype(float)
    dark, bright = image[3, :, 10:90], image[3, :, 110:190]
    assert dark.mean() / 10000 == pytest.approx(0.05, abs=0.015)
    assert bright.mean() / 10000 == pytest.approx(0.45, abs=0.07)
    noise = [np.diff(part, axis=0).std() for part in (dark, bright)]
    assert noise[1] > 1.5 * noise[0] > 0


def test_the_sensor_blurs_an_edge_over_more_than_one_pixel() -> None:
    light = np.where(np.arange(120) < 60, 0.1, 0.5) * np.ones((4, 400, 1))
    profile = observe(light.astype(np.float32), generator(3))[3].mean(axis=0)
    step = (profile[59:61] - profile[40:55].mean()) / (profile[65:80].mean() - profile[40:55].mean())
    assert 0.02 < step[0] < step[1] < 0.98


def test_light_without_ground_signal_is_never_nodata() -> None:
    assert observe(np.zeros((4, 64, 64), dtype=np.float32), generator(4)).min() >= 1


def test_every_cover_is_made_of_known_materials_and_ordered_ranges() -> None:
    for name, cover in {**CROPS, **LAND}.items():
        for recipe in (cover.plant, cover.ground or {}):
            assert set(recipe) <= {*MATERIALS, "soil"}, name
        for low, high in (cover.green, cover.rows, cover.period, cover.trees, cover.tramline, *cover.blotch):
            assert low <= high, name


def test_plants_reflect_more_infrared_than_red_and_water_less() -> None:
    for name in ("leaf", "maize", "legume", "grass", "crown"):
        assert MATERIALS[name][3] > 4 * MATERIALS[name][2]
    for name in ("tan", "red", "dark", "dirt"):
        assert 1 < MATERIALS[name][3] / MATERIALS[name][2] < 2
    for name in ("clear", "turbid"):
        assert MATERIALS[name][3] < MATERIALS[name][2]
