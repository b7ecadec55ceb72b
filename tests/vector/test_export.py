from __future__ import annotations

import resource
import signal

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal
from shapely import MultiPolygon, Point, box

from segnoise.errors import UserError
from segnoise.vector import polygonize, write_polygons

SUFFIXES = [".geojson", ".gpkg", ".parquet"]


@pytest.fixture
def fields(parcels, utm):
    labels = parcels((60, 60), 20)
    return polygonize(labels, utm(labels.shape), tolerance_m=10.0)


def read(path):
    return geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path)


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_geopackage_and_geoparquet_keep_crs_geometry_and_columns(tmp_path, fields, suffix):
    back = read(write_polygons(fields, tmp_path / f"fields{suffix}"))
    assert back.crs == fields.crs
    assert back.columns.tolist() == fields.columns.tolist()
    assert_geodataframe_equal(back, fields, check_dtype=False, check_crs=False)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_frame_without_rows_gives_a_valid_empty_file(tmp_path, fields, suffix):
    path = write_polygons(fields.iloc[:0], tmp_path / f"fields{suffix}")
    back = read(path)
    assert len(back) == 0
    assert back.crs == (4326 if suffix == ".geojson" else fields.crs)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_only_the_named_file_is_left_in_the_folder(tmp_path, fields, suffix):
    write_polygons(fields, tmp_path / f"fields{suffix}")
    write_polygons(fields, tmp_path / f"fields{suffix}", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [f"fields{suffix}"]


def test_the_geopackage_layer_is_named_like_the_file(tmp_path, fields):
    path = write_polygons(fields, tmp_path / "my fields.gpkg")
    assert pyogrio.list_layers(path).tolist() == [["my fields", "Polygon"]]


def test_a_geopackage_with_split_fields_is_a_layer_of_multipolygons(tmp_path):
    shapes = [box(0, 0, 1, 1), MultiPolygon([box(2, 0, 3, 1), box(4, 0, 5, 1)])]
    path = write_polygons(geopandas.GeoDataFrame(geometry=shapes, crs=32736), tmp_path / "fields.gpkg")
    assert pyogrio.list_layers(path).tolist() == [["fields", "MultiPolygon"]]
    assert shapely.area(read(path).geometry.to_numpy()).tolist() == [1, 2]


def test_geoparquet_is_compressed_with_zstd(tmp_path, fields):
    import pyarrow.parquet

    path = write_polygons(fields, tmp_path / "fields.parquet")
    assert pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_an_existing_file_is_refused_and_left_as_it_was(tmp_path, fields):
    path = tmp_path / "fields.geojson"
    path.write_text("mine")
    with pytest.raises(UserError, match="already exists"):
        write_polygons(fields, path)
    assert path.read_text() == "mine"


def test_an_unknown_suffix_names_the_known_ones(tmp_path, fields):
    with pytest.raises(UserError, match=r"unknown polygon format '.shp'; known: .geojson, .gpkg, .parquet"):
        write_polygons(fields, tmp_path / "fields.shp")


def test_a_frame_without_crs_is_refused(tmp_path, fields):
    with pytest.raises(UserError, match=r"fields\.geojson: the polygons have no CRS"):
        write_polygons(fields.set_crs(None, allow_override=True), tmp_path / "fields.geojson")


def test_other_geometries_are_refused(tmp_path):
    frame = geopandas.GeoDataFrame(geometry=[Point(0, 0), box(0, 0, 1, 1)], crs=4326)
    with pytest.raises(UserError, match="there are also Point"):
        write_polygons(frame, tmp_path / "fields.geojson")


def test_equal_ids_are_refused(tmp_path):
    frame = geopandas.GeoDataFrame({"id": ["a", "a"]}, geometry=[box(0, 0, 1, 1)] * 2, crs=4326)
    with pytest.raises(UserError, match="'id' has equal values"):
        write_polygons(frame, tmp_path / "fields.geojson")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path, suffix):
    x = np.arange(3000.0)
    frame = geopandas.GeoDataFrame(geometry=shapely.box(x / 100, 0, x / 100 + np.sin(x) ** 2, 1), crs=4326)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match="could not be written"):
            write_polygons(frame, tmp_path / f"fields{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
