from __future__ import annotations

import itertools

import nibabel
import numpy as np
import pytest
from monai.transforms import Orientationd

from segnoise.data.volume import Volume, like, reorient, same_volume_grid
from segnoise.errors import UserError

from .conftest import oblique

CODES = [
    "".join(pair[sign] for pair, sign in zip(order, signs, strict=True))
    for order in itertools.permutations(("RL", "AP", "SI"))
    for signs in itertools.product((0, 1), repeat=3)
]


@pytest.fixture
def volume() -> Volume:
    values = np.random.default_rng(0).integers(0, 999, (2, 4, 5, 6)).astype(np.int16)
    return Volume(values, oblique())


@pytest.mark.parametrize("codes", CODES)
def test_it_agrees_with_nibabel_and_comes_back_bit_for_bit(volume, codes):
    turned = reorient(volume, codes)
    image = nibabel.Nifti1Image(np.moveaxis(volume.values, 0, -1), volume.affine)
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(volume.affine), nibabel.orientations.axcodes2ornt(tuple(codes))
    )
    expected = image.as_reoriented(turn)
    assert turned.grid.codes == codes
    assert np.array_equal(turned.values, np.moveaxis(np.asarray(expected.dataobj), -1, 0))
    assert np.allclose(turned.affine, expected.affine)
    back = like(turned, volume, order=1)
    assert back.values.dtype == volume.values.dtype
    assert np.array_equal(back.values, volume.values)
    assert np.array_equal(back.affine, volume.affine)


def test_it_agrees_with_monai(volume):
    straight = Volume(volume.values, np.diag([-1.0, -2.0, 3.0, 1.0]))
    turned = reorient(straight, "SRP")
    tensor = Orientationd(keys="a", axcodes="SRP", labels=(("L", "R"), ("P", "A"), ("I", "S")))(
        {"a": straight.to_metatensor()}
    )["a"]
    assert np.array_equal(turned.values, tensor.numpy())
    assert np.allclose(turned.affine, tensor.affine.numpy())


def test_turning_back_by_codes_is_the_same_grid(volume):
    back = reorient(reorient(volume, "SPR"), volume.grid.codes)
    assert np.array_equal(back.values, volume.values)
    assert same_volume_grid(back.grid, volume.grid)


def test_what_is_not_measured_moves_with_its_axis(volume):
    unknown = Volume(volume.values, oblique(), measured=(True, False, True))
    assert np.isnan(reorient(unknown, "ASL").spacing).tolist() == [True, False, False]


@pytest.mark.parametrize("codes", ["RA", "RAX", "RRS", "ras", "RASI", ""])
def test_codes_that_are_no_orientation_are_refused(volume, codes):
    with pytest.raises(UserError, match="give one of R/L"):
        reorient(volume, codes)
