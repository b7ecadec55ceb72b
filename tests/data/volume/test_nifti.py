from __future__ import annotations

import logging

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segnoise.data.volume import read_volume, write_volume
from segnoise.errors import UserError

from .conftest import LPS, oblique, write_nifti


class TestReading:
    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
    @pytest.mark.parametrize("ending", ["nii", "nii.gz"])
    def test_values_type_and_affine_are_those_of_nibabel(self, tmp_path, voxels, dtype, ending):
        path = write_nifti(tmp_path / f"a.{ending}", voxels.astype(dtype), oblique())
        volume, image = read_volume(path), nibabel.load(path)
        assert volume.values.dtype == dtype
        assert np.array_equal(volume.values[0], np.asarray(image.dataobj))
        assert np.array_equal(volume.affine, image.affine)
        assert volume.path == path
        assert volume.spacing == pytest.approx((0.5, 0.75, 2.0))

    def test_a_big_endian_file_is_read_in_native_order(self, tmp_path, voxels):
        header = nibabel.Nifti1Header(endianness=">")
        header.set_data_dtype(">u2")
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4), header), tmp_path / "a.nii")
        assert nibabel.load(tmp_path / "a.nii").get_data_dtype().byteorder == ">"
        volume = read_volume(tmp_path / "a.nii")
        assert volume.values.dtype.isnative
        assert np.array_equal(volume.values[0], voxels)

    def test_a_scaled_file_gives_float32_values(self, tmp_path, voxels):
        image = nibabel.Nifti1Image(voxels.astype(np.int16), np.eye(4))
        image.header.set_slope_inter(0.5, -100)
        image.to_filename(tmp_path / "a.nii.gz")
        volume = read_volume(tmp_path / "a.nii.gz")
        assert volume.values.dtype == np.float32
        expected = nibabel.load(tmp_path / "a.nii.gz").get_fdata()
        assert (expected != np.rint(expected)).any()
        assert np.array_equal(volume.values[0], expected)

    @pytest.mark.parametrize(("shape", "channels"), [((4, 5, 6, 3), 3), ((4, 5, 6, 1, 2), 2), ((4, 5, 6, 1), 1)])
    def test_a_fourth_axis_is_channels_first(self, tmp_path, shape, channels):
        values = np.random.default_rng(0).random(shape).astype(np.float32)
        volume = read_volume(write_nifti(tmp_path / "a.nii.gz", values, np.eye(4)))
        assert (volume.shape, volume.channels) == ((4, 5, 6), channels)
        assert np.array_equal(volume.values, np.moveaxis(values.reshape(4, 5, 6, channels), -1, 0))

    def test_a_single_picture_has_one_slice(self, tmp_path):
        volume = read_volume(write_nifti(tmp_path / "a.nii", np.ones((4, 5), np.uint8), np.eye(4)))
        assert volume.shape == (4, 5, 1)

    @pytest.mark.parametrize(("unit", "factor"), [("meter", 1000), ("micron", 0.001), ("mm", 1), (0, 1)])
    def test_units_become_millimetres(self, tmp_path, voxels, unit, factor):
        image = nibabel.Nifti1Image(voxels, np.diag([2.0, 3.0, 4.0, 1.0]))
        image.header.set_xyzt_units(unit)
        image.to_filename(tmp_path / "a.nii")
        assert read_volume(tmp_path / "a.nii").spacing == pytest.approx(np.multiply((2, 3, 4), factor))

    def test_two_places_that_disagree_are_told_and_the_sform_counts(self, tmp_path, voxels, caplog):
        image = nibabel.Nifti1Image(voxels, oblique())
        image.set_sform(oblique(), 1)
        image.set_qform(np.diag([2.0, 2.0, 2.0, 1.0]), 1)
        image.to_filename(tmp_path / "a.nii")
        volume = read_volume(tmp_path / "a.nii")
        assert "sform and qform" in caplog.text
        assert np.allclose(volume.affine, oblique())

    def test_agreeing_places_are_not_worth_a_word(self, tmp_path, voxels, caplog):
        image = nibabel.Nifti1Image(voxels, oblique())
        image.set_sform(oblique(), 1)
        image.set_qform(oblique(), 1)
        image.to_filename(tmp_path / "a.nii")
        with caplog.at_level(logging.DEBUG, "segnoise"):
            read_volume(tmp_path / "a.nii")
        assert caplog.text == ""


