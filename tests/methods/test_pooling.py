"""From the pixels of a bag to one score: the poolings beside their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.methods.pooling import lse, mean, noisy_or, one_vs_rest, top_q

POOLINGS = ["lse", "top_q", "noisy_or", "mean"]


def bag(n, seed=0, rows=1, spread=2.0):
    g = torch.Generator().manual_seed(seed)
    return spread * torch.randn(rows, n, generator=g, dtype=torch.float64)


def every(u):
    return torch.ones_like(u, dtype=torch.bool)


def slope(pooled, u, *options):
    u = u.detach().clone().requires_grad_()
    pooled(u, every(u), *options).sum().backward()
    return u.grad


class TestLogOddsOfAClass:
    @pytest.mark.parametrize("classes", [2, 3, 5])
    @pytest.mark.parametrize("spread", [1.0, 30.0, 1e4])
    def test_are_those_against_all_others_at_any_size(self, classes, spread):
        z = spread * torch.randn(2, classes, 6, 5, generator=torch.Generator().manual_seed(0))
        wide = z.double()
        expected = torch.stack(
            [wide[:, k] - wide[:, [j for j in range(classes) if j != k]].logsumexp(1) for k in range(classes)], 1
        )
        torch.testing.assert_close(one_vs_rest(z.log_softmax(1)), expected.float(), atol=2e-6, rtol=1e-6)

    def test_of_two_classes_are_the_difference_of_the_logits(self):
        z = torch.tensor([[1e4, -1e4, 3.0, 0.0], [-1e4, 1e4, 3.0, 2.5]]).T
        torch.testing.assert_close(one_vs_rest(z.log_softmax(1))[:, 1], z[:, 1] - z[:, 0], atol=0, rtol=1e-6)

    def test_have_the_gradient_of_finite_differences(self):
        z = bag(6, rows=4).requires_grad_()
        assert torch.autograd.gradcheck(lambda z: one_vs_rest(z.log_softmax(1)), z)


class TestLogMeanExp:
    def test_lies_between_mean_and_largest_which_are_its_ends(self):
        u = bag(50)
        assert torch.equal(lse(u, every(u), 0.0), mean(u, every(u)))
        assert torch.equal(lse(u, every(u), math.inf), u.amax(1))
        torch.testing.assert_close(lse(u, every(u), 1e-6), u.mean(1), atol=1e-5, rtol=0)
        torch.testing.assert_close(lse(u, every(u), 1e5), u.amax(1), atol=1e-4, rtol=0)

    @given(st.lists(st.floats(-50, 50), min_size=1, max_size=20), st.floats(0.01, 50), st.floats(0.01, 50))
    @settings(max_examples=50, deadline=None)
    def test_grows_with_its_sharpness(self, values, one, other):
        u = torch.tensor([values], dtype=torch.float64)
        low, high = (float(lse(u, every(u), r)) for r in sorted((one, other)))
        assert min(values) - 1e-9 <= low <= high + 1e-9 <= max(values) + 2e-9

    @pytest.mark.parametrize("r", [0.5, 5.0, 40.0])
    def test_has_a_softmax_for_a_gradient(self, r):
        u = bag(30)
        torch.testing.assert_close(slope(lse, u, r), (r * u).softmax(1), atol=1e-8, rtol=1e-8)

    def test_of_slices_and_then_of_the_volume_is_that_of_the_volume(self):
        u = bag(60)
        slices = u.view(5, 12)
        twice = lse(lse(slices, every(slices), 5.0).view(1, 5), every(u[:, :5]), 5.0)
        torch.testing.assert_close(twice, lse(u, every(u), 5.0))


class TestTopShare:
    @pytest.mark.parametrize(("n", "q", "many"), [(100, 0.07, 7), (31, 0.1, 4), (7, 1.0, 7), (7, 1e-3, 1), (1, 0.5, 1)])
    def test_is_the_mean_of_the_largest_rounded_up(self, n, q, many):
        u = bag(n)
        largest = u.sort(descending=True).indices[0, :many]
        torch.testing.assert_close(top_q(u, every(u), q), u[:, largest].mean(1))
        expected = torch.zeros(1, n, dtype=torch.float64)
        expected[0, largest] = 1 / many
        torch.testing.assert_close(slope(top_q, u, q), expected)


class TestNoisyOr:
    @pytest.mark.parametrize("n", [1, 3, 40])
    @pytest.mark.parametrize("q", [None, 0.1, 1.0])
    def test_beside_the_product(self, n, q):
        u = bag(n, spread=3.0)
        power = 1.0 if q is None else 1 / (q * n)
        expected = 1 - np.prod((1 - u.sigmoid().numpy()) ** power)
        assert float(noisy_or(u, every(u), q).sigmoid()) == pytest.approx(expected, rel=1e-8)

    def test_gradient_is_that_of_the_product(self):
        u = bag(12)
        p = u.sigmoid()
        whole = 1 - (1 - p).prod()
        expected = (1 - whole) / (1 - p) * p * (1 - p) / (whole * (1 - whole))  # dP/dp_i as a slope of log-odds
        torch.testing.assert_close(slope(noisy_or, u), expected, atol=1e-8, rtol=1e-8)

    def test_of_one_pixel_is_the_pixel(self):
        u = torch.linspace(-40, 40, 321, dtype=torch.float64).unsqueeze(1)
        torch.testing.assert_close(noisy_or(u, every(u)), u.squeeze(1), atol=1e-8, rtol=0)

    @pytest.mark.parametrize("p", [1e-9, 1 - 1e-9])
    @pytest.mark.parametrize("n", [1, 10_000])
    def test_is_exact_at_the_ends_in_single_precision(self, p, n):
        u = torch.full((1, n), math.log(p) - math.log1p(-p))
        t = -n * math.log1p(-p)
        expected = math.log(math.expm1(t)) if t < 700 else t
        assert float(noisy_or(u, every(u))) == pytest.approx(expected, rel=1e-4)
        assert torch.isfinite(slope(noisy_or, u)).all()

    def test_with_a_share_does_not_depend_on_the_size_of_the_image(self):
        u = bag(100, spread=1.0) - 4
        more = u.repeat(1, 100)
        torch.testing.assert_close(noisy_or(more, every(more), 0.1), noisy_or(u, every(u), 0.1))
        assert float(noisy_or(more, every(more))) > 20 + float(noisy_or(u, every(u)))


POOLED = {
    "lse": lambda u, v: lse(u, v, 5.0), "top_q": lambda u, v: top_q(u, v, 0.3),
    "noisy_or": lambda u, v: noisy_or(u, v, 0.3), "mean": mean,
}  # fmt: skip


@pytest.mark.parametrize("name", POOLINGS)
class TestEveryPooling:
    def test_takes_valid_pixels_only(self, name):
        u, other = bag(20, rows=3), bag(20, seed=1, rows=3)
        valid = torch.rand(3, 20, generator=torch.Generator().manual_seed(2)) < 0.5
        mixed = torch.where(valid, u, 1e4 * other).requires_grad_()
        score = POOLED[name](mixed, valid)
        assert torch.equal(score, POOLED[name](u, valid))
        for row, keep, found in zip(u, valid, score, strict=True):
            torch.testing.assert_close(found, POOLED[name](row[keep][None], every(row[keep][None]))[0])
        score.sum().backward()
        assert (mixed.grad[~valid] == 0).all()

    def test_has_the_gradient_of_finite_differences(self, name):
        u = bag(9, rows=3).requires_grad_()
        valid = torch.arange(27).view(3, 9) % 5 != 1
        assert torch.autograd.gradcheck(lambda u: POOLED[name](u, valid), u)

    def test_is_finite_for_huge_values(self, name):
        for u in (torch.full((1, 300), 1e4), torch.full((1, 300), -1e4), 1e4 * bag(300).float()):
            u.requires_grad_()
            score = POOLED[name](u, every(u))
            score.sum().backward()
            assert torch.isfinite(score).all()
            assert torch.isfinite(u.grad).all()
