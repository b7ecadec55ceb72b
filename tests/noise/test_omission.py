"""Missing objects."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from segnoise.errors import UserError
from segnoise.noise import Omission


@pytest.mark.parametrize("rate", [0.1, 0.33, 0.5, 1.0])
def test_the_share_of_whole_objects_removed_is_the_nearest_to_the_rate(rate: float, parcels: NDArray[np.int32]) -> None:
    noisy, record = Omission(rate).corrupt(parcels, seed=1, instances=True)
    before, after = (np.setdiff1d(np.unique(x), [0]) for x in (parcels, noisy))
    assert set(after) <= set(before)
    assert abs(1 - len(after) / len(before) - rate) <= 0.5 / len(before) + 1e-12
    assert all(np.array_equal(noisy == i, parcels == i) for i in after)
    assert record["card"]["objects"]["missed"] == len(before) - len(after)
    assert record["card"]["objects"]["extra"] == 0


def test_a_positive_slope_loses_small_objects_more() -> None:
    labels = np.zeros((200, 200), dtype=np.int32)
    sizes = {}
    for k in range(400):
        side = 2 + k % 8
        row, column = 10 * (k // 20), 10 * (k % 20)
        labels[row : row + side, column : column + side] = k + 1
        sizes[k + 1] = side**2
    lost = {}
    for slope in (0.0, 2.0):
        noisy, _ = Omission(0.4, size_slope=slope).corrupt(labels, seed=2, instances=True)
        gone = np.setdiff1d(np.unique(labels), np.unique(noisy))
        assert len(gone) == 160
        lost[slope] = np.mean([sizes[i] for i in gone])
    assert lost[2.0] < 0.6 * lost[0.0]


def test_without_ids_objects_are_regions_of_one_class_and_their_surroundings_fill_them() -> None:
    labels = np.ones((40, 40), dtype=np.uint8)
    labels[:, 20:] = 2
    labels[5:10, 5:10] = 3
    labels[25:30, 25:30] = 3
    labels[15:18, 18:30] = 0
    noisy, _ = Omission(1.0).corrupt(np.where(labels == 1, 0, np.where(labels == 2, 0, labels)), seed=1)
    assert not noisy.any()
    gone, _ = Omission(0.5).corrupt(labels, seed=8)
    values = {tuple(np.unique(gone[box])) for box in (np.s_[5:10, 5:10], np.s_[25:30, 25:30])}
    assert values <= {(1,), (2,), (3,)}


def test_an_object_takes_the_class_that_shares_most_faces_with_it() -> None:
    labels = np.zeros((12, 12), dtype=np.uint8)
    labels[:, 4:] = 2
    labels[4:8, 3:7] = 1
    for seed in range(20):
        noisy, _ = Omission(0.5).corrupt(labels, seed=seed)
        if not (noisy == 1).any():
            break
    assert (noisy[4:8, 3:7] == 2).all()
    assert (noisy[:, 0] == 0).all()


def test_an_objects_fate_does_not_depend_on_the_other_objects() -> None:
    labels = np.zeros((60, 60), dtype=np.int32)
    for k in range(36):
        labels[10 * (k // 6) : 10 * (k // 6) + 5, 10 * (k % 6) : 10 * (k % 6) + 5] = k + 1
    corruption = Omission(0.5)
    params = corruption.draw(labels.shape, np.random.default_rng(0))
    [fitted] = corruption.fit([labels], [params], instances=True)
    whole = corruption.apply(labels, fitted, instances=True)
    fewer = np.where(labels % 2 == 0, labels, 0)
    part = corruption.apply(fewer, {**fitted, "threshold": [fitted["threshold"][0], labels.size]}, instances=True)
    assert np.array_equal(part, np.where(labels % 2 == 0, whole, 0))


def test_impossible_rates_are_refused() -> None:
    with pytest.raises(UserError, match=r"omission: rate 1.5"):
        Omission(1.5)
