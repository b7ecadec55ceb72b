"""The published bound, solved in the same family, and what it cannot see."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from segnoise.kms import KMSLinearOperator, kms_posterior, published_posterior


def evidence(*shape, seed=0):
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("shape", "rho"), [((7, 9), (0.9, 0.7)), ((4, 3, 5), (0.6, 0.8, 0.3)), ((30,), (0.95,))])
def test_at_a_maximum_the_mean_is_what_the_evidence_pulls_it_to(shape, rho):
    """``m = mu + sigma**2 K (A E[s'])``, checked with the dense covariance."""
    A, sigma = evidence(1, *shape), 1.3133
    found = published_posterior(A, rho, steps=3000)
    K = KMSLinearOperator(shape, rho, dtype=torch.float64).to_dense()
    precision = torch.linalg.inv(K) / sigma**2 + float(found.curvature) * torch.eye(A.numel())
    deviation = torch.linalg.inv(precision).diagonal().mean().sqrt()
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(5))
    s = torch.sigmoid(found.mean.flatten()[:, None] + deviation * nodes)
    pull = A.flatten().clamp(-8, 8) * ((s * (1 - s)) @ weights / weights.sum())
    assert torch.allclose(-2 + sigma**2 * (K @ pull), found.mean.flatten(), atol=1e-5)
    assert torch.allclose(s @ weights / weights.sum(), found.rate.flatten(), atol=1e-6)


def test_without_evidence_it_is_the_prior():
    A = torch.zeros(2, 6, 5)
    told, usual = published_posterior(A), kms_posterior(A)
    assert torch.allclose(told.rate, usual.rate, atol=1e-6)
    assert torch.equal(told.p_wrong, told.rate)


def test_it_is_a_rate_of_the_neighbourhood_and_ranks_below_the_exact_marginal(draw_model):
    logits, labels, wrong = draw_model(images=4)
    A = torch.where(labels == 1, -logits, logits)
    hit = wrong.flatten().numpy()
    published, exact = (f(A, 0.9).p_wrong.flatten().numpy() for f in (published_posterior, kms_posterior))
    assert roc_auc_score(hit, published) < roc_auc_score(hit, exact) - 0.1


def test_impossible_settings_are_refused():
    for options in ({"sigma": 0.0}, {"cap": -1.0}, {"rho": 1.0}):
        with pytest.raises(ValueError, match=r"must be positive|correlation"):
            published_posterior(torch.zeros(1, 4, 4), **options)
