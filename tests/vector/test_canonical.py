from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

import segnoise.data
from segnoise.vector.canonical import UNKNOWN, canonical, components

RASTERS = arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-1, 4))


def test_unknown_is_the_ignore_index_of_the_house():
    assert UNKNOWN == segnoise.data.IGNORE_INDEX


class TestCanonical:
    @given(RASTERS)
    def test_ids_number_values_by_first_pixel(self, labels):
        found = canonical(labels)
        kept = labels.ravel()[labels.ravel() > 0]
        in_order = list(dict.fromkeys(kept.tolist()))
        assert found.values.tolist() == in_order
        assert np.array_equal(found.ids > 0, labels > 0)
        for i, value in enumerate(in_order, start=1):
            assert np.array_equal(found.ids == i, labels == value)

    @given(RASTERS)
    def test_first_and_n_px_are_those_of_each_id(self, labels):
        found = canonical(labels)
        for i in range(1, len(found.values) + 1):
            places = np.flatnonzero(found.ids == i)
            assert (found.first[i - 1], found.n_px[i - 1]) == (places[0], len(places))

    @given(RASTERS, st.permutations(range(1, 5)))
    def test_ids_do_not_depend_on_the_numbering_before(self, labels, names):
        renamed = np.array([0, *names, 0])[labels]
        assert np.array_equal(canonical(renamed).ids, canonical(labels).ids)

    def test_values_beyond_32_bits_survive(self):
        labels = np.array([[2**31 + 1, 2**40], [2**31 + 1, 0]])
        found = canonical(labels)
        assert found.ids.tolist() == [[1, 2], [1, 0]]
        assert found.values.tolist() == [2**31 + 1, 2**40]

    def test_empty_array_has_no_ids(self):
        assert canonical(np.zeros((0, 5), np.int32)).ids.shape == (0, 5)


class TestComponents:
    @given(RASTERS)
    def test_components_are_the_4_connected_pieces_of_each_class(self, classes):
        found = components(classes, classes <= 0)
        expected = sum(ndimage.label(classes == value)[1] for value in range(1, 5))
        assert len(found.values) == expected
        for i, value in enumerate(found.values, start=1):
            assert (classes[found.ids == i] == value).all()
            assert ndimage.label(found.ids == i)[1] == 1

    def test_pieces_that_touch_at_a_corner_are_two(self):
        classes = np.array([[1, 0], [0, 1]])
        assert components(classes, classes == 0).ids.tolist() == [[1, 0], [0, 2]]
