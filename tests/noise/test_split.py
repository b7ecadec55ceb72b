"""Objects cut in two."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.errors import UserError
from segnoise.noise import Split


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_the_share_of_objects_cut_is_the_nearest_to_the_rate(rate: float, parcels: NDArray[np.int32]) -> None:
    noisy, record = Split(rate).corrupt(parcels, seed=1, instances=True)
    before = len(np.unique(parcels)) - 1
    after = len(np.unique(noisy)) - 1
    assert abs((after - before) / before - rate) <= 0.5 / before + 1e-12
    assert record["params"][0]["met"] == pytest.approx((after - before) / before)


def test_a_cut_lies_across_the_long_side_through_the_centre_and_is_as_wide_as_asked() -> None:
    labels = np.zeros((20, 40), dtype=np.int32)
    labels[6:13, 3:38] = 4
    noisy, _ = Split(1, "3px").corrupt(labels, seed=1, instances=True)
    expected = labels.copy()
    expected[6:13, 19:22] = 0
    expected[6:13, 22:38] = 5
    assert np.array_equal(noisy, expected)


@pytest.mark.parametrize("degrees", [-70, -30, 20, 50])
def test_a_turned_object_is_cut_at_right_angles_to_its_length(degrees: int) -> None:
    y, x = np.mgrid[-60:61, -60:61]
    angle = np.radians(degrees)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    bar = (np.abs(along) < 45) & (np.abs(across) < 9)
    noisy, _ = Split(1, "2px").corrupt(bar.astype(np.uint8), seed=1)
    removed = bar & (noisy == 0)
    assert np.abs(along[removed]).max() < 1.8
    assert removed.sum() == pytest.approx(2 * 18, rel=0.15)
    assert ndimage.label(noisy)[1] == 2


def test_the_major_axis_is_that_of_a_principal_component_analysis(parcels: NDArray[np.int32]) -> None:
    noisy, _ = Split(1, "0px").corrupt(parcels, seed=1, instances=True)
    checked = 0
    for value in np.unique(parcels[parcels > 0]):
        pixels = np.argwhere(parcels == value).astype(float)
        beyond = noisy[parcels == value] != value
        offsets = pixels - pixels.mean(axis=0)
        _, spread, directions = np.linalg.svd(offsets, full_matrices=False)
        side = offsets @ directions[0]
        clear = np.abs(side) > 1e-6
        if spread[0] > 1.2 * spread[1]:
            checked += 1
            assert len(np.unique((side > 0)[clear] == beyond[clear])) == 1
    assert checked > 15


def test_the_part_beyond_gets_a_new_id_and_nothing_else_changes(parcels: NDArray[np.int32]) -> None:
    noisy, _ = Split(0.5).corrupt(parcels, seed=3, instances=True)
    new = noisy > parcels.max()
    assert np.array_equal(np.where(new | (noisy == 0), 0, noisy), np.where(new | (noisy == 0), 0, parcels))
    for value in np.unique(noisy[new]):
        owner = np.unique(parcels[noisy == value])
        assert len(owner) == 1
        assert (noisy == owner[0]).any()


def test_the_cut_of_a_class_takes_the_class_around_the_object() -> None:
    labels = np.full((20, 30), 3, dtype=np.uint8)
    labels[:, :2] = 0
    labels[8:12, 5:25] = 1
    noisy, record = Split(1).corrupt(labels, seed=1)
    assert ndimage.label(noisy == 1)[1] == 2
    assert (noisy[8:12, 14:16] == 3).sum() == 4
    # The class around it is an object too, with the other one as a hole.
    assert record["params"][0]["met"] == 1


def test_a_cut_follows_the_spacing_of_the_pixels() -> None:
    labels = np.zeros((14, 26), dtype=np.int32)
    labels[2:12, 3:23] = 1
    tall = Split(1, "2m").corrupt(labels, seed=1, instances=True, spacing=(5.0, 1.0))[0]
    assert (tall[7, 3:23] == 2).all()
    assert (tall[6, 3:23] == 1).all()
    with pytest.raises(UserError, match="length 2m: the size"):
        Split(1, "2m").corrupt(labels, seed=1, instances=True)


def test_class_regions_need_a_cut_of_a_pixel_and_objects_without_two_sides_are_said() -> None:
    labels = np.zeros((9, 9), dtype=np.uint8)
    labels[1, 1] = labels[4:6, 4:8] = 1
    with pytest.raises(UserError, match=r"split: a cut of 0.5px leaves regions of one class connected"):
        Split(1, "0.5px").corrupt(labels, seed=1)
    record = Split(1).corrupt(labels, seed=1)[1]
    assert record["params"][0]["met"] == 0.5
    assert record["params"][0]["why"] == "1 of 2 objects can be cut in two"


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UserError, match=r"split: rate 1.2"):
        Split(1.2)
    with pytest.raises(UserError, match=r"split: width 1 needs a unit"):
        Split(0.5, 1)
