"""Data kept in memory is what the files hold."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from segnoise.data import RasterLabels, RasterSource, keep_in_memory
from segnoise.windows import Window


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A scene with nodata and NaN, wider than one tile, and its labels, from their files and kept in memory."""
    folder = tmp_path_factory.mktemp("resident")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 40, 1100)).astype(np.float32)
    values[:, 3:9, 5:70], values[0, 20, 1050] = -1, np.nan
    labels = rng.integers(0, 3, (40, 1100)).astype(np.uint8)
    labels[:5] = 255
    place = {
        "driver": "GTiff",
        "height": 40,
        "width": 1100,
        "crs": "EPSG:32636",
        "transform": from_origin(5e5, 4e6, 3, 3),
    }
    with rasterio.open(folder / "scene.tif", "w", count=2, dtype="float32", nodata=-1, **place) as dst:
        dst.write(values)
    with rasterio.open(folder / "labels.tif", "w", count=1, dtype="uint8", **place) as dst:
        dst.write(labels, 1)
    source, labels = RasterSource(folder / "scene.tif"), RasterLabels(folder / "labels.tif")
    [held], [held_labels] = keep_in_memory([source], [labels])
    return source, labels, held, held_labels


@settings(deadline=None)
@given(st.integers(-10, 39), st.integers(-10, 1099), st.integers(1, 60), st.integers(1, 60))
def test_every_window_reads_the_same_bits(files, y, x, h, w):
    source, labels, held, held_labels = files
    window = Window((y, x), (h, w))
    for ours, theirs in zip(held.read(window), source.read(window), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
    assert np.array_equal(held_labels.read(window), labels.read(window))
    assert (held.name, held.shape, held.channels, held.spacing) == (
        source.name, source.shape, source.channels, source.spacing,
    )  # fmt: skip


def test_what_does_not_fit_stays_in_its_files(files):
    source, labels, _, _ = files
    size = 40 * 1100 * (2 * 4 + 1 + 1)
    assert keep_in_memory([source], [labels], limit=size - 1)[0][0] is source
    assert keep_in_memory([source], [labels], limit=size)[0][0] is not source
