"""What every corruption promises: replay, levels, unknown pixels, identity, any number of axes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.noise import NOISES, noise_card, parse, replay

RANDOM = [
    "kms(0.3)",
    "boundary(2px)",
    "boundary(2px, bias=1px)",
    "omission(0.3, size_slope=1)",
    "symmetric(0.2)",
    "pair(0.2)",
    "affine(loss=0.2)",
]
EXPRESSIONS = [*RANDOM, "dilate(1.5px)", "erode(1.5px)", "coarse(6px)"]
COMPOSED = "boundary(2px, rho=.9)+omission(0.2)+kms(0.1, rho=(.8, .5))"


@pytest.mark.parametrize("expression", [*EXPRESSIONS, COMPOSED])
@pytest.mark.parametrize("instances", [False, True])
def test_the_record_alone_replays_the_bytes(
    expression: str, instances: bool, parcels: NDArray[np.int32], classes: NDArray[np.uint8]
) -> None:
    labels = parcels if instances else classes
    noisy, record = parse(expression).corrupt(labels, seed=7, instances=instances)
    written = json.loads(json.dumps(record, allow_nan=False))
    again = replay(labels, written)
    assert again.dtype == noisy.dtype == labels.dtype
    assert np.array_equal(again, noisy)
    assert not np.array_equal(noisy, labels)
    assert parse(written["noise"]) == parse(expression)


@pytest.mark.parametrize("expression", [*RANDOM, COMPOSED])
def test_equal_seeds_give_equal_bytes_and_other_seeds_other_ones(expression: str, classes: NDArray[np.uint8]) -> None:
    first, second, other = (parse(expression).corrupt(classes, seed=s) for s in (3, 3, 4))
    assert first[1]["sha256_out"] == second[1]["sha256_out"] != other[1]["sha256_out"]


def test_a_record_refuses_other_labels(classes: NDArray[np.uint8]) -> None:
    _, record = parse("kms(0.1)").corrupt(classes, seed=1)
    with pytest.raises(UserError, match="SHA-256"):
        replay(np.zeros_like(classes), record)


@pytest.mark.parametrize("expression", ["kms(0)", "boundary(0px)", "boundary(0)", "omission(0)", "kms(0)+omission(0)"])
@pytest.mark.parametrize("instances", [False, True])
def test_level_zero_is_the_identity(expression: str, instances: bool, parcels: NDArray[np.int32]) -> None:
    labels = parcels if instances else parcels % 4
    noisy, record = parse(expression).corrupt(labels, seed=5, instances=instances)
    assert np.array_equal(noisy, labels)
    assert record["card"]["flip_rate"]["overall"] == 0


@pytest.mark.parametrize("expression", [*EXPRESSIONS, COMPOSED])
def test_unknown_pixels_stay_and_the_kind_of_unknown_does_not_matter(
    expression: str, classes: NDArray[np.uint8]
) -> None:
    negative = np.where(classes == 255, -7, classes.astype(np.int16))
    noisy, record = parse(expression).corrupt(classes, seed=2)
    other, _ = parse(expression).corrupt(negative, seed=2)
    unknown = classes == 255
    assert (noisy[unknown] == 255).all()
    assert (noisy[~unknown] != 255).all()
    assert (other[unknown] == -7).all()
    assert np.array_equal(noisy[~unknown], other[~unknown])
    assert record["card"]["pixels"] == (~unknown).sum()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_labels_that_are_unknown_everywhere_or_empty_of_objects_are_legal(expression: str) -> None:
    for labels in (np.full((12, 12), 255, np.uint8), np.zeros((12, 12), np.uint8)):
        noisy, record = parse(expression).corrupt(labels, seed=1)
        assert noisy.shape == labels.shape
        json.dumps(record, allow_nan=False)
    unknown = np.full((12, 12), -1, np.int32)
    assert np.array_equal(parse(expression).corrupt(unknown, seed=1, instances=True)[0], unknown)


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("instances", [False, True])
def test_volumes_and_lines_work_alike(expression: str, instances: bool, blocks: NDArray[np.int32]) -> None:
    for labels in (blocks, np.repeat([0, 3, 0, 2, 4, 1], 40)):
        noisy, record = parse(expression).corrupt(labels, seed=9, instances=instances)
        assert noisy.shape == labels.shape
        assert (noisy != labels).any()
        assert np.array_equal(replay(labels, record), noisy)


@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 2, 255])),
    st.sampled_from(EXPRESSIONS),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_outputs_hold_known_classes_and_inputs_are_not_touched(
    labels: NDArray[np.int64], expression: str, seed: int
) -> None:
    before = labels.copy()
    noisy, _ = parse(expression).corrupt(labels, seed, num_classes=3)
    assert np.array_equal(labels, before)
    assert np.array_equal(noisy == 255, labels == 255)
    assert set(np.unique(noisy)) <= {0, 1, 2, 255}


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("kms(0.1)", "kms(0.3)"),
        ("boundary(1px)", "boundary(3px)"),
        ("omission(0.2)", "omission(0.6)"),
        ("symmetric(0.1)", "symmetric(0.3)"),
        ("pair(0.1)", "pair(0.3)"),
        ("dilate(1px)", "dilate(2px)"),
        ("erode(1px)", "erode(2px)"),
    ],
)
def test_a_higher_level_changes_all_that_a_lower_one_does(low: str, high: str, parcels: NDArray[np.int32]) -> None:
    binary = (parcels % 2).astype(np.uint8)
    weak, strong = parse(low), parse(high)
    params = weak.draw(binary.shape, generator(1))
    some, _ = weak.fit_apply([binary], [params])[0]
    more, _ = strong.fit_apply([binary], [strong.draw(binary.shape, generator(1))])[0]
    assert ((some != binary) <= (more != binary)).all()
    assert (some != binary).sum() < (more != binary).sum()


def test_fit_on_one_map_and_apply_on_another_keeps_the_strength(parcels: NDArray[np.int32]) -> None:
    corruption = parse("kms(0.3)")
    [params] = corruption.fit([parcels % 2], [corruption.draw(parcels.shape, generator(1))])
    other = np.zeros_like(parcels)
    assert np.array_equal(corruption.apply(other, params), np.abs(corruption.apply(parcels % 2, params) - parcels % 2))


def test_a_composed_noise_acts_from_left_to_right_and_is_measured_as_a_whole(parcels: NDArray[np.int32]) -> None:
    composed = parse("omission(0.4)+kms(0.1)")
    noisy, record = composed.corrupt(parcels, seed=3, instances=True, spacing=(10.0, 10.0))
    assert record["card"] == noise_card(noisy, parcels, (10.0, 10.0), instances=True)
    assert [p["name"] for p in record["params"]] == ["omission", "kms"]
    params = composed.draw(parcels.shape, generator(3, "noise", 0))
    [fitted] = composed.fit([parcels], [params], instances=True)
    assert np.array_equal(composed.apply(parcels, fitted, instances=True), noisy)
    first, _ = composed.steps[0].fit_apply([parcels], [params["steps"][0]], instances=True)[0]
    second, _ = composed.steps[1].fit_apply([first], [params["steps"][1]], instances=True)[0]
    assert np.array_equal(second, noisy)


def test_every_noise_is_registered_under_its_name() -> None:
    assert {"kms", "boundary", "omission"} <= set(NOISES)
    assert all(cls.name == name for name, cls in NOISES.items())


def test_labels_must_be_integers() -> None:
    with pytest.raises(ValueError, match="integers"):
        parse("kms(0.1)").corrupt(np.zeros((4, 4)), seed=0)
