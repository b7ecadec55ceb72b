"""Label files corrupted as files of their own kind."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import rasterio
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray
from PIL import Image

from segnoise.errors import UserError
from segnoise.noise import replay
from segnoise.noise.files import corrupt_file, record_path
from segnoise.noise.labelfile import open_labels

# Turned about the third axis, with voxels of 2 x 1 x 3 mm.
TURNED = np.array([[1.2, -0.8, 0, 5], [1.6, 0.6, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1.0]])


def write_nifti(path: Path, labels: NDArray, affine: NDArray = TURNED, unit: str = "mm") -> Path:
    image = nibabel.Nifti1Image(labels, affine, dtype=labels.dtype)
    image.header.set_xyzt_units(unit, "sec")
    image.header["descrip"] = b"drawn by hand"
    image.header["cal_max"] = 7
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=2)
    nibabel.save(image, path)
    return path


@pytest.fixture
def organs(blocks: NDArray[np.int32]) -> NDArray[np.uint8]:
    labels = (blocks % 4).astype(np.uint8)
    labels[:6, :6] = 255
    return labels


class TestNifti:
    @pytest.mark.parametrize("name", ["noisy.nii", "noisy.nii.gz"])
    @pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
    def test_affine_header_and_type_stay_and_unknown_voxels_too(self, tmp_path, organs, name, dtype):
        path = write_nifti(tmp_path / "labels.nii.gz", organs.astype(dtype))
        record = corrupt_file(path, tmp_path / name, "kms(0.25)")
        before, after = nibabel.load(path), nibabel.load(tmp_path / name)
        noisy = np.asarray(after.dataobj)
        assert {k: v.tobytes() for k, v in after.header.items()} == {k: v.tobytes() for k, v in before.header.items()}
        assert np.array_equal(after.affine, before.affine)
        assert after.get_data_dtype() == dtype
        assert (noisy[organs == 255] == 255).all()
        assert (noisy != organs).sum() == round(0.25 * (organs != 255).sum())
        assert json.loads((tmp_path / "noisy.json").read_text()) == record
        assert np.array_equal(replay(open_labels(path).labels, record), noisy)

    def test_the_spacing_comes_from_the_affine_in_millimetres(self, tmp_path, organs):
        for unit, scale in (("mm", 1.0), ("micron", 1e-3), ("meter", 1e3), ("unknown", 1.0)):
            path = write_nifti(tmp_path / f"{unit}.nii", organs, unit=unit)
            assert open_labels(path).spacing == pytest.approx(tuple(voxel_sizes(TURNED) * scale))
        record = corrupt_file(tmp_path / "mm.nii", tmp_path / "noisy.nii", "boundary(2mm)")
        assert record["spacing"] == pytest.approx([2, 1, 3])
        assert record["params"][0]["met"] == pytest.approx(2, abs=0.05)
        assert record["card"]["displacement_spaced"]["changed_per_length"] == pytest.approx(2, abs=0.05)

    def test_equal_seeds_give_equal_files(self, tmp_path, organs):
        path = write_nifti(tmp_path / "labels.nii.gz", organs)
        for name in ("a.nii.gz", "b.nii.gz"):
            corrupt_file(path, tmp_path / name, "kms(0.2)", seed=4)
        assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()

    def test_object_ids_are_widened_where_new_ones_do_not_fit(self, tmp_path):
        ids = np.zeros((20, 20, 6), np.uint8)
        ids[::2, ::2, ::2] = np.arange(1, 301).reshape(10, 10, 3) % 255 + 1
        path = write_nifti(tmp_path / "ids.nii", ids)
        corrupt_file(path, tmp_path / "noisy.nii", "kms(0.3, rho=0)", instances=True)
        noisy = nibabel.load(tmp_path / "noisy.nii")
        assert noisy.get_data_dtype() == np.int32
        assert np.asarray(noisy.dataobj).max() > 255

    def test_a_single_slice_is_measured_as_a_plane(self, tmp_path, parcels):
        labels = (parcels % 3).astype(np.uint8)
        for name, array in (
            ("slice.nii", labels[..., None]),
            ("plane.nii", labels),
            ("still.nii", labels[..., None, None]),
        ):
            corrupt_file(write_nifti(tmp_path / name, array), tmp_path / f"n_{name}", "boundary(1px)")
        changed = [
            np.count_nonzero(np.asarray(nibabel.load(tmp_path / f"n_{name}.nii").dataobj).squeeze() != labels)
            for name in ("slice", "plane", "still")
        ]
        assert changed[0] == changed[1] == changed[2] > 0
        assert nibabel.load(tmp_path / "n_still.nii").shape == (*labels.shape, 1, 1)

    def test_a_volume_of_the_real_set_round_trips(self, tmp_path, shared_data):
        path = sorted((shared_data / "hippocampus" / "labels").glob("*.nii.gz"))[0]
        record = corrupt_file(path, tmp_path / "noisy.nii.gz", "boundary(1mm)+omission(0.5)")
        before, after = nibabel.load(path), nibabel.load(tmp_path / "noisy.nii.gz")
        assert {k: v.tobytes() for k, v in after.header.items()} == {k: v.tobytes() for k, v in before.header.items()}
        assert np.array_equal(replay(open_labels(path).labels, record), np.asarray(after.dataobj))
        assert record["params"][0]["met"] == pytest.approx(1, rel=0.05)


def broken(folder: Path, kind: str) -> Path:
    """A file that is no label volume, in one of the ways that happen."""
    path = folder / "bad.nii.gz"
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[3:9, 3:9] = 1
    if kind == "text":
        path.write_bytes(gzip.compress(b"no volume" * 99))
    elif kind == "not zipped":
        path.write_bytes(b"no gzip either")
    elif kind == "fractions":
        write_nifti(path, labels.astype(np.float32) / 2)
    elif kind == "nan":
        write_nifti(path, np.where(labels, np.nan, 0).astype(np.float32))
    elif kind == "four axes":
        write_nifti(path, np.stack([labels, labels], -1))
    elif kind == "ids":
        write_nifti(path, labels.astype(np.int16) * 300)
    elif kind == "colours":
        write_nifti(path, labels.astype(np.complex64))
    else:
        write_nifti(path, np.random.default_rng(0).integers(0, 2, (40, 40, 40), dtype=np.uint8))
        content = path.read_bytes() if kind == "truncated" else gzip.decompress(path.read_bytes())
        path.unlink()
        path = path if kind == "truncated" else folder / "bad.nii"
        path.write_bytes(content[: len(content) // 2])
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("text", "not a NIfTI"),
        ("not zipped", "not a NIfTI"),
        ("fractions", "0.5 is not a whole number"),
        ("nan", "nan is not a whole number"),
        ("four axes", "4 axes (12, 12, 12, 2)"),
        ("ids", "--instances"),
        ("colours", "complex"),
        ("truncated", "truncated"),
        ("truncated and plain", "truncated"),
    ],
)
def test_a_file_that_is_no_label_volume_is_refused_and_nothing_is_left(tmp_path, kind, says):
    path = broken(tmp_path, kind)
    with pytest.raises(UserError) as caught:
        corrupt_file(path, tmp_path / "noisy.nii.gz", "kms(0.1)")
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_length_in_a_unit_that_the_labels_are_not_measured_in_is_refused(tmp_path, organs):
    path = write_nifti(tmp_path / "labels.nii", organs)
    for noise in ("boundary(2m)", "kms(0.1)+0.5*boundary(2m)"):
        with pytest.raises(UserError, match=r"measured in mm; give 2m in mm or px"):
            corrupt_file(path, tmp_path / "noisy.nii", noise)


def test_the_output_must_be_of_the_same_kind(tmp_path, organs):
    path = write_nifti(tmp_path / "labels.nii", organs)
    with pytest.raises(UserError, match=r"noisy\.tif: .* \.nii\.gz or \.nii"):
        corrupt_file(path, tmp_path / "noisy.tif", "kms(0.1)")
    mask = write_mask(tmp_path / "mask.png", organs[6])
    with pytest.raises(UserError, match=r"noisy\.nii: .* \.png"):
        corrupt_file(mask, tmp_path / "noisy.nii", "kms(0.1)")


def write_mask(path: Path, labels: NDArray, palette: dict | None = None) -> Path:
    driver = {".png": "PNG", ".tif": "GTiff"}[path.suffix]
    height, width = labels.shape
    with rasterio.open(
        path, "w", driver=driver, height=height, width=width, count=1, dtype=labels.dtype
    ) as dst:  # fmt: skip
        if palette:
            dst.write_colormap(1, palette)
        dst.write(labels, 1)
    return path


class TestPlainMasks:
    @pytest.mark.parametrize(("name", "out"), [("a.png", "n.png"), ("a.tif", "n.tif"), ("a.png", "n.tif")])
    def test_masks_without_a_place_on_the_earth_work(self, tmp_path, classes, name, out):
        path = write_mask(tmp_path / name, classes)
        record = corrupt_file(path, tmp_path / out, "boundary(2px)+omission(0.2)")
        with rasterio.open(tmp_path / out) as src:
            noisy = src.read(1)
            assert src.driver == {".png": "PNG", ".tif": "GTiff"}[Path(out).suffix]
            assert src.crs is None
        assert noisy.dtype == np.uint8
        assert (noisy[classes == 255] == 255).all()
        assert np.array_equal(replay(classes, record), noisy)
        assert (noisy != classes).any()

    def test_a_palette_stays_and_its_transparent_entries_are_classes(self, tmp_path, classes):
        palette = {k: (40 * k, 0, 255 - 40 * k, 255 if k else 0) for k in range(5)}
        path = write_mask(tmp_path / "a.png", np.where(classes == 255, 4, classes), palette)
        corrupt_file(path, tmp_path / "n.png", "kms(0.2)")
        with rasterio.open(tmp_path / "n.png") as src:
            assert {k: v for k, v in src.colormap(1).items() if k < 5} == palette
            assert (src.read(1) != np.where(classes == 255, 4, classes)).mean() == pytest.approx(0.2, abs=1e-3)

    def test_a_metric_length_needs_a_place_on_the_earth(self, tmp_path, classes):
        path = write_mask(tmp_path / "a.png", classes)
        with pytest.raises(UserError, match="give it in px"):
            corrupt_file(path, tmp_path / "n.png", "boundary(2m)")

    def test_new_ids_beyond_eight_bits_take_sixteen_in_a_png(self, tmp_path):
        ids = np.zeros((60, 60), np.uint8)
        ids[1::3, 1::3] = np.arange(400).reshape(20, 20) % 255 + 1
        corrupt_file(write_mask(tmp_path / "a.png", ids), tmp_path / "n.png", "kms(0.2, rho=0)", instances=True)
        with rasterio.open(tmp_path / "n.png") as src:
            assert src.dtypes == ("uint16",)
            assert src.read(1).max() > 255


def test_the_record_of_a_zipped_volume_loses_both_suffixes() -> None:
    assert record_path(Path("a.b.nii.gz")) == Path("a.b.json")


class TestCommandLine:
    def run(self, *arguments: object) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "segnoise", "corrupt", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_a_volume_is_corrupted_and_its_record_named(self, tmp_path, organs):
        path = write_nifti(tmp_path / "labels.nii.gz", organs)
        done = self.run(path, "-o", tmp_path / "noisy.nii.gz", "--noise", "boundary(2mm)", "--seed", 3)
        assert done.returncode == 0, done.stderr
        assert str(tmp_path / "noisy.json") in done.stdout
        record = json.loads((tmp_path / "noisy.json").read_text())
        assert np.array_equal(replay(organs, record), np.asarray(nibabel.load(tmp_path / "noisy.nii.gz").dataobj))

    def test_a_truncated_volume_is_one_line(self, tmp_path):
        path = broken(tmp_path, "truncated")
        done = self.run(path, "-o", tmp_path / "noisy.nii.gz", "--noise", "kms(0.1)")
        assert done.returncode == 1
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith(f"error: {path}: ")


def test_a_plain_mask_has_no_pixel_size_whatever_the_unit(tmp_path):
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / "mask.png")
    for length in ("2mm", "2m"):
        with pytest.raises(UserError, match=f"{length}: the size of the labels' pixels is unknown; give it in px"):
            corrupt_file(tmp_path / "mask.png", tmp_path / "noisy.png", f"boundary({length})")
