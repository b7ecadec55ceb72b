"""Drawn fields have the correlation that was asked."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segnoise.draws import generator
from segnoise.kms import KMSLinearOperator, correlation_length, rho_from_length, sample_field


@pytest.mark.parametrize("shape", [(7,), (5, 6), (3, 4, 5), (1, 9)])
def test_a_field_is_the_cholesky_factor_times_the_generators_noise(shape: tuple[int, ...]) -> None:
    rho = (0.9, 0.5, -0.3)[: len(shape)]
    noise = generator(7, "field").standard_normal(shape)
    operator = KMSLinearOperator(shape, rho, dtype=torch.float64)
    expected = operator.color(torch.from_numpy(noise)).numpy()
    assert np.allclose(sample_field(shape, rho, generator(7, "field")), expected, atol=1e-12)


def test_variance_is_one_everywhere_including_the_rim() -> None:
    draws = np.stack([sample_field((6, 5), (0.95, 0.7), generator(1, k)) for k in range(4000)])
    assert np.abs(draws.var(0) - 1).max() < 6 * math.sqrt(2 / 4000)


def test_zero_correlation_is_white_noise() -> None:
    assert np.array_equal(sample_field((4, 4), 0.0, generator(3)), generator(3).standard_normal((4, 4)))


@pytest.mark.parametrize("rho", [0.1, 0.9, 0.999])
def test_length_and_correlation_are_inverse(rho: float) -> None:
    assert rho_from_length(correlation_length(rho)) == pytest.approx(rho)
    assert rho ** correlation_length(rho) == pytest.approx(math.exp(-1))


def test_lengths_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match="below 1"):
        correlation_length(1.0)
    with pytest.raises(ValueError, match="negative"):
        rho_from_length(-1)
