from __future__ import annotations

import numpy as np
import pytest
import SimpleITK

from segnoise.data.volume import read_volume
from segnoise.errors import UserError

from .conftest import oblique, write_itk, write_nifti


@pytest.mark.parametrize("ending", ["nrrd", "nhdr", "mha", "mhd"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_one_array_gives_one_volume_in_every_format(tmp_path, voxels, ending, dtype):
    values = voxels.astype(dtype)
    one = read_volume(write_itk(tmp_path / f"a.{ending}", values, oblique()))
    nifti = read_volume(write_nifti(tmp_path / "a.nii.gz", values, oblique()))
    assert one.values.dtype == nifti.values.dtype == dtype
    assert np.array_equal(one.values, nifti.values)
    assert np.allclose(one.affine, nifti.affine, atol=1e-5)
    assert one.spacing == pytest.approx((0.5, 0.75, 2.0))


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_vectors_and_a_fourth_axis_are_channels(tmp_path, ending):
    values = np.random.default_rng(0).random((2, 7, 6, 5)).astype(np.float32)
    assert np.array_equal(read_volume(write_itk(tmp_path / f"v.{ending}", values, oblique())).values, values)
    image = SimpleITK.GetImageFromArray(np.moveaxis(values, 0, -1).T, isVector=False)
    image.SetSpacing([1, 2, 3, 9])
    SimpleITK.WriteImage(image, str(tmp_path / f"t.{ending}"))
    volume = read_volume(tmp_path / f"t.{ending}")
    assert np.array_equal(volume.values, values)
    assert volume.spacing == (1, 2, 3)


@pytest.mark.parametrize("ending", ["nrrd", "mha", "mhd"])
def test_a_truncated_file_is_said_to_be_so(tmp_path, voxels, ending):
    path = write_itk(tmp_path / f"a.{ending}", voxels, oblique())
    damaged = path.with_suffix(".raw") if ending == "mhd" else path
    damaged.write_bytes(damaged.read_bytes()[:-50])
    with pytest.raises(UserError, match=rf"a\.{ending}: .*damaged"):
        read_volume(path)


def test_a_header_without_its_raw_file_and_text_are_refused(tmp_path, voxels):
    path = write_itk(tmp_path / "a.mhd", voxels, oblique())
    path.with_suffix(".raw").unlink()
    with pytest.raises(UserError, match=r"a\.mhd: .*damaged"):
        read_volume(path)
    (tmp_path / "b.nrrd").write_text("hello")
    with pytest.raises(UserError, match=r"b\.nrrd: is no NRRD"):
        read_volume(tmp_path / "b.nrrd")


def test_a_flat_picture_is_no_volume(tmp_path):
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((4, 5), np.uint8)), str(tmp_path / "a.mha"))
    with pytest.raises(UserError, match=r"has the axes \(5, 4\)"):
        read_volume(tmp_path / "a.mha")


def test_the_missing_reader_names_its_extra(tmp_path, voxels, monkeypatch):
    path = write_itk(tmp_path / "a.mha", voxels, oblique())
    monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
    with pytest.raises(UserError, match=r"pip install segnoise\[medical\]"):
        read_volume(path)
