from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.data.oct import heights_to_mask, layer_classes, mask_to_heights


@st.composite
def drawn(draw, missing: bool):
    """Rows and ordered heights ``L W``, perhaps beyond the image, perhaps with nan."""
    rows, n, width = draw(st.integers(1, 12)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    values = draw(st.lists(st.floats(-3, rows + 3), min_size=n * width, max_size=n * width))
    heights = np.sort(np.array(values).reshape(n, width), axis=0)
    if missing:
        lost = draw(st.lists(st.booleans(), min_size=n * width, max_size=n * width))
        heights[np.array(lost).reshape(n, width)] = np.nan
    return rows, heights


@given(drawn(missing=False))
@settings(max_examples=200, deadline=None)
def test_a_pixel_has_the_class_of_the_boundaries_passed(case):
    rows, heights = case
    mask = heights_to_mask(heights, rows)
    for (y, x), label in np.ndenumerate(mask):
        assert label == sum(h <= y for h in heights[:, x])


@given(drawn(missing=False))
@settings(max_examples=200, deadline=None)
def test_heights_come_back_rounded_up_and_clipped_to_the_image(case):
    rows, heights = case
    back = mask_to_heights(heights_to_mask(heights, rows), len(heights))
    assert np.array_equal(back, np.clip(np.ceil(heights), 0, rows))
    assert np.array_equal(heights_to_mask(back, rows), heights_to_mask(heights, rows))


@given(drawn(missing=True))
@settings(max_examples=200, deadline=None)
def test_what_is_known_despite_missing_boundaries_is_right(case):
    rows, heights = case
    mask = heights_to_mask(heights, rows)
    for x, column in enumerate(heights.T):
        for y in range(rows):
            passed = {k for k in range(len(column) + 1) if _possible(column, y, k)}
            assert mask[y, x] == (passed.pop() if len(passed) == 1 else 255)
    back = mask_to_heights(mask, len(heights))
    # A missing boundary is known all the same where its neighbours leave it one place.
    least = np.nan_to_num(np.fmax.accumulate(heights, axis=0), nan=-np.inf)
    most = np.nan_to_num(np.fmin.accumulate(heights[::-1], axis=0)[::-1], nan=np.inf)
    known = ~np.isnan(back)
    for bound in (least, most):
        assert np.array_equal(back[known], np.clip(np.ceil(bound[known]), 0, rows))


def _possible(column, y, k):
    """Whether k boundaries may have been passed at y, wherever the missing ones lie in order."""
    return all(np.isnan(h) or h <= y for h in column[:k]) and all(np.isnan(h) or h > y for h in column[k:])


def test_columns_of_nan_are_unknown_and_come_back_as_nan():
    heights = np.array([[1.0, np.nan], [3.0, np.nan]])
    mask = heights_to_mask(heights, 5)
    assert (mask[:, 1] == 255).all()
    assert (mask[:, 0] == [0, 1, 1, 2, 2]).all()
    assert np.isnan(mask_to_heights(mask, 2)[:, 1]).all()


def test_boundaries_that_cross_leave_the_pixels_between_them_unknown():
    assert heights_to_mask(np.array([[3.0], [1.0]]), 5)[:, 0].tolist() == [0, 255, 255, 2, 2]


def test_a_layer_that_vanishes_between_two_equal_boundaries_has_no_pixel():
    mask = heights_to_mask(np.array([[2.0], [2.0]]), 4)
    assert mask[:, 0].tolist() == [0, 0, 2, 2]
    assert mask_to_heights(mask, 2)[:, 0].tolist() == [2, 2]


def test_a_mask_that_is_no_stack_of_layers_has_no_height_there():
    assert np.isnan(mask_to_heights(np.array([[0], [1], [0]]), 1)).all()


def test_a_class_beyond_the_boundaries_is_refused():
    with pytest.raises(ValueError, match="class 3 has more than 2"):
        mask_to_heights(np.array([[0], [3]]), 2)
    with pytest.raises(ValueError, match="boundaries x columns"):
        heights_to_mask(np.zeros(4), 3)


def test_there_is_a_name_for_every_class():
    assert len(layer_classes(["a", "b", "c"])) == 4
