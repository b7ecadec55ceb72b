"""Boundaries of label maps against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segnoise.noise.geometry import boundary_length, nearest_other
from segnoise.noise.objects import number_objects
from segnoise.noise.order import cheapest, taken


@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(-1, 3)),
    st.sampled_from([(1.0, 1.0), (2.0, 5.0)]),
)
@settings(max_examples=60, deadline=None)
def test_nearest_other_is_the_nearest_pixel_across_an_own_face(
    labels: NDArray[np.int64], pixel: tuple[float, float]
) -> None:
    known = labels >= 0
    found, distance = nearest_other(labels, known, pixel)
    points = np.argwhere(np.ones_like(labels))
    for k, (row, column) in enumerate(points):
        reach = []
        for other_row, other_column in points:
            neighbours = [(other_row + a, other_column + b) for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))]
            touches = any(
                0 <= r < labels.shape[0] and 0 <= c < labels.shape[1] and labels[r, c] == labels[row, column]
                for r, c in neighbours
            )
            if known[other_row, other_column] and labels[other_row, other_column] != labels[row, column] and touches:
                step = np.array([other_row - row, other_column - column])
                reach.append((np.linalg.norm(step * pixel), np.linalg.norm(step)))
        if not known[row, column] or not reach:
            assert found.flat[k] == -1
            assert np.isinf(distance.flat[k])
            continue
        nearest = min(reach)[0]
        step = np.array(np.unravel_index(found.flat[k], labels.shape)) - (row, column)
        assert np.linalg.norm(step * pixel) == pytest.approx(nearest)
        assert distance.flat[k] == pytest.approx(nearest * (1 - 0.5 / np.linalg.norm(step)))


def test_a_balls_surface_is_measured_within_two_percent() -> None:
    ball = (np.sqrt((np.mgrid[-25:26, -25:26, -25:26] ** 2).sum(0)) < 20).astype(int)
    assert boundary_length(ball, np.ones_like(ball, bool), (1, 1, 1)) == pytest.approx(4 * np.pi * 400, rel=0.02)


def test_objects_are_numbered_by_their_first_pixels() -> None:
    labels = np.array([[0, 2, 0, 1], [1, 2, 2, 1], [1, 0, 255, 2]])
    numbers, first = number_objects(labels, labels != 255, instances=False)
    assert np.array_equal(numbers, [[0, 1, 0, 2], [3, 1, 1, 2], [3, 0, 0, 4]])
    assert first.tolist() == [1, 3, 4, 11]
    numbers, first = number_objects(labels, labels != 255, instances=True)
    assert np.array_equal(numbers, [[0, 1, 0, 2], [2, 1, 1, 2], [2, 0, 0, 1]])
    assert first.tolist() == [1, 3]


@given(
    hnp.arrays(np.int64, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6), elements=st.integers(-1, 3)),
    st.sampled_from([np.int64, np.int16, np.int8]),
    st.booleans(),
    st.sampled_from([1, 30]),
)
@settings(max_examples=60, deadline=None)
def test_objects_are_found_as_by_walking_over_faces(
    labels: NDArray[np.int64], dtype: type[np.signedinteger], instances: bool, factor: int
) -> None:
    labels = (labels * factor).astype(dtype)
    numbers, first = number_objects(labels, labels >= 0, instances)
    assert numbers.dtype == first.dtype == np.int64
    seen: dict[tuple[int, ...], int] = {}
    starts = []
    for place in np.ndindex(labels.shape):
        if labels[place] <= 0 or place in seen:
            continue
        starts.append(int(np.ravel_multi_index(place, labels.shape)))
        if instances:
            seen |= dict.fromkeys(map(tuple, np.argwhere(labels == labels[place]).tolist()), len(starts))
            continue
        front = [place]
        while front:
            here = front.pop()
            inside = all(0 <= i < n for i, n in zip(here, labels.shape, strict=True))
            if inside and here not in seen and labels[here] == labels[place]:
                seen[here] = len(starts)
                steps = [(a, d) for a in range(labels.ndim) for d in (-1, 1)]
                front += [(*here[:a], here[a] + d, *here[a + 1 :]) for a, d in steps]
    assert first.tolist() == starts
    assert all(numbers[place] == seen.get(place, 0) for place in np.ndindex(labels.shape))


@given(
    st.lists(hnp.arrays(np.float64, st.integers(0, 12), elements=st.sampled_from([0.0, 1.0, 2.0, np.inf])), min_size=1),
    st.integers(0, 40),
)
def test_exactly_k_of_the_cheapest_of_all_arrays_are_taken(costs: list[NDArray[np.float64]], k: int) -> None:
    thresholds = cheapest(costs, k)
    chosen = np.concatenate([taken(c, t) for c, t in zip(costs, thresholds, strict=True)])
    cost = np.concatenate(costs)
    assert chosen.sum() == min(k, np.isfinite(cost).sum())
    if chosen.any() and (~chosen).any():
        assert cost[chosen].max() <= cost[~chosen].min()
        ties = np.flatnonzero(cost == cost[chosen].max())
        assert (np.diff(chosen[ties].astype(int)) <= 0).all()


@pytest.mark.parametrize(
    ("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.int32, 2**31 - 1), (np.int64, 2**40)]
)
def test_the_largest_id_of_a_type_is_an_id_like_others(dtype: type, top: int) -> None:
    labels = np.array([[0, 0, top, top, 7]], dtype=dtype)
    small = np.array([[0, 0, 2, 2, 1]], dtype=dtype)
    known = np.ones(labels.shape, dtype=bool)
    for found, expected in zip(nearest_other(labels, known, (1, 1)), nearest_other(small, known, (1, 1)), strict=True):
        assert np.array_equal(found, expected)
