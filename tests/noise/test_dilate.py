"""Growth and shrinkage by a distance, against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segnoise.errors import UserError
from segnoise.noise import Dilate, Erode, parse


def nearest(
    labels: NDArray[np.int64], sources: NDArray[np.bool_], place: NDArray[np.int64], pixel: tuple[float, ...]
) -> tuple[float, set[int]]:
    """How far the edge of the nearest source is, and the labels of the sources that are equally near."""
    steps = np.argwhere(sources) - place
    if not len(steps):
        return np.inf, set()
    long = np.linalg.norm(steps * pixel, axis=1)
    first = np.flatnonzero(long < long.min() + 1e-9)
    edge = long[first[0]] * (1 - 0.5 / np.linalg.norm(steps[first[0]]))
    return edge, set(labels[sources][first].tolist())


@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(-1, 3)),
    st.sampled_from([(1.0, 1.0), (2.0, 5.3)]),
    st.sampled_from([0.4, 1.0, 2.3, 6.0]),
)
@settings(max_examples=80, deadline=None)
def test_growth_and_shrinkage_match_a_search_over_all_pixels(
    labels: NDArray[np.int64], pixel: tuple[float, float], distance: float
) -> None:
    grown, shrunk = (kind(f"{distance}m").apply(labels, {}, spacing=pixel) for kind in (Dilate, Erode))
    for place in np.argwhere(np.ones_like(labels)):
        at = tuple(place)
        if labels[at] == 0:
            edge, owners = nearest(labels, labels > 0, place, pixel)
            assert grown[at] in (owners if edge <= distance + 1e-9 else {0})
        else:
            assert grown[at] == labels[at]
        if labels[at] > 0:
            edge, _ = nearest(labels, labels == 0, place, pixel)
            assert shrunk[at] == (0 if edge <= distance + 1e-9 else labels[at])
        else:
            assert shrunk[at] == labels[at]


def test_a_straight_edge_moves_by_the_distance_rounded_to_whole_pixels() -> None:
    labels = np.repeat([[0, 4]], [30, 30], axis=1).repeat(5, axis=0)
    for distance, moved in ((0.4, 0), (0.5, 1), (1.4, 1), (1.5, 2), (7.0, 7)):
        assert (Dilate(f"{distance}px").corrupt(labels, 0)[0] == 4)[2].sum() == 30 + moved
        assert (Erode(f"{distance}px").corrupt(labels, 0)[0] == 4)[2].sum() == 30 - moved


@pytest.mark.parametrize("distance", [1.0, 2.5, 4.0])
def test_the_card_measures_the_distance_on_a_disc(distance: float) -> None:
    disc = (np.hypot(*np.mgrid[-60:61, -60:61]) < 35).astype(np.uint8)
    for kind, sign in ((Dilate, 1), (Erode, -1)):
        _, record = kind(f"{distance}px").corrupt(disc, seed=0)
        assert record["card"]["displacement"]["bias"] == pytest.approx(sign * distance, abs=0.35)


@pytest.mark.parametrize("kind", [Dilate, Erode])
def test_a_larger_distance_changes_all_that_a_smaller_one_does(kind: type[Dilate], parcels: NDArray[np.int32]) -> None:
    changes = [kind(f"{d}px").corrupt(parcels, 0, instances=True)[0] != parcels for d in (0, 0.6, 1, 2.2, 5)]
    assert not changes[0].any()
    for few, many in itertools.pairwise(changes):
        assert (few <= many).all()
        assert few.sum() < many.sum()


def test_objects_that_touch_neither_grow_into_each_other_nor_part(parcels: NDArray[np.int32]) -> None:
    grown, shrunk = (kind("2px").corrupt(parcels, 0, instances=True)[0] for kind in (Dilate, Erode))
    assert np.array_equal(grown[parcels > 0], parcels[parcels > 0])
    assert set(np.unique(grown)) == set(np.unique(parcels))
    kept = shrunk > 0
    assert np.array_equal(shrunk[kept], parcels[kept])
    touching = (parcels[:, 1:] != parcels[:, :-1]) & (parcels[:, 1:] > 0) & (parcels[:, :-1] > 0)
    assert (touching & kept[:, 1:] & kept[:, :-1]).any()


def test_what_lies_under_unknown_pixels_neither_grows_nor_gives_way(classes: NDArray[np.uint8]) -> None:
    unknown = classes == 255
    for kind in (Dilate, Erode):
        noisy, _ = kind("3px").corrupt(classes, seed=0)
        other, _ = kind("3px").corrupt(np.where(unknown, -3, classes.astype(np.int64)), seed=0)
        assert (noisy[unknown] == 255).all()
        assert np.array_equal(noisy[~unknown], other[~unknown])


def test_volumes_with_thick_slices_are_measured_in_millimetres() -> None:
    volume = np.zeros((9, 21, 21), dtype=np.uint8)
    volume[4, 10, 10] = 1
    grown, record = Dilate("3mm").corrupt(volume, seed=0, spacing=(5.0, 1.0, 1.0))
    assert [int(grown[k].sum()) for k in (3, 5)] == [1, 1]
    # Half a pixel of 1 mm plus 3 mm reach centres up to 3.5 mm away in the slice.
    disc = np.hypot(*np.mgrid[-10:11, -10:11]) <= 3.5
    assert np.array_equal(grown[4] == 1, disc)
    assert record["params"][0]["met"] == 3


def test_a_class_that_vanishes_is_told(parcels: NDArray[np.int32]) -> None:
    labels = np.zeros((20, 20), dtype=np.uint8)
    labels[2:4, 2:4], labels[8:18, 8:18] = 2, 1
    _, record = Erode("2px").corrupt(labels, seed=0)
    assert record["params"][0]["why"] == "nothing is left of class 2"
    _, record = Erode("20px").corrupt(labels, seed=0, instances=True)
    assert record["params"][0]["why"] == "nothing is left of objects"
    _, record = Dilate("0.3px").corrupt(labels, seed=0)
    assert record["params"][0]["met"] == 0
    assert record["params"][0]["why"] == "no pixel lies within 0.3px of a boundary with the background"


def test_it_is_told_over_a_set_of_images() -> None:
    small, large = np.zeros((2, 20, 20), dtype=np.uint8)
    small[5:7, 5:7], large[5:15, 5:15] = 1, 1
    for _, record in Erode("2px").corrupt_all([small, large], seed=0):
        assert "why" not in record["params"][0]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("dilate(2)", "character 1: dilate: distance 2 needs a unit, such as 2px or 2m"),
        ("erode(-1px)", "character 1: erode: distance -1px must not be negative"),
        ("erode((1, 2))", r"erode: distance \(1, 2\) must be a length"),
    ],
)
def test_what_is_no_distance_is_refused(expression: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(expression)


def test_a_metric_distance_needs_a_spacing() -> None:
    with pytest.raises(UserError, match="length 2m: the size of the labels' pixels is unknown"):
        parse("dilate(2m)").corrupt(np.eye(3, dtype=np.uint8), seed=0)
