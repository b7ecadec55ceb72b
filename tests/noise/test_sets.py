"""Levels over sets of images: what one image alone cannot meet, many do together."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.draws import generator
from segnoise.noise import Boundary, Kms, Omission, parse, replay

EXPRESSIONS = [
    "kms(0.3)",
    "boundary(1px)",
    "boundary(1px, bias=0.5px)",
    "omission(0.3)",
    "omission(0.3, size_slope=1)",
    "0.5*kms(0.3)",
    "boundary(1px)+0.4*omission(0.5)+kms(0.1)",
]


def patches(seed: int, shape: tuple[int, ...] = (40, 32), count: int = 3) -> NDArray[np.uint8]:
    """A few boxes of classes 1 and 2, apart from each other, and an unknown edge."""
    rng = generator(seed, "patches")
    labels = np.zeros(shape, dtype=np.uint8)
    for k in range(count):
        start = (2 + 12 * k, *(int(rng.integers(2, size - 12)) for size in shape[1:]))
        labels[tuple(slice(s, s + int(rng.integers(4, 10))) for s in start)] = 1 + k % 2
    labels[-1] = 255
    return labels


@pytest.fixture(scope="module")
def images() -> list[NDArray[np.uint8]]:
    """Twelve small images of unequal shapes."""
    return [patches(k, (40, 26 + 4 * (k % 3)), 1 + k % 3) for k in range(12)]


def objects(labels: NDArray[np.uint8]) -> int:
    return sum(ndimage.label(labels == value)[1] for value in (1, 2))


def changed(images: list[NDArray[np.uint8]], noisy: list[NDArray[np.uint8]]) -> list[int]:
    return [int(np.count_nonzero(a != b)) for a, b in zip(images, noisy, strict=True)]


def results(expression: str, images: list[NDArray[np.uint8]], seed: int = 1) -> list[NDArray[np.uint8]]:
    """As ``corrupt_all``, without the cards that take most of its time."""
    noise = parse(expression)
    drawn = [noise.draw(labels.shape, generator(seed, "noise", k)) for k, labels in enumerate(images)]
    return [noisy for noisy, _ in noise.fit_apply(images, drawn)]


@pytest.mark.parametrize("level", [0.01, 0.3, 0.77])
def test_flips_are_met_to_the_pixel_over_all_images_and_differ_between_them(level: float, images) -> None:
    counts = changed(images, results(f"kms({level})", images))
    known = [int((labels != 255).sum()) for labels in images]
    assert sum(counts) == round(level * sum(known))
    assert np.ptp(np.divide(counts, known)) > 0.01


@pytest.mark.parametrize("asked", [0.25, 1.0, 1.5])
def test_displacement_is_met_to_the_pixel_over_all_images(asked: float, images) -> None:
    done = Boundary(f"{asked}px").corrupt_all(images, seed=2)
    pairs = [(x[:-1, 1:], x[:-1, :-1]) for x in images] + [(x[1:-1], x[:-2]) for x in images]
    faces = sum(np.count_nonzero(a != b) for a, b in pairs)
    assert abs(sum(changed(images, [noisy for noisy, _ in done])) - asked * math.pi / 4 * faces) <= 1
    assert {record["params"][0]["met"] for _, record in done} == {done[0][1]["params"][0]["met"]}
    assert done[0][1]["params"][0]["met"] == pytest.approx(asked, abs=1 / faces)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 1.0])
def test_the_share_of_objects_is_met_to_the_object_over_all_images(rate: float, images) -> None:
    before, after = (sum(map(objects, some)) for some in (images, results(f"omission({rate})", images)))
    assert before - after == round(rate * before)


def test_size_counts_against_the_median_of_all_images() -> None:
    small, large = np.zeros((60, 60), np.uint8), np.zeros((60, 60), np.uint8)
    for row in range(0, 60, 12):
        for column in range(0, 60, 12):
            small[row + 1 : row + 3, column + 1 : column + 3] = 1
            large[row + 1 : row + 11, column + 1 : column + 11] = 1
    noisy = results("omission(0.5, size_slope=2)", [small, large])
    assert objects(small) - objects(noisy[0]) >= 23
    assert objects(large) - objects(noisy[1]) <= 2


def test_one_strength_is_common_to_all_images(images) -> None:
    for expression, key in (("kms(0.3)", "threshold"), ("omission(0.3)", "threshold"), ("boundary(1px)", "threshold")):
        values = {record["params"][0][key][0] for _, record in parse(expression).corrupt_all(images, 1)}
        assert len(values) == 1, expression
    assert len({r["params"][0]["scale"] for _, r in parse("boundary(1px, bias=.5px)").corrupt_all(images, 1)}) == 1


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_each_record_replays_its_image_alone(expression: str, images) -> None:
    done = parse(expression).corrupt_all(images, seed=5)
    assert [(record["image"], record["images"]) for _, record in done] == [(k, 12) for k in range(12)]
    for labels, (noisy, record) in zip(images, done, strict=True):
        assert np.array_equal(replay(labels, json.loads(json.dumps(record, allow_nan=False))), noisy)
        assert noisy.dtype == labels.dtype
    assert all(np.array_equal(a, b) for a, (b, _) in zip(results(expression, images, 5), done, strict=True))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_set_of_one_is_one_image(expression: str, images) -> None:
    noisy, record = parse(expression).corrupt(images[3], seed=8)
    [(other, same)] = parse(expression).corrupt_all([images[3]], seed=8)
    assert np.array_equal(noisy, other)
    assert record == same


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_equal_seeds_give_equal_sets_and_images_of_a_set_draw_differently(expression: str, images) -> None:
    twins = [images[0]] * 6
    first, again, other = (results(expression, twins, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    assert len({noisy.tobytes() for noisy in first}) > 1


@pytest.mark.parametrize("expression", ["kms(0.3)", "boundary(1px)", "omission(0.3)"])
def test_an_image_of_which_nothing_is_known_changes_nothing_in_the_others(expression: str, images) -> None:
    unknown = np.full((30, 30), 255, np.uint8)
    alone, beside = results(expression, images), results(expression, [*images, unknown])
    assert all(np.array_equal(a, b) for a, b in zip(alone, beside[:-1], strict=True))
    assert np.array_equal(beside[-1], unknown)


@pytest.mark.parametrize("expression", ["kms(0.3)", "boundary(1px)", "omission(0.3)"])
def test_levels_over_a_set_of_volumes_are_met(expression: str) -> None:
    volumes = [patches(k, (40, 20, 18)) for k in range(4)]
    done = parse(expression).corrupt_all(volumes, seed=1)
    asked = 1.0 if "px" in expression else 0.3
    assert done[0][1]["params"][0]["met"] == pytest.approx(asked, rel=0.15 if "omission" in expression else 0.01)
    assert any((noisy != labels).any() for labels, (noisy, _) in zip(volumes, done, strict=True))


def test_no_images_are_no_work() -> None:
    for expression in EXPRESSIONS:
        assert parse(expression).corrupt_all([], seed=1) == []


def test_steps_of_a_composed_noise_meet_their_levels_one_after_another(images) -> None:
    done = parse("omission(0.5)+kms(0.2)").corrupt_all(images, seed=1)
    partly = results("omission(0.5)", images)
    assert sum(map(objects, images)) - sum(map(objects, partly)) == round(0.5 * sum(map(objects, images)))
    assert sum(changed(partly, [noisy for noisy, _ in done])) == round(0.2 * sum(int((x != 255).sum()) for x in images))


@pytest.mark.parametrize(
    ("low", "high"), [(Kms(0.1), Kms(0.3)), (Boundary("0.5px"), Boundary("1px")), (Omission(0.2), Omission(0.6))]
)
def test_a_higher_level_changes_all_that_a_lower_one_does_in_every_image(low, high, images) -> None:
    binary = [(labels == 1).astype(np.uint8) for labels in images]
    drawn = [low.draw(labels.shape, generator(1, "noise", k)) for k, labels in enumerate(binary)]
    weak, strong = (noise.fit_apply(binary, drawn) for noise in (low, high))
    for labels, (some, _), (more, _) in zip(binary, weak, strong, strict=True):
        assert ((some != labels) <= (more != labels)).all()


@pytest.mark.parametrize(
    "name", ["kms({:.3f})", "boundary({:.3f}px)", "boundary({:.3f}px, bias=0.1px)", "omission({:.3f})"]
)
@given(levels=st.lists(st.floats(0.11, 0.9), min_size=2, max_size=3), seed=st.integers(0, 9))
@settings(max_examples=12, deadline=None)
def test_a_greater_level_asked_never_measures_less(name: str, levels: list[float], seed: int) -> None:
    few = [patches(k, (40, 30)) for k in range(3)]
    noisy = [results(name.format(level), few, seed) for level in sorted(levels)]
    totals = [sum(changed(few, some)) for some in noisy]
    if name.startswith("omission"):
        left = [sum(map(objects, some)) for some in noisy]
        assert left == sorted(left, reverse=True)
    elif "bias" not in name:
        assert totals == sorted(totals)
    else:  # each is met within 1 %, and two that lie closer may change places
        assert all(b >= 0.95 * a for a, b in itertools.pairwise(totals))


class TestReasons:
    def test_a_level_that_is_met_gives_none(self, images) -> None:
        for expression in ("kms(0.3)", "boundary(1px)", "boundary(1px, bias=0.5px)", "omission(0.5)", "kms(0)"):
            assert all("why" not in record["params"][0] for _, record in parse(expression).corrupt_all(images, 1))

    @pytest.mark.parametrize(
        ("expression", "says"),
        [
            ("omission(0.2)", "the labels have 3"),
            ("boundary(300px)", "all that the field can reach has moved"),
            ("boundary(1px, bias=1px)", "the bias alone"),
        ],
    )
    def test_a_level_that_is_missed_names_what_stands_against_it(self, expression: str, says: str) -> None:
        labels = patches(4)
        _, record = parse(expression).corrupt(labels, seed=1)
        assert says in record["params"][0]["why"]

    @pytest.mark.parametrize(
        ("expression", "says"),
        [("kms(0.3)", "known pixels"), ("omission(0.3)", "have 0"), ("boundary(1px)", "no boundaries")],
    )
    def test_labels_that_hold_nothing_say_so(self, expression: str, says: str) -> None:
        _, record = parse(expression).corrupt(np.full((9, 9), 255, np.uint8), seed=1)
        assert record["params"][0]["met"] == 0
        assert says in record["params"][0]["why"]
