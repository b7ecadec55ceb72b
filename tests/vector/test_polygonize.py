from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from geopandas.testing import assert_geodataframe_equal
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from scipy import ndimage
from scipy.spatial import cKDTree

from segnoise.errors import UserError
from segnoise.vector import metric_areas, polygonize

RASTERS = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=10), elements=st.integers(0, 4))
ROTATED = Affine(9.06, 2.96, 500_000, 4.23, -6.34, 8_000_000)


def write(path: Path, pixels: np.ndarray, geobox: GeoBox | None, **options: Any) -> Path:
    grid = {} if geobox is None else {"crs": str(geobox.crs), "transform": geobox.affine}
    height, width = pixels.shape[-2:]
    bands = pixels.reshape(-1, height, width)
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=len(bands), dtype=pixels.dtype, **grid, **options
    ) as file:
        file.write(bands)
    return path


def burn(fields: geopandas.GeoDataFrame, geobox: GeoBox) -> np.ndarray:
    pairs = list(zip(fields.geometry, fields["label"], strict=True))
    return rasterize(pairs, out_shape=tuple(geobox.shape), transform=geobox.affine, dtype=np.int32)


class TestExactOutlines:
    @settings(deadline=None)
    @given(RASTERS)
    def test_rasterised_polygons_are_the_labels(self, labels):
        grid = GeoBox(labels.shape, Affine(10, 0, 500_000, 0, -10, 8_000_000), "EPSG:32736")
        fields = polygonize(labels, grid, instances=True)
        assert np.array_equal(burn(fields, grid) if len(fields) else np.zeros_like(labels), labels)

    @pytest.mark.parametrize("affine", [Affine(10, 0, 5e5, 0, -7, 8e6), Affine(10, 0, 5e5, 0, 7, 8e6), ROTATED])
    def test_area_equals_pixel_count_times_pixel_area(self, parcels, affine):
        labels = parcels((60, 70), 30)
        fields = polygonize(labels, GeoBox(labels.shape, affine, "EPSG:32736"))
        np.testing.assert_allclose(fields["area_ha"] * 1e4, fields["n_px"] * abs(affine.determinant), rtol=1e-9)
        assert dict(zip(fields["label"], fields["n_px"], strict=True)) == dict(
            zip(*np.unique(labels[labels > 0], return_counts=True), strict=True)
        )

    def test_area_and_perimeter_are_exact_where_coordinates_are(self, parcels, utm):
        labels = parcels((60, 70), 30)
        fields = polygonize(labels, utm(labels.shape))
        assert (fields["area_ha"] == fields["n_px"] * 100.0 / 1e4).all()
        for field in fields.itertuples():
            mask = np.pad(labels == field.label, 1).astype(int)
            cracks = np.abs(np.diff(mask, axis=0)).sum() + np.abs(np.diff(mask, axis=1)).sum()
            assert field.perimeter_m == cracks * 10.0

    def test_feet_do_not_count_as_metres(self, parcels):
        labels = parcels((30, 30), 9)
        fields = polygonize(labels, GeoBox(labels.shape, Affine(30, 0, 980_000, 0, -30, 190_000), "EPSG:2263"))
        np.testing.assert_allclose(fields["area_ha"] * 1e4, fields["n_px"] * (30 * 0.3048006096) ** 2, rtol=1e-6)

    def test_degrees_do_not_count_as_metres(self, parcels, degrees):
        labels = parcels((60, 60), 20)
        fields = polygonize(labels, degrees(labels.shape))
        np.testing.assert_allclose(fields["area_ha"] * 1e4, fields["n_px"] * 11.113 * 7.887, rtol=2e-3)


