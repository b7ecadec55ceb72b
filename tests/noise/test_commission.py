"""Objects that are not there."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage, stats

from segnoise.errors import UserError
from segnoise.noise import Commission
from segnoise.noise.board import Board


@pytest.fixture(scope="module")
def shapes() -> NDArray[np.int32]:
    """Objects of many shapes with room between them."""
    rng = np.random.default_rng(5)
    ids = np.zeros((90, 110), dtype=np.int32)
    for number in range(1, 16):
        mask = ndimage.binary_dilation(rng.random((9, 9)) < 0.08, iterations=2)
        row, column = divmod(number - 1, 4)
        ids[20 * row + 2 : 20 * row + 11, 25 * column + 2 : 25 * column + 11][mask] = number
    return ids


def turned(mask: NDArray[np.bool_]) -> set[bytes]:
    """All flips and turns of a mask in its box."""
    found = set()
    for order, signs in product(permutations(range(mask.ndim)), product((1, -1), repeat=mask.ndim)):
        one = mask.transpose(order)[tuple(slice(None, None, s) for s in signs)]
        found.add(repr(one.shape).encode() + np.ascontiguousarray(one).tobytes())
    return found


def cut_out(labels: NDArray[np.int32], value: int) -> NDArray[np.bool_]:
    box = ndimage.find_objects((labels == value).astype(int))[0]
    return labels[box] == value


def test_every_extra_object_is_a_true_one_flipped_or_turned(shapes: NDArray[np.int32]) -> None:
    noisy, record = Commission(0.6).corrupt(shapes, seed=1, instances=True)
    true = set().union(*(turned(cut_out(shapes, k)) for k in range(1, 16)))
    extra = np.setdiff1d(np.unique(noisy), np.unique(shapes))
    assert extra.tolist() == list(range(16, 25))
    assert all(turned(cut_out(noisy, int(k))) <= true for k in extra)
    assert record["card"]["objects"]["extra"] == 9
    assert np.array_equal(np.where(noisy > 15, 0, noisy), shapes)


def test_copies_neither_cover_nor_touch_objects_or_unknown_pixels(shapes: NDArray[np.int32]) -> None:
    labels = shapes.copy()
    labels[-30:] = -1
    noisy, _ = Commission(1).corrupt(labels, seed=2, instances=True)
    assert noisy.max() > labels.max()
    assert np.array_equal(noisy < 0, labels < 0)
    for value in np.unique(noisy[noisy > labels.max()]):
        around = ndimage.binary_dilation(noisy == value, np.ones((3, 3)))
        assert set(np.unique(noisy[around])) <= {-1, 0, value}


def test_a_copy_may_lie_on_another_class_but_not_touch_its_own() -> None:
    labels = np.full((60, 60), 2, dtype=np.uint8)
    labels[2:6, 2:9] = labels[20:29, 30:34] = 1
    noisy, record = Commission(0.66).corrupt(labels, seed=3)
    assert record["params"][0]["met"] == pytest.approx(2 / 3)
    assert ndimage.label(noisy == 1, np.ones((3, 3)))[1] == 4
    assert (noisy == 1).sum() == 2 * (labels == 1).sum()


def test_copies_are_turned_only_between_axes_of_equal_spacing() -> None:
    labels = np.zeros((60, 60), dtype=np.int32)
    for k in range(8):
        labels[7 * k : 7 * k + 2, 1:6] = k + 1
    for spacing, turns in (((2.0, 1.0), {(2, 5)}), ((1.0, 1.0), {(2, 5), (5, 2)})):
        noisy, _ = Commission(1).corrupt(labels, seed=1, instances=True, spacing=spacing)
        assert {cut_out(noisy, k).shape for k in range(9, 17)} == turns


def test_where_too_few_places_are_free_the_record_says_how_many_copies_fit() -> None:
    labels = np.zeros((9, 9), dtype=np.uint8)
    labels[:4, :9] = 1
    labels[6, 6] = 2
    labels[6, 1] = 2
    noisy, record = Commission(1).corrupt(labels, seed=1)
    copies = int(noisy.max() == 2 and (noisy == 2).sum() - 2)
    assert record["params"][0]["met"] == pytest.approx(copies / 3)
    assert record["params"][0]["why"] == f"of 3 copies {copies} found a free place"


@given(
    hnp.arrays(
        np.int64, st.tuples(st.integers(3, 7), st.integers(3, 7)), elements=st.sampled_from([0, 0, 0, 1, 2, -1])
    ),
    st.sampled_from([1, 2, None]),
    st.booleans(),
    st.integers(0, 9),
)
@settings(max_examples=100, deadline=None)
def test_a_place_is_found_where_a_search_of_all_places_finds_one(
    labels: NDArray[np.int64], kind: int | None, apart: bool, seed: int
) -> None:
    mask = np.array([[1, 1], [1, 0]], dtype=bool)
    fitting = set()
    taken = labels > 0 if kind is None else labels == kind
    for row, column in np.ndindex(labels.shape[0] - 1, labels.shape[1] - 1):
        whole = np.zeros(labels.shape, dtype=bool)
        whole[row : row + 2, column : column + 2] = mask
        guard = ndimage.binary_dilation(whole, np.ones((3, 3))) if apart else whole
        if not (guard & taken).any() and not (whole & (labels < 0)).any():
            fitting.add((row, column))
    corner = Board(labels, labels >= 0).place(mask, kind, np.random.default_rng(seed), apart)
    assert corner in fitting if fitting else corner is None


def test_each_free_place_is_as_likely() -> None:
    labels = np.zeros((6, 8), dtype=np.int64)
    labels[2, 3] = 1
    board = Board(labels, labels >= 0)
    rng = np.random.default_rng(1)
    corners = [board.place(np.ones((1, 2), dtype=bool), 1, rng) for _ in range(4000)]
    counts = np.unique([c for c in corners if c], axis=0, return_counts=True)[1]
    assert len(counts) == 6 * 7 - 3 * 4
    assert stats.chisquare(counts).pvalue > 0.01


def test_impossible_rates_are_refused() -> None:
    with pytest.raises(UserError, match=r"commission: rate -0.1"):
        Commission(-0.1)
