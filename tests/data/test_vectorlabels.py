from __future__ import annotations

import pickle
import resource
import signal

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from segnoise.data import (
    ArrayLabels,
    RasterLabels,
    RasterSource,
    VectorLabels,
    rasterize_instances,
    read_polygons,
    write_label_raster,
)
from segnoise.errors import UserError
from segnoise.windows import Window

SHAPE = (600, 700)
AFFINE = Affine(3, 0.5, 500000, 0.25, -2, 5000000)
GRID = GeoBox(SHAPE, AFFINE, "EPSG:32633")


def ground(geometry):
    """From pixel (column, row) coordinates to the ground."""
    a = AFFINE
    return shapely.transform(
        geometry,
        lambda p: np.stack([a.a * p[:, 0] + a.b * p[:, 1] + a.c, a.d * p[:, 0] + a.e * p[:, 1] + a.f], axis=1),
    )


@pytest.fixture(scope="module")
def frame() -> gpd.GeoDataFrame:
    rng = np.random.default_rng(0)
    blobs = [
        shapely.Point(*p).buffer(r, quad_segs=3)
        for p, r in zip(rng.random((60, 2)) * 700, rng.uniform(2, 70, 60), strict=True)
    ]
    # Edges through pixel centres and slopes of a third are where rounding decides.
    grid = [shapely.box(x + 0.5, 100.5, x + 60.5, 160.5) for x in (200, 260, 320)]
    slant = [shapely.Polygon([(0.5, 590.5), (300.5, 490.5), (600.5, 590.5)])]
    return gpd.GeoDataFrame(geometry=[ground(g) for g in blobs + grid + slant], crs=32633)


def burn(geometries):
    shapes = [(g, 1) for g in geometries if not g.is_empty]
    return rasterize(shapes, out_shape=SHAPE, transform=AFFINE, dtype="uint8").astype(np.int64)


def test_instances_follow_the_order_of_rows_and_the_smaller_wins(frame):
    ids = rasterize_instances(frame, GRID)
    assert ids.dtype == np.int32
    cover = np.stack([burn([g]) for g in frame.geometry])
    areas = frame.geometry.area.to_numpy()
    smallest = np.where(cover == 1, areas[:, None, None], np.inf).argmin(axis=0) + 1
    assert (ids != np.where(cover.any(axis=0), smallest, 0)).sum() <= 2  # pixel centres on an edge


def test_of_equal_polygons_the_earlier_wins():
    box = ground(shapely.box(0, 0, 9, 9))
    assert set(np.unique(rasterize_instances(gpd.GeoDataFrame(geometry=[box, box], crs=32633), GRID))) == {0, 1}


@pytest.fixture(scope="module")
def whole(frame):
    return rasterize_instances(frame, GRID), VectorLabels(frame, GRID, 3, 2).read(Window((0, 0), SHAPE))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_pixels_are_the_same_whatever_the_window(frame, whole, data):
    start = (data.draw(st.integers(-50, 620)), data.draw(st.integers(-50, 720)))
    window = Window(start, (data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300))))
    for full, part, outside in zip(
        whole, (rasterize_instances(frame, GRID, window), VectorLabels(frame, GRID, 3, 2).read(window)), (-1, 255),
        strict=True,
    ):  # fmt: skip
        padded = np.pad(full, 1100, constant_values=outside)
        box = tuple(slice(s + 1100, s + 1100 + n) for s, n in zip(window.start, window.size, strict=True))
        assert np.array_equal(part, padded[box])


@pytest.mark.parametrize("edge_px", [1, 2])
def test_three_classes_are_the_algebra_of_equation_1(frame, edge_px):
    step = (np.hypot(AFFINE.a, AFFINE.d) + np.hypot(AFFINE.b, AFFINE.e)) / 2
    body = burn(frame.geometry)
    core = burn(frame.geometry.buffer(-step, resolution=16))
    halo = burn(frame.geometry.buffer(step, resolution=16)) if edge_px == 2 else np.zeros_like(body)
    expected = 2 * body - core + 2 * ((halo == 1) & (body == 0))
    label = VectorLabels(frame, GRID, 3, edge_px).read(Window((0, 0), SHAPE))
    assert (label != expected).sum() <= 6  # pixel centres on an edge, burnt in another tile
    assert set(np.unique(label)) == {0, 1, 2}


