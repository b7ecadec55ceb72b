"""Labels moved to where they belong: files, vectors, folds, and what is refused."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from segnoise import cli
from segnoise.config import make_config
from segnoise.data import ArraySource, RasterSource
from segnoise.errors import UserError
from segnoise.evaluation.align import align_labels
from segnoise.evaluation.crossfit import _Reflected, cross_fit
from segnoise.inference import predict_array
from segnoise.training import Run, load, prepare
from segnoise.windows import Window

SIDE, PIXEL = 160, 3.0
PLACE = {"crs": "EPSG:32736", "transform": from_origin(500000, 9000000, PIXEL, PIXEL)}


def write(path, array):
    array = array if array.ndim == 3 else array[None]
    with rasterio.open(
        path, "w", driver="GTiff", count=len(array), height=SIDE, width=SIDE, dtype=array.dtype, **PLACE
    ) as dst:  # fmt: skip
        dst.write(array)
    return path


def boxes():
    """Fields, apart, as (top, left, bottom, right)."""
    return [
        (r, c, r + 14 + (r + c) % 9, c + 22 - (r + 2 * c) % 7) for r in range(8, 130, 30) for c in range(8, 130, 32)
    ]


def truth_of():
    truth = np.zeros((SIDE, SIDE), np.uint8)
    for top, left, bottom, right in boxes():
        truth[top:bottom, left:right] = 1
    return truth


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A scene whose fields are brighter, labels 4 px too low and 3 px too far left as raster and as polygons."""
    folder = tmp_path_factory.mktemp("align")
    truth = truth_of()
    rng = np.random.default_rng(0)
    write(folder / "scene.tif", (1000 + 600.0 * truth + rng.normal(0, 80, (2, SIDE, SIDE))).astype(np.uint16))
    write(folder / "labels.tif", np.roll(truth, (4, -3), (0, 1)))
    shapes = [
        shapely.box(
            500000 + PIXEL * (left - 3), 9000000 - PIXEL * (bottom + 4), 500000 + PIXEL * (right - 3), 9000000 - PIXEL * (top + 4)
        )
        for top, left, bottom, right in boxes()
    ]  # fmt: skip
    shapes.append(shapely.box(600000, 9000000, 600100, 9000100))  # in no scene
    crops = [f"crop {k}" for k in range(len(shapes))]
    gpd.GeoDataFrame({"crop": crops}, geometry=shapes, crs="EPSG:32736").to_file(folder / "fields.gpkg")
    return folder


def config(folder, labels="labels.tif", **more):
    return make_config(
        {
            "data": {
                "kind": "raster",
                "images": ["scene.tif"],
                "labels": labels,
                "window": 32,
                "augment": False,
                **more,
            },
            "network": {"name": "BasicUNet", "features": [8, 8, 8, 8, 8, 8]},
            "training": {"epochs": 4, "batch_size": 8, "lr": 0.01, "accelerator": "cpu"},
        },
        base=folder,
    )


@pytest.fixture(scope="module")
def aligned(place):
    before = (place / "labels.tif").read_bytes()
    rows = align_labels(config(place), place / "out", radius=8, quiet=True)
    assert (place / "labels.tif").read_bytes() == before
    return rows


def test_the_vector_is_found_and_the_labels_are_moved_by_it(place, aligned):
    (row,) = aligned
    assert row.accepted, row.reason
    np.testing.assert_allclose(row.vector, (-4, 3), atol=0.5)
    np.testing.assert_allclose(row.metres, np.array(row.vector) * PIXEL)
    with rasterio.open(place / "out" / "labels" / "labels.tif") as src:
        moved, grid = src.read(1), src.transform
    assert grid == PLACE["transform"]
    known = moved != 255
    assert (moved == truth_of())[known].all()
    assert not known[-4:].any()
    assert not known[:, :3].any()
    assert known[:-4, 3:].all()


def test_what_was_found_is_in_a_file(place, aligned):
    (row,) = json.loads((place / "out" / "align.json").read_text())
    assert row["source"] == "scene"
    assert row["accepted"] is True
    assert row["moved"] == list(aligned[0].vector)


def test_the_network_is_trained_with_turned_crops_whatever_the_configuration_says(place, aligned):
    assert load(place / "out" / "folds" / "fold_1_of_2").config.data.augment


def test_beliefs_come_from_the_run_that_did_not_see_the_place(place, aligned):
    (view,) = cross_fit(load(place / "out" / "folds" / "fold_1_of_2").config, place / "out" / "folds", 2, quiet=True)
    source = RasterSource(place / "scene.tif")
    seen = np.zeros(source.shape, int)
    for part in (1, 2):
        run = place / "out" / "folds" / f"fold_{part}_of_2"
        model = load(run)
        said, _ = predict_array(model, source, 32, 8)
        for region in prepare(model.config, Run(run)).regions["test"]:
            box = region.window.slices
            seen[box] += 1
            np.testing.assert_array_equal(view.probabilities[(slice(None), *box)], said[(slice(None), *box)])
    assert (seen == 1).all()
    np.testing.assert_array_equal(view.labels, rasterio.open(place / "labels.tif").read(1))


