"""The eigenbasis, in which long axes are folded in the middle: orthonormal, and the precision is diagonal in it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from segnoise.kms import KMSLinearOperator, kms_posterior
from segnoise.kms import eigen as module
from segnoise.kms.eigen import EigenBasis, _axis, eigenvalues

GRIDS = [(1,), (96,), (97,), (96, 3), (3, 98), (100, 96), (2, 96, 3), (5, 4)]


def images(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("rho", [0.0, 1e-9, 0.5, -0.6, 0.9, 0.9999])
def test_the_basis_is_orthonormal_and_the_precision_diagonal(grid: tuple[int, ...], rho: float) -> None:
    x = images(2, *grid)
    correlations = tuple(rho * 0.9**axis for axis in range(len(grid)))
    basis = EigenBasis(grid, correlations, x)
    coefficients = basis.analyse(basis.arrange(x))
    assert torch.allclose(basis.restore(basis.synthesise(coefficients)), x, atol=1e-12)
    assert torch.allclose(coefficients.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1))
    found = basis.restore(basis.synthesise(basis.precision(coefficients)))
    dense = KMSLinearOperator(grid, correlations, dtype=torch.float64).solve(x.flatten(1).mT).mT.view_as(x)
    assert torch.allclose(found, dense, rtol=1e-10, atol=1e-10 * float(dense.abs().max()))
    ascending = eigenvalues(grid, correlations, x).flatten().sort().values
    assert torch.allclose(basis.eigenvalues.flatten().sort().values, ascending, rtol=1e-9)


def test_folding_changes_nothing_but_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = 3 * images(2, 100, 98) - 2
    folded = kms_posterior(evidence, (0.9, 0.7))
    monkeypatch.setattr(module, "_FOLDED_FROM", 1000)
    _axis.cache_clear()
    try:
        plain = kms_posterior(evidence, (0.9, 0.7))
    finally:
        _axis.cache_clear()
    for one, other in zip(folded, plain, strict=True):
        assert torch.allclose(one, other, atol=1e-11)
    assert not torch.equal(folded.mean, plain.mean)
