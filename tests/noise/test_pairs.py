"""Cards of real pairs: files and folders of every kind, and what cannot be compared."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import geopandas as gpd
import nibabel
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import from_origin

from segnoise.errors import UserError
from segnoise.noise import noise_card, noise_card_of
from segnoise.noise.files import corrupt_file
from segnoise.noise.pairs import card_of_files

HERE = from_origin(500000, 9000000, 3, 3)


def tif(
    path: Path, labels: NDArray[Any], transform: Any = HERE, crs: str | None = "EPSG:32736", nodata: int | None = None
) -> Path:
    height, width = labels.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype=labels.dtype, transform=transform, crs=crs,
        nodata=nodata,
    ) as dst:  # fmt: skip
        dst.write(labels, 1)
    return path


def png(path: Path, labels: NDArray[Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with rasterio.open(
        path, "w", driver="PNG", height=labels.shape[0], width=labels.shape[1], count=1, dtype="uint8"
    ) as dst:
        dst.write(labels.astype(np.uint8), 1)
    return path


def nii(path: Path, labels: NDArray[Any], affine: NDArray[Any] | None = None) -> Path:
    nibabel.save(
        nibabel.Nifti1Image(labels.astype(np.uint8), np.diag([2, 1, 3, 1.0]) if affine is None else affine), path
    )
    return path


@pytest.fixture
def maps() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Given and true classes, 50 x 60, an unknown corner in each."""
    clean = np.zeros((50, 60), np.uint8)
    clean[10:30, 10:30], clean[35:45, 40:55] = 1, 2
    given = np.roll(clean, 2, axis=1)
    given[:5, :5], clean[-5:, -5:] = 255, 255
    return given, clean


class TestFiles:
    def test_rasters_give_the_card_of_their_arrays(self, tmp_path: Path, maps: Any) -> None:
        given, clean = maps
        result = card_of_files(
            tif(tmp_path / "given.tif", given), tif(tmp_path / "clean.tif", clean), tmp_path / "card.json"
        )
        assert result["card"] == noise_card(given, clean, (3.0, 3.0))
        assert json.loads((tmp_path / "card.json").read_text()) == result
        assert (result["given"], result["reference"], result["unit"], result["spacing"]) == (
            "given.tif",
            "clean.tif",
            "m",
            [3, 3],
        )
        assert result["files"][0]["errors"] == result["card"]["errors"]
        assert (tmp_path / "card.png").stat().st_size > 10_000

    def test_nodata_is_unknown(self, tmp_path: Path, maps: Any) -> None:
        given, clean = maps
        a = tif(tmp_path / "given.tif", np.where(given == 255, 99, given).astype(np.uint8), nodata=99)
        result = card_of_files(a, tif(tmp_path / "clean.tif", clean), tmp_path / "card.json")
        assert result["card"]["errors"] == noise_card(given, clean)["errors"]

    def test_masks_have_no_spacing(self, tmp_path: Path, maps: Any) -> None:
        given, clean = maps
        result = card_of_files(png(tmp_path / "a.png", given), png(tmp_path / "b.png", clean), tmp_path / "card.json")
        assert result["card"] == noise_card(given, clean)
        assert result["spacing"] is result["unit"] is None

    def test_volumes_are_in_millimetres(self, tmp_path: Path, blocks: NDArray[np.int32]) -> None:
        clean, given = blocks % 4, np.roll(blocks, 1, 0) % 4
        result = card_of_files(
            nii(tmp_path / "a.nii.gz", given), nii(tmp_path / "b.nii", clean), tmp_path / "card.json"
        )
        assert result["card"] == noise_card(given, clean, (2.0, 1.0, 3.0))
        assert (result["unit"], result["spacing"]) == ("mm", [2, 1, 3])

    def test_polygons_are_compared_as_objects_on_the_grid_of_a_scene(self, tmp_path: Path) -> None:
        scene = tif(tmp_path / "scene.tif", np.ones((60, 60), np.uint8))
        boxes = [shapely.box(500000 + 30 * k, 9000000 - 90, 500000 + 30 * k + 30, 9000000 - 30) for k in range(4)]
        for name, kept in (("old", boxes[:3]), ("new", boxes)):
            gpd.GeoDataFrame(geometry=kept, crs=32736).to_file(tmp_path / f"{name}.gpkg")
        result = card_of_files(tmp_path / "old.gpkg", tmp_path / "new.gpkg", tmp_path / "card.json", grid=scene)
        assert result["instances"]
        assert (result["card"]["objects"]["true"], result["card"]["objects"]["missed"]) == (4, 1)
        with pytest.raises(UserError, match="need --grid"):
            card_of_files(tmp_path / "old.gpkg", tmp_path / "new.gpkg", tmp_path / "other.json")

    def test_ids_are_compared_as_objects_where_that_is_said(self, tmp_path: Path, parcels: NDArray[np.int32]) -> None:
        given = np.where(parcels == parcels.max(), 0, parcels)
        a, b = tif(tmp_path / "a.tif", given), tif(tmp_path / "b.tif", parcels)
        result = card_of_files(a, b, tmp_path / "card.json", instances=True)
        assert result["card"] == noise_card(given, parcels, (3.0, 3.0), instances=True)
        assert result["card"]["objects"]["missed"] == 1

    def test_the_card_of_corrupted_labels_is_that_of_their_record(self, tmp_path: Path, maps: Any) -> None:
        labels = tif(tmp_path / "labels.tif", maps[1])
        record = corrupt_file(labels, tmp_path / "noisy.tif", "boundary(2px)+kms(0.05)", seed=3)
        result = card_of_files(tmp_path / "noisy.tif", labels, tmp_path / "card.json")
        assert result["card"] == record["card"]
        assert (tmp_path / "noisy.card.png").is_file()

    def test_like_draws_the_noise_of_a_card_and_records_it(self, tmp_path: Path, parcels: NDArray[np.int32]) -> None:
        labels = tif(tmp_path / "labels.tif", parcels)
        corrupt_file(labels, tmp_path / "a.tif", "omission(0.3)", instances=True, seed=1)
        record = corrupt_file(labels, tmp_path / "b.tif", like=tmp_path / "a.json", instances=True, seed=2)
        asked = json.loads((tmp_path / "a.json").read_text())["card"]
        assert record["like"] == {"file": "a.json", "card": asked}
        assert record["noise"].startswith("omission(")
        assert record["card"]["objects"]["missed"] == pytest.approx(asked["objects"]["missed"], abs=1)
        again = corrupt_file(labels, tmp_path / "c.tif", record["noise"], instances=True, seed=2)
        assert again["sha256_out"] == record["sha256_out"]


