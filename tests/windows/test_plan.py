"""The plan of windows and the blend that joins them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segnoise.windows import Blend, Window, plan

sizes = st.integers(1, 60)


@given(st.tuples(sizes, sizes), st.tuples(st.integers(2, 24), st.integers(2, 24)), st.integers(0, 23))
def test_windows_cover_every_pixel_and_have_one_size(shape, window, overlap):
    overlap = min(overlap, min(window) - 1)
    covered = np.zeros(shape, dtype=bool)
    for w in plan(shape, window, overlap):
        assert w.size == window
        covered[w.clip(shape).slices] = True
    assert covered.all()


@given(st.tuples(st.integers(30, 60), st.integers(30, 60)), st.integers(8, 24), st.integers(0, 7))
def test_windows_stay_inside_a_grid_that_is_larger(shape, window, overlap):
    for w in plan(shape, (window, window), overlap):
        assert all(a >= 0 and b <= n for a, b, n in zip(w.start, w.stop, shape, strict=True))


@given(st.tuples(sizes, sizes), st.integers(2, 24), st.integers(0, 23))
def test_blend_weights_sum_to_one_everywhere(shape, window, overlap):
    overlap = min(overlap, window - 1)
    total = np.zeros([max(n, window) for n in shape])
    blend = Blend(shape, (window, window), overlap)
    for w in plan(shape, (window, window), overlap):
        total[w.slices] += blend.weight(w)
    assert np.abs(total[: shape[0], : shape[1]] - 1).max() < 1e-6
    assert total[shape[0] :].sum() == total[:, shape[1] :].sum() == 0


def test_plan_refuses_an_overlap_that_leaves_no_stride():
    with pytest.raises(ValueError, match="overlap"):
        plan((40, 40), (16, 16), 16)


def test_clip_and_within_give_matching_slices():
    window = Window((-2, 3), (5, 9))
    inside = window.clip((10, 10))
    assert inside == Window((0, 3), (3, 7))
    assert inside.within(window) == (slice(2, 5), slice(0, 7))