class TestFaults:
    @pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
    @pytest.mark.parametrize("ending", ["nii", "nii.gz"])
    def test_a_truncated_file_is_said_to_be_so(self, tmp_path, share, ending):
        values = np.random.default_rng(0).integers(0, 9999, (20, 20, 20)).astype(np.int16)
        path = write_nifti(tmp_path / f"a.{ending}", values, np.eye(4))
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(UserError, match=rf"a\.{ending}: .*damaged.*copy it again"):
            read_volume(path)

    def test_an_empty_file_and_one_of_another_kind_are_refused(self, tmp_path):
        for content in (b"", b"not a volume at all" * 50):
            (tmp_path / "a.nii.gz").write_bytes(content)
            with pytest.raises(UserError, match=r"a\.nii\.gz: is no NIfTI"):
                read_volume(tmp_path / "a.nii.gz")

    def test_voxels_of_no_size_are_refused(self, tmp_path, voxels):
        image = nibabel.Nifti1Image(voxels, None)
        affine = np.diag([1.0, 0.0, 1.0, 1.0])
        image.header.set_sform(affine, 1)
        image.to_filename(tmp_path / "a.nii")
        with pytest.raises(UserError, match=r"voxels of no volume \(spacing 1, 0, 1 mm\)"):
            read_volume(tmp_path / "a.nii")

    def test_two_axes_of_channels_are_refused(self, tmp_path):
        path = write_nifti(tmp_path / "a.nii", np.zeros((3, 3, 3, 2, 2), np.uint8), np.eye(4))
        with pytest.raises(UserError, match=r"has the axes \(3, 3, 3, 2, 2\)"):
            read_volume(path)

    @pytest.mark.parametrize("dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
    def test_complex_and_coloured_voxels_are_refused(self, tmp_path, dtype):
        path = write_nifti(tmp_path / "a.nii", np.zeros((3, 3, 3), dtype), np.eye(4))
        with pytest.raises(UserError, match="colours or complex"):
            read_volume(path)


class TestWriting:
    @pytest.mark.parametrize(
        ("values", "dtype"),
        [
            ([0, 1, 255], "uint8"), ([0, 256], "int16"), ([-1, 5], "int16"), ([0, 40000], "uint16"),
            ([-5, 40000], "int32"), ([0, 2**31], "uint32"), ([True, False], "uint8"), ([0.5, np.nan], "float32"),
        ],
    )  # fmt: skip
    def test_the_smallest_type_that_holds_the_values_is_written(self, tmp_path, values, dtype):
        path = write_volume(tmp_path / "a.nii.gz", np.array(values)[None, None], np.eye(4))
        assert nibabel.load(path).get_data_dtype() == dtype
        assert np.array_equal(read_volume(path).values[0, 0, 0], np.array(values), equal_nan=True)

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        hnp.arrays(st.sampled_from(["uint8", "int16", "int32", "float32"]), hnp.array_shapes(min_dims=3, max_dims=4)),
        st.sampled_from(["nii", "nii.gz"]),
    )
    def test_what_was_written_is_read_back(self, tmp_path, values, ending):
        path = write_volume(tmp_path / f"a.{ending}", values, oblique(), overwrite=True)
        volume = read_volume(path)
        assert np.array_equal(volume.values, values if values.ndim == 4 else values[None], equal_nan=True)
        assert np.array_equal(volume.affine, oblique().astype(np.float32))

    def test_place_code_and_units_are_set_for_every_reader(self, tmp_path, voxels):
        path = write_volume(tmp_path / "a.nii.gz", voxels, oblique())
        header = nibabel.load(path).header
        assert (header["sform_code"], header["qform_code"]) == (1, 1)
        assert header.get_xyzt_units()[0] == "mm"
        assert np.allclose(header.get_qform(), oblique(), atol=1e-5)
        assert header.get_zooms() == pytest.approx((0.5, 0.75, 2.0))
        image = SimpleITK.ReadImage(str(path))
        assert np.array_equal(SimpleITK.GetArrayFromImage(image).T, voxels)
        corner = [float(n - 1) for n in voxels.shape]
        assert np.allclose(
            image.TransformContinuousIndexToPhysicalPoint(corner), (LPS @ oblique() @ [*corner, 1])[:3], atol=1e-4
        )

    def test_a_sheared_place_is_told_by_the_sform_alone(self, tmp_path, voxels):
        sheared = np.eye(4)
        sheared[1, 2] = 0.3
        header = nibabel.load(write_volume(tmp_path / "a.nii", voxels, sheared)).header
        assert (header["sform_code"], header["qform_code"]) == (1, 0)
        assert np.allclose(header.get_best_affine(), sheared)
        assert header.get_zooms() == pytest.approx(np.linalg.norm(sheared[:3, :3], axis=0))

    def test_the_same_volume_gives_the_same_bytes(self, tmp_path, voxels):
        one, two = (write_volume(tmp_path / f"{n}.nii.gz", voxels, oblique()).read_bytes() for n in "ab")
        assert one == two
        # No time of writing in the header of gzip.
        assert one[4:8] == bytes(4)

    def test_an_existing_file_stays_unless_told(self, tmp_path, voxels):
        path = write_volume(tmp_path / "a.nii.gz", voxels, np.eye(4))
        before = path.read_bytes()
        with pytest.raises(UserError, match="already exists"):
            write_volume(path, voxels + 1, np.eye(4))
        assert path.read_bytes() == before
        write_volume(path, voxels + 1, np.eye(4), overwrite=True)
        assert path.read_bytes() != before
        assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]

    @pytest.mark.parametrize("name", ["a.mha", "a.nii.bz2", "a.gz", "nii"])
    def test_other_endings_are_refused(self, tmp_path, voxels, name):
        with pytest.raises(UserError, match=r"written as \.nii\.gz or \.nii"):
            write_volume(tmp_path / name, voxels, np.eye(4))

    def test_an_axis_too_long_for_the_format_is_refused(self, tmp_path):
        with pytest.raises(UserError, match="40000 is too long"):
            write_volume(tmp_path / "a.nii", np.zeros((40000, 1, 1), np.uint8), np.eye(4))


def test_a_real_ct_and_its_labels_keep_their_types(shared_data):
    folder = shared_data / "format_fixtures" / "nifti_ct_mr"
    volume = read_volume(folder / "images" / "mr_3mm.nii.gz")
    assert (volume.grid.codes, volume.shape) == ("LPS", (117, 91, 20))
    assert volume.values.dtype == np.int16
    assert read_volume(folder / "pseudolabels" / "ct_3mm.nii.gz").values.dtype == np.uint8
