"""What `segnoise predict` writes beside maps, pictures and OCT scans: probabilities, and where given labels look wrong."""

from __future__ import annotations

import re
import subprocess
import sys

import geopandas as gpd
import nibabel
import numpy as np
import pytest
import rasterio
import shapely

from segnoise.config import make_config
from segnoise.data.volume import write_volume
from segnoise.inference import error_map_array
from segnoise.training import train
from tests.data.oct import oct_trees as trees

SIDE = 48
SCAN = (3, SIDE, SIDE)
REST = {
    "network": {"name": "UNet", "channels": [4, 8], "strides": [2]},
    "training": {"epochs": 1, "batch_size": 4, "lr": 0.01, "accelerator": "cpu"},
}
TRANSFORM = rasterio.Affine(10, 0, 5e5, 0, -10, 9e6)
BOX = shapely.box(5e5 + 100, 9e6 - 300, 5e5 + 400, 9e6 - 100)  # rows 10 to 30, columns 10 to 40


def write(path, array, driver="PNG", **profile):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = array[None] if array.ndim == 2 else array
    with rasterio.open(
        path, "w", driver=driver, count=len(array), height=array.shape[1], width=array.shape[2], dtype=array.dtype,
        **profile,
    ) as dst:  # fmt: skip
        dst.write(array)
    return path


def read(path):
    with rasterio.open(path) as src:
        return src.read()


