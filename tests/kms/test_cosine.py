"""The cosine basis: its transform and precision beside dense matrices, and the posterior found with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from segnoise.draws import generator
from segnoise.kms import KMSLinearOperator, kms_posterior, sample_field
from segnoise.kms import posterior as module
from segnoise.kms.cosine import CosineBasis

GRIDS = [(1,), (2,), (7,), (8,), (5, 6), (6, 5), (1, 9), (9, 1), (3, 4, 5), (4, 1, 6), (2, 3, 2, 4)]
Model = Callable[..., tuple[Tensor, Tensor, Tensor]]


def cosines(n: int) -> Tensor:
    k, j = torch.meshgrid(torch.arange(n).double(), torch.arange(n).double(), indexing="ij")
    matrix = torch.cos(np.pi * k * (2 * j + 1) / (2 * n)) * np.sqrt(2 / n)
    matrix[0] /= np.sqrt(2)
    return matrix


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def unpacked(packed: Tensor, n: int) -> Tensor:
    """Coefficients 0 .. n - 1 along the last axis, from real parts k and negated imaginary parts n - k."""
    real, imaginary = packed[..., ::2], packed[..., 1::2]
    return torch.cat([real, -imaginary[..., 1 : n - n // 2].flip(-1)], dim=-1)


@pytest.fixture
def with_basis(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """The E-step in the cosine basis whatever the size, or never."""
    return lambda cosine: monkeypatch.setattr(module, "_COSINES_FROM", 0 if cosine else 10**9)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_transform_is_the_dense_one(grid: tuple[int, ...]) -> None:
    x = images(3, *grid)
    basis = CosineBasis(grid, (0.8,) * len(grid), x)
    dense = x
    for axis, n in enumerate(grid, start=1):
        dense = torch.tensordot(dense, cosines(n), dims=([axis], [1])).movedim(-1, axis)
    coefficients = basis.analyse(basis.arrange(x))
    assert torch.allclose(unpacked(coefficients, grid[-1]), dense, atol=1e-12)
    assert torch.allclose(basis.restore(basis.synthesise(coefficients)), x, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.9999])
def test_the_precision_is_the_dense_one(grid: tuple[int, ...], rho: float) -> None:
    x = images(3, *grid)
    correlations = tuple(rho * 0.9**axis for axis in range(len(grid)))
    basis = CosineBasis(grid, correlations, x)
    found = basis.restore(basis.synthesise(basis.precision(basis.analyse(basis.arrange(x)))))
    operator = KMSLinearOperator(grid, correlations, dtype=torch.float64)
    dense = operator.solve(x.flatten(1).mT).mT.view_as(x)
    assert torch.allclose(found, dense, rtol=1e-10, atol=1e-10 * float(dense.abs().max()))


@pytest.mark.parametrize("shape", [(2, 40), (2, 24, 31), (1, 16, 20, 11), (1, 1, 30), (1, 30, 1)])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.99, 0.9999])
def test_both_bases_lead_to_one_posterior(
    with_basis: Callable[[bool], None], shape: tuple[int, ...], rho: float
) -> None:
    A = 4 * images(*shape)
    valid = images(*shape, seed=1) < 0.5
    correlations = tuple(rho * 0.95**axis for axis in range(len(shape) - 1))
    for known in (None, valid):
        found = []
        for cosine in (False, True):
            with_basis(cosine)
            found.append(kms_posterior(A, correlations, steps=600, valid=known))
        for one, other in zip(*found, strict=True):
            assert torch.allclose(one, other, rtol=0, atol=1e-8)


def test_without_evidence_the_posterior_is_the_prior_exactly(with_basis: Callable[[bool], None]) -> None:
    with_basis(True)
    found = kms_posterior(torch.zeros(1, 12, 15))
    assert torch.equal(found.p_wrong, found.rate)
    assert torch.equal(found.mean, torch.full((1, 12, 15), -2.0))


@pytest.mark.parametrize("shape", [(256, 300), (16, 40, 50)])
@pytest.mark.parametrize("rho", [0.5, 0.9, 0.97])
def test_six_steps_lie_within_half_a_point_of_a_hundred(
    with_basis: Callable[[bool], None], shape: tuple[int, ...], rho: float
) -> None:
    with_basis(True)
    rng = generator(0, "model")
    rate = 1 / (1 + np.exp(-(-2.0 + 1.3133 * sample_field(shape, 0.9, rng))))
    logits = 4.0 * rng.standard_normal(shape)
    labels = (rng.random(shape) < 1 / (1 + np.exp(-logits))) ^ (rng.random(shape) < rate)
    A = torch.from_numpy(np.where(labels, -logits, logits)[None]).float()
    network = torch.from_numpy(sample_field(shape, 0.93, generator(0, "net"))[None]).float()
    coherent = torch.where(network > 0.3, 4.0, -4.0) + 4 * network.flip(1)
    known = torch.rand(1, *shape, generator=torch.Generator().manual_seed(3)) < 0.2
    for evidence, valid in ((A, None), (coherent, None), (coherent, known)):
        few, many = (kms_posterior(evidence, rho, steps=k, valid=valid).p_wrong for k in (6, 100))
        assert (few - many).abs().mean() < 0.005


def test_flips_and_transposition(with_basis: Callable[[bool], None]) -> None:
    with_basis(True)
    A = 4 * images(1, 17, 24)
    p = kms_posterior(A, (0.9, 0.6)).p_wrong
    assert torch.allclose(kms_posterior(A.flip(1), (0.9, 0.6)).p_wrong.flip(1), p, atol=1e-10)
    assert torch.allclose(kms_posterior(A.flip(2), (0.9, 0.6)).p_wrong.flip(2), p, atol=1e-10)
    assert torch.allclose(kms_posterior(A.mT, (0.6, 0.9)).p_wrong.mT, p, atol=1e-10)


@pytest.mark.parametrize("rho", [0.0, 0.9, 0.9999])
@pytest.mark.parametrize("shape", [(1, 40), (1, 1, 40), (1, 40, 1), (1, 1, 1), (1, 8, 8)])
@pytest.mark.parametrize("value", [1e4, -1e4, float("inf")])
def test_extreme_evidence_gives_finite_probabilities(
    with_basis: Callable[[bool], None], shape: tuple[int, ...], rho: float, value: float
) -> None:
    with_basis(True)
    for found in kms_posterior(torch.full(shape, value), rho)[:2]:
        assert torch.isfinite(found).all()
        assert 0 <= found.min() <= found.max() <= 1


@pytest.mark.parametrize("rho", [0.9, 0.999, 0.9999])
def test_float32_keeps_its_digits_near_one(with_basis: Callable[[bool], None], rho: float) -> None:
    with_basis(True)
    smooth = torch.from_numpy(4 * sample_field((96, 120), 0.98, generator(0, "net"))[None])
    single, double = (kms_posterior(A, rho, steps=60).p_wrong for A in (smooth.float(), smooth))
    assert (single - double).abs().max() < 2e-4


def test_large_images_take_cosines_unless_a_correlation_is_negative() -> None:
    like = torch.zeros(())
    assert isinstance(module._basis((512, 512), (0.9, 0.9), like), CosineBasis)
    assert not isinstance(module._basis((64, 64), (0.9, 0.9), like), CosineBasis)
    assert not isinstance(module._basis((512, 512), (0.9, -0.1), like), CosineBasis)


def test_groups_of_images_are_found_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    A = 4 * images(5, 20, 24)
    whole = kms_posterior(A)
    monkeypatch.setattr(module, "_PIXELS_AT_ONCE", 2 * 20 * 24)
    for one, other in zip(whole, kms_posterior(A), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)
