"""Objects that turn, scale and move, each by itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri

from segnoise.draws import uniforms
from segnoise.errors import UserError
from segnoise.noise import Affine, parse, replay
from segnoise.noise.objects import number_objects
from segnoise.noise.rotation import rotations


def by_hand(labels: NDArray[np.int64], noise: Affine, key: int, strength: float, side: NDArray[np.float64]):
    """Every pixel of every object, one after another; instances only."""
    axes = labels.ndim
    numbers, first = number_objects(labels, labels >= 0, instances=True)
    shown = np.zeros_like(numbers)
    area = np.bincount(numbers.ravel())
    for number in sorted(range(1, len(first) + 1), key=lambda n: -area[n]):

        def normal(*what: int | str, number: int = number) -> float:
            return float(ndtri(uniforms(first[number - 1 : number], key, "object", *what))[0])

        centroid = np.argwhere(numbers == number).mean(0)
        plane = np.eye(axes)[:2]
        if axes > 2:
            plane = np.array([[normal("plane", which, a) for a in range(axes)] for which in range(2)])
        turn = rotations(plane[0], plane[-1], strength * np.radians(noise.rotation) * normal("angle"))
        scale = np.exp(np.clip(strength * noise.scale * normal("scale"), -np.log(2), np.log(2)))
        shift = strength * noise.shift.value * np.array([normal("shift", a) for a in range(axes)])
        for place in np.argwhere(labels >= 0):
            source = centroid + (turn.T @ ((place - centroid - shift) * side)) / side / scale
            nearest = tuple(np.floor(source + 0.5).astype(int))
            if all(0 <= c < n for c, n in zip(nearest, labels.shape, strict=True)) and numbers[nearest] == number:
                shown[tuple(place)] = number
    return np.where(labels < 0, labels, np.concatenate([[0], labels.ravel()[first]])[shown])


@pytest.mark.parametrize("strength", [0.3, 1.0, 6.0])
@pytest.mark.parametrize("side", [(1.0, 1.0), (1.0, 2.5)])
def test_it_matches_every_object_moved_by_hand(
    parcels: NDArray[np.int32], strength: float, side: tuple[float, float]
) -> None:
    labels = parcels[:45, :40].astype(np.int64)
    labels[10:14, 5:20] = -1
    noise = Affine(rotation=20, scale=0.2, shift="1.5px")
    noisy = noise.apply(labels, {"key": 5, "strength": strength}, instances=True, spacing=side)
    assert np.array_equal(noisy, by_hand(labels, noise, 5, strength, np.array(side)))
    assert not np.array_equal(noisy, labels)


def test_it_matches_in_a_volume(blocks: NDArray[np.int32]) -> None:
    labels = blocks[:9, :11, :12].astype(np.int64)
    noise = Affine(rotation=30, scale=0.1, shift="1px")
    noisy = noise.apply(labels, {"key": 8, "strength": 1.0}, instances=True)
    assert np.array_equal(noisy, by_hand(labels, noise, 8, 1.0, np.ones(3)))


@pytest.mark.parametrize("loss", [0.05, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("instances", [False, True])
def test_the_mean_loss_of_iou_is_met_over_a_set(loss: float, instances: bool, parcels: NDArray[np.int32]) -> None:
    labels = [parcels[:, :100], parcels[:, 100:]]
    images = labels if instances else [(x > 0).astype(np.uint8) for x in labels]
    noise = Affine(loss=loss)
    done = noise.corrupt_all(images, seed=3, instances=instances)
    assert done[0][1]["params"][0]["met"] == pytest.approx(loss, rel=0.05)
    assert len({record["params"][0]["strength"] for _, record in done}) == 1
    if instances:
        lost = []
        for before, (after, _) in zip(images, done, strict=True):
            for value in np.unique(before[before > 0]):
                lost.append(
                    1 - ((before == value) & (after == value)).sum() / ((before == value) | (after == value)).sum()
                )
        assert np.mean(lost) == pytest.approx(done[0][1]["params"][0]["met"])


def test_a_greater_loss_takes_a_greater_strength(parcels: NDArray[np.int32]) -> None:
    records = [Affine(loss=loss).corrupt(parcels, seed=4, instances=True)[1] for loss in (0.1, 0.3, 0.6)]
    strengths = [record["params"][0]["strength"] for record in records]
    assert strengths == sorted(set(strengths))


@pytest.mark.parametrize("expression", ["affine(loss=0)", "affine(rotation=0, scale=0, shift=0)"])
@pytest.mark.parametrize("instances", [False, True])
def test_no_deviation_is_the_identity(expression: str, instances: bool, parcels: NDArray[np.int32]) -> None:
    labels = parcels if instances else parcels % 4
    assert np.array_equal(parse(expression).corrupt(labels, seed=1, instances=instances)[0], labels)


def test_what_an_object_leaves_takes_the_class_around_it() -> None:
    labels = np.ones((40, 40), dtype=np.uint8)
    labels[:, :3] = 0
    labels[10:20, 15:25] = 2
    noisy, _ = Affine(rotation=0, scale=0, shift="3px").corrupt(labels, seed=4)
    left = (labels == 2) & (noisy != 2)
    assert left.any()
    assert (noisy[left] == 1).all()


def test_on_ids_what_an_object_leaves_becomes_background(parcels: NDArray[np.int32]) -> None:
    noisy, _ = Affine(shift="4px").corrupt(parcels, seed=4, instances=True)
    left = (parcels > 0) & (noisy != parcels)
    assert (noisy[left] == 0).any()
    assert set(np.unique(noisy)) <= set(np.unique(parcels))


def test_small_objects_lie_on_large_ones() -> None:
    labels = np.zeros((60, 60), dtype=np.int32)
    labels[5:45, 5:45], labels[46:50, 20:24] = 1, 2
    noise = Affine(rotation=0, scale=0, shift="6px")
    for seed in range(12):
        noisy, record = noise.corrupt(labels, seed=seed, instances=True)
        alone, _ = noise.corrupt(np.where(labels == 2, 2, 0).astype(np.int32), seed=seed, instances=True)
        assert np.array_equal(noisy == 2, alone == 2)
        assert np.array_equal(replay(labels, record), noisy)


def test_unknown_pixels_hide_what_they_hide(classes: NDArray[np.uint8]) -> None:
    unknown = classes == 255
    noise = Affine(loss=0.3)
    noisy, _ = noise.corrupt(classes, seed=6)
    other, _ = noise.corrupt(np.where(unknown, -4, classes.astype(np.int32)), seed=6)
    assert np.array_equal(noisy[~unknown], other[~unknown])
    assert (noisy[unknown] == 255).all()
    assert (noisy[~unknown] != 255).all()


def test_a_loss_out_of_reach_and_a_class_that_vanishes_are_told() -> None:
    square = np.zeros((21, 21), dtype=np.int32)
    square[4:17, 4:17] = 1
    _, record = Affine(rotation=30, scale=0, shift=0, loss=0.9).corrupt(square, seed=1, instances=True)
    assert record["params"][0]["why"] == "the 1 objects come no nearer with any strength of this"
    _, record = Affine(loss=1).corrupt(square, seed=1)
    assert "nothing is left of class 1" in record["params"][0]["why"]
    _, record = Affine(loss=0.3).corrupt(np.zeros((4, 4), np.uint8), seed=1)
    assert record["params"][0]["why"] == "the labels have no objects"


@pytest.mark.parametrize(
    "expression", ["affine()", "affine(loss=0.25)", "affine(5, 0.05, 3m)", "affine(rotation=0, shift=0, loss=0.1)"]
)
def test_expressions_parse_back(expression: str) -> None:
    assert parse(str(parse(expression))) == parse(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("affine(rotation=-3)", "affine: rotation -3 must be a plain number that is not negative"),
        ("affine(scale=2px)", "affine: scale 2px must be a plain number"),
        ("affine(shift=2)", "affine: shift 2 needs a unit"),
        ("affine(loss=1.5)", "affine: loss 1.5 must be a number from 0 to 1"),
        ("affine(0, 0, 0, loss=0.1)", "affine: a loss needs a rotation, a scale or a shift"),
    ],
)
def test_values_outside_their_range_are_refused(expression: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(expression)
