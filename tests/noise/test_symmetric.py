"""Flips of single pixels to any other class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.noise import Symmetric, parse
from segnoise.noise.order import count_of


@given(st.floats(0, 1), st.integers(1, 60), st.integers(0, 20), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_the_rate_is_met_to_the_pixel_over_all_known_pixels(rate: float, size: int, unknown: int, seed: int) -> None:
    labels = np.concatenate([np.arange(size) % 3, np.full(unknown, 255)])
    noise = Symmetric(rate)
    [(noisy, _)] = noise.fit_apply([labels], [noise.draw(labels.shape, generator(seed))], num_classes=3)
    assert (noisy != labels).sum() == count_of(rate, size)
    assert (noisy[size:] == 255).all()


def test_the_rate_is_met_over_a_set_of_images_and_each_has_its_own_draw(classes: NDArray[np.uint8]) -> None:
    images = [classes, classes, classes[:50]]
    flips = [noisy != x for x, (noisy, _) in zip(images, Symmetric(0.2).corrupt_all(images, seed=3), strict=True)]
    assert sum(f.sum() for f in flips) == round(0.2 * sum((x != 255).sum() for x in images))
    assert 0 < (flips[0] & flips[1]).sum() < 0.3 * flips[0].sum()


def test_every_other_class_is_taken_alike_and_the_own_one_never() -> None:
    labels = np.full((300, 300), 2, dtype=np.uint8)
    noisy, _ = Symmetric(0.5).corrupt(labels, seed=4, num_classes=5)
    counts = np.bincount(noisy.ravel(), minlength=5)
    assert counts[2] == labels.size // 2
    assert np.abs(counts[[0, 1, 3, 4]] / (labels.size / 2) - 0.25).max() < 0.01


def test_a_lower_rate_flips_some_of_the_same_pixels_to_the_same_classes(classes: NDArray[np.uint8]) -> None:
    few, many = (Symmetric(rate).corrupt(classes, seed=5)[0] for rate in (0.1, 0.4))
    flipped = few != classes
    assert np.array_equal(few[flipped], many[flipped])


def test_only_the_listed_classes_flip_and_only_they_count(classes: NDArray[np.uint8]) -> None:
    noisy, record = Symmetric(0.3, classes=(1, 3)).corrupt(classes, seed=6)
    listed = (classes == 1) | (classes == 3)
    assert (noisy != classes)[listed].sum() == count_of(0.3, listed.sum())
    assert np.array_equal(noisy[~listed], classes[~listed])
    assert record["params"][0]["met"] == pytest.approx(0.3, abs=1e-4)


def test_neighbours_flip_independently() -> None:
    flips = Symmetric(0.3).corrupt(np.zeros((400, 400), np.uint8), seed=7)[0] == 1
    for pairs in (flips[1:] & flips[:-1], flips[:, 1:] & flips[:, :-1]):
        assert pairs.mean() == pytest.approx(0.09, abs=0.003)


def test_on_ids_flips_make_holes_and_new_objects(blocks: NDArray[np.int32]) -> None:
    noisy, _ = Symmetric(0.1).corrupt(blocks, seed=8, instances=True)
    binary, _ = Symmetric(0.1).corrupt((blocks > 0).astype(np.uint8), seed=8)
    assert np.array_equal(noisy > 0, binary > 0)
    assert noisy[(blocks == 0) & (noisy > 0)].min() > blocks.max()
    only_objects, _ = Symmetric(0.1, classes=1).corrupt(blocks, seed=8, instances=True)
    assert not only_objects[blocks == 0].any()


def test_a_class_that_vanishes_and_a_rate_without_pixels_are_told() -> None:
    _, record = Symmetric(1).corrupt(np.array([0, 0, 0]), seed=0)
    assert record["params"][0]["why"] == "nothing is left of class 0"
    _, record = Symmetric(0.5, classes=(4,)).corrupt(np.array([0, 1, 0]), seed=0, num_classes=5)
    assert record["params"][0]["why"] == "the labels have 0 known pixels that can flip"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("symmetric(1.5)", "character 1: symmetric: rate 1.5 must be a number from 0 to 1"),
        ("symmetric(0.1, classes=(1, 1))", r"classes \(1, 1\) must be different class indices"),
        ("symmetric(0.1, classes=0.5)", "classes 0.5 must be different"),
        ("symmetric(0.1, classes=255)", "classes 255 must be different"),
    ],
)
def test_values_outside_their_range_are_refused(expression: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(expression)


def test_labels_beyond_the_number_of_classes_are_refused() -> None:
    with pytest.raises(UserError, match="symmetric: the labels hold class 4, but there are 3 classes"):
        Symmetric(0.1).corrupt(np.array([0, 4]), seed=0, num_classes=3)
