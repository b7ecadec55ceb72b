from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.data import ArraySource, RasterSource, Region, Scaling, fit_scaling
from segnoise.data import scaling as module
from segnoise.errors import UserError
from segnoise.windows import Window


def region(index: int, array: np.ndarray) -> Region:
    return Region(index, Window((0, 0), array.shape[1:]))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), level=st.sampled_from([0.0, 1e3, 1e6]), tile=st.integers(3, 40))
def test_standardise_is_the_mean_and_deviation_of_all_valid_pixels(seed, level, tile):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(level, 3, (2, 30, 20)).astype(np.float32) for _ in range(2)]
    arrays[0][:, :7] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_TILE", tile)
        fitted = fit_scaling([ArraySource(a) for a in arrays], [region(i, a) for i, a in enumerate(arrays)])
    pixels = np.concatenate([arrays[0][:, 7:].reshape(2, -1), arrays[1].reshape(2, -1)], axis=1).astype(np.float64)
    assert fitted.offset == pytest.approx(pixels.mean(axis=1), rel=1e-12, abs=1e-12)
    assert fitted.scale == pytest.approx(pixels.std(axis=1), rel=1e-9)


def test_only_the_windows_asked_for_are_measured():
    array = np.stack([np.arange(100.0).reshape(10, 10)])
    fitted = fit_scaling([ArraySource(array)], [Region(0, Window((0, 0), (10, 5)))])
    assert fitted.offset == pytest.approx([array[:, :, :5].mean()])


def test_percentile_maps_the_1st_and_99th_to_0_and_1():
    array = np.random.default_rng(0).gamma(2, 100, (2, 50, 60))
    fitted = fit_scaling([ArraySource(array)], [region(0, array)], "percentile")
    low, high = np.percentile(array.astype(np.float32).reshape(2, -1), [1, 99], axis=1)
    assert fitted.offset == pytest.approx(low)
    assert np.add(fitted.offset, fitted.scale) == pytest.approx(high)


def test_a_bounded_sample_gives_nearly_the_same_percentiles_and_always_the_same(monkeypatch):
    array = np.random.default_rng(0).random((1, 300, 300))
    monkeypatch.setattr(module, "_SAMPLE", 10_000)
    monkeypatch.setattr(module, "_TILE", 64)
    kept = module._Sample(1)
    for i in range(9):
        kept.add(array[:, :, i * 30 : i * 30 + 30].reshape(1, -1).astype(np.float32), np.random.default_rng(i))
    assert 3_000 < kept.pixels().shape[1] <= 10_000
    fits = [fit_scaling([ArraySource(array)], [region(0, array)], "percentile") for _ in range(2)]
    assert fits[0] == fits[1]
    assert fits[0].offset[0] == pytest.approx(0.01, abs=0.005)
    assert fits[0].scale[0] == pytest.approx(0.98, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 0.1, 12345.678])
@pytest.mark.parametrize("kind", ["standardise", "percentile"])
def test_a_constant_band_has_scale_1(kind, value):
    array = np.full((1, 33, 37), value)
    fitted = fit_scaling([ArraySource(array)], [region(0, array)], kind)
    assert fitted.scale == (1.0,)
    assert fitted.offset == pytest.approx([value])


def test_divide_is_offset_0_and_needs_a_number():
    source = ArraySource(np.ones((3, 4, 4)))
    assert fit_scaling([source], [region(0, np.ones((3, 4, 4)))], "divide", 3000) == Scaling((0,) * 3, (3000,) * 3)
    for number in [None, 0, float("nan"), -1]:
        with pytest.raises(UserError, match="cannot divide by"):
            fit_scaling([source], [region(0, np.ones((3, 4, 4)))], "divide", number)


@pytest.mark.parametrize("kind", ["standardise", "percentile", "divide"])
def test_a_scene_of_nodata_is_named(write_raster, kind):
    path = write_raster("blank.tif", np.full((2, 8, 8), -1, dtype=np.int16), nodata=-1)
    with pytest.raises(UserError, match=r"no valid pixel in .*blank\.tif"):
        fit_scaling([RasterSource(path)], [Region(0, Window((0, 0), (8, 8)))], kind, 255)


def test_one_blank_scene_among_others_is_told_and_left_out(caplog):
    arrays = [np.ones((1, 4, 4)) * 7, np.full((1, 4, 4), np.nan)]
    sources = [ArraySource(a, name=n) for a, n in zip(arrays, ["good", "blank"], strict=True)]
    assert fit_scaling(sources, [region(i, a) for i, a in enumerate(arrays)]).offset == (7.0,)
    assert "blank: no valid pixel" in caplog.text


def test_applied_values_are_float32_arithmetic_and_0_where_unobserved():
    image = np.random.default_rng(0).random((2, 5, 6)).astype(np.float32)
    observed = np.random.default_rng(1).random((5, 6)) < 0.7
    scaling = Scaling((0.1, 0.2), (0.3, 7.0))
    scaled = scaling.apply(image, observed)
    expected = (image - np.float32([0.1, 0.2])[:, None, None]) / np.float32([0.3, 7.0])[:, None, None]
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled, np.where(observed, expected, 0))
    assert Scaling.from_dict(scaling.to_dict()) == scaling


def test_progress_counts_to_the_end():
    array, told = np.ones((1, 2500, 10)), []
    fit_scaling([ArraySource(array)], [region(0, array)], progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
