"""Synthetic noise of a run: levels that hold over all its images, records that hold for each."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import from_origin
from scipy import ndimage

from segnoise.config import Config, make_config
from segnoise.errors import UserError
from segnoise.noise import replay
from segnoise.training import Run
from segnoise.training.prepare import Prepared, prepare
from segnoise.windows import Window

SIDE = 48


def write(path: Path, array: NDArray, pixel: float | None = None) -> None:
    driver = "PNG" if path.suffix == ".png" else "GTiff"
    place = {} if pixel is None else {"crs": "EPSG:32633", "transform": from_origin(500000, 5000000, pixel, pixel)}
    array = array if array.ndim == 3 else array[None]
    count, height, width = array.shape
    with rasterio.open(
        path, "w", driver=driver, height=height, width=width, count=count, dtype=array.dtype, **place
    ) as dst:  # fmt: skip
        dst.write(array)


def mask_of(seed: int) -> NDArray[np.uint8]:
    """One to four squares, some of them of the second class."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for k in range(1 + seed % 4):
        row, column = 4 + 22 * (k // 2), 4 + 22 * (k % 2)
        mask[row : row + int(rng.integers(5, 14)), column : column + int(rng.integers(5, 14))] = 1 + (seed + k) % 2
    return mask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty small photographs with a few objects each."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for k in range(20):
        write(tmp_path / "images" / f"{k:02d}.png", np.full((3, SIDE, SIDE), k, np.uint8))
        write(tmp_path / "masks" / f"{k:02d}.png", mask_of(k))
    return tmp_path


def photographs(folder: Path, *overrides: str) -> Config:
    data = {
        "kind": "images",
        "images": ["images/*.png"],
        "labels": "masks",
        "classes": ["background", "one", "two"],
        "window": 32,
        "split": {"by": "source", "fractions": {"train": 0.6, "val": 0.25, "test": 0.15}},
    }
    return make_config({"name": "run", "data": data, "network": {"name": "BasicUNet"}}, overrides, base=folder)


def read(labels) -> NDArray[np.int64]:
    return labels.read(Window((0,) * len(labels.shape), tuple(labels.shape)))


def pairs(prepared: Prepared, split: str) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Clean and given labels of each source of a split."""
    members = sorted({region.index for region in prepared.regions[split]})
    return [(read(prepared.clean[k]), read(prepared.given[k])) for k in members]


def objects(labels: NDArray[np.int64]) -> int:
    return sum(ndimage.label(labels == value)[1] for value in (1, 2))


def test_the_share_of_objects_missing_is_met_over_all_images_and_not_in_each(folder):
    prepared = prepare(photographs(folder, "noise=omission(0.3)"), Run(folder / "run"))
    for split in ("train", "val"):
        before = [objects(clean) for clean, _ in pairs(prepared, split)]
        after = [objects(given) for _, given in pairs(prepared, split)]
        assert sum(before) - sum(after) == round(0.3 * sum(before))
        assert any(a == b for a, b in zip(after, before, strict=True))
        met = {record["params"][0]["met"] for record in prepared.records[split]}
        assert met == {(sum(before) - sum(after)) / sum(before)}
    assert all(np.array_equal(clean, given) for clean, given in pairs(prepared, "test"))


def test_flips_and_displacements_are_met_over_all_images(folder):
    prepared = prepare(photographs(folder, "noise=kms(0.2)"), Run(folder / "flips"))
    for split in ("train", "val"):
        wrong = [clean != given for clean, given in pairs(prepared, split)]
        assert np.sum(wrong) == round(0.2 * np.size(wrong))
        assert len({int(w.sum()) for w in wrong}) > 1
    prepared = prepare(photographs(folder, "noise=boundary(1px)"), Run(folder / "moves"))
    for split in ("train", "val"):
        changed = sum(np.count_nonzero(clean != given) for clean, given in pairs(prepared, split))
        faces = sum(np.count_nonzero(np.diff(c, axis=a)) for c, _ in pairs(prepared, split) for a in (0, 1))
        assert abs(changed - np.pi / 4 * faces) <= 1


def test_each_source_has_its_record_which_replays_it_alone(folder):
    run = Run(folder / "run")
    prepared = prepare(photographs(folder, "noise=boundary(1px)+omission(0.3)+0.5*kms(0.1)"), run)
    written = json.loads(run.prepared.read_text())["noise"]
    seeds = set()
    for split in ("train", "val"):
        members = sorted({region.index for region in prepared.regions[split]})
        assert [record["source"] for record in written[split]] == [prepared.sources[k].name for k in members]
        for (clean, given), record in zip(pairs(prepared, split), written[split], strict=True):
            assert np.array_equal(replay(clean, record), given)
        seeds |= {record["seed"] for record in written[split]}
        chosen = [record["params"][2]["chosen"] for record in written[split]]
        assert abs(sum(chosen) - 0.5 * len(chosen)) <= 0.5
    assert len(seeds) == 2


def test_preparing_again_repeats_nothing_and_repairs_what_is_missing(folder):
    config, run = photographs(folder, "noise=omission(0.3)"), Run(folder / "run")
    first = prepare(config, run)
    files = {p: p.read_bytes() for p in run.labels.glob("*_given.tif")}
    next(iter(files)).unlink()
    again = prepare(config, run)
    assert {p: p.read_bytes() for p in run.labels.glob("*_given.tif")} == files
    assert again.records == first.records


def scenes(folder: Path, pixels: list[float], *overrides: str) -> Config:
    for k, pixel in enumerate(pixels):
        write(folder / f"scene{k}.tif", np.full((1, SIDE, SIDE), k + 1, np.uint16), pixel)
        boxes = [shapely.box(x, y, x + 14, y + 14) for x in (4, 18, 32) for y in (4, 18)]
        places = shapely.transform(boxes, lambda p, side=pixel: (500000, 5000000) + side * p * (1, -1))
        gpd.GeoDataFrame(geometry=places, crs="EPSG:32633").to_file(folder / f"labels{k}.gpkg")
    data = {
        "kind": "raster",
        "images": [f"scene{k}.tif" for k in range(len(pixels))],
        "labels": [f"labels{k}.gpkg" for k in range(len(pixels))],
        "window": 32,
        "split": {"by": "source", "fractions": {"train": 0.8, "val": 0.2, "test": 0}},
    }
    return make_config({"name": "run", "data": data, "network": {"name": "BasicUNet"}}, overrides, base=folder)


def test_polygons_go_missing_as_objects_over_all_scenes(tmp_path):
    prepared = prepare(scenes(tmp_path, [10.0] * 5, "noise=omission(0.3)"), Run(tmp_path / "run"))
    records = prepared.records["train"]
    assert len(records) == 4
    # Of 6 fields in each scene, which touch: as regions they would be one.
    assert sum(record["card"]["objects"]["missed"] for record in records) == round(0.3 * 24)
    assert all(record["instances"] and record["spacing"] == pytest.approx([10, 10]) for record in records)
    gone = sum(np.count_nonzero(clean != given) for clean, given in pairs(prepared, "train"))
    assert gone == round(0.3 * 24) * 14**2


def test_metres_are_met_in_scenes_of_each_pixel_size(tmp_path):
    prepared = prepare(scenes(tmp_path, [10.0, 5.0] * 3, "noise=boundary(10m)"), Run(tmp_path / "run"))
    by_size: dict[float, list[float]] = {}
    for record in prepared.records["train"] + prepared.records["val"]:
        by_size.setdefault(round(record["spacing"][0]), []).append(record["params"][0]["met"])
    assert set(by_size) == {5, 10}
    assert np.concatenate(list(by_size.values())) == pytest.approx(10, rel=0.02)


def test_millimetres_are_no_unit_of_a_scene(tmp_path):
    with pytest.raises(UserError, match=r"data: is measured in m; give 10mm in m or px"):
        prepare(scenes(tmp_path, [10.0, 10.0], "noise=boundary(10mm)"), Run(tmp_path / "run"))
