"""Neighbours that become one object."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.errors import UserError
from segnoise.noise import Merge


def rows(*gaps: int, width: int = 3) -> NDArray[np.int32]:
    """Bars in a row, apart by so many pixels."""
    bars = [np.repeat([k + 1, 0], [width, gap]) for k, gap in enumerate((*gaps, 4))]
    return np.tile(np.concatenate(bars), (5, 1)).astype(np.int32)


@pytest.mark.parametrize(("gap", "left"), [("0px", 4), ("1px", 3), ("2px", 2), ("5px", 2)])
def test_objects_merge_across_gaps_up_to_the_widest(gap: str, left: int) -> None:
    labels = rows(2, 0, 9, 1, width=4)
    noisy, _ = Merge(1, gap).corrupt(labels, seed=1, instances=True)
    merged = len(np.unique(noisy)) - 1
    # 1 and 2 lie two apart, 2 and 3 touch, 4 and 5 lie one apart.
    assert merged == left
    for value in np.unique(noisy[noisy > 0]):
        assert ndimage.label(noisy == value)[1] == 1


def test_the_gap_is_filled_and_nothing_else_and_the_larger_object_gives_its_id() -> None:
    labels = np.zeros((8, 12), dtype=np.int32)
    labels[1:5, 1:4] = 5
    labels[2:7, 6:11] = 3
    noisy, record = Merge(1).corrupt(labels, seed=1, instances=True)
    expected = np.where(labels > 0, 3, 0)
    expected[2:5, 4:6] = 3
    assert np.array_equal(noisy, expected)
    assert record["params"][0]["met"] == 1


def test_classes_merge_within_their_class_only_and_over_what_lies_between() -> None:
    labels = np.tile([1, 1, 2, 1, 1, 0, 2, 2, 0, 1, 1], (4, 1)).astype(np.uint8)
    noisy, _ = Merge(1, "1px").corrupt(labels, seed=1)
    # The first two regions of class 1 are one pixel of class 2 apart; nothing else has a neighbour of its class.
    assert np.array_equal(noisy[0], [1, 1, 1, 1, 1, 0, 2, 2, 0, 1, 1])


def test_unknown_pixels_keep_neighbours_apart() -> None:
    labels = np.tile([1, 1, -1, 2, 2], (4, 1))
    noisy, record = Merge(1).corrupt(labels, seed=1, instances=True)
    assert np.array_equal(noisy, labels)
    assert record["params"][0]["why"] == "0 of 2 objects have a neighbour within 2px"


def test_a_gap_in_metres_is_measured_on_each_axis_by_its_own_spacing() -> None:
    labels = np.zeros((12, 12), dtype=np.int32)
    labels[:4, :4], labels[6:, :4], labels[:4, 6:] = 1, 2, 3
    noisy, _ = Merge(1, "6m").corrupt(labels, seed=1, instances=True, spacing=(3.0, 5.0))
    assert noisy[5, 1] == noisy[0, 0] == noisy[8, 1]
    assert noisy[1, 5] == 0
    with pytest.raises(UserError, match="length 6m: the size"):
        Merge(1, "6m").corrupt(labels, seed=1, instances=True)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.8])
def test_the_share_of_objects_involved_is_the_nearest_to_the_rate(rate: float) -> None:
    labels = rows(1, 2, 1, 0, 1, 2, 2, 1, 1)
    images = [labels] * 12
    done = Merge(rate).corrupt_all(images, seed=2, instances=True)
    involved = 0
    for (noisy, _), clean in zip(done, images, strict=True):
        owners = noisy[clean > 0]
        for value in np.unique(owners):
            members = len(np.unique(clean[(noisy == value) & (clean > 0)]))
            involved += members if members > 1 else 0
    assert involved / 120 == done[0][1]["params"][0]["met"] == pytest.approx(rate, abs=1 / 120)


def test_an_object_is_in_one_pair_before_any_is_in_two() -> None:
    labels = rows(1, 1, 1, 1, 1)
    noisy, _ = Merge(2 / 3).corrupt(labels, seed=4, instances=True)
    sizes = [len(np.unique(labels[(noisy == v) & (labels > 0)])) for v in np.unique(noisy[noisy > 0])]
    assert sorted(sizes) == [1, 1, 2, 2]


@given(
    hnp.arrays(
        np.int64, st.tuples(st.integers(1, 6), st.integers(1, 7)), elements=st.sampled_from([0, 0, 1, 2, 3, -1])
    ),
    st.integers(0, 3),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_who_can_merge_is_what_a_walk_along_each_axis_finds(
    labels: NDArray[np.int64], gap: int, instances: bool
) -> None:
    pieces = labels.copy()
    if not instances:
        pieces = np.zeros_like(labels)
        for value in (1, 2, 3):
            found, _ = ndimage.label(labels == value)
            pieces[found > 0] = 10 * value + found[found > 0]
    neighbours = set()
    for row, column in np.ndindex(labels.shape):
        for step in ((0, 1), (1, 0)):
            for length in range(gap + 2):
                place = (row + step[0] * (length + 1), column + step[1] * (length + 1))
                if labels[row, column] <= 0 or place[0] >= labels.shape[0] or place[1] >= labels.shape[1]:
                    break
                here = labels[place]
                if here < 0 or length > gap:
                    break
                if (here > 0) if instances else (here == labels[row, column]):
                    if pieces[place] != pieces[row, column]:
                        neighbours |= {int(pieces[place]), int(pieces[row, column])}
                    break
    total = len(np.unique(pieces[pieces > 0]))
    params = Merge(1, f"{gap}px").corrupt(labels, seed=1, instances=instances)[1]["params"][0]
    assert params["met"] == (len(neighbours) / total if total else 0)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UserError, match=r"merge: rate 2"):
        Merge(2)
    with pytest.raises(UserError, match=r"merge: gap -1px"):
        Merge(0.5, "-1px")
    with pytest.raises(UserError, match=r"merge: gap 3 needs a unit"):
        Merge(0.5, 3)