class TestCoverage:
    @pytest.mark.parametrize("tolerance_m", [0.0, 10.0])
    @pytest.mark.parametrize("grid", ["utm", "degrees"])
    def test_touching_fields_are_a_valid_coverage(self, parcels, request, grid, tolerance_m):
        labels = parcels((150, 150), 90)
        fields = polygonize(labels, request.getfixturevalue(grid)(labels.shape), tolerance_m=tolerance_m)
        assert shapely.coverage_is_valid(fields.geometry.to_numpy())
        assert fields.is_valid.all()
        assert set(fields["label"]) == set(labels[labels > 0])

    def test_a_rotated_grid_keeps_borders_shared(self, parcels):
        labels = parcels((80, 80), 30)
        fields = polygonize(labels, GeoBox(labels.shape, ROTATED, "EPSG:32736"), tolerance_m=8.0)
        assert shapely.coverage_is_valid(fields.geometry.to_numpy())

    def test_simplified_borders_stay_within_a_few_pixels_of_the_labels(self, parcels, utm):
        labels = parcels((150, 150), 60)
        grid = utm(labels.shape)
        fields = polygonize(labels, grid, tolerance_m=10.0)
        wrong = burn(fields, grid) != labels
        edge = ndimage.generic_gradient_magnitude(labels.astype(float), ndimage.sobel) > 0
        assert wrong.mean() < 0.05
        assert not (wrong & ~ndimage.binary_dilation(edge, iterations=3)).any()

    def test_coordinates_shared_before_simplification_are_only_dropped_never_moved(self, parcels, degrees):
        labels = parcels((80, 80), 30)
        exact, simple = (polygonize(labels, degrees(labels.shape), tolerance_m=t) for t in (0.0, 15.0))
        before, after = (set(map(tuple, f.get_coordinates().to_numpy().tolist())) for f in (exact, simple))
        assert after < before

    def test_utm_and_degrees_give_the_same_fields(self):
        """The same parcels sampled on both grids: a tolerance in degrees would flatten one of them."""
        rng = np.random.default_rng(4)
        seeds = rng.random((25, 2)) * 2000 + (500_000, 4_980_000)
        utm = GeoBox((400, 400), Affine(5, 0, 500_000, 0, -5, 4_982_000), "EPSG:32633")
        west, south, east, north = utm.geographic_extent.boundingbox
        pixel = 5e-5
        shape = (int((north - south) / pixel) + 1, int((east - west) / pixel) + 1)
        lonlat = GeoBox(shape, Affine(pixel, 0, west, 0, -pixel, north), "EPSG:4326")

        def sample(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            inside = (np.abs(x - 501_000) < 900) & (np.abs(y - 4_981_000) < 900)
            return np.where(inside, cKDTree(seeds).query(np.column_stack([x, y]))[1] + 1, 0)

        def centres(geobox: GeoBox) -> tuple[np.ndarray, np.ndarray]:
            rows, columns = np.mgrid[: geobox.shape[0], : geobox.shape[1]] + 0.5
            a, _, c, _, e, f = geobox.affine[:6]
            return (a * columns + c).ravel(), (e * rows + f).ravel()

        places = geopandas.points_from_xy(*centres(lonlat), crs=4326).to_crs(32633)
        in_utm = sample(*centres(utm)).reshape(utm.shape)
        in_degrees = sample(places.x, places.y).reshape(shape)
        one, other = (
            polygonize(labels, geobox, tolerance_m=15.0, instances=True).set_index("label")
            for labels, geobox in ((in_utm, utm), (in_degrees, lonlat))
        )
        assert set(one.index) == set(other.index)
        assert one["area_ha"].sum() == pytest.approx(other["area_ha"].sum(), rel=0.005)
        large = one.index[one["area_ha"] > 5]
        change = (other.loc[large, "area_ha"] / one.loc[large, "area_ha"] - 1).abs()
        assert change.median() < 0.005
        assert change.max() < 0.03
        vertices = one.count_coordinates().sum(), other.count_coordinates().sum()
        assert vertices[0] == pytest.approx(vertices[1], rel=0.2)


class TestTable:
    def test_a_class_raster_gives_a_row_a_component_with_its_class(self, utm):
        classes = np.array([[1, 0, 1], [2, 2, 1], [255, 0, 2]], np.uint8)
        fields = polygonize(classes, utm(classes.shape))
        assert fields["label"].tolist() == [1, 1, 2, 2]
        assert fields["id"].tolist() == ["r0c0", "r0c2", "r1c0", "r2c2"]
        assert fields["n_px"].tolist() == [1, 2, 2, 1]

    def test_an_id_raster_gives_a_row_an_id_in_one_multipolygon(self, utm):
        ids = np.array([[300, 0, 300], [255, 255, -1]], np.int32)
        fields = polygonize(ids, utm(ids.shape))
        assert fields["label"].tolist() == [300, 255]
        assert fields.geometry.geom_type.tolist() == ["MultiPolygon", "Polygon"]

    def test_the_depth_of_pixels_decides_between_classes_and_ids_unless_said(self, utm):
        labels = np.array([[1, 0, 1]])
        rows = {dtype: len(polygonize(labels.astype(dtype), utm((1, 3)))) for dtype in ("bool", "uint8", "uint16")}
        assert rows == {"bool": 2, "uint8": 2, "uint16": 1}
        assert len(polygonize(labels.astype(np.uint8), utm((1, 3)), instances=True)) == 1
        assert len(polygonize(labels.astype(np.int64), utm((1, 3)), instances=False)) == 2

    def test_ids_beyond_32_bits_are_kept(self, utm):
        fields = polygonize(np.array([[2**31 + 1, 2**40]]), utm((1, 2)))
        assert fields["label"].tolist() == [2**31 + 1, 2**40]

    def test_row_ids_do_not_depend_on_labels_or_on_what_is_simplified_or_filtered(self, parcels, utm):
        labels = parcels((60, 60), 20)
        names = np.random.default_rng(0).permutation(1000)
        exact = polygonize(labels, utm(labels.shape))
        other = polygonize(np.where(labels > 0, names[labels] + 1, 0), utm(labels.shape), tolerance_m=10.0)
        assert exact["id"].tolist() == other["id"].tolist()
        assert exact["id"].is_unique

    def test_confidence_is_the_mean_score_inside_each_field(self, parcels, utm):
        labels = parcels((50, 50), 12)
        scores = np.random.default_rng(1).random(labels.shape).astype(np.float32)
        fields = polygonize(labels, utm(labels.shape), scores=scores, tolerance_m=5.0)
        expected = [scores[labels == label].mean() for label in fields["label"]]
        np.testing.assert_allclose(fields["confidence"], expected, rtol=1e-5)
        assert "confidence" not in polygonize(labels, utm(labels.shape))

    def test_dropping_small_fields_changes_no_other(self, parcels, utm):
        labels = parcels((100, 100), 60)
        every = polygonize(labels, utm(labels.shape), tolerance_m=10.0)
        large = polygonize(labels, utm(labels.shape), tolerance_m=10.0, min_area_m2=15_000)
        kept = every[every["area_ha"] >= 1.5].reset_index(drop=True)
        assert 0 < len(kept) < len(every)
        assert large.attrs == {"collapsed": 0, "below_min_area": len(every) - len(kept)}
        assert_geodataframe_equal(large, kept)

    def test_min_area_is_in_square_metres_on_degrees_too(self, degrees):
        labels = np.repeat(np.array([[1, 2]], np.int32), [1, 3], axis=1)
        fields = polygonize(labels, degrees(labels.shape), min_area_m2=100)
        assert fields["label"].tolist() == [2]

    @pytest.mark.parametrize("dtype", [np.uint8, np.int32])
    def test_no_field_gives_an_empty_table_with_all_columns(self, utm, dtype):
        fields = polygonize(np.zeros((4, 5), dtype), utm((4, 5)), scores=np.zeros((4, 5)), tolerance_m=5.0)
        columns = ["id", "label", "area_ha", "perimeter_m", "confidence", "n_px", "geometry"]
        assert fields.columns.tolist() == columns
        assert len(fields) == 0
        assert fields.crs == 32736

    def test_measures_are_those_of_the_polygons_in_the_table(self, parcels, degrees):
        labels = parcels((60, 60), 20)
        fields = polygonize(labels, degrees(labels.shape), tolerance_m=15.0)
        area, perimeter = metric_areas(fields)
        np.testing.assert_array_equal(fields["area_ha"], area / 1e4)
        np.testing.assert_array_equal(fields["perimeter_m"], perimeter)


class TestFiles:
    def test_a_file_gives_what_its_array_gives(self, tmp_path, parcels, utm):
        labels = parcels((60, 70), 20)
        scores = np.random.default_rng(0).random(labels.shape).astype(np.float32)
        grid = utm(labels.shape)
        from_file = polygonize(
            write(tmp_path / "labels.tif", labels, grid), scores=str(write(tmp_path / "scores.tif", scores, grid))
        )
        from_array = polygonize(labels, grid, scores=scores)
        assert_geodataframe_equal(from_file, from_array)

    def test_nodata_is_not_vectorised_and_cuts_holes(self, tmp_path, utm):
        classes = np.full((5, 5), 1, np.uint8)
        classes[2, 2] = 7
        fields = polygonize(write(tmp_path / "labels.tif", classes, utm((5, 5)), nodata=7))
        assert fields["label"].tolist() == [1]
        assert fields["n_px"].tolist() == [24]
        assert fields["perimeter_m"].tolist() == [240.0]

    def test_nodata_scores_do_not_count(self, tmp_path, utm):
        scores = write(tmp_path / "s.tif", np.array([[0.5, -1, -1]], np.float32), utm((1, 3)), nodata=-1)
        fields = polygonize(np.array([[1, 1, 2]]), utm((1, 3)), scores=scores)
        np.testing.assert_array_equal(fields["confidence"], [0.5, np.nan])

    def test_a_geobox_places_a_file_without_crs(self, tmp_path, utm):
        path = write(tmp_path / "mask.tif", np.ones((2, 2), np.uint8), None)
        assert polygonize(path, utm((2, 2)))["area_ha"].tolist() == [0.04]


class TestBadInput:
    def test_a_raster_without_crs(self, tmp_path):
        path = write(tmp_path / "mask.tif", np.ones((2, 2), np.uint8), None)
        with pytest.raises(UserError, match=r"mask\.tif: no CRS"):
            polygonize(path)
        with pytest.raises(UserError, match="labels: no CRS"):
            polygonize(np.ones((2, 2), np.uint8), GeoBox((2, 2), Affine.identity(), None))

    def test_no_such_file(self, tmp_path):
        with pytest.raises(UserError, match=r"absent\.tif: no such file"):
            polygonize(tmp_path / "absent.tif")

    def test_not_a_raster(self, tmp_path):
        path = tmp_path / "notes.tif"
        path.write_text("no pixels here")
        with pytest.raises(UserError, match=r"notes\.tif: cannot be read as a raster"):
            polygonize(path)

    def test_a_truncated_raster(self, tmp_path, parcels, utm):
        path = write(tmp_path / "labels.tif", parcels((90, 90), 20), utm((90, 90)))
        path.write_bytes(path.read_bytes()[:9000])
        with pytest.raises(UserError, match=r"labels\.tif: cannot be read as a raster"):
            polygonize(path)

    def test_several_bands(self, tmp_path, utm):
        path = write(tmp_path / "rgb.tif", np.ones((3, 4, 4), np.uint8), utm((4, 4)))
        with pytest.raises(UserError, match=r"rgb\.tif: has 3 bands"):
            polygonize(path)

    def test_pixels_that_are_not_integers(self, tmp_path, utm):
        path = write(tmp_path / "p.tif", np.ones((4, 4), np.float32), utm((4, 4)))
        with pytest.raises(UserError, match="float32"):
            polygonize(path)

    def test_scores_on_another_grid(self, tmp_path, utm):
        path = write(tmp_path / "s.tif", np.ones((4, 4), np.float32), utm((4, 4), pixel=20.0))
        with pytest.raises(UserError, match=r"s\.tif: grid 4 x 4 .* is not that of labels"):
            polygonize(np.ones((4, 4), np.uint8), utm((4, 4)), scores=path)

    def test_scores_outside_0_to_1(self, utm):
        with pytest.raises(UserError, match="from 0 to 200"):
            polygonize(np.ones((1, 1), np.uint8), utm((1, 1)), scores=np.array([[200]]))

    def test_an_array_needs_its_grid(self, utm):
        with pytest.raises(ValueError, match="need a geobox"):
            polygonize(np.ones((2, 2), np.uint8))
        with pytest.raises(ValueError, match="do not fit the geobox"):
            polygonize(np.ones((2, 2), np.uint8), utm((3, 2)))
        with pytest.raises(ValueError, match="integers H W"):
            polygonize(np.ones((2, 2, 1), np.uint8), utm((2, 2)))
