"""The statistics against scipy and against cases worked by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from segnoise.evaluation.benchmark.statistics import (
    holm,
    not_told_apart,
    paired,
    rank,
    signed_rank,
    spearman,
    standard_error,
)

differences = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=2, max_size=9).filter(
    lambda values: np.std(values) > 1e-3
)


@given(differences)
def test_the_paired_test_is_that_of_scipy(values):
    ours, theirs = paired(values), stats.ttest_1samp(values, 0)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    interval = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_a_single_pair_has_no_interval():
    assert (paired([0.1]).low, paired([0.1]).p) == (None, None)
    assert standard_error([0.1]) is None


def test_equal_differences_are_certain():
    assert (paired([0.0, 0.0]).p, paired([0.1, 0.1]).p) == (1.0, 0.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_the_step_down_rule_rejects(p_values):
    corrected = holm(p_values)
    for level in (0.01, 0.05, 0.2):
        rejected, left = set(), sorted(range(len(p_values)), key=lambda k: p_values[k])
        while left and p_values[left[0]] * len(left) <= level:
            rejected.add(left.pop(0))
        assert {k for k, p in enumerate(corrected) if p <= level} == rejected


def test_what_is_no_test_does_not_count_in_the_correction():
    assert holm([0.02, None, 0.03]) == [0.04, None, 0.04]


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_is_that_of_scipy(ties):
    scores = np.random.default_rng(0).normal(size=(8, 4))
    scores = scores.round(0) if ties else scores
    found = rank(scores.tolist())
    assert found.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue, rel=1e-9)
    assert found.mean == pytest.approx(stats.rankdata(-scores, axis=1).mean(0))


@pytest.mark.parametrize(
    ("methods", "q"),
    [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_the_critical_difference_has_the_published_constants(methods, q):
    found = rank(np.random.default_rng(1).normal(size=(12, methods)).tolist())
    assert found.critical == pytest.approx(q * np.sqrt(methods * (methods + 1) / (6 * 12)), rel=5e-4)


def test_a_failure_ranks_last():
    assert rank([[0.1, None, 0.9]] * 5).mean == [2, 3, 1]


def test_few_units_or_methods_have_no_ranks():
    assert rank([[0.1, 0.2, 0.3]] * 4) is None
    assert rank([[0.1, 0.2]] * 9) is None


@given(st.lists(st.floats(1, 6), min_size=2, max_size=7), st.floats(0.1, 5))
def test_groups_are_the_longest_runs_within_the_critical_difference(means, critical):
    ordered = sorted(means)
    groups = not_told_apart(means, critical)
    for a, b in itertools.combinations(range(len(ordered)), 2):
        joined = any(first <= a and b <= last for first, last in groups)
        assert joined == (ordered[b] - ordered[a] < critical)
    assert not any(a != b and a[0] >= b[0] and a[1] <= b[1] for a in groups for b in groups)


def test_the_signed_rank_test_needs_six_units():
    values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert signed_rank(values) == pytest.approx(2 / 2**6)
    assert signed_rank(values[:5]) is None
    assert signed_rank([0.0] * 8) is None


def test_spearman_needs_three_methods_that_differ():
    assert spearman([1, 2, 3], [10, 30, 20]) == pytest.approx(0.5)
    assert spearman([1, 2], [1, 2]) is None
    assert spearman([1, 1, 1], [1, 2, 3]) is None
