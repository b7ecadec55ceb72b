"""What the object noises and the published presets promise alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.noise import NOISES, Corruption, parse, replay

RANDOM = [
    "commission(0.3)",
    "merge(0.4, gap=3px)",
    "split(0.4)",
    "jsrt(1, 0.3)",
    "markov(30)",
    "whu(3)",
    "whu(remove=0.2, add=0.3)",
]
EXPRESSIONS = [*RANDOM, "polygonise(3px)"]
NONE = ["commission(0)", "merge(0)", "split(0)", "polygonise(0px)", "jsrt(0, 0.5)", "jsrt(1, 0)", "markov(0)", "whu(0)"]
RISING = [
    ["commission(0.1)", "commission(0.3)", "commission(0.5)"],
    ["merge(0.1, gap=3px)", "merge(0.3, gap=3px)", "merge(0.6, gap=3px)"],
    ["split(0.1)", "split(0.4)", "split(0.9)"],
    ["polygonise(2px)", "polygonise(4px)", "polygonise(9px)"],
    ["jsrt(1, 0.2)", "jsrt(1, 0.5)", "jsrt(1, 0.8)"],
    ["jsrt(0.2, 0.4)", "jsrt(0.6, 0.4)", "jsrt(1, 0.4)"],
    ["markov(5)", "markov(40)", "markov(80)"],
    ["whu(1)", "whu(2)", "whu(3)"],
]


@pytest.fixture(scope="module")
def sparse() -> NDArray[np.int32]:
    """Object ids with room between them, some across gaps of one to three pixels, and an unknown corner."""
    rng = generator(3, "sparse")
    ids = np.zeros((120, 150), dtype=np.int32)
    for number, (row, column) in enumerate(np.ndindex(10, 12), start=1):
        if rng.random() < 0.6:
            height, width = rng.integers(4, 12, size=2)
            ids[12 * row : 12 * row + height, 12 * column : 12 * column + width] = number
    ids[:25, :30] = -1
    return ids


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("instances", [False, True])
def test_the_record_alone_replays_the_bytes(expression: str, instances: bool, sparse: NDArray[np.int32]) -> None:
    labels = sparse if instances else as_classes(sparse)
    noisy, record = parse(expression).corrupt(labels, seed=7, instances=instances)
    written = json.loads(json.dumps(record, allow_nan=False))
    assert noisy.dtype == labels.dtype
    assert np.array_equal(replay(labels, written), noisy)
    assert not np.array_equal(noisy, labels)
    assert str(parse(written["noise"])) == written["noise"]
    assert parse(written["noise"]) == parse(expression)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_equal_seeds_give_equal_bytes_and_what_is_random_depends_on_them(
    expression: str, sparse: NDArray[np.int32]
) -> None:
    hashes = [parse(expression).corrupt(sparse, seed, instances=True)[1]["sha256_out"] for seed in (3, 3, 4)]
    assert hashes[0] == hashes[1]
    assert (hashes[0] != hashes[2]) == (expression in RANDOM)


@pytest.mark.parametrize("expression", NONE)
@pytest.mark.parametrize("instances", [False, True])
def test_level_zero_is_the_identity(expression: str, instances: bool, sparse: NDArray[np.int32]) -> None:
    labels = sparse if instances else as_classes(sparse)
    noisy, record = parse(expression).corrupt(labels, seed=5, instances=instances)
    assert np.array_equal(noisy, labels)
    assert "why" not in record["params"][0]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_unknown_pixels_stay_and_how_they_are_written_does_not_matter(
    expression: str, sparse: NDArray[np.int32]
) -> None:
    labels = as_classes(sparse)
    unknown = labels == 255
    noisy, _ = parse(expression).corrupt(labels, seed=2)
    other, _ = parse(expression).corrupt(np.where(unknown, -7, labels.astype(np.int16)), seed=2)
    assert np.array_equal(noisy == 255, unknown)
    assert (other[unknown] == -7).all()
    assert np.array_equal(noisy[~unknown], other[~unknown])


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("value", [0, 1, 255])
def test_one_label_everywhere_is_legal(expression: str, value: int) -> None:
    labels = np.full((14, 12), value, np.uint8)
    noisy, record = parse(expression).corrupt(labels, seed=1)
    json.dumps(record, allow_nan=False)
    assert noisy.shape == labels.shape
    if value != 1:
        assert np.array_equal(noisy, labels) or (expression == "markov(30)" and value == 0)
    ids = labels.astype(np.int32) if value < 255 else np.full((14, 12), -1, np.int32)
    noisy, _ = parse(expression).corrupt(ids, seed=1, instances=True)
    assert (noisy < 0).sum() == (ids < 0).sum()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_no_image_at_all_is_legal(expression: str) -> None:
    assert parse(expression).corrupt_all([], seed=1) == []


@pytest.mark.parametrize("expression", RANDOM)
@pytest.mark.parametrize("instances", [False, True])
def test_volumes_and_lines_work_alike(expression: str, instances: bool, blocks: NDArray[np.int32]) -> None:
    line = np.repeat([0, 3, 0, 0, 3, 0, 2, 4, 0], 12)
    line[22:34] = 0
    line[33:36] = 3
    for labels in (blocks if instances else (blocks % 3).astype(np.uint8), line):
        noisy, record = parse(expression).corrupt(labels, seed=9, instances=instances)
        assert noisy.shape == labels.shape
        assert np.array_equal(replay(labels, record), noisy)
        if labels.ndim == 3:
            assert (noisy != labels).any()


@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 2, 255])),
    st.sampled_from(EXPRESSIONS),
    st.integers(0, 99),
)
@settings(max_examples=120, deadline=None)
def test_outputs_hold_known_classes_and_inputs_are_not_touched(
    labels: NDArray[np.int64], expression: str, seed: int
) -> None:
    before = labels.copy()
    noisy, _ = parse(expression).corrupt(labels, seed, num_classes=3)
    assert np.array_equal(labels, before)
    assert np.array_equal(noisy == 255, labels == 255)
    assert set(np.unique(noisy)) <= {0, 1, 2, 255}


@pytest.mark.parametrize("expressions", RISING, ids=" ".join)
@pytest.mark.parametrize("instances", [False, True])
def test_a_higher_level_changes_more(
    expressions: list[str], instances: bool, sparse: NDArray[np.int32], parcels: NDArray[np.int32]
) -> None:
    ids = parcels if expressions[0][:4] in ("poly", "jsrt") else sparse
    labels = [x if instances else np.minimum(x, 1) for x in (ids, np.flip(ids, 0), ids.T, np.flip(ids, 1))]
    changed = [
        sum(int((noisy != clean).sum()) for (noisy, _), clean in zip(done, labels, strict=True))
        for done in (parse(e).corrupt_all(labels, seed=1, instances=instances) for e in expressions)
    ]
    assert 0 < changed[0] < changed[1] < changed[2]


@pytest.mark.parametrize("expressions", [*RISING[:3]], ids=" ".join)
def test_an_object_that_a_low_rate_takes_is_taken_by_every_higher_one(
    expressions: list[str], sparse: NDArray[np.int32]
) -> None:
    changed = [noisy != sparse for noisy, _ in (parse(e).corrupt(sparse, seed=1, instances=True) for e in expressions)]
    assert (changed[0] <= changed[1]).all()
    assert (changed[1] <= changed[2]).all()


@pytest.mark.parametrize("name", ["commission", "split", "whu", "merge"])
def test_the_level_is_met_over_a_set_of_images_where_no_image_alone_could_meet_it(name: str) -> None:
    image = np.zeros((24, 40), dtype=np.int32)
    image[2:6, 2:9], image[2:6, 10:14], image[10:14, 2:9] = 1, 2, 3
    corruption = parse({"whu": "whu(remove=0.2)"}.get(name, f"{name}(0.2)"))
    done = corruption.corrupt_all([image] * 10, seed=4, instances=True)
    met = done[0][1]["params"][0]["met"]
    assert met == ({"remove": 0.2, "margin": 0, "add": 0} if name == "whu" else 0.2)
    assert all(record["params"][0]["met"] == met and "why" not in record["params"][0] for _, record in done)
    objects = [len(np.unique(noisy[noisy > 0])) for noisy, _ in done]
    assert sum(objects) == {"commission": 36, "split": 36, "merge": 27, "whu": 24}[name]


@pytest.mark.parametrize("name", ["commission(1)", "split(1)", "whu(add=1)"])
def test_ids_stay_within_their_type_and_the_record_says_that_the_level_was_not_met(name: str) -> None:
    labels = np.zeros((40, 40), dtype=np.uint8)
    for k in range(10):
        labels[4 * k : 4 * k + 2, 2:5] = 245 + k
    noisy, record = parse(name).corrupt(labels, seed=1, instances=True)
    assert len(np.unique(noisy)) == 12
    assert noisy.max() == 255
    assert "why" in record["params"][0]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_share_of_the_images_leaves_the_others_alone(expression: str, sparse: NDArray[np.int32]) -> None:
    done = parse(f"0.5*{expression}").corrupt_all([sparse] * 4, seed=3, instances=True)
    assert sum(np.array_equal(noisy, sparse) for noisy, _ in done) == 2


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_fit_then_apply_is_what_fit_apply_does(expression: str, sparse: NDArray[np.int32]) -> None:
    corruption: Corruption = parse(expression)
    images = [sparse, sparse.T]
    drawn = [corruption.draw(image.shape, generator(k)) for k, image in enumerate(images)]
    fitted = corruption.fit(images, drawn, instances=True)
    together = corruption.fit_apply(images, drawn, instances=True)
    for image, params, (noisy, same) in zip(images, fitted, together, strict=True):
        assert params == same
        assert np.array_equal(corruption.apply(image, params, instances=True), noisy)


@pytest.mark.parametrize(
    "expression",
    [
        "commission(0.12345678901)",
        "merge(0.12345678901, gap=1.23456789m)",
        "split(0.12345678901, width=1.23456789mm)",
        "polygonise(1.23456789px)",
        "jsrt(0.12345678901, 0.23456789012, angle=2.3456789)",
        "markov(12345678, grow=0.12345678901, flip=0.00012345678, speckle=1e-09)",
        "whu(remove=0.12345678901, add=0.1, margin=1e-09)",
        "whu(1)",
    ],
)
def test_expressions_keep_every_digit(expression: str) -> None:
    assert parse(str(parse(expression))) == parse(expression)
    assert f"{parse(expression)}+{parse(expression)}" == str(parse(f"{expression} + {expression}"))


def test_they_are_registered() -> None:
    assert {expression.partition("(")[0] for expression in EXPRESSIONS} <= set(NOISES)


def as_classes(ids: NDArray[np.int32]) -> NDArray[np.uint8]:
    return np.where(ids < 0, 255, np.where(ids > 0, 1 + ids % 3, 0)).astype(np.uint8)
