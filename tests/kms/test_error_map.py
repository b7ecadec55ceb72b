"""Probabilities and labels in, P(label wrong) out; the posterior of the true class."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from segnoise.kms import error_map, kms_posterior, label_log_odds, mean_logit, soft_target


def random_case(classes: int, *grid: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(classes)
    log_probs = (3 * torch.randn(2, classes, *grid, generator=rng, dtype=torch.float64)).log_softmax(1)
    return log_probs, torch.randint(classes, (2, *grid), generator=rng)


def test_two_classes_give_the_posterior_of_the_logit_difference() -> None:
    log_probs, labels = random_case(2, 10, 12)
    difference = (log_probs[:, 1] - log_probs[:, 0]) * torch.where(labels == 1, -1, 1)
    assert torch.allclose(label_log_odds(log_probs, labels), difference)
    assert torch.allclose(error_map(log_probs.exp(), labels, rho=0.8), kms_posterior(difference, 0.8).p_wrong)


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_target_is_the_exact_posterior_of_the_true_class_for_uniform_confusion(classes: int) -> None:
    log_probs, labels = random_case(classes, 5)
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    rate = torch.sigmoid(-1.0 + 0.8 * torch.from_numpy(nodes))[:, None, None, None]
    weights = torch.from_numpy(weights / weights.sum())[:, None, None, None]
    p = log_probs.exp()
    one_hot = torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).double()
    # joint of label y and truth k: (1 - r) p(y) for k = y, else r p(k) / (C - 1); normalised under each node
    joint = one_hot * (1 - rate) * p + (1 - one_hot) * rate * p / (classes - 1)
    expected = (weights * joint / joint.sum(2, keepdim=True)).sum(0)
    p_wrong = 1 - (expected * one_hot).sum(1)
    assert torch.allclose(soft_target(log_probs, labels, p_wrong), expected, atol=1e-12)


def test_target_is_a_distribution_even_where_the_label_is_certain() -> None:
    logits = torch.tensor([[[1e4, 50.0, 0.0], [0.0, 0.0, 1e4], [0.0, -50.0, 0.0]]])
    labels = torch.tensor([[0, 0, 0]])
    p_wrong = torch.tensor([[0.3, 0.3, 0.9]])
    for log_probs in (logits.log_softmax(1), logits.softmax(1).log()):
        target = soft_target(log_probs, labels, p_wrong)
        assert torch.allclose(target.sum(1), torch.ones(1, 3))
        assert torch.allclose(target[:, 0], 1 - p_wrong)
        assert torch.allclose(target[0, 1:, 0], torch.tensor([0.15, 0.15]))


def test_extreme_probabilities_are_finite_and_capped() -> None:
    probs = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 6, 6)
    right, wrong = torch.zeros(1, 6, 6, dtype=torch.long), torch.ones(1, 6, 6, dtype=torch.long)
    assert error_map(probs, right).max() < 0.01
    assert error_map(probs, wrong).min() > 0.9
    assert error_map(probs.half(), wrong).min() > 0.9


def test_ignored_labels_are_zero_and_have_no_influence() -> None:
    log_probs, labels = random_case(3, 12, 9)
    ignored = torch.rand(labels.shape, generator=torch.Generator().manual_seed(0)) < 0.4
    labels = torch.where(ignored, 255, labels)
    probs = log_probs.exp()
    changed = torch.where(ignored.unsqueeze(1), torch.full_like(probs, 1 / 3), probs)
    p_wrong = error_map(probs, labels)
    assert torch.equal(p_wrong, error_map(changed, labels))
    assert (p_wrong[ignored] == 0).all()
    assert torch.equal(error_map(probs, torch.full_like(labels, 255)), torch.zeros(labels.shape).double())


def test_relabelling_the_classes_changes_nothing() -> None:
    log_probs, labels = random_case(4, 8, 8)
    order = torch.tensor([2, 0, 3, 1])
    relabelled = torch.argsort(order)[labels]
    assert torch.allclose(error_map(log_probs.exp(), labels), error_map(log_probs[:, order].exp(), relabelled))


def test_calibrated_probabilities_give_calibrated_errors(
    draw_model: Callable[..., tuple[Tensor, Tensor, Tensor]],
) -> None:
    logits, labels, wrong = draw_model(images=2)
    probs = torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], 1)
    p_wrong = error_map(probs, labels)
    for low, high in [(0.0, 0.1), (0.1, 0.4), (0.4, 0.8), (0.8, 1.0)]:
        chosen = (p_wrong >= low) & (p_wrong < high)
        assert abs(p_wrong[chosen].mean() - wrong[chosen].float().mean()) < 0.05


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        error_map(torch.full((1, 2, 4, 4), 0.5), torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="at least two"):
        error_map(torch.ones(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p, y: (p * 2, y), "image 1: probabilities of a pixel sum to 2"),
        (lambda p, y: (p.log(), y), "image 1: probabilities of a pixel sum to"),
        (lambda p, y: (p * float("nan"), y), "image 1: probabilities of a pixel sum to nan"),
        (lambda p, y: (p, y + 3), "image 1: holds the label 3, but there are 2 classes"),
        (lambda p, y: (p, y - 1), "image 1: holds the label -1"),
    ],
)
def test_what_is_no_probability_or_no_class_is_told_with_its_image(change, words):
    probs, labels = torch.full((3, 2, 4, 5), 0.5), torch.zeros(3, 4, 5, dtype=torch.long)
    probs[1], labels[1] = change(probs[1], labels[1])
    with pytest.raises(ValueError, match=words):
        error_map(probs, labels)
    labels[1] = 255
    assert torch.isfinite(error_map(probs, labels)).all()  # where there is no label anything may stand


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_strided_probabilities_are_those_in_float32(dtype):
    probs = torch.rand(2, 6, 5, 3, generator=torch.Generator().manual_seed(0)).softmax(-1).to(dtype).movedim(-1, 1)
    assert not probs.is_contiguous()
    labels = torch.randint(0, 3, (2, 5, 6), generator=torch.Generator().manual_seed(1)).mT
    found = error_map(probs, labels)
    assert found.dtype == torch.float32
    assert torch.allclose(found, error_map(probs.float().contiguous(), labels.contiguous()), atol=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
def test_with_a_confusion_the_evidence_is_bayes_rule(classes: int) -> None:
    """At the mean rate the odds of an error are ``sum_{k != y} p(k) K[k, y] : p(y) K[y, y]``, and tau is the posterior."""
    torch.manual_seed(classes)
    probs = torch.randn(2, classes, 5, 6, dtype=torch.float64).mul(2).softmax(1)
    labels = torch.randint(0, classes, (2, 5, 6))
    confusion = torch.rand(classes, classes, dtype=torch.float64) + 2 * torch.eye(classes)
    confusion /= confusion.sum(1, keepdim=True)
    rate = 0.3
    joint = probs * confusion.mT[labels].movedim(-1, 1)
    posterior = joint / joint.sum(1, keepdim=True)
    right = posterior.gather(1, labels.unsqueeze(1)).squeeze(1)
    log_odds = label_log_odds(probs.log(), labels, confusion, rate)
    torch.testing.assert_close((log_odds + math.log(rate / (1 - rate))).sigmoid(), 1 - right)
    torch.testing.assert_close(soft_target(probs.log(), labels, 1 - right, confusion), posterior)
    order = torch.randperm(classes)
    swapped = label_log_odds(probs[:, order].log(), order.argsort()[labels], confusion[order][:, order], rate)
    torch.testing.assert_close(swapped, log_odds)


def test_a_uniform_confusion_is_none() -> None:
    torch.manual_seed(0)
    probs, labels = torch.randn(1, 3, 9, 8).softmax(1), torch.randint(0, 3, (1, 9, 8))
    uniform = torch.full((3, 3), 0.1).fill_diagonal_(0.8)
    plain = label_log_odds(probs.log(), labels)
    torch.testing.assert_close(label_log_odds(probs.log(), labels, uniform, 0.2), plain)
    known = error_map(probs, labels, confusion=uniform)
    torch.testing.assert_close(known, error_map(probs, labels, mu=mean_logit(0.2, 1.3133)), atol=1e-5, rtol=1e-4)


def test_a_label_that_no_error_leads_to_is_right() -> None:
    torch.manual_seed(1)
    probs, labels = torch.randn(1, 2, 12, 12).mul(2).softmax(1), torch.randint(0, 2, (1, 12, 12))
    p_wrong = error_map(probs, labels, confusion=torch.tensor([[1.0, 0.0], [0.3, 0.7]]))
    assert p_wrong[labels == 1].max() < 0.01
    assert p_wrong[labels == 0].max() > 0.3


@pytest.mark.parametrize(
    ("confusion", "message"),
    [
        (torch.eye(3), r"confusion \(3, 3\) must be 2 x 2"),
        (torch.tensor([[0.9, 0.2], [0.1, 0.9]]), "each row must hold probabilities that sum to 1"),
        (torch.tensor([[1.2, -0.2], [0.1, 0.9]]), "each row must hold probabilities that sum to 1"),
        (torch.full((2, 2), torch.nan), "each row must hold probabilities that sum to 1"),
    ],
)
def test_a_confusion_that_is_none_is_refused(confusion: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        error_map(torch.full((1, 2, 4, 4), 0.5), torch.zeros(1, 4, 4, dtype=torch.long), confusion=confusion)
    with pytest.raises(ValueError, match=r"rate None must lie in \(0, 1\)"):
        label_log_odds(torch.zeros(1, 2, 4), torch.zeros(1, 4, dtype=torch.long), torch.eye(2))