def pair(seed):
    """A grey picture and a mask of what is bright in it."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[10:30, 10:40] = 1
    return (60 + 90 * mask + rng.integers(0, 40, mask.shape)).astype(np.uint8), mask


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for k in range(4):
        image, mask = pair(k)
        write(folder / "images" / f"i{k}.png", image)
        write(folder / "masks" / f"i{k}.png", mask)
    data = {"kind": "images", "images": ["images/*"], "labels": "masks", "classes": ["dark", "bright"], "window": 16}
    raw = {"data": {**data, "samples_per_epoch": 8}, **REST}
    return folder, train(make_config(raw, base=folder), folder / "run", quiet=True)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    image, mask = pair(0)
    place = {"crs": "EPSG:32736", "transform": TRANSFORM, "driver": "GTiff"}
    for name in ("a", "b"):
        write(folder / f"{name}.tif", image, **place)
        write(folder / "given" / f"{name}.tif", mask, **place)
    gpd.GeoDataFrame(geometry=[BOX], crs="EPSG:32736").to_file(folder / "fields.gpkg")
    data = {"kind": "raster", "images": ["a.tif"], "labels": "fields.gpkg", "window": 16, "samples_per_epoch": 8}
    return folder, train(make_config({"data": data, **REST}, base=folder), folder / "run", quiet=True)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for k in range(3):
        image, mask = pair(k)
        write(folder / f"v{k}" / "images" / "s.png", image)
        write(folder / f"v{k}" / "masks" / "s.png", mask)
    values = np.stack([pair(k)[0] for k in range(3)])
    for name, array in (("eye", values), ("given", values > 110), ("flat", values)):
        sizes = (1, 1, 1, 1) if name == "flat" else (0.011, 0.004, 0.12, 1)
        write_volume(folder / f"{name}.nii.gz", array.transpose(2, 1, 0), np.diag(sizes))
    data = {"kind": "oct", "folder": ".", "window": 16, "samples_per_epoch": 8}
    return folder, train(make_config({"data": data, **REST}, base=folder), folder / "run", quiet=True)


@pytest.fixture
def refused(segnoise, tmp_path):
    """Asserts that a prediction ends with 1 and one line on stderr that matches, and writes nothing into ``out``."""
    out = tmp_path / "out"
    out.mkdir()

    def check(pattern, *arguments):
        code, said, err = segnoise("predict", *arguments)
        assert (code, said) == (1, "")
        assert re.fullmatch(rf"error: .*{pattern}.*\n", err), err
        assert list(out.rglob("*")) == []

    return check


class TestPictures:
    def test_the_command_writes_three_files_and_says_how_many_labels_look_wrong(self, pictures, tmp_path):
        folder, run = pictures
        image, given = folder / "images" / "i0.png", folder / "masks" / "i0.png"
        done = subprocess.run(
            [sys.executable, "-m", "segnoise", "predict", run, image, "-o", tmp_path / "mask.png", "--labels", given,
             "--scores"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert {p.name for p in tmp_path.iterdir()} == {"mask.png", "mask_scores.tif", "mask_wrong.tif"}
        p, wrong = read(tmp_path / "mask_scores.tif"), read(tmp_path / "mask_wrong.tif")[0]
        np.testing.assert_array_equal(p.argmax(0), read(tmp_path / "mask.png")[0])
        np.testing.assert_array_equal(wrong, error_map_array(p, read(given)[0], rho=0.5))
        expected = f"{wrong.sum(dtype=float):.0f} of {wrong.size} pixels of {given} are expected to be wrong"
        assert done.stdout.splitlines() == [
            f"{tmp_path / 'mask.png'}: written", f"{tmp_path / 'mask_wrong.tif'}: {expected}",
        ]  # fmt: skip

    @pytest.mark.parametrize("kind", ["folder", "pattern", "table"])
    def test_labels_of_several_are_found_by_name(self, pictures, tmp_path, segnoise, kind):
        folder, run = pictures
        labels = {"folder": folder / "masks", "pattern": f"{folder}/masks/*.png", "table": folder / "t.csv"}[kind]
        (folder / "t.csv").write_text("image,label\n" + "".join(f"images/i{k}.png,masks/i{k}.png\n" for k in (0, 1)))
        images = [folder / "images" / f"i{k}.png" for k in (1, 0)]
        code, out, _ = segnoise("predict", run, *images, "-o", tmp_path / "out", "--labels", labels)
        assert code == 0
        assert {p.name for p in (tmp_path / "out").iterdir()} == {
            f"i{k}{end}" for k in (0, 1) for end in (".png", "_wrong.tif")
        }
        told = re.findall(r"(i.)_wrong\.tif: \d+ of 2304 pixels of \S*/masks/(i.)\.png", out)
        assert told == [("i1", "i1"), ("i0", "i0")]

    def test_mistakes_are_one_line(self, pictures, tmp_path, refused):
        folder, run = pictures
        images = [folder / "images" / f"i{k}.png" for k in (0, 1)]
        small = write(tmp_path / "small.png", np.zeros((SIDE, 9), np.uint8))
        half = write(tmp_path / "half.tif", np.full((SIDE, SIDE), 0.5, np.float32), "GTiff")
        mask = tmp_path / "out" / "m.png"
        for labels, told in (
            (small, r"small\.png: the mask is 48 x 9 px but its image i0 is 48 x 48 px"),
            (images[0], r"i0\.png: class value \d+ is outside the list of 2 classes"),
            (half, r"half\.tif: label value 0\.5 is not a whole number"),
            (tmp_path / "none.png", r"none\.png: no such file"),
            (tmp_path, "no label for the image .*i0"),
        ):
            refused(told, run, images[0], "-o", mask, "--labels", labels, "--scores")
        refused("is one file for 2 images", run, *images, "-o", tmp_path / "out", "--labels", small)
        refused("--axes: is for whole scans", run, images[0], "-o", mask, "--axes", "width,depth,bscan")


class TestScenes:
    def test_maps_of_errors_lie_on_their_scenes(self, scenes, tmp_path, segnoise):
        folder, run = scenes
        out = tmp_path / "out"
        paths = [folder / "a.tif", folder / "b.tif"]
        code, said, _ = segnoise("predict", run, *paths, "-o", out, "--labels", folder / "given", "--scores")
        assert code == 0
        assert {p.name for p in out.iterdir()} == {
            f"{k}{end}.tif" for k in "ab" for end in ("", "_scores", "_wrong")
        }  # fmt: skip
        for k in "ab":
            with rasterio.open(out / f"{k}_wrong.tif") as src:
                wrong = src.read(1)
                assert (src.crs, src.transform) == ("EPSG:32736", TRANSFORM)
            assert f"{k}_wrong.tif: {wrong.sum(dtype=float):.0f} of {SIDE**2} pixels of {folder}/given/{k}.tif" in said

    def test_polygons_are_labels_of_every_scene(self, scenes, tmp_path, segnoise):
        folder, run = scenes
        paths = [folder / "a.tif", folder / "b.tif"]
        code, _, _ = segnoise("predict", run, *paths, "-o", tmp_path / "out", "--labels", folder / "fields.gpkg", "-q")
        assert code == 0
        assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.tif", "a_wrong.tif", "b.tif", "b_wrong.tif"}
        segnoise("predict", run, paths[0], "-o", tmp_path / "r.tif", "--labels", folder / "given" / "a.tif", "-q")
        np.testing.assert_array_equal(read(tmp_path / "out" / "a_wrong.tif"), read(tmp_path / "r_wrong.tif"))

    def test_labels_on_another_grid_are_refused(self, scenes, tmp_path, refused):
        folder, run = scenes
        plain = write(tmp_path / "plain.tif", pair(0)[1], "GTiff")
        refused(
            r"plain\.tif: not on the grid of its scene",
            run, folder / "a.tif", "-o", tmp_path / "out" / "l.tif", "--labels", plain,
        )  # fmt: skip


class TestScans:
    def test_a_scan_and_its_bscans_get_the_same(self, scans, tmp_path, segnoise):
        folder, run = scans
        code, out, _ = segnoise(
            "predict", run, folder / "eye.nii.gz", "-o", tmp_path / "seg.nii.gz", "--scores", "--labels",
            folder / "given.nii.gz",
        )  # fmt: skip
        assert code == 0
        assert {p.name for p in tmp_path.iterdir()} == {f"seg{e}.nii.gz" for e in ("", "_scores", "_wrong")}
        assert re.search(rf"seg_wrong\.nii\.gz: \d+ of {np.prod(SCAN)} voxels of \S*given\.nii\.gz are expected", out)
        seg = nibabel.load(tmp_path / "seg.nii.gz")
        np.testing.assert_allclose(seg.affine, nibabel.load(folder / "eye.nii.gz").affine)
        bscans = [folder / f"v{k}" / "images" / "s.png" for k in range(3)]
        for k, path in enumerate(bscans):
            assert segnoise("predict", run, path, "-o", tmp_path / f"{k}.png", "-q")[0] == 0
            np.testing.assert_array_equal(np.asarray(seg.dataobj)[:, :, k].T, read(tmp_path / f"{k}.png")[0])

    def test_cases_of_retouch_are_called_as_their_folders(self, scans, tmp_path, segnoise):
        _, run = scans
        for case in ("TRAIN001", "TRAIN002"):
            trees.write_retouch(tmp_path, "Cirrus", case, SCAN, "uint8", reference=False)
        files = sorted(tmp_path.rglob("oct.mhd"))
        assert segnoise("predict", run, *files, "-o", tmp_path / "out", "-q") == (0, "", "")
        assert {p.name for p in (tmp_path / "out").iterdir()} == {"TRAIN001.nii.gz", "TRAIN002.nii.gz"}

    def test_axes_that_the_spacing_does_not_tell_are_asked_for(self, scans, tmp_path, segnoise, refused):
        folder, run = scans
        flat, target = folder / "flat.nii.gz", tmp_path / "out" / "seg.nii.gz"
        refused(r"flat\.nii\.gz: spacing .* say --axes width,depth,bscan", run, flat, "-o", target)
        refused("axes a, b: give width, depth, bscan", run, flat, "-o", target, "--axes", "a,b")
        refused(
            r"eye\.nii\.gz: is a whole scan and \S*s\.png is not; predict them in two calls",
            run, folder / "eye.nii.gz", folder / "v0" / "images" / "s.png", "-o", tmp_path / "out",
        )  # fmt: skip
        assert segnoise("predict", run, flat, "-o", target, "--axes", "width, depth, bscan", "-q") == (0, "", "")
        segnoise("predict", run, folder / "eye.nii.gz", "-o", tmp_path / "eye.nii.gz", "-q")
        np.testing.assert_array_equal(*(nibabel.load(p).get_fdata() for p in (target, tmp_path / "eye.nii.gz")))