class TestFolders:
    def test_files_are_paired_by_name_without_suffix_and_summed(self, tmp_path: Path, maps: Any, caplog: Any) -> None:
        given, clean = maps
        for k in range(3):
            png(tmp_path / "given" / f"{k}.png", np.roll(given, k, 0))
            (tmp_path / "clean").mkdir(exist_ok=True)
            tif(tmp_path / "clean" / f"{k}.tif", clean)
        png(tmp_path / "given" / "alone.png", given)
        (tmp_path / "given" / "0.json").write_text("{}")
        png(tmp_path / "given" / "0.card.png", given)
        (tmp_path / "given" / "notes.txt").write_text("x")
        done: list[tuple[int, int]] = []
        with caplog.at_level(logging.WARNING):
            result = card_of_files(
                tmp_path / "given", tmp_path / "clean", tmp_path / "card.json", progress=lambda *x: done.append(x)
            )
        assert result["card"] == noise_card_of([(np.roll(given, k, 0), clean) for k in range(3)])
        assert [f["given"] for f in result["files"]] == ["0.png", "1.png", "2.png"]
        assert sum(f["errors"] for f in result["files"]) == result["card"]["errors"]
        assert "1 files have no partner and are left out, the first is alone" in caplog.text
        assert done == [(0, 3), (1, 3), (2, 3)]

    def test_pixels_of_one_size_give_distances_in_metres_and_others_do_not(self, tmp_path: Path, maps: Any) -> None:
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            tif(tmp_path / folder / "1.tif", maps[0])
            tif(tmp_path / folder / "2.tif", maps[1], from_origin(500000, 9000000, 3.01, 3.01))
        assert "displacement_spaced" in card_of_files(tmp_path / "a", tmp_path / "b", tmp_path / "c.json")["card"]
        for folder in ("a", "b"):
            tif(tmp_path / folder / "3.tif", maps[1], from_origin(500000, 9000000, 10, 10))
        assert "displacement_spaced" not in card_of_files(tmp_path / "a", tmp_path / "b", tmp_path / "d.json")["card"]

    def test_polygons_of_a_folder_may_each_have_their_scene(self, tmp_path: Path) -> None:
        for name in ("old", "new", "scenes"):
            (tmp_path / name).mkdir()
        for k in range(2):
            tif(
                tmp_path / "scenes" / f"{k}.tif",
                np.ones((60, 60), np.uint8),
                from_origin(500000 + 1000 * k, 9000000, 3, 3),
            )
            box = shapely.box(500000 + 1000 * k + 30, 9000000 - 90, 500000 + 1000 * k + 60, 9000000 - 30)
            for name in ("old", "new"):
                gpd.GeoDataFrame(geometry=[box], crs=32736).to_file(tmp_path / name / f"{k}.geojson")
        arguments = (tmp_path / "old", tmp_path / "new", tmp_path / "card.json")
        assert card_of_files(*arguments, grid=tmp_path / "scenes")["card"]["objects"]["true"] == 2
        (tmp_path / "scenes" / "1.tif").unlink()
        with pytest.raises(UserError, match="has no scene called 1"):
            card_of_files(*arguments, grid=tmp_path / "scenes", overwrite=True)


