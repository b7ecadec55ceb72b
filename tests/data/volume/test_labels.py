from __future__ import annotations

import numpy as np
import pytest
import tifffile

from segnoise.data.volume import VolumeLabels, VolumeSource, read_volume, reorient, write_volume
from segnoise.errors import UserError
from segnoise.windows import Window

from .conftest import oblique, write_nifti
from .test_stack import write_png

WHOLE = Window((0, 0, 0), (7, 6, 5))


@pytest.fixture
def classes() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, (7, 6, 5)).astype(np.uint8)


class TestValues:
    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "float32", "float64"])
    def test_whole_numbers_of_any_type_are_classes(self, tmp_path, classes, dtype):
        labels = VolumeLabels(write_nifti(tmp_path / "a.nii.gz", classes.astype(dtype), np.eye(4)), num_classes=4)
        assert labels.read(WHOLE).dtype == np.int64
        assert np.array_equal(labels.read(WHOLE), classes)

    def test_beyond_the_edge_is_unknown(self, tmp_path, classes):
        labels = VolumeLabels(write_nifti(tmp_path / "a.nii.gz", classes, np.eye(4)))
        read = labels.read(Window((-2, 3, 4), (5, 5, 5)))
        expected = np.pad(classes.astype(int), ((2, 0), (0, 2), (0, 4)), constant_values=255)[:5, 3:8, 4:9]
        assert np.array_equal(read, expected)

    def test_255_nan_and_the_index_for_unknown_are_unknown(self, tmp_path):
        array = np.array([[[0, 1, 255, np.nan, 2]]])
        path = write_nifti(tmp_path / "a.nii.gz", array, np.eye(4))
        read = VolumeLabels(path, num_classes=2, ignore=2).read(Window((0, 0, 0), (1, 1, 5)))
        assert read.tolist() == [[[0, 1, 255, 255, 255]]]

    @pytest.mark.parametrize(
        ("value", "dtype", "message"),
        [
            (0.5, "float32", r"label value 0\.5 is not a whole number.*\(voxel \(2, 1, 3\)\)"),
            (4, "uint8", r"class value 4 is outside the list of 4 classes \(0 to 3.*\(voxel \(2, 1, 3\)\)"),
            (-1, "int16", r"class value -1 is outside the list of 4"),
            (300, "int16", r"class value 300 is outside"),
        ],
    )
    def test_what_is_no_class_is_named_with_its_voxel(self, tmp_path, classes, value, dtype, message):
        array = classes.astype(dtype)
        array[2, 1, 3] = array[5, 5, 4] = value
        labels = VolumeLabels(write_nifti(tmp_path / "a.nii.gz", array, np.eye(4)), num_classes=4)
        with pytest.raises(UserError, match=message):
            labels.check()

    def test_channels_are_no_classes(self, tmp_path):
        with pytest.raises(UserError, match="has 3 channels"):
            VolumeLabels(write_nifti(tmp_path / "a.nii", np.zeros((4, 4, 4, 3), np.uint8), np.eye(4)))

    def test_labels_of_0_and_255_are_told(self, tmp_path, caplog):
        array = np.array([[[0, 255, 255]]], dtype=np.uint8)
        VolumeLabels(write_nifti(tmp_path / "a.nii", array, np.eye(4)), num_classes=2).check()
        assert "only 0 and 255" in caplog.text


class TestGrid:
    @pytest.fixture
    def image(self, tmp_path, voxels) -> VolumeSource:
        return VolumeSource(write_nifti(tmp_path / "image.nii.gz", voxels, oblique()))

    def test_the_same_grid_up_to_a_thousandth_of_a_voxel_fits(self, tmp_path, classes, image):
        affine = oblique()
        affine[:3, 3] += 0.0008 * affine[:3, 0]
        VolumeLabels(write_nifti(tmp_path / "a.nii.gz", classes, affine), like=image)
        affine[:3, 3] += 0.01 * affine[:3, 0]
        with pytest.raises(UserError, match=r"the corners are 0\.01\d* voxels apart"):
            VolumeLabels(write_nifti(tmp_path / "b.nii.gz", classes, affine), like=image)

    def test_both_files_and_grids_are_named(self, tmp_path, classes, image):
        path = write_nifti(tmp_path / "a.nii.gz", classes[:4], np.diag([1.0, 2.0, 3.0, 1.0]))
        expected = (
            r"a\.nii\.gz: not on the grid of its image .*image\.nii\.gz; labels: 4 x 6 x 5 voxels, axes RAS, spacing "
            r"\(1, 2, 3\) mm, origin \(0, 0, 0\); image: 7 x 6 x 5 voxels, axes LAS, .*; resample the labels"
        )
        with pytest.raises(UserError, match=expected):
            VolumeLabels(path, like=image)

    @pytest.mark.parametrize(
        ("codes", "hint"),
        [
            ("RAS", r"fit the image flipped along axis 0;"),
            ("RPI", r"flipped along axes 0 and 1 and 2;"),
            ("ALS", r"with its axes in the order \(1, 0, 2\);"),
            ("SRA", r"with its axes in the order \(1, 2, 0\) and flipped along axis 1"),
        ],
    )
    def test_labels_that_would_fit_turned_are_told_so(self, tmp_path, classes, image, codes, hint):
        straight = read_volume(write_nifti(tmp_path / "s.nii.gz", classes, oblique()))
        other = reorient(straight, codes)
        path = write_volume(tmp_path / "a.nii.gz", other.values, other.affine)
        with pytest.raises(UserError, match=hint):
            VolumeLabels(path, like=image)

    def test_a_transposed_array_is_recognised_by_its_shape(self, tmp_path, classes, image):
        path = write_nifti(tmp_path / "a.nii.gz", classes.T, np.eye(4))
        with pytest.raises(UserError, match=r"shapes agree in another order of axes.*untransposed"):
            VolumeLabels(path, like=image)

    def test_masks_in_a_folder_fit_an_image_stack_of_known_spacing(self, tmp_path, voxels):
        said = {"axes": "ZYX", "spacing": 30.0, "unit": "um"}
        tifffile.imwrite(tmp_path / "a.tif", voxels, imagej=True, resolution=(1 / 5, 1 / 2), metadata=said)
        (tmp_path / "masks").mkdir()
        for number, page in enumerate(voxels):
            write_png(tmp_path / "masks" / f"{number}.png", (page > 30000).astype(np.uint8))
        source = VolumeSource(tmp_path / "a.tif")
        labels = VolumeLabels(tmp_path / "masks", 2, like=source)
        whole = Window((0, 0, 0), source.shape)
        assert np.array_equal(labels.read(whole), source.read(whole)[0][0] > 30000)

    def test_masks_in_a_folder_do_not_pass_for_labels_of_a_placed_volume(self, tmp_path, classes, image):
        (tmp_path / "masks").mkdir()
        for number in range(5):
            write_png(tmp_path / "masks" / f"{number}.png", classes[:, :, number])
        with pytest.raises(UserError, match="not on the grid"):
            VolumeLabels(tmp_path / "masks", like=image)


def test_labels_of_a_real_series_are_told_which_way_to_turn(shared_data):
    folder = shared_data / "format_fixtures"
    source = VolumeSource(folder / "dicom_ct_jpeg2000")
    with pytest.raises(UserError, match="the labels fit the image flipped along axis 1"):
        VolumeLabels(folder / "dicom_ct_jpeg2000_pseudolabels.nii.gz", like=source)
