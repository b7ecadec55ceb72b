"""The noise card against loops over tiny maps, and what must not change it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.noise import noise_card, noise_card_of, parse

Map = NDArray[Any]

SHAPES = st.one_of(st.tuples(st.integers(1, 7), st.integers(1, 7)), st.tuples(*[st.integers(1, 4)] * 3))


@st.composite
def pairs(draw: Callable[..., Any]) -> tuple[Map, Map]:
    """A given and a true class map of one shape."""
    shape = draw(SHAPES)
    classes = hnp.arrays(np.int64, shape, elements=st.sampled_from([0, 0, 1, 1, 2, 255]))
    return draw(classes), draw(classes)


def faces(shape: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    found = []
    for x in np.ndindex(shape):
        for axis in range(len(shape)):
            y = tuple(v + (a == axis) for a, v in enumerate(x))
            if y[axis] < shape[axis]:
                found.append((x, y))
    return found


def known(a: Map, b: Map) -> Map:
    return (a != 255) & (b != 255)


def distance_to_boundary(clean: Map, valid: Map, x: tuple[int, ...]) -> float:
    """From a pixel to the nearest one of another label that its own label touches, less half a pixel."""
    sharing = set()
    for a, b in faces(clean.shape):
        if valid[a] and valid[b] and clean[a] != clean[b]:
            sharing |= {b} if clean[a] == clean[x] else set()
            sharing |= {a} if clean[b] == clean[x] else set()
    return min((math.dist(x, y) for y in sharing), default=math.inf) - 0.5


@given(pairs())
@settings(max_examples=50, deadline=None)
def test_rates_confusion_and_overlap_are_counts_of_pixels(maps: tuple[Map, Map]) -> None:
    given_map, clean = maps
    valid = known(given_map, clean)
    card = noise_card(given_map, clean)
    size = len(card["confusion"])
    for t, g in itertools.product(range(size), repeat=2):
        count = sum(1 for x in np.ndindex(clean.shape) if valid[x] and clean[x] == t and given_map[x] == g)
        row = int((valid & (clean == t)).sum())
        assert card["confusion"][t][g] == count
        assert card["transition"][t][g] == (pytest.approx(count / row) if row else None)
    for k in range(size):
        here, there = (
            set(zip(*np.nonzero(valid & (clean == k)), strict=True)),
            set(zip(*np.nonzero(valid & (given_map == k)), strict=True)),
        )
        assert card["dice"][str(k)] == (
            pytest.approx(2 * len(here & there) / (len(here) + len(there))) if here | there else None
        )
        assert card["iou"][str(k)] == (pytest.approx(len(here & there) / len(here | there)) if here | there else None)
        assert (str(k) in card["vanished"]) == bool(here and not there)
    assert card["pixels"] == valid.sum()
    assert card["errors"] == (valid & (given_map != clean)).sum()


@given(pairs())
@settings(max_examples=40, deadline=None)
def test_distances_of_errors_are_those_found_by_trying_all_pixels(maps: tuple[Map, Map]) -> None:
    given_map, clean = maps
    valid = known(given_map, clean)
    card = noise_card(given_map, clean)
    wrong = [x for x in np.ndindex(clean.shape) if valid[x] and given_map[x] != clean[x]]
    distances = [distance_to_boundary(clean, valid, x) for x in wrong]
    for d in (1, 2, 4, 8):
        expected = sum(value <= d for value in distances) / len(wrong) if wrong else None
        assert card["near_boundary"][f"{d}px"] == pytest.approx(expected)
    assert sum(card["profile"]["errors"]) == len(wrong)
    assert sum(card["profile"]["pixels"]) == valid.sum()


@given(pairs())
@settings(max_examples=40, deadline=None)
def test_displacement_is_the_mean_of_both_sides_of_each_given_face(maps: tuple[Map, Map]) -> None:
    given_map, clean = maps
    valid = known(given_map, clean)
    signed = []
    for a, b in faces(clean.shape):
        if valid[a] and valid[b] and given_map[a] != given_map[b]:
            larger = max(given_map[a], given_map[b])
            sides = [(-1 if clean[x] >= larger else 1) * distance_to_boundary(clean, valid, x) for x in (a, b)]
            signed.append(sum(sides) / 2)
    signed = [s for s in signed if math.isfinite(s)]
    card = noise_card(given_map, clean)
    assert card["displacement"]["faces"] == sum(card["displacement_histogram"]["counts"]) == len(signed)
    if signed:
        assert card["displacement"]["bias"] == pytest.approx(np.mean(signed))
        assert card["displacement"]["mean_absolute"] == pytest.approx(np.mean(np.abs(signed)))
        assert card["displacement"]["quantiles"]["0.75"] == pytest.approx(np.quantile(signed, 0.75))


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """A card as numbers by path."""
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in flat(part, f"{path}/{key}").items()}
    if isinstance(value, list):
        return {k: v for n, part in enumerate(value) for k, v in flat(part, f"{path}/{n}").items()}
    return {path: value}


def without_axes(card: dict[str, Any]) -> dict[str, Any]:
    """All of a card that does not belong to an axis."""
    axes = ("/latent/", "/shift/mean_px", "/causes/patches/rho")
    return {path: v for path, v in flat(card).items() if not path.startswith(axes)}


def turned(labels: Map) -> list[Map]:
    return [np.rot90(x, k) for x in (labels, labels.T) for k in range(4)]


@given(
    st.tuples(st.integers(2, 9), st.integers(2, 9)).flatmap(
        lambda s: st.tuples(*[hnp.arrays(np.int64, s, elements=st.sampled_from([0, 0, 1, 2, 255]))] * 2)
    ),
    st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_turning_and_flipping_both_maps_changes_nothing(maps: tuple[Map, Map], instances: bool) -> None:
    given_map, clean = (np.where(x == 255, -1, x) if instances else x for x in maps)
    card = without_axes(noise_card(given_map, clean, (2.0, 2.0), instances))
    for one, other in zip(turned(given_map), turned(clean), strict=True):
        assert without_axes(noise_card(one, other, (2.0, 2.0), instances)) == pytest.approx(card, nan_ok=True)


def test_turning_swaps_what_belongs_to_an_axis(parcels: NDArray[np.int32]) -> None:
    noisy = parse("kms(0.1, rho=(.95, .7))+misregistration(3px)").noisy_all([parcels], 3, instances=True)[0][0]
    card, other = noise_card(noisy, parcels, instances=True), noise_card(noisy.T, parcels.T, instances=True)
    assert without_axes(other) == pytest.approx(without_axes(card))
    assert other["latent"]["rho"] == pytest.approx(card["latent"]["rho"][::-1])
    assert other["shift"]["mean_px"] == pytest.approx(card["shift"]["mean_px"][::-1])


@given(pairs(), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_what_lies_under_unknown_pixels_does_not_matter(maps: tuple[Map, Map], seed: int) -> None:
    given_map, clean = maps
    valid = known(given_map, clean)
    anything = generator(seed).integers(0, 3, clean.shape)
    card = noise_card(given_map, clean)
    assert noise_card(np.where(valid, given_map, anything), np.where(valid, clean, 255)) == card
    assert noise_card(np.where(valid, given_map, 255), np.where(valid, clean, anything)) == card


def test_ids_under_unknown_pixels_do_not_matter(parcels: NDArray[np.int32]) -> None:
    noisy = parse("boundary(2px)+omission(0.2)").noisy_all([parcels], 1, instances=True)[0][0]
    hidden = np.zeros(parcels.shape, bool)
    hidden[30:60, 40:90] = True
    card = noise_card(np.where(hidden, -1, noisy), parcels, instances=True)
    assert noise_card(np.where(hidden, 7, noisy), np.where(hidden, -1, parcels), instances=True) == card


class TestSet:
    """Cards of several pairs."""

    def test_a_set_is_like_one_map_of_all_its_images_side_by_side(self, parcels: NDArray[np.int32]) -> None:
        clean = parcels % 3
        noisy = parse("boundary(2px)+omission(0.2)+kms(0.05)").noisy_all([clean], 4)[0][0]
        gap = np.full((160, 60), 255)
        halves = [(x[:, :100], y[:, :100]) for x, y in [(noisy, clean)]] + [(noisy[:, 100:], clean[:, 100:])]
        joined = noise_card(
            np.concatenate([noisy[:, :100], gap, noisy[:, 100:]], 1),
            np.concatenate([clean[:, :100], gap, clean[:, 100:]], 1),
        )
        pooled = noise_card_of(halves)
        same = ("confusion", "flip_rate", "dice", "near_boundary", "profile", "displacement", "objects")
        for key in same:
            assert flat(pooled[key]) == pytest.approx(flat(joined[key])), key
        for cause in ("boundary", "omission", "commission", "merge", "split"):
            assert pooled["causes"][cause] == pytest.approx(joined["causes"][cause], rel=0.05), cause

    def test_the_order_of_the_images_does_not_matter(self, classes: NDArray[np.uint8]) -> None:
        noisy = [x for x, _ in parse("kms(0.1)").noisy_all([classes, classes[:80], classes[:, :90]], 1)]
        maps = list(zip(noisy, [classes, classes[:80], classes[:, :90]], strict=True))
        assert flat(noise_card_of(maps[::-1])) == pytest.approx(flat(noise_card_of(maps)))

    def test_images_with_fewer_classes_than_others_are_legal(self) -> None:
        zeros = np.zeros((4, 4), int)
        card = noise_card_of([(zeros, zeros), (zeros, zeros + 4)])
        assert card["confusion"][4][0] == 16
        assert card["vanished"] == ["4"]
        assert card["flip_rate"]["per_class"]["2"] is None

    def test_a_set_of_no_pair_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one pair"):
            noise_card_of([])

    def test_the_spread_is_of_the_flip_rates_of_images(self) -> None:
        clean = np.zeros((10, 10), np.uint8)
        given_maps = [np.where(np.arange(100).reshape(10, 10) < k, 1, 0) for k in (0, 10, 50)]
        spread = noise_card_of([(x, clean) for x in given_maps])["spread"]
        assert spread["quantiles"] == pytest.approx(
            {f"{q:g}": np.quantile([0, 0.1, 0.5], q) for q in (0.05, 0.5, 0.95)}
        )
        assert spread["with_errors"] == 2

    @pytest.mark.parametrize("correlation", [0.05, 0.3])
    def test_the_over_dispersion_of_beta_binomial_counts_is_found(self, correlation: float) -> None:
        from segnoise.noise.measure.spread import spread_of

        rng, strength = generator(1), 1 / correlation - 1
        pixels = rng.integers(200, 2000, 3000)
        errors = rng.binomial(pixels, rng.beta(0.2 * strength, 0.8 * strength, 3000))
        assert spread_of(errors.tolist(), pixels.tolist())["overdispersion"] == pytest.approx(correlation, rel=0.1)
        alike = rng.binomial(pixels, 0.2)
        assert spread_of(alike.tolist(), pixels.tolist())["overdispersion"] == pytest.approx(0, abs=2e-4)


@pytest.mark.parametrize(
    ("maps", "instances"),
    [
        ((0, 0), False),
        ((1, 0), False),
        ((255, 0), False),
        ((255, 255), False),
        ((-1, 3), True),
        ((3, 3), True),
        ((0, 3), True),
    ],
)
def test_maps_of_one_label_or_none_give_a_card(maps: tuple[int, int], instances: bool) -> None:
    given_map, clean = (np.full((6, 5), value) for value in maps)
    card = noise_card(given_map, clean, instances=instances)
    assert card["causes"]["boundary"]["displacement_px"] == 0
    assert card["displacement"]["mean_absolute"] is None
    assert card["flip_rate"]["overall"] == (1.0 if maps in ((1, 0), (0, 3)) else 0.0)