def test_an_output_is_kept_unless_asked_and_finished_folds_are_not_trained_again(place, aligned):
    with pytest.raises(UserError, match=r"align\.json.*exists"):
        align_labels(config(place), place / "out", radius=8, quiet=True)
    weights = place / "out" / "folds" / "fold_1_of_2" / "checkpoints" / "best.ckpt"
    before = weights.stat().st_mtime_ns
    again = align_labels(config(place), place / "out", radius=8, overwrite=True, quiet=True)
    assert again == aligned
    assert weights.stat().st_mtime_ns == before


def test_polygons_move_by_the_vector_itself_and_keep_what_they_carry(place):
    (row,) = align_labels(config(place, "fields.gpkg"), place / "polygons", radius=8, quiet=True)
    assert row.accepted, row.reason
    given, moved = (gpd.read_file(p) for p in (place / "fields.gpkg", place / "polygons" / "labels" / "fields.gpkg"))
    assert moved["crop"].tolist() == given["crop"].tolist()
    steps = (moved.centroid.x - given.centroid.x, moved.centroid.y - given.centroid.y)
    np.testing.assert_allclose(steps[0][:-1], PIXEL * row.vector[1])
    np.testing.assert_allclose(steps[1][:-1], -PIXEL * row.vector[0])
    assert (steps[0].iloc[-1], steps[1].iloc[-1]) == (0, 0)


def test_one_vector_for_all_scenes(place, tmp_path):
    for k in range(2):
        (tmp_path / f"scene_{k}.tif").write_bytes((place / "scene.tif").read_bytes())
        (tmp_path / f"labels_{k}.tif").write_bytes((place / "labels.tif").read_bytes())
    described = config(tmp_path, ["labels_0.tif", "labels_1.tif"], images=["scene_0.tif", "scene_1.tif"])
    rows = align_labels(described, tmp_path / "out", per="all", radius=8, quiet=True)
    assert rows[0].vector == rows[1].vector
    np.testing.assert_allclose(rows[0].vector, (-4, 3), atol=0.5)


def test_labels_that_lie_right_are_copied(place, tmp_path):
    write(tmp_path / "right.tif", truth_of())
    described = config(place, str(tmp_path / "right.tif"))
    (row,) = align_labels(described, tmp_path / "out", radius=8, quiet=True)
    assert not row.accepted
    assert (tmp_path / "out" / "labels" / "right.tif").read_bytes() == (tmp_path / "right.tif").read_bytes()


def test_a_reflected_source_is_read_the_other_way_round_also_beyond_its_edge():
    array = np.arange(2 * 5 * 7, dtype=np.float32).reshape(2, 5, 7)
    source = ArraySource(array)
    for window in (Window((1, 2), (3, 4)), Window((3, 4), (4, 4)), Window((0, 0), (8, 8))):
        got = _Reflected(source).read(window)
        wanted = ArraySource(array[:, ::-1, ::-1]).read(window)
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        ({"noise": "kms(0.2)"}, [], "noise: labels are looked at as they are"),
        ({"data": {"kind": "scenes"}}, [], "data.kind: the labels of drawn scenes are exact"),
        (
            {"data": {"kind": "volume", "images": ["a.nii.gz"], "labels": "b", "classes": ["a", "b"]}},
            [],
            "not of volume",
        ),
        ({}, ["--radius", "40"], "--radius 40: at least 1, and below half of the window"),
        ({}, ["--folds", "500"], "data.split.fold: 1/500 of too little"),
    ],
)
def test_what_cannot_be_aligned_is_told_in_one_line(place, tmp_path, capsys, monkeypatch, change, options, told):
    described = config(place).model_dump(mode="json") | change
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(described))
    monkeypatch.setattr("sys.argv", ["segnoise", "align", str(path), "-o", str(tmp_path / "out"), "-q", *options])
    with pytest.raises(SystemExit) as end:
        cli.main()
    lines = capsys.readouterr().err.strip().splitlines()
    assert end.value.code == 1
    assert len(lines) == 1
    assert told in lines[0]


def test_a_table_that_fixes_the_parts_is_refused(place, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(f"image,label,split\n{place / 'scene.tif'},{place / 'labels.tif'},train\n")
    described = config(place, str(table), split={"by": "table"})
    with pytest.raises(UserError, match="table fixes the parts"):
        align_labels(described, tmp_path / "out", radius=8, quiet=True)
