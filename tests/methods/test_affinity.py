"""Affinity and vote against the sums over all pairs of pixels, and on features whose answer is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize, one_hot

from segnoise.data import IGNORE_INDEX
from segnoise.methods.affinity import soft_vote, temporal_affinity, within_class


def dense(f, g, y, z):
    """Means over all pairs, one pixel after another."""
    f, g = (normalize(x.flatten(2), dim=1) for x in (f, g))
    y, z = y.flatten(1), z.flatten(1)
    p, q, valid = (torch.zeros(y.shape, dtype=t) for t in (torch.float32, torch.float32, torch.bool))
    for b in range(len(y)):
        similar = f[b].T @ g[b]
        for i, c in enumerate(y[b].tolist()):
            same, other = z[b] == c, (z[b] != c) & (z[b] != IGNORE_INDEX)
            if c != IGNORE_INDEX and same.any() and other.any():
                p[b, i], q[b, i], valid[b, i] = similar[i, same].mean(), similar[i, other].mean(), True
    return p, q, valid


def drawn(seed, grid, reference, classes, absent, unknown):
    g = torch.Generator().manual_seed(seed)
    f, h = torch.randn(2, 5, *grid, generator=g), torch.randn(2, 5, *reference, generator=g)
    y = torch.randint(0, classes, (2, *grid), generator=g)
    z = torch.randint(int(absent), classes, (2, *reference), generator=g)
    for labels in (y, z):
        labels[torch.rand(labels.shape, generator=g) < unknown] = IGNORE_INDEX
    return f, h, y, z


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6), st.sampled_from([(4, 6), (3, 2, 4)]), st.sampled_from([(4, 6), (5, 3)]), st.integers(1, 4),
    st.booleans(), st.sampled_from([0.0, 0.3]),
)  # fmt: skip
def test_the_factorised_form_is_the_mean_over_all_pairs(seed, grid, reference, classes, absent, unknown):
    f, h, y, z = drawn(seed, grid, reference, classes, absent and classes > 1, unknown)
    found = temporal_affinity(f, h, y, z, classes)
    p, q, valid = dense(f, h, y, z)
    assert torch.equal(found.valid.flatten(1), valid)
    torch.testing.assert_close(found.positive.flatten(1), p, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.negative.flatten(1), q, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.confidence.flatten(1), torch.where(valid, p + 1 - q, 0.0), atol=1e-5, rtol=0)


def test_a_frame_of_one_class_says_nothing():
    f, h, y, _ = drawn(0, (4, 4), (4, 4), 3, False, 0.0)
    found = temporal_affinity(f, h, y, torch.ones(2, 4, 4, dtype=torch.long), 3)
    assert not found.valid.any()
    assert not found.confidence.any()


def test_no_gradient_flows():
    f, h, y, z = drawn(0, (4, 4), (4, 4), 3, False, 0.0)
    f.requires_grad_(True)
    assert not temporal_affinity(f, h, y, z, 3).confidence.requires_grad
    assert not soft_vote(f, h, z, 3).requires_grad


def test_half_precision_is_computed_in_single():
    f, h, y, z = drawn(1, (6, 6), (6, 6), 3, False, 0.0)
    low = temporal_affinity(f.bfloat16(), h.bfloat16(), y, z, 3).confidence
    high = temporal_affinity(f.bfloat16().float(), h.bfloat16().float(), y, z, 3).confidence
    assert low.dtype == torch.float32
    assert torch.equal(low, high)


def area_under_roc(score, wrong):
    order = score.argsort()
    rank = torch.empty_like(score).scatter_(0, order, torch.arange(1, len(score) + 1, dtype=score.dtype))
    n = wrong.sum()
    return float((rank[wrong].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_ideal_features_find_random_labels(rate, noise):
    """A2 of the specification: an orthonormal code of the class and Gaussian noise up to three times as long."""
    g = torch.Generator().manual_seed(7)
    n, classes, width = 4096, 4, 304
    truth = [torch.randint(0, classes, (1, n), generator=g) for _ in range(2)]
    code = torch.linalg.qr(torch.randn(width, classes, generator=g))[0]
    f, h = (
        (code[:, t[0]] + noise * torch.randn(width, n, generator=g) / width**0.5)[None] for t in truth
    )  # fmt: skip
    given = [torch.where(torch.rand(1, n, generator=g) < rate, (t + torch.randint(1, classes, (1, n), generator=g)) % classes, t)
             for t in truth]  # fmt: skip
    found = temporal_affinity(f, h, given[0], given[1], classes)
    wrong = given[0] != truth[0]
    assert area_under_roc(-found.confidence[0], wrong[0]) >= 0.99
    above = found.positive > found.negative
    assert above[~wrong].float().mean() >= 0.99
    assert above[wrong].float().mean() <= 0.35
    vote = soft_vote(f, h, given[1], classes)[0]
    assert area_under_roc(1 - vote.gather(0, given[0])[0], wrong[0]) >= 0.97


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([0.0, 0.3]), st.sampled_from([1, 7, 1024]))
def test_a_vote_is_the_softmax_over_all_reference_pixels(seed, classes, unknown, chunk):
    f, h, _, z = drawn(seed, (4, 6), (5, 3), classes, False, unknown)
    z[1] = IGNORE_INDEX
    vote = soft_vote(f, h, z, classes, temperature=0.1, chunk=chunk)
    assert vote.shape == (2, classes, 4, 6)
    assert not vote[1].any(), "nobody votes where no label is known"
    known = z[0].flatten() != IGNORE_INDEX
    if known.any():
        similar = normalize(f[0].flatten(1), dim=0).T @ normalize(h[0].flatten(1), dim=0)[:, known] / 0.1
        expected = (similar.softmax(1) @ one_hot(z[0].flatten()[known], classes).float()).T.view(classes, 4, 6)
        torch.testing.assert_close(vote[0], expected, atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_each_class_of_each_sample_gets_mean_0_and_deviation_1(seed, classes):
    g = torch.Generator().manual_seed(seed)
    values, y = torch.randn(2, 8, 9, generator=g) * 5, torch.randint(0, classes, (2, 8, 9), generator=g)
    valid = torch.rand(2, 8, 9, generator=g) < 0.8
    found = within_class(values, y, valid, classes)
    assert not found[~valid].any()
    for b in range(2):
        for k in range(classes):
            mine = found[b][(y[b] == k) & valid[b]]
            if len(mine) > 1:
                torch.testing.assert_close(mine.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
                torch.testing.assert_close(mine.std(correction=0), torch.tensor(1.0), atol=1e-4, rtol=0)
    changed = values.clone()
    changed[~valid] = 1e6
    assert torch.equal(within_class(changed, y, valid, classes), found)
