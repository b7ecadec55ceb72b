"""Volumes as slices and mixed images as grey ones, made once for all cells."""

from __future__ import annotations

import re

import nibabel as nib
import numpy as np
import pytest
import rasterio

from segnoise.errors import UserError
from segnoise.evaluation.benchmark.description import SetEntry
from segnoise.evaluation.benchmark.pictures import scale_grey
from segnoise.evaluation.benchmark.provide import provide


def read(path):
    with rasterio.open(path) as src:
        return src.read(1)


@pytest.fixture
def volumes(tmp_path):
    """Two volumes of 5 x 6 x 4 voxels with very different intensities, and their labels."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for k, scale in enumerate((1.0, 1e6)):
        values = (rng.random((5, 6, 4)) * scale).astype(np.float32)
        labels = rng.integers(0, 3, (5, 6, 4)).astype(np.uint8)
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "images" / f"v{k}.nii.gz")
        nib.save(nib.Nifti1Image(labels, np.eye(4)), tmp_path / "labels" / f"v{k}.nii.gz")
    return tmp_path


def entry(**prepare):
    data = {"kind": "images", "images": ["images/*"], "labels": "labels/*", "classes": ["a", "b", "c"], "window": 16}
    return SetEntry(data=data, prepare=prepare or None)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_those_of_the_volume_and_its_labels(volumes, axis):
    data = provide("s", entry(kind="slices", axis=axis, every=2), volumes, volumes / "made")
    (folder,) = (volumes / "made").iterdir()
    assert data["images"] == [str(folder / "images" / "*.png")]
    assert data["labels"] == str(folder / "labels")
    assert (data["classes"], data["window"]) == (["a", "b", "c"], 16)
    for k in (0, 1):
        truth = np.asarray(nib.load(volumes / "labels" / f"v{k}.nii.gz").dataobj)
        values = np.asarray(nib.load(volumes / "images" / f"v{k}.nii.gz").dataobj)
        names = sorted(path.name for path in (folder / "labels").glob(f"v{k}_*"))
        assert names == [f"v{k}_{i:03d}.png" for i in range(0, truth.shape[axis], 2)]
        for i in range(0, truth.shape[axis], 2):
            assert (read(folder / "labels" / f"v{k}_{i:03d}.png") == truth.take(i, axis)).all()
            assert (read(folder / "images" / f"v{k}_{i:03d}.png") == scale_grey(values).take(i, axis)).all()


def test_they_are_made_once(volumes):
    provide("s", entry(kind="slices"), volumes, volumes / "made")
    before = {path: path.stat().st_mtime_ns for path in (volumes / "made").rglob("*")}
    provide("s", entry(kind="slices"), volumes, volumes / "made")
    assert {path: path.stat().st_mtime_ns for path in (volumes / "made").rglob("*")} == before
    provide("s", entry(kind="slices", every=2), volumes, volumes / "made")
    assert len(list((volumes / "made").iterdir())) == 2


def test_a_making_that_fails_leaves_nothing(volumes):
    nib.save(nib.Nifti1Image(np.zeros((5, 6, 3), np.uint8), np.eye(4)), volumes / "labels" / "v1.nii.gz")
    with pytest.raises(UserError, match=re.escape("has the shape (5, 6, 3) but its image")):
        provide("s", entry(kind="slices"), volumes, volumes / "made")
    assert not list((volumes / "made").iterdir())


def test_what_is_no_volume_is_named(volumes):
    (volumes / "images" / "v0.nii.gz").write_bytes(b"no volume")
    with pytest.raises(UserError, match=r"v0\.nii\.gz: is not a readable NIfTI volume"):
        provide("s", entry(kind="slices"), volumes, volumes / "made")
    nib.save(nib.Nifti1Image(np.zeros((5, 6, 3, 2), np.uint8), np.eye(4)), volumes / "images" / "v0.nii.gz")
    with pytest.raises(UserError, match=r"v0\.nii\.gz: has 4 axes; slices are cut from volumes with three"):
        provide("s", entry(kind="slices"), volumes, volumes / "made")


def test_mixed_images_become_grey_with_their_own_range(tmp_path):
    rng = np.random.default_rng(1)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for k, bands in enumerate((1, 3)):
        values = rng.integers(0, 40 * (k + 1), (bands, 20, 20)).astype(np.uint8)
        for name, array in (("images", values), ("labels", values[:1] % 3)):
            with rasterio.open(
                tmp_path / name / f"{k}.png", "w", driver="PNG", height=20, width=20, count=len(array), dtype="uint8"
            ) as dst:
                dst.write(array)
    data = provide("s", entry(kind="grey"), tmp_path, tmp_path / "made")
    (folder,) = (tmp_path / "made").iterdir()
    assert data["labels"] == str(tmp_path / "labels" / "*")
    for k in (0, 1):
        with rasterio.open(tmp_path / "images" / f"{k}.png") as src:
            expected = scale_grey(src.read().astype(float).mean(0))
        made = read(folder / "images" / f"{k}.png")
        assert (made == expected).all()
        assert (made.min(), made.max()) == (0, 255)


def test_scenes_are_made_once_and_read_as_rasters(tmp_path):
    scenes = SetEntry(data={"kind": "scenes", "count": 2, "size": 128, "seed": 3, "window": 32})
    data = provide("s", scenes, tmp_path, tmp_path / "made")
    assert data["kind"] == "raster"
    assert data["window"] == 32
    assert [path.split("/")[-2:] for path in data["images"]] == [["0003", "scene.tif"], ["0004", "scene.tif"]]
    assert [path.split("/")[-2:] for path in data["labels"]] == [["0003", "fields.gpkg"], ["0004", "fields.gpkg"]]


def test_prepare_is_for_plain_images(tmp_path):
    (tmp_path / "a.tif").touch()
    (tmp_path / "b.tif").touch()
    raster = SetEntry(
        data={"kind": "raster", "images": ["a.tif"], "labels": ["b.tif"]}, prepare={"kind": "grey"}
    )  # fmt: skip
    with pytest.raises(
        UserError, match=r"sets\.s: prepare makes plain pictures; data\.kind must be images, not raster"
    ):
        provide("s", raster, tmp_path, tmp_path / "made")


def reduced(image, labels, factor):
    """The slow way: one block after another."""
    rows, columns = labels.shape[0] // factor, labels.shape[1] // factor
    picture, truth = np.zeros((len(image), rows, columns)), np.zeros((rows, columns))
    for i, j in np.ndindex(rows, columns):
        box = (slice(i * factor, (i + 1) * factor), slice(j * factor, (j + 1) * factor))
        picture[:, i, j] = np.rint(image[(slice(None), *box)].mean((1, 2)))
        known = labels[box][labels[box] != 255]
        truth[i, j] = 255 if 2 * len(known) < factor**2 else np.bincount(known).argmax()
    return picture, truth


@pytest.mark.parametrize(("factor", "bands"), [(2, 3), (3, 1), (3, 3)])
def test_smaller_pictures_have_the_mean_of_each_block_and_its_most_frequent_label(tmp_path, factor, bands):
    rng = np.random.default_rng(factor)
    image = rng.integers(0, 256, (bands, 14, 11), dtype=np.uint8)
    labels = rng.choice(np.array([0, 1, 2, 255], dtype=np.uint8), (14, 11), p=[0.3, 0.2, 0.2, 0.3])
    for part, array in (("images", image), ("labels", labels[None])):
        (tmp_path / part).mkdir()
        size = {"height": 14, "width": 11, "count": len(array), "dtype": "uint8"}
        with rasterio.open(tmp_path / part / "a.png", "w", driver="PNG", **size) as dst:
            dst.write(array)
    data = provide("s", entry(kind="reduced", factor=factor), tmp_path, tmp_path / "made")
    picture, truth = reduced(image, labels, factor)
    with rasterio.open(data["images"][0].replace("*", "a")) as src:
        np.testing.assert_array_equal(src.read(), picture)
    np.testing.assert_array_equal(read(f"{data['labels']}/a.png"), truth)


def test_pictures_below_a_block_are_refused(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        with rasterio.open(
            tmp_path / part / "a.png", "w", driver="PNG", height=4, width=3, count=1, dtype="uint8"
        ) as dst:
            dst.write(np.zeros((1, 4, 3), dtype=np.uint8))
    with pytest.raises(UserError, match=r"a\.png: 4 x 3 pixels, less than a block of 4; take a smaller factor"):
        provide("s", entry(kind="reduced", factor=4), tmp_path, tmp_path / "made")
    assert not list((tmp_path / "made").glob("*")), "nothing is left of an attempt"
