"""Volumes that are brought to one orientation and spacing when they are read."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from segnoise.data import ArraySource
from segnoise.data.volume import (
    SliceLabels,
    SliceSource,
    Standard,
    VolumeLabels,
    VolumeSource,
    read_volume,
    reorient,
    resample,
    write_volume,
)
from segnoise.data.volume.reading import open_volume
from segnoise.windows import Window

AFFINE = np.array([[0, -1.5, 0, 20], [-2.0, 0, 0, 30], [0, 0, 3.0, -5], [0, 0, 0, 1]], float)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    image = write_volume(tmp_path / "mr.nii.gz", rng.normal(size=(7, 9, 5)).astype(np.float32), AFFINE)
    labels = write_volume(tmp_path / "seg.nii.gz", rng.integers(0, 3, (7, 9, 5)).astype(np.uint8), AFFINE)
    return image, labels


@pytest.mark.parametrize(
    "standard",
    [Standard(), Standard("RAS"), Standard("SPL"), Standard(None, (1.0, 1.0, 1.0)), Standard("RAS", (1.0, 2.0, 3.0))],
)
def test_what_is_read_is_the_volume_turned_and_resampled(files, standard):
    for path, order, reader in ((files[0], 1, VolumeSource), (files[1], 0, VolumeLabels)):
        wanted = read_volume(path)
        if standard.orientation:
            wanted = reorient(wanted, standard.orientation)
        if standard.spacing:
            wanted = resample(wanted, standard.spacing, order)
        got = reader(path, standard=standard)
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got.grid.affine, wanted.affine)
        values = got.read(Window((0, 0, 0), got.shape))
        np.testing.assert_array_equal(values[0] if order == 1 else values[None], wanted.values)


def test_the_grid_is_known_before_anything_is_read(files, monkeypatch):
    file = Standard("RAS", (1.0, 1.0, 1.0)).of(open_volume(files[0]), 1)
    monkeypatch.setattr(nibabel.Nifti1Image, "dataobj", property(lambda self: pytest.fail("read")), raising=False)
    assert file.grid.codes == "RAS"
    np.testing.assert_allclose(file.grid.spacing, 1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_the_planes_of_the_volume_and_neighbours_its_channels(axis):
    rng = np.random.default_rng(axis)
    array = rng.normal(size=(2, 4, 5, 6)).astype(np.float32)
    array[0, 1, 2, 3] = np.nan
    volume = ArraySource(array, spacing=(1.0, 2.0, 3.0), name="mr")
    clean, seen = volume.read(Window((0, 0, 0), (4, 5, 6)))
    last = array.shape[1 + axis] - 1
    for index in (0, 2, last):
        cut = SliceSource(volume, axis, index, neighbours=1)
        assert cut.shape == tuple(np.delete((4, 5, 6), axis))
        assert cut.spacing == tuple(np.delete((1.0, 2.0, 3.0), axis))
        window = Window((1, -1), (3, 8))
        values, observed = cut.read(window)
        parts = [
            ArraySource(np.take(clean, min(max(index + k, 0), last), 1 + axis), observed=np.take(seen, index, axis)).read(window)
            for k in (-1, 0, 1)
        ]  # fmt: skip
        np.testing.assert_array_equal(observed, parts[1][1])
        np.testing.assert_array_equal(
            np.where(observed, values, 0), np.where(observed, np.concatenate([p for p, _ in parts]), 0)
        )


def test_labels_of_a_slice(files):
    volume = VolumeLabels(files[1])
    whole = volume.read(Window((0, 0, 0), (7, 9, 5)))
    cut = SliceLabels(volume, 1, 4)
    np.testing.assert_array_equal(cut.read(Window((0, 0), (7, 5))), whole[:, 4])
    assert (cut.read(Window((6, 0), (4, 5)))[1:] == 255).all()
