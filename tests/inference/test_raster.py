"""Windowed prediction equals whole-image prediction, respects nodata, and needs memory for rows only."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segnoise.config import make_config
from segnoise.data import ArraySource, PerImage, RasterSource
from segnoise.errors import UserError
from segnoise.inference import predict_array, predict_fields, predict_raster
from segnoise.training import load, train
from segnoise.windows import Window


class PerPixel(nn.Module):
    """Logits that depend on the pixel alone."""

    def forward(self, x):
        return torch.stack([x[:, 0], 1.5 - x[:, 1], x[:, 0] * x[:, 1]], 1)


class Convolution(nn.Module):
    """A small network with a receptive field of 5 pixels."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1))

    def forward(self, x):
        return self.net(x)


def image(h, w, seed=0):
    return np.random.default_rng(seed).normal(size=(2, h, w)).astype(np.float32)


def whole(model, array):
    with torch.no_grad():
        return model(torch.from_numpy(array)[None]).softmax(1)[0].numpy()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(4, 40), st.integers(0, 39), st.integers(1, 5))
def test_a_per_pixel_model_gives_the_same_scores_however_it_is_tiled(h, w, window, overlap, batch):
    array = image(h, w)
    found, observed = predict_array(PerPixel(), ArraySource(array), window, min(overlap, window - 1), batch)
    assert observed.all()
    np.testing.assert_allclose(found, whole(PerPixel(), array), atol=2e-6)


def test_a_convolution_differs_only_within_its_reach_of_a_seam():
    array, model = image(90, 70), Convolution()
    found, _ = predict_array(model, ArraySource(array), 48, 0)
    difference = np.abs(found - whole(model, array)).max(0)
    near = np.zeros_like(difference, dtype=bool)
    for seam in (42, 48):
        near[seam - 2 : seam + 2] = True
    for seam in (22, 48):
        near[:, seam - 2 : seam + 2] = True
    assert difference[~near].max() < 1e-6
    blended, _ = predict_array(model, ArraySource(array), 48, 24)
    assert np.abs(blended - whole(model, array)).max() < difference.max()


def write(path, array, **profile):
    with rasterio.open(
        path, "w", driver="GTiff", count=len(array), height=array.shape[1], width=array.shape[2], dtype=array.dtype,
        crs="EPSG:32636", transform=rasterio.Affine(10, 0, 3e5, 0, -10, 1e5), **profile,
    ) as dst:  # fmt: skip
        dst.write(array)
    return path


def test_labels_and_scores_lie_on_the_scenes_grid_with_its_nodata(tmp_path):
    array = image(75, 130)
    array[:, 10:20, 30:60] = -9999
    scene = write(tmp_path / "s.tif", array, nodata=-9999)
    predict_raster(PerPixel(), scene, tmp_path / "l.tif", window=32, overlap=8, scores=tmp_path / "p.tif")
    expected = whole(PerPixel(), array)
    with rasterio.open(scene) as s, rasterio.open(tmp_path / "l.tif") as labels, rasterio.open(tmp_path / "p.tif") as p:
        assert labels.crs == p.crs == s.crs
        assert labels.transform == p.transform == s.transform
        assert labels.profile["tiled"]
        assert labels.profile["compress"] == "deflate"
        assert (labels.nodata, labels.dtypes) == (255, ("uint8",))
        known = s.dataset_mask() > 0
        np.testing.assert_array_equal(labels.read(1)[known], expected.argmax(0)[known])
        assert (labels.read(1)[~known] == 255).all()
        np.testing.assert_allclose(p.read()[:, known], expected[:, known], atol=2e-6)
        assert np.isnan(p.read()[:, ~known]).all()


def test_the_models_own_fill_stands_where_nothing_is_observed():
    class Sees(nn.Module):
        fill = (7.0, -3.0)

        def forward(self, x):
            self.seen = x
            return x

    array = image(8, 8)
    array[:, 2:4] = np.nan
    model = Sees()
    predict_array(model, ArraySource(array), 8, 0)
    assert (model.seen[0, 0, 2:4] == 7).all()
    assert (model.seen[0, 1, 2:4] == -3).all()


