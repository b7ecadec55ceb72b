from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Orientation

from segnoise.data.volume import Volume, read_volume, volume_of
from segnoise.errors import UserError

from .conftest import LPS, oblique, write_nifti


@pytest.mark.parametrize("channels", [1, 3])
def test_monai_reads_the_same_values_and_affine(tmp_path, channels):
    values = np.random.default_rng(0).integers(-999, 999, (5, 6, 7, channels)).astype(np.int16)
    path = write_nifti(tmp_path / "a.nii.gz", values[..., 0] if channels == 1 else values, oblique())
    tensor = Compose([LoadImage(image_only=True, dtype=None), EnsureChannelFirst()])(path)
    volume = read_volume(path)
    theirs = volume_of(tensor)
    assert np.array_equal(theirs.values, volume.values)
    assert theirs.values.dtype == volume.values.dtype
    assert np.array_equal(theirs.affine, volume.affine)
    assert theirs.path == path
    ours = volume.to_metatensor()
    assert torch.equal(ours.as_tensor(), tensor.as_tensor())
    assert torch.equal(ours.affine, tensor.affine)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
def test_there_and_back_loses_nothing(dtype):
    values = np.random.default_rng(0).integers(0, 99, (2, 3, 4, 5)).astype(dtype)[:, ::-1]
    volume = Volume(values, oblique(), measured=(True, True, False))
    back = volume_of(volume.to_metatensor())
    assert back.values.dtype == dtype
    assert np.array_equal(back.values, values)
    assert np.array_equal(back.affine, volume.affine)
    assert (back.path, back.measured) == (None, volume.measured)


def test_what_is_not_measured_moves_with_its_axis_through_monai():
    volume = Volume(np.zeros((1, 3, 4, 5), np.float32), np.diag([1.0, 2.0, 3.0, 1.0]), measured=(True, True, False))
    labels = (("L", "R"), ("P", "A"), ("I", "S"))
    back = volume_of(Orientation(axcodes="SLA", labels=labels)(volume.to_metatensor()))
    assert back.values.shape == (1, 5, 3, 4)
    assert np.isnan(back.spacing).tolist() == [True, False, False]


def test_the_tensor_owns_its_values():
    volume = Volume(np.zeros((1, 2, 2, 2), np.float32), np.eye(4))
    tensor = volume.to_metatensor()
    tensor += 1
    tensor.affine[0, 0] = 5
    assert (volume.values == 0).all()
    assert volume.affine[0, 0] == 1


def test_a_tensor_without_channels_or_in_lps_is_understood():
    tensor = MetaTensor(torch.zeros(3, 4, 5), affine=torch.as_tensor(LPS @ oblique()), meta={"space": "LPS"})
    volume = volume_of(tensor)
    assert volume.values.shape == (1, 3, 4, 5)
    assert np.allclose(volume.affine, oblique())


def test_what_has_no_place_is_refused():
    with pytest.raises(UserError, match="a Tensor has no affine"):
        volume_of(torch.zeros(1, 2, 2, 2))
    with pytest.raises(UserError, match=r"MetaTensor of shape \(4, 5\)"):
        volume_of(MetaTensor(torch.zeros(4, 5)))
