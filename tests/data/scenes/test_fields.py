"""Claims about a field scene: its truth is exact, its pixels plausible, its files whole."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from segnoise.data.scenes import BANDS, COVERS, FieldScene, field_scene
from segnoise.errors import UserError


def burnt(scene: FieldScene) -> np.ndarray:
    shapes = [(geometry, i) for i, geometry in enumerate(scene.polygons.geometry, start=1)]
    shape, affine = tuple(scene.geobox.shape), scene.geobox.affine
    return rasterize(shapes, shape, transform=affine, fill=0, dtype="int32")


def ndvi(scene: FieldScene) -> np.ndarray:
    _, _, red, nir = scene.image.astype(float)
    return (nir - red) / (nir + red)


class TestSeeds:
    def test_equal_seeds_give_equal_pixels_and_polygons(self) -> None:
        first, second = field_scene(160, seed=8), field_scene(160, seed=8)
        assert first.image.tobytes() == second.image.tobytes()
        assert first.instances.tobytes() == second.instances.tobytes()
        assert list(first.polygons.crop) == list(second.polygons.crop)
        assert (first.polygons.to_wkb().geometry == second.polygons.to_wkb().geometry).all()

    def test_another_seed_gives_another_landscape(self) -> None:
        first, second = field_scene(160, seed=8), field_scene(160, seed=9)
        assert np.mean((first.instances > 0) != (second.instances > 0)) > 0.2
        assert not np.array_equal(first.image, second.image)


class TestTruth:
    @settings(max_examples=12, deadline=None)
    @given(st.tuples(st.integers(64, 240), st.integers(64, 240)), st.integers(0, 10_000))
    def test_instances_are_the_polygons_rasterised_whatever_the_size_and_seed(
        self, size: tuple[int, int], seed: int
    ) -> None:
        scene = field_scene(size, seed)
        assert scene.image.shape == (4, *size)
        assert scene.instances.shape == scene.cover.shape == size
        np.testing.assert_array_equal(scene.instances, burnt(scene))
        assert scene.polygons.is_valid.all()
        assert shapely.coverage_is_valid(scene.polygons.geometry.to_numpy())

    def test_pixel_centres_lie_in_the_polygon_of_their_instance(self, scene: FieldScene) -> None:
        rows, columns = np.mgrid[0:640:7, 0:768:7]
        east, south = scene.geobox.affine @ (columns.ravel() + 0.5, rows.ravel() + 0.5)
        tree = shapely.STRtree(scene.polygons.geometry)
        points = shapely.points(east, south)
        found = np.zeros(len(points), dtype=int)
        inside, polygon = tree.query(points, predicate="within")
        found[inside] = polygon + 1
        edge = shapely.unary_union(scene.polygons.boundary)
        shapely.prepare(edge)
        clear = ~shapely.dwithin(edge, points, 1e-6)
        np.testing.assert_array_equal(found[clear], scene.instances[::7, ::7].ravel()[clear])

    def test_no_two_fields_overlap(self, scene: FieldScene) -> None:
        fields = scene.polygons.geometry.to_numpy()
        first, second = shapely.STRtree(fields).query(fields, predicate="intersects")
        pairs = first < second
        assert pairs.any()
        assert shapely.area(shapely.intersection(fields[first[pairs]], fields[second[pairs]])).max() == 0

    def test_some_fields_touch_and_some_are_parted_by_up_to_three_pixels(self, scene: FieldScene) -> None:
        fields = scene.polygons.geometry.to_numpy()
        first, second = shapely.STRtree(fields).query(fields, predicate="dwithin", distance=9.0)
        pairs = first < second
        gap = shapely.distance(fields[first[pairs]], fields[second[pairs]])
        border = shapely.length(shapely.intersection(fields[first[pairs]], fields[second[pairs]]))
        assert np.sum(border > 15) > 0.15 * len(fields)
        assert np.sum(gap > 0.5) > 0.15 * len(fields)

    def test_touching_fields_are_two_instances_without_a_pixel_between(self, scene: FieldScene) -> None:
        left, right = scene.instances[:, :-1], scene.instances[:, 1:]
        assert np.any((left > 0) & (right > 0) & (left != right))

    @pytest.mark.parametrize("seed", range(4))
    def test_fields_cover_about_half_of_the_scene(self, seed: int) -> None:
        share = np.mean(field_scene(320, seed).instances > 0)
        assert 0.43 < share < 0.62

    def test_field_sizes_span_several_regimes(self, scene: FieldScene) -> None:
        small, median, great = np.quantile(scene.polygons.area / 9, [0.1, 0.5, 0.95])
        assert small < 350
        assert great > 15 * small
        assert great > 5 * median

    def test_pixels_of_fields_are_exactly_those_covered_by_field(self, scene: FieldScene) -> None:
        np.testing.assert_array_equal(scene.cover == COVERS.index("field"), scene.instances > 0)


class TestPixels:
    def test_growing_crops_are_greener_than_bare_fields_and_those_than_water(self, scene: FieldScene) -> None:
        crop = np.concatenate([["none"], scene.polygons.crop.to_numpy(dtype=str)])[scene.instances]
        green = ndvi(scene)
        growing = np.median(green[np.isin(crop, ["cereal", "legume"])])
        bare = np.median(green[crop == "bare"])
        water = np.median(green[scene.cover == COVERS.index("water")])
        assert growing > 0.5
        assert 0.05 < bare < 0.35
        assert water < 0 < bare < growing

    def test_woods_are_darker_and_rougher_in_the_near_infrared_than_cereals(self, scene: FieldScene) -> None:
        nir = scene.image[3].astype(float)
        grain = np.abs(nir[:, 2:] - 2 * nir[:, 1:-1] + nir[:, :-2])
        crop = np.concatenate([["none"], scene.polygons.crop.to_numpy(dtype=str)])[scene.instances]
        wood, cereal = scene.cover == COVERS.index("wood"), crop == "cereal"
        assert np.median(nir[wood]) < np.median(nir[cereal])
        assert np.median(grain[wood[:, 1:-1]]) > 1.5 * np.median(grain[cereal[:, 1:-1]])

    def test_no_band_and_no_index_tells_fields_from_other_land(self, scene: FieldScene) -> None:
        field = scene.instances > 0
        for layer in (*scene.image, ndvi(scene)):
            levels = np.quantile(layer, np.linspace(0.02, 0.98, 49))
            agree = np.array([np.mean((layer > level) == field) for level in levels])
            assert np.maximum(agree, 1 - agree).max() < 0.75

    def test_reflectance_is_that_of_land(self, scene: FieldScene) -> None:
        assert scene.image.dtype == np.uint16
        assert scene.image.min() > 0
        assert np.quantile(scene.image, 0.999) < 7000
        assert np.all(np.quantile(scene.image[:3], 0.5, axis=(1, 2)) < 1800)

    def test_a_swath_leaves_a_small_share_unobserved_in_every_band(self) -> None:
        whole, cut = field_scene(160, seed=2), field_scene(160, seed=2, nodata=True)
        unseen = cut.image == 0
        assert np.all(unseen == unseen[0])
        assert 0.005 < unseen.mean() < 0.1
        np.testing.assert_array_equal(cut.image[~unseen], whole.image[~unseen])
        np.testing.assert_array_equal(cut.instances, whole.instances)


class TestPlace:
    def test_polygons_and_grid_share_a_projected_crs_and_extent(self, scene: FieldScene) -> None:
        assert scene.polygons.crs.to_epsg() == scene.geobox.crs.to_epsg() == 32736
        assert tuple(scene.geobox.shape) == (640, 768)
        assert abs(scene.geobox.resolution.x) == abs(scene.geobox.resolution.y) == 3.0
        box = scene.geobox.boundingbox
        west, south, east, north = scene.polygons.total_bounds
        assert box.left <= west < east <= box.right
        assert box.bottom <= south < north <= box.top

    def test_area_on_the_ground_grows_with_the_square_of_the_pixel(self) -> None:
        fine, coarse = field_scene(96, 4, pixel_m=2.0), field_scene(96, 4, pixel_m=10.0, crs="EPSG:32633")
        assert coarse.polygons.crs.to_epsg() == 32633
        np.testing.assert_allclose(coarse.polygons.area, 25 * fine.polygons.area)
        np.testing.assert_array_equal(fine.image, coarse.image)


class TestFiles:
    def test_saved_scene_reads_back_equal(self, scene: FieldScene, tmp_path: Path) -> None:
        paths = scene.save(tmp_path / "a" / "b")
        assert sorted(path.name for path in paths.values()) == ["fields.gpkg", "scene.tif"]
        with rasterio.open(paths["image"]) as file:
            np.testing.assert_array_equal(file.read(), scene.image)
            assert file.descriptions == BANDS
            assert file.nodata == 0
            assert file.crs.to_epsg() == 32736
            assert file.transform == scene.geobox.affine
            assert file.block_shapes[0] == (256, 256)
            assert file.compression.name == "deflate"
        truth = gpd.read_file(paths["polygons"])
        assert truth.crs.to_epsg() == 32736
        assert list(truth.crop) == list(scene.polygons.crop)
        assert truth.geometry.geom_equals(scene.polygons.geometry).all()

    def test_an_existing_file_is_refused_and_kept(self, tmp_path: Path) -> None:
        first, second = field_scene(64, 0), field_scene(64, 1)
        first.save(tmp_path)
        before = (tmp_path / "scene.tif").read_bytes()
        with pytest.raises(UserError, match=r"scene\.tif: already exists"):
            second.save(tmp_path)
        assert (tmp_path / "scene.tif").read_bytes() == before
        second.save(tmp_path, overwrite=True)
        assert (tmp_path / "scene.tif").read_bytes() != before

    def test_a_folder_that_cannot_be_made_is_a_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(UserError, match="cannot be made"):
            field_scene(64).save(tmp_path / "file" / "scene")


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"size": 32}, "at least 64"),
            ({"pixel_m": 0.0}, "positive"),
            ({"crs": "EPSG:4326"}, "projected CRS"),
            ({"crs": "EPSG:2263"}, "metres"),
            ({"crs": "nowhere"}, "not a coordinate reference system"),
        ],
    )
    def test_each_gets_one_line(self, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(UserError, match=message) as caught:
            field_scene(**{"size": 64, **arguments})  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
