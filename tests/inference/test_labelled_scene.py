"""Scenes that came with labels: a map, and where the labels look wrong, without holding either in memory."""

from __future__ import annotations

import tracemalloc

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import torch
from torch import nn

from segnoise.errors import UserError
from segnoise.inference import map_label_errors, predict_labelled_scene, predict_raster

PLACE = {"crs": "EPSG:32736", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 9e6)}
SHAPE = (90, 110)


class Bright(nn.Module):
    classes = ("dark", "bright")
    window = 32

    def forward(self, x):
        return torch.stack([(100 - x[:, 0]) / 20, (x[:, 0] - 100) / 20], 1)


def write(path, array, **profile):
    array = array[None] if array.ndim == 2 else array
    with rasterio.open(
        path, "w", driver="GTiff", count=len(array), height=array.shape[1], width=array.shape[2], dtype=array.dtype,
        **{**PLACE, **profile},
    ) as dst:  # fmt: skip
        dst.write(array)
    return path


def read(path):
    with rasterio.open(path) as src:
        return src.read()


@pytest.fixture
def scene(tmp_path):
    """A scene with a bright square and a hole in its data; labels that lack half of the square."""
    truth = np.zeros(SHAPE, np.uint8)
    truth[20:60, 30:80] = 1
    image = (np.where(truth == 1, 160, 50) + np.random.default_rng(0).normal(0, 10, SHAPE)).astype(np.float32)
    image[70:75, 10:20] = -9999
    given = truth.copy()
    given[20:60, 30:50] = 0
    given[:4] = 255
    return write(tmp_path / "scene.tif", image, nodata=-9999), write(tmp_path / "given.tif", given), truth, given


def test_the_map_of_errors_lies_on_the_scene_and_tells_what_was_forgotten(scene, tmp_path):
    path, labels, truth, given = scene
    made = predict_labelled_scene(Bright(), path, tmp_path / "l.tif", labels, tmp_path / "w.tif")
    assert {p.name for p in tmp_path.iterdir()} == {"scene.tif", "given.tif", "l.tif", "w.tif"}
    with rasterio.open(tmp_path / "w.tif") as src:
        assert (src.crs, src.transform, src.dtypes) == (PLACE["crs"], PLACE["transform"], ("float32",))
        wrong = src.read(1)
    unknown = (given == 255) | (read(path)[0] == -9999)
    np.testing.assert_array_equal(np.isnan(wrong), unknown)
    forgotten = (truth != given) & ~unknown
    assert np.median(wrong[forgotten]) > 0.9
    assert wrong[~forgotten & ~unknown].mean() < 0.05
    assert made.wrong.labels == (~unknown).sum()
    assert made.wrong.expected == pytest.approx(wrong[~unknown].sum(dtype=float))
    plain = predict_raster(Bright(), path, tmp_path / "plain.tif", scores=tmp_path / "p.tif")
    np.testing.assert_array_equal(read(plain), read(made.path))
    map_label_errors(tmp_path / "p.tif", labels, tmp_path / "again.tif", rho=0.5)
    np.testing.assert_array_equal(read(tmp_path / "again.tif")[0], wrong)


def test_scores_stay_where_they_are_asked_for(scene, tmp_path):
    path, labels, _, _ = scene
    for scores in (None, tmp_path / "p.tif"):
        predict_labelled_scene(
            Bright(), path, tmp_path / "l.tif", labels, tmp_path / f"w{scores is None}.tif", scores=scores,
            overwrite=True,
        )  # fmt: skip
    assert read(tmp_path / "p.tif").shape == (2, *SHAPE)
    np.testing.assert_array_equal(read(tmp_path / "wTrue.tif"), read(tmp_path / "wFalse.tif"))


