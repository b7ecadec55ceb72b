"""Noise on a share of the images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.noise import Kms, Omission, Share, parse

PLAIN = np.zeros((6, 6), dtype=np.uint8)


def hit(share: float, count: int, seed: int) -> list[bool]:
    noise = Share(share, Kms(1.0))
    drawn = [noise.draw(PLAIN.shape, generator(seed, "noise", k)) for k in range(count)]
    return [bool(noisy.any()) for noisy, _ in noise.fit_apply([PLAIN] * count, drawn)]


@given(st.floats(0, 1), st.integers(1, 12), st.integers(0, 99))
def test_as_many_images_as_the_share_says_or_one_more(share: float, count: int, seed: int) -> None:
    assert sum(hit(share, count, seed)) in {int(np.floor(share * count)), int(np.floor(share * count)) + 1}


@pytest.mark.parametrize(("share", "count"), [(0.5, 1), (0.3, 5), (0.7, 4)])
def test_the_expected_number_is_the_share(share: float, count: int) -> None:
    mean = np.mean([sum(hit(share, count, seed)) for seed in range(400)])
    assert mean == pytest.approx(share * count, abs=0.08)


def test_whole_shares_are_exact_and_choose_any_image_alike() -> None:
    times = np.sum([hit(0.5, 4, seed) for seed in range(400)], axis=0)
    assert times.sum() == 800
    assert np.abs(times / 400 - 0.5).max() < 0.08


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
def test_a_greater_share_takes_the_images_of_a_smaller_one(first: float, second: float, seed: int) -> None:
    some, more = (hit(share, 7, seed) for share in sorted((first, second)))
    assert all(m or not s for s, m in zip(some, more, strict=True))


def test_images_that_are_not_chosen_are_untouched_copies(parcels: NDArray[np.int32]) -> None:
    noisy, record = Share(0.0, Kms(0.5)).corrupt(parcels, seed=1)
    assert np.array_equal(noisy, parcels)
    assert not np.shares_memory(noisy, parcels)
    assert record["params"][0] == {**record["params"][0], "chosen": False, "part": None, "met": 0.0}


def test_the_part_meets_its_level_over_the_images_it_gets() -> None:
    images = [PLAIN] * 10
    done = parse("0.4*kms(0.25)").corrupt_all(images, seed=3)
    counts = [int(noisy.sum()) for noisy, _ in done]
    assert sum(count > 0 for count in counts) <= 4
    assert sum(counts) == 4 * 36 // 4
    assert {record["params"][0]["met"] for _, record in done} == {0.4}
    assert [record["params"][0]["chosen"] for _, record in done].count(True) == 4


def test_shares_of_one_expression_choose_apart() -> None:
    images = [np.eye(12, dtype=np.uint8)] * 60
    done = parse("0.5*kms(0.2)+0.5*omission(1)").corrupt_all(images, seed=3)
    both = sum(all(step["chosen"] for step in record["params"]) for _, record in done)
    assert 8 <= both <= 22


@pytest.mark.parametrize("share", [-0.1, 1.1, "half"])
def test_impossible_shares_are_refused(share: object) -> None:
    with pytest.raises(UserError, match="share: factor"):
        Share(share, Omission(0.5))
