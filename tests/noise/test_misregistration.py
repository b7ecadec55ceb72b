"""Labels shifted and turned as a whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.noise import Misregistration, parse, replay
from segnoise.noise.rotation import rotations

shapes = st.one_of(
    st.tuples(st.integers(1, 9)),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
)


def drawn(noise: Misregistration, axes: int, seed: int) -> dict:
    return noise.draw((9,) * axes, generator(seed))


@given(
    shapes.flatmap(lambda shape: hnp.arrays(np.int64, shape, elements=st.sampled_from([0, 1, 2, 255]))),
    st.lists(st.integers(-8, 8), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_whole_pixels_are_an_exact_roll_with_an_unknown_rim(labels: NDArray[np.int64], steps: list[int]) -> None:
    vector = np.array(steps[: labels.ndim], dtype=float)
    length = np.linalg.norm(vector)
    params = {**drawn(Misregistration(0), labels.ndim, 1), "direction": (vector / max(length, 1)).tolist()}
    params["direction"] = (vector / length).tolist() if length else params["direction"]
    noisy = Misregistration(f"{float(length)!r}px").apply(labels, params)
    for place in np.argwhere(labels >= 0):
        at, source = tuple(place), tuple(place - vector.astype(int))
        inside = all(0 <= c < n for c, n in zip(source, labels.shape, strict=True))
        expected = 255 if labels[at] == 255 or not inside else labels[source]
        assert noisy[at] == expected


@given(
    shapes.flatmap(lambda shape: hnp.arrays(np.int64, shape, elements=st.sampled_from([-1, 0, 1, 2]))),
    st.floats(0, 4),
    st.floats(1, 180),
    st.integers(0, 9),
    st.sampled_from([None, (2.0, 1.0, 5.0)]),
)
@settings(max_examples=80, deadline=None)
def test_each_pixel_takes_the_label_at_the_place_it_came_from(
    labels: NDArray[np.int64], shift: float, angle: float, seed: int, spacing: tuple[float, ...] | None
) -> None:
    noise = Misregistration(f"{shift}px", angle)
    params = drawn(noise, labels.ndim, seed)
    side = np.ones(labels.ndim) if spacing is None else np.array(spacing[: labels.ndim])
    noisy = noise.apply(labels, params, instances=True, spacing=None if spacing is None else side.tolist())
    turn = rotations(*map(np.array, params["plane"]), math.radians(angle))
    centre = (np.array(labels.shape) - 1) / 2
    for place in np.argwhere(labels >= 0):
        moved = place - centre - shift * np.array(params["direction"])
        source = centre + (turn.T @ (moved * side)) / side
        if np.abs(source + 0.5 - np.round(source + 0.5)).min() < 1e-9:
            continue  # halfway between pixels
        nearest = np.round(source).astype(int)
        inside = all(0 <= c < n for c, n in zip(nearest, labels.shape, strict=True))
        assert noisy[tuple(place)] == (labels[tuple(nearest)] if inside else -1)
    assert (noisy[labels < 0] == -1).all()


def test_a_quarter_turn_is_exact() -> None:
    labels = np.arange(49).reshape(7, 7)
    noise = Misregistration(0, 90)
    turns = [noise.apply(labels, drawn(noise, 2, seed)) for seed in range(20)]
    clockwise, counter = np.rot90(labels, -1), np.rot90(labels)
    assert {bytes(t.tobytes()) for t in turns} == {clockwise.tobytes(), counter.tobytes()}


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_rotations_are_orthonormal_and_turn_by_the_angle(axes: int) -> None:
    first, second = np.random.default_rng(axes).normal(size=(2, 10, axes))
    angle = np.linspace(0.1, 3, 10)
    turns = rotations(first, second, angle)
    assert np.allclose(turns @ turns.swapaxes(1, 2), np.eye(axes))
    assert np.allclose(np.linalg.det(turns), 1)
    # A plane turns and the other axes stay.
    assert np.allclose(np.trace(turns, axis1=1, axis2=2), axes - 2 + 2 * np.cos(angle))
    turned = (turns @ first[..., None])[..., 0]
    assert np.allclose((turned * first).sum(1) / (first**2).sum(1), np.cos(angle))
    assert np.allclose(rotations(second, first, angle) @ turns, np.eye(axes))


def test_directions_are_uniform_and_of_the_asked_length_in_metres() -> None:
    labels = np.zeros((61, 61), dtype=np.uint8)
    labels[30, 30] = 1
    noise = Misregistration("20m")
    moves = []
    for seed in range(300):
        noisy = noise.apply(labels, drawn(noise, 2, seed), spacing=(1.0, 2.0))
        moves.append(np.argwhere(noisy == 1)[0] - 30)
    metres = np.array(moves) * (1.0, 2.0)
    assert np.abs(np.linalg.norm(metres, axis=1) - 20).max() < 1.2
    assert np.abs(metres.mean(0)).max() < 3


def test_a_set_moves_image_by_image_and_the_record_replays(classes: NDArray[np.uint8]) -> None:
    (first, record), (second, _) = parse("misregistration(4px, rotation=3)").corrupt_all([classes, classes], seed=5)
    assert not np.array_equal(first, second)
    assert np.array_equal(replay(classes, record), first)
    assert record["params"][0]["met"] == 4
    assert record["card"]["pixels"] == ((first != 255) & (classes != 255)).sum()


@pytest.mark.parametrize("expression", ["misregistration(0px)", "misregistration(0)"])
def test_no_shift_is_the_identity(expression: str, classes: NDArray[np.uint8]) -> None:
    assert np.array_equal(parse(expression).corrupt(classes, seed=0)[0], classes)


def test_a_longer_shift_changes_more(parcels: NDArray[np.int32]) -> None:
    changed = []
    for shift in (0, 1, 3, 9, 30):
        noisy, _ = Misregistration(f"{shift}px").corrupt(parcels, seed=2, instances=True)
        changed.append((noisy != parcels).sum())
    assert changed == sorted(set(changed))


def test_unknown_labels_cover_what_they_come_to_and_their_value_does_not_matter(classes: NDArray[np.uint8]) -> None:
    unknown = classes == 255
    noise = Misregistration("10px", 5)
    noisy, _ = noise.corrupt(classes, seed=3)
    other, _ = noise.corrupt(np.where(unknown, -9, classes.astype(np.int64)), seed=3)
    assert np.array_equal(noisy[~unknown], other[~unknown])
    assert (other[unknown] == -9).all()
    assert ((noisy == 255) & ~unknown).any()


def test_the_rim_is_unknown_in_every_type() -> None:
    ones = np.ones((3, 3), dtype=np.int8)
    noise = Misregistration("9px")
    assert (noise.corrupt(ones, seed=0)[0] == -1).all()
    assert (noise.corrupt(ones.astype(np.int64), seed=0)[0] == 255).all()
    assert (noise.corrupt(ones, seed=0, instances=True)[0] == -1).all()
    assert noise.corrupt(ones, seed=0)[1]["params"][0]["why"] == "nothing is left of class 1"
    with pytest.raises(ValueError, match="uint8 cannot hold -1"):
        noise.corrupt(ones.astype(np.uint8), seed=0, instances=True)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("misregistration(3)", "misregistration: shift 3 needs a unit"),
        ("misregistration(3px, rotation=-1)", "rotation -1 must be degrees from 0 to 180"),
        ("misregistration(3px, rotation=2px)", "must be degrees"),
    ],
)
def test_values_outside_their_range_are_refused(expression: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(expression)
