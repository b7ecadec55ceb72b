"""Flips along a cycle and by a transition matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.noise import Pair, parse
from segnoise.noise.order import count_of

T = ((0.7, 0.2, 0.1), (0.0, 1.0, 0.0), (0.25, 0.25, 0.5))


def confusion(true: NDArray[np.integer], given: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (true, given), 1)
    return table


@given(st.lists(st.integers(0, 40), min_size=3, max_size=3), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_a_matrix_is_met_to_the_pixel_in_every_row(counts: list[int], seed: int) -> None:
    labels = np.repeat([0, 1, 2, 255], [*counts, 3])
    noise = Pair(T=T)
    [(noisy, _)] = noise.fit_apply([labels], [noise.draw(labels.shape, generator(seed))])
    upto = np.array([[count_of(s, n) for s in np.cumsum(row)] for row, n in zip(T, counts, strict=True)])
    table = confusion(labels[:-3], noisy[:-3], 3)
    assert np.array_equal(
        np.delete(table[0], 0), np.diff([0, count_of(0.2, counts[0]), count_of(0.2 + 0.1, counts[0])])
    )
    assert np.array_equal(table[1], [0, counts[1], 0])
    assert np.array_equal(table[2, :2], np.diff([0, *upto[2, :2]]))
    assert (noisy[-3:] == 255).all()


def test_a_rate_turns_each_class_into_the_next_over_all_images(classes: NDArray[np.uint8]) -> None:
    images = [classes[:100], classes[100:]]
    noisy = np.concatenate([x for x, _ in Pair(0.3).corrupt_all(images, seed=1)])
    known = classes != 255
    table = confusion(classes[known], noisy[known], 4)
    for k in range(4):
        flips = count_of(0.3, table[k].sum())
        expected = np.zeros(4, dtype=int)
        expected[k], expected[(k + 1) % 4] = table[k].sum() - flips, flips
        assert np.array_equal(table[k], expected)


def test_a_cycle_of_some_classes_leaves_the_others_alone(classes: NDArray[np.uint8]) -> None:
    noisy, record = Pair(0.2, classes=(3, 1)).corrupt(classes, seed=2)
    other = (classes != 3) & (classes != 1)
    assert np.array_equal(noisy[other], classes[other])
    assert set(np.unique(noisy[classes == 3])) == {3, 1}
    assert set(np.unique(noisy[classes == 1])) == {1, 3}
    assert record["params"][0]["met"] == pytest.approx(0.2, abs=1e-3)


def test_two_rows_of_one_pair_draw_the_same_flips_as_the_rate_alone(parcels: NDArray[np.int32]) -> None:
    binary = (parcels > 0).astype(np.uint8)
    by_rate, _ = Pair(0.25).corrupt(binary, seed=3)
    by_matrix, _ = Pair(T=((0.75, 0.25), (0.25, 0.75))).corrupt(binary, seed=3)
    assert np.array_equal(by_rate, by_matrix)


def test_a_lower_rate_flips_some_of_the_same_pixels(classes: NDArray[np.uint8]) -> None:
    few, many = (Pair(rate).corrupt(classes, seed=4)[0] for rate in (0.1, 0.4))
    assert ((few != classes) <= (many != classes)).all()


def test_ids_have_two_classes(blocks: NDArray[np.int32]) -> None:
    noisy, _ = Pair(T=((1, 0), (0.2, 0.8))).corrupt(blocks, seed=5, instances=True)
    inside = blocks > 0
    assert ((noisy == 0) & inside).sum() == count_of(0.2, inside.sum())
    assert not noisy[~inside].any()
    added, _ = Pair(T=((0.9, 0.1), (0, 1))).corrupt(blocks, seed=5, instances=True)
    assert np.array_equal(added[inside], blocks[inside])
    assert (added[~inside] > blocks.max()).sum() == count_of(0.1, (~inside).sum())
    with pytest.raises(UserError, match="pair: written for 3 classes, but the labels are object ids: background and"):
        Pair(T=T).corrupt(blocks, seed=5, instances=True)
    with pytest.raises(UserError, match="pair: written for 4 classes, but the labels are object ids"):
        Pair(0.2, classes=(1, 3)).corrupt(blocks, seed=5, instances=True)


def test_classes_that_the_matrix_or_the_run_does_not_have_are_refused() -> None:
    with pytest.raises(UserError, match="pair: the labels hold class 3, but there are 2 classes"):
        Pair(T=((0.9, 0.1), (0.2, 0.8))).corrupt(np.array([0, 3]), seed=0)
    with pytest.raises(UserError, match="pair: written for 3 classes, but there are 2 classes"):
        Pair(T=T).corrupt(np.array([0, 1]), seed=0, num_classes=2)
    with pytest.raises(UserError, match="pair: there is no class 5; there are 3 classes"):
        Pair(0.1, classes=(1, 5)).corrupt(np.array([0, 1]), seed=0, num_classes=3)


def test_a_class_that_vanishes_is_told() -> None:
    _, record = Pair(T=((1, 0), (1, 0))).corrupt(np.array([0, 1, 1]), seed=0)
    assert record["params"][0]["why"] == "nothing is left of class 1"


@pytest.mark.parametrize("expression", ["pair(0.25)", "pair(0.1, classes=(2, 1))", "pair(T=((.9,.1),(.3,.7)))"])
def test_expressions_parse_back(expression: str) -> None:
    assert parse(str(parse(expression))) == parse(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("pair()", "pair: give a rate"),
        ("pair(0.1, T=((1, 0), (0, 1)))", "pair: give a rate"),
        ("pair(0.1, classes=1)", "at least two"),
        ("pair(T=((.9, .1), (.2, .8)), classes=(0, 1))", "along"),
        ("pair(T=((.9, .2), (.2, .8)))", "row 0 of T sums to 1.1"),
        ("pair(T=((.9, .1), (1)))", "square matrix"),
        ("pair(T=((1.1, -.1), (0, 1)))", "square matrix of shares"),
        ("pair(T=0.3)", "square matrix"),
    ],
)
def test_what_does_not_make_sense_is_refused(expression: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(expression)