class TestRefuses:
    """One line that says what and where, and nothing written."""

    @pytest.fixture
    def refuses(self, tmp_path: Path) -> Any:
        def check(given: Path, reference: Path, *words: str, **options: Any) -> None:
            with pytest.raises(UserError) as error:
                card_of_files(given, reference, tmp_path / "card.json", **options)
            for word in words:
                assert word in str(error.value)
            assert not (tmp_path / "card.json").exists()
            assert not (tmp_path / "card.png").exists()

        return check

    def test_maps_on_different_grids(self, tmp_path: Path, maps: Any, refuses: Any) -> None:
        given, clean = maps
        a = tif(tmp_path / "a.tif", given)
        refuses(a, tif(tmp_path / "size.tif", clean[:-1]), "a.tif", "50 x 60 px", "49 x 60 px")
        refuses(
            a,
            tif(tmp_path / "moved.tif", clean, from_origin(500003, 9000000, 3, 3)),
            "another grid",
            "500003",
            "resample",
        )
        refuses(a, tif(tmp_path / "crs.tif", clean, crs="EPSG:32633"), "EPSG:32736", "EPSG:32633")

    def test_volumes_that_lie_elsewhere_or_are_no_maps(
        self, tmp_path: Path, blocks: NDArray[np.int32], refuses: Any
    ) -> None:
        labels = blocks % 3
        moved = np.diag([2, 1, 3, 1.0])
        moved[0, 3] = 4
        refuses(nii(tmp_path / "a.nii", labels), nii(tmp_path / "b.nii", labels, moved), "lies elsewhere", "up to 4")
        refuses(
            nii(tmp_path / "a.nii", labels[:, :, 0]),
            tif(tmp_path / "m.tif", labels[:, :, 0].astype(np.uint8)),
            "mm",
            "m;",
        )

    def test_maps_with_no_pixel_known_in_both(self, tmp_path: Path, maps: Any, refuses: Any) -> None:
        known = np.arange(3000).reshape(50, 60) < 1000
        one = np.where(known, 1, 255).astype(np.uint8)
        refuses(
            png(tmp_path / "a.png", one), png(tmp_path / "b.png", np.where(known, 255, 1)), "no pixel that is known"
        )

    def test_objects_against_classes(self, tmp_path: Path, refuses: Any) -> None:
        scene = tif(tmp_path / "scene.tif", np.ones((60, 60), np.uint8))
        gpd.GeoDataFrame(geometry=[shapely.box(500030, 8999910, 500060, 8999970)], crs=32736).to_file(
            tmp_path / "f.gpkg"
        )
        refuses(tmp_path / "f.gpkg", scene, "f.gpkg", "objects", "scene.tif classes", "--instances", grid=scene)

    def test_paths_that_make_no_pair(self, tmp_path: Path, maps: Any, refuses: Any) -> None:
        a = png(tmp_path / "old" / "a.png", maps[0])
        png(tmp_path / "new" / "b.png", maps[1])
        (tmp_path / "none").mkdir()
        refuses(tmp_path / "nowhere", a, "nowhere", "no such file")
        refuses(tmp_path / "old", a, "is a folder", "a file")
        refuses(tmp_path / "old", tmp_path / "new", "shares no file name", "1 label file and 1 label file")
        refuses(tmp_path / "old", tmp_path / "none", "0 label files")
        tif(tmp_path / "old" / "a.tif", maps[0])
        refuses(tmp_path / "old", tmp_path / "new", "a.png", "a.tif", "one name")

    def test_an_existing_card_or_page(self, tmp_path: Path, maps: Any) -> None:
        a = png(tmp_path / "a.png", maps[0])
        (tmp_path / "card.png").write_text("mine")
        with pytest.raises(UserError, match=r"card\.png: already exists"):
            card_of_files(a, a, tmp_path / "card.json")
        assert (tmp_path / "card.png").read_text() == "mine"

    def test_a_file_that_holds_no_labels(self, tmp_path: Path, maps: Any, refuses: Any) -> None:
        bad = tmp_path / "bad.tif"
        bad.write_bytes(b"no raster")
        refuses(bad, png(tmp_path / "a.png", maps[0]), "bad.tif")


def test_masks_of_0_and_255_are_warned_of(tmp_path: Path, maps: Any, caplog: Any) -> None:
    mask = np.where(maps[1] == 1, 255, 0)
    with caplog.at_level(logging.WARNING):
        card_of_files(png(tmp_path / "a.png", mask), png(tmp_path / "b.png", mask * 0), tmp_path / "card.json")
    assert "a.png: holds 0 and 255 only" in caplog.text
    assert "b.png" not in caplog.text


def test_empty_masks_give_a_card(tmp_path: Path) -> None:
    empty = np.zeros((20, 20))
    card = card_of_files(png(tmp_path / "a.png", empty), png(tmp_path / "b.png", empty), tmp_path / "card.json")["card"]
    assert card["flip_rate"]["overall"] == 0
    assert card["objects"]["missed_share"] is None
