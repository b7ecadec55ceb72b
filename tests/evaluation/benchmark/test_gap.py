"""How much of a gap is closed, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segnoise.evaluation.benchmark.gap import gap_closed, is_gap

scores = st.lists(st.floats(0.3, 0.9), min_size=2, max_size=6)


@given(scores)
def test_plain_training_closes_nothing_and_clean_labels_close_all(noisy):
    noisy_by_seed = dict(enumerate(noisy))
    clean = {seed: value + 0.1 for seed, value in noisy_by_seed.items()}
    assert gap_closed(noisy_by_seed, noisy_by_seed, clean).mean == 0
    assert gap_closed(clean, noisy_by_seed, clean).mean == pytest.approx(1)


@given(scores, scores)
def test_it_is_the_mean_over_seeds_of_the_share_of_each(method, noisy):
    n = min(len(method), len(noisy))
    clean = [value + 0.1 + 0.01 * k for k, value in enumerate(noisy[:n])]
    shares = [(m - p) / (c - p) for m, p, c in zip(method, noisy[:n], clean, strict=False)]
    found = gap_closed(dict(enumerate(method[:n])), dict(enumerate(noisy[:n])), dict(enumerate(clean)))
    assert found.mean == pytest.approx(float(np.mean(shares)))
    assert found.undefined == 0


def test_nothing_is_clipped():
    assert gap_closed({0: 1.0}, {0: 0.5}, {0: 0.7}).mean == pytest.approx(2.5)
    assert gap_closed({0: 0.3}, {0: 0.5}, {0: 0.7}).mean == pytest.approx(-1)


def test_a_difference_within_twice_its_standard_error_is_no_gap():
    assert is_gap([0.05, 0.05, 0.05])
    assert not is_gap([0.15, -0.05, 0.05])  # mean 0.05, standard error 0.058
    assert not is_gap([0.009, 0.009])
    assert is_gap([0.011])
    assert not is_gap([])


def test_without_a_gap_every_seed_is_undefined():
    found = gap_closed({0: 0.8, 1: 0.8}, {0: 0.7, 1: 0.7}, {0: 0.9, 1: 0.61})
    assert (found.closed, found.mean, found.undefined) == ({0: None, 1: None}, None, 2)


def test_a_seed_with_hardly_a_difference_is_left_out_and_counted():
    noisy = dict.fromkeys(range(4), 0.7)
    clean = {0: 0.8, 1: 0.8, 2: 0.8, 3: 0.705}
    found = gap_closed(dict.fromkeys(range(4), 0.75), noisy, clean)
    assert found.closed == {0: pytest.approx(0.5), 1: pytest.approx(0.5), 2: pytest.approx(0.5), 3: None}
    assert (found.mean, found.undefined) == (pytest.approx(0.5), 1)


def test_a_seed_without_a_score_is_no_result():
    found = gap_closed({0: 0.75}, {0: 0.7, 1: 0.7}, {0: 0.8, 1: 0.8})
    assert (list(found.closed), found.undefined) == ([0], 0)