def test_polygons_are_burnt_as_in_training(scene, tmp_path):
    path, _, _, given = scene
    square = shapely.box(5e5 + 500, 9e6 - 600, 5e5 + 800, 9e6 - 200)  # rows 20 to 60, columns 50 to 80
    gpd.GeoDataFrame(geometry=[square], crs="EPSG:32736").to_crs(4326).to_file(tmp_path / "f.gpkg")
    write(tmp_path / "known.tif", np.where(given == 255, 0, given).astype(np.uint8))
    maps = []
    for name in ("f.gpkg", "known.tif"):
        out = tmp_path / f"wrong {name}.tif"
        predict_labelled_scene(Bright(), path, tmp_path / "l.tif", tmp_path / name, out, overwrite=True)
        maps.append(read(out))
    np.testing.assert_array_equal(*maps)
    four = type("Four", (Bright,), {"classes": tuple("abcd")})()
    with pytest.raises(UserError, match=r"f\.gpkg: polygons give 2 classes or 3, but the run has 4"):
        predict_labelled_scene(four, path, tmp_path / "x.tif", tmp_path / "f.gpkg", tmp_path / "y.tif")
    gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=4326).to_file(tmp_path / "far.gpkg")
    with pytest.raises(UserError, match=r"far\.gpkg: the labels do not overlap the scene"):
        predict_labelled_scene(Bright(), path, tmp_path / "x.tif", tmp_path / "far.gpkg", tmp_path / "y.tif")
    assert not (tmp_path / "x.tif").exists()


def test_labels_that_cannot_be_judged_leave_no_file(scene, tmp_path):
    path, _, _, given = scene
    moved = rasterio.Affine(10, 0, 5e5 + 30, 0, -10, 9e6)
    out = tmp_path / "out"
    out.mkdir()
    for labels, told in (
        (write(tmp_path / "moved.tif", given, transform=moved), r"moved\.tif: not on the grid of its scene"),
        (write(tmp_path / "small.tif", given[:80]), r"small\.tif: not on the grid of its scene"),
        (write(tmp_path / "seven.tif", given + np.uint8(7)), r"seven\.tif: class value \d+ is outside the list of 2"),
        (write(tmp_path / "half.tif", given / np.float32(2)), r"half\.tif: label value .* is not a whole number"),
        (tmp_path / "none.tif", r"none\.tif: no such file"),
        (tmp_path / "none.gpkg", r"none\.gpkg: no such file"),
    ):
        with pytest.raises(UserError, match=told):
            predict_labelled_scene(Bright(), path, out / "l.tif", labels, out / "w.tif")
        assert list(out.iterdir()) == []


@pytest.mark.parametrize("existing", ["l.tif", "w.tif", "p.tif"])
def test_existing_outputs_are_told_first(scene, tmp_path, existing):
    class Never(Bright):
        def forward(self, x):
            raise AssertionError

    (tmp_path / existing).touch()
    with pytest.raises(UserError, match=rf"{existing}: already exists"):
        predict_labelled_scene(
            Never(), scene[0], tmp_path / "l.tif", scene[1], tmp_path / "w.tif", scores=tmp_path / "p.tif"
        )  # fmt: skip


@pytest.mark.parametrize("during", ["prediction", "map"])
def test_an_end_in_the_middle_leaves_no_probabilities(scene, tmp_path, during):
    def stop(done, total):
        seen.append(total)
        if during == "prediction" or len(set(seen)) == 2:
            raise KeyboardInterrupt

    seen = []
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(KeyboardInterrupt):
        predict_labelled_scene(Bright(), scene[0], out / "l.tif", scene[1], out / "w.tif", progress=stop)
    assert [p.name for p in out.iterdir()] == ([] if during == "prediction" else ["l.tif"])


def test_peak_memory_does_not_grow_with_the_height_of_the_scene(tmp_path):
    peaks = []
    for height in (640, 640, 2560):  # the first run pays for what is loaded once
        scene = write(tmp_path / f"s{height}.tif", np.full((height, 64), 120, np.uint8))
        labels = write(tmp_path / f"y{height}.tif", np.ones((height, 64), np.uint8))
        tracemalloc.start()
        predict_labelled_scene(
            Bright(), scene, tmp_path / "l.tif", labels, tmp_path / "w.tif", window=64, overlap=0, overwrite=True
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1]
