"""Draws are functions of their key."""

from __future__ import annotations

import numpy as np
from scipy import stats

from segnoise.draws import generator, uniforms


def test_a_uniform_depends_on_its_own_index_and_key_only() -> None:
    some, more = np.array([9, 4, 4]), np.arange(20)
    assert np.array_equal(uniforms(some, 3, "object"), uniforms(more, 3, "object")[some])
    assert len({float(uniforms(np.array([4]), *key)[0]) for key in ((3, "a"), (3, "b"), (4, "a"), (3, "a", 1))}) == 4


def test_uniforms_are_uniform_and_of_no_memory() -> None:
    draws = uniforms(np.arange(200_000), 1, "test")
    assert stats.kstest(draws, "uniform").pvalue > 0.01
    for lag in (1, 2, 64, 1024):
        assert abs(np.corrcoef(draws[:-lag], draws[lag:])[0, 1]) < 0.01


def test_neighbouring_keys_are_as_good_as_independent() -> None:
    first, second = (uniforms(np.arange(50_000), seed, "test") for seed in (1, 2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02


def test_generators_of_equal_keys_draw_alike() -> None:
    assert generator(1, "x", 2).random() == generator(1, "x", 2).random() != generator(1, "x", 3).random()
