"""Block votes, against a count in every block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.noise import Coarse, parse

shapes = st.one_of(
    st.tuples(st.integers(1, 30)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5)),
)


def by_hand(labels: NDArray[np.int64], block: float, side: float, mode: str) -> NDArray[np.int64]:
    place = np.stack([np.floor((axis + 0.5) * side / block + 1e-9) for axis in np.indices(labels.shape)], -1)
    noisy = labels.copy()
    for corner in np.unique(place.reshape(-1, labels.ndim), axis=0):
        inside = (place == corner).all(-1)
        votes = [v for v in labels[inside].tolist() if v >= 0 and (v > 0 or mode == "majority")]
        winner = min(set(votes), key=lambda v: (-votes.count(v), v)) if votes else 0
        noisy[inside & (labels >= 0)] = winner
    return noisy


@given(
    shapes.flatmap(lambda shape: hnp.arrays(np.int64, shape, elements=st.sampled_from([-1, 0, 1, 2, 70, 5000]))),
    st.sampled_from([1.0, 2.0, 3.0, 2.5, 7.3]),
    st.sampled_from([1.0, 1.5, 4.0]),
    st.sampled_from(["majority", "any"]),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_blocks_take_the_label_that_most_of_their_known_pixels_have(
    labels: NDArray[np.int64], block: float, side: float, mode: str, instances: bool
) -> None:
    noise = Coarse(f"{block * side}m", mode)
    [(noisy, _)] = noise.fit_apply([labels], [noise.draw(labels.shape, generator(0))], instances, (side,) * labels.ndim)
    assert np.array_equal(noisy, by_hand(labels, block * side, side, mode))


@pytest.mark.parametrize("mode", ["majority", "any"])
def test_many_labels_are_counted_as_few_are(mode: str) -> None:
    rng = np.random.default_rng(3)
    # A thousand ids in small blocks are sorted, four classes are counted in a table.
    for labels in (rng.integers(0, 1000, (40, 50)), rng.integers(0, 4, (40, 50))):
        assert np.array_equal(Coarse("4px", mode).corrupt(labels, 0, instances=True)[0], by_hand(labels, 4, 1, mode))


def test_a_large_map_is_voted_on_in_parts_that_do_not_show(parcels: NDArray[np.int32]) -> None:
    labels = np.tile(parcels, (8, 3))
    assert labels.size > 2**18
    noisy = Coarse("7px").apply(labels, {}, instances=True)
    for corner in ((0, 0), (7 * 90, 7 * 40), (7 * 182, 7 * 85)):
        part = tuple(slice(c, c + 7) for c in corner)
        assert np.array_equal(noisy[part], by_hand(labels[part].astype(np.int64), 7, 1, "majority"))


@pytest.mark.parametrize("expression", ["coarse(0px)", "coarse(1px)", "coarse(0.7px)", "coarse(0)"])
def test_blocks_up_to_a_pixel_change_nothing(expression: str, classes: NDArray[np.uint8]) -> None:
    assert np.array_equal(parse(expression).corrupt(classes, seed=0)[0], classes)


def test_coarse_labels_stay_as_they_are_under_the_same_blocks(classes: NDArray[np.uint8]) -> None:
    once, _ = Coarse("6px").corrupt(classes, seed=0)
    assert np.array_equal(Coarse("6px").corrupt(once, seed=1)[0], once)


def test_larger_blocks_that_hold_the_smaller_ones_leave_fewer_boundaries(parcels: NDArray[np.int32]) -> None:
    maps = [Coarse(f"{b}px").corrupt(parcels, 0, instances=True)[0] for b in (1, 4, 16, 64)]
    faces = [int((m[:, 1:] != m[:, :-1]).sum() + (m[1:] != m[:-1]).sum()) for m in maps]
    assert faces == sorted(faces, reverse=True)
    changed = [(m != parcels).mean() for m in maps]
    assert changed == sorted(changed)


def test_a_block_that_holds_anything_is_not_background(parcels: NDArray[np.int32]) -> None:
    noisy, _ = Coarse("10px", "any").corrupt(parcels, seed=0, instances=True)
    assert ((parcels > 0) <= (noisy > 0)).all()


def test_a_class_that_vanishes_is_told() -> None:
    labels = np.zeros((20, 20), dtype=np.uint8)
    labels[3, 3], labels[:, 10:] = 2, 1
    _, record = Coarse("5px").corrupt(labels, seed=0)
    assert record["params"][0]["why"] == "nothing is left of class 2"
    assert "why" not in Coarse("5px", "any").corrupt(labels, seed=0)[1]["params"][0]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("coarse(8)", "coarse: block 8 needs a unit"),
        ("coarse(-8px)", "coarse: block -8px must not be negative"),
        ("coarse(8px, mode=most)", "coarse: there is no mode 'most'; did you mean 'majority'"),
    ],
)
def test_options_outside_their_range_are_refused(expression: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(expression)


def test_expressions_parse_back() -> None:
    for expression in ("coarse(30m)", "coarse(8px, mode=any)", "coarse(1.5mm, mode=majority)"):
        assert parse(str(parse(expression))) == parse(expression)