class Endless:
    """A scene of any height that exists only where it is read."""

    name, channels, spacing = "endless", 2, (1.0, 1.0)

    def __init__(self, height, width=256):
        self.shape = (height, width)

    def read(self, window: Window):
        inside = window.clip(self.shape)
        observed = np.zeros(window.size, dtype=bool)
        observed[inside.within(window)] = True
        return np.ones((2, *window.size), dtype=np.float32), observed


def test_peak_memory_does_not_grow_with_the_height_of_the_scene(tmp_path):
    peaks = []
    for height in (512, 512, 4096):  # the first run pays for what is loaded once
        tracemalloc.start()
        predict_raster(PerPixel(), Endless(height), tmp_path / "x.tif", window=64, overlap=16, overwrite=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1]


def test_a_failure_in_the_middle_leaves_no_file(tmp_path):
    class Breaks(PerPixel):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 3:
                raise RuntimeError("out of memory")
            return super().forward(x)

    with pytest.raises(RuntimeError):
        predict_raster(Breaks(), ArraySource(image(90, 90)), tmp_path / "l.tif", window=16, scores=tmp_path / "p.tif")
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_window(tmp_path):
    seen = []
    predict_raster(
        PerPixel(), ArraySource(image(50, 50)), tmp_path / "l.tif", window=20, overlap=0,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen == [(k, 9) for k in range(1, 10)]


@pytest.mark.parametrize("overlap", [-1, 16])
def test_an_overlap_without_stride_is_refused(tmp_path, overlap):
    with pytest.raises(UserError, match="overlap"):
        predict_raster(PerPixel(), ArraySource(image(9, 9)), tmp_path / "l.tif", window=16, overlap=overlap)


@pytest.mark.parametrize("per", ["set", "image"])
def test_a_path_is_read_as_the_run_was_trained(tmp_path, per):
    """Three of four bands in another order, and values scaled by each scene: the same from a path, as fields, and by hand."""
    rng = np.random.default_rng(0)
    truth = np.zeros((96, 96), np.uint8)
    truth[20:60, 30:80] = 1
    image = (rng.normal(0, 20, (4, 96, 96)) + 100 + 300.0 * truth * np.array([0, 1, -0.3, 0.5])[:, None, None]).astype(
        np.float32
    )
    place = {
        "driver": "GTiff",
        "height": 96,
        "width": 96,
        "crs": "EPSG:32736",
        "transform": Affine(10, 0, 5e5, 0, -10, 9e6),
    }
    with rasterio.open(tmp_path / "scene.tif", "w", count=4, dtype="float32", **place) as dst:
        dst.write(image)
    with rasterio.open(tmp_path / "labels.tif", "w", count=1, dtype="uint8", **place) as dst:
        dst.write(truth, 1)
    raw = {
        "data": {"kind": "raster", "images": ["scene.tif"], "labels": "labels.tif", "window": 16, "bands": [4, 2, 3],
                 "scaling": {"per": per}, "samples_per_epoch": 64},
        "network": {"name": "BasicUNet", "features": [8, 8, 8, 8, 8, 8]},
        "training": {"epochs": 3, "batch_size": 8, "lr": 0.01, "accelerator": "cpu"},
    }  # fmt: skip
    model = load(train(make_config(raw, base=tmp_path), tmp_path / "run", quiet=True))
    raw_bands = RasterSource(tmp_path / "scene.tif", [4, 2, 3])
    by_hand = PerImage(raw_bands) if per == "image" else raw_bands
    wanted, _ = predict_array(model, by_hand, 16, 4)
    predict_raster(model, tmp_path / "scene.tif", tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as src:
        assert src.crs == place["crs"]
        np.testing.assert_array_equal(src.read(1), wanted.argmax(0))
    assert (wanted.argmax(0) == truth).mean() > 0.95
    field = predict_fields(model, tmp_path / "scene.tif")
    assert field["area_ha"].sum() == pytest.approx((wanted.argmax(0) == 1).sum() / 100, rel=0.1)