def test_two_classes_are_the_union_and_the_boundary_lies_on_both_sides_of_it(frame):
    whole = Window((0, 0), SHAPE)
    body = VectorLabels(frame, GRID, 2).read(whole)
    inner, both = VectorLabels(frame, GRID, 3, 1).read(whole), VectorLabels(frame, GRID, 3, 2).read(whole)
    assert np.array_equal(inner > 0, body == 1)
    assert np.array_equal(both == 1, inner == 1)
    assert ((both == 2) & (body == 0)).any()
    assert np.array_equal(body, rasterize_instances(frame, GRID) > 0)


def test_touching_fields_are_parted_by_their_edges_and_overlap_is_interior():
    square = GeoBox((10, 20), Affine(1, 0, 0, 0, -1, 10), "EPSG:32633")

    def row(*boxes):
        frame = gpd.GeoDataFrame(geometry=[shapely.box(*b) for b in boxes], crs=32633)
        return VectorLabels(frame, square, 3, 1).read(Window((5, 0), (1, 20)))[0].tolist()

    assert row((2, 0, 9, 10), (9, 0, 16, 10)) == [0] * 2 + [2, 1, 1, 1, 1, 1, 2] * 2 + [0] * 4
    assert row((2, 0, 12, 10), (6, 0, 16, 10)) == [0] * 2 + [2] + [1] * 12 + [2] + [0] * 4


def test_no_polygons_are_all_background():
    empty = gpd.GeoDataFrame(geometry=[], crs=32633)
    assert (VectorLabels(empty, GRID, 3, 2).read(Window((0, 0), SHAPE)) == 0).all()
    assert (rasterize_instances(empty, GRID) == 0).all()


def test_pickled_labels_read_the_same(frame):
    labels, window = VectorLabels(frame, GRID, 3, 2), Window((90, 190), (300, 300))
    before = labels.read(window)
    assert np.array_equal(pickle.loads(pickle.dumps(labels)).read(window), before)


class TestWriteLabelRaster:
    def test_the_file_reads_back_as_the_labels_on_the_grid(self, frame, tmp_path):
        labels = VectorLabels(frame, GRID, 3, 2)
        path = write_label_raster(labels, GRID, tmp_path / "l.tif", block=128)
        with rasterio.open(path) as dataset:
            assert dataset.profile["tiled"]
            assert dataset.block_shapes == [(128, 128)]
            assert (dataset.nodata, dataset.dtypes, dataset.crs.to_epsg()) == (255, ("uint8",), 32633)
            assert dataset.transform == AFFINE
            assert dataset.compression.value == "DEFLATE"
        whole = Window((-5, -5), (610, 720))
        assert np.array_equal(RasterLabels(path, 3).read(whole), labels.read(whole))

    def test_an_existing_file_is_refused(self, tmp_path):
        path = tmp_path / "l.tif"
        path.write_text("mine")
        with pytest.raises(UserError, match="already exists"):
            write_label_raster(ArrayLabels(np.zeros(SHAPE, dtype=np.uint8)), GRID, path)
        assert path.read_text() == "mine"

    @pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
    def test_a_full_disk_is_one_line_and_leaves_nothing(self, tmp_path, share):
        noise = ArrayLabels(np.random.default_rng(0).integers(0, 3, (700, 700)).astype(np.uint8))
        grid = GeoBox((700, 700), AFFINE, "EPSG:32633")
        size = write_label_raster(noise, grid, tmp_path / "l.tif").stat().st_size
        (tmp_path / "l.tif").unlink()
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size * share), limits[1]))
        try:
            with pytest.raises(UserError, match="could not be written"):
                write_label_raster(noise, grid, tmp_path / "l.tif")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stem", ["naip_00", "naip_27"])
def test_real_instances_are_exactly_their_polygons_at_pixel_centres(shared_data, stem):
    folder = shared_data / "naip_fields"
    scene = RasterSource(folder / "images" / f"{stem}.tif")
    frame = read_polygons(folder / "polygons" / f"{stem}.geojson", scene.require_crs())
    ids = rasterize_instances(frame, scene.require_crs())
    whole = Window((0, 0), scene.shape)
    assert np.array_equal(ids > 0, RasterLabels(folder / "labels" / f"{stem}.tif", 2, like=scene).read(whole) == 1)
    with rasterio.open(folder / "instances" / f"{stem}.tif") as dataset:
        given_ids = dataset.read(1)
    of_row = np.concatenate([[0], frame["id"].to_numpy()])
    assert np.array_equal(of_row[ids], given_ids)
