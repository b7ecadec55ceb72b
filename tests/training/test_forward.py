"""The likelihood that a gate compares two networks by."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.training.forward import RATES, TEMPERATURES, ForwardCorrected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_it_is_the_least_likelihood_over_the_grid(seed, classes):
    torch.manual_seed(seed)
    logits, labels = torch.randn(3, classes, 4, 5) * 4, torch.randint(0, classes, (3, 4, 5))
    labels[0, 0] = 255
    known = labels != 255
    best = math.inf
    for temperature, rate in itertools.product(TEMPERATURES, RATES):
        p = (logits.double() / temperature).softmax(1)
        given_ = (1 - rate) * p + rate * (1 - p) / (classes - 1)
        right = given_.gather(1, torch.where(known, labels, 0).unsqueeze(1)).squeeze(1)
        best = min(best, float(-right[known].log().mean()))
    score = ForwardCorrected()
    score.add(logits[:1], labels[:1])
    score.add(logits[1:], labels[1:])
    assert score.value() == pytest.approx(best, rel=1e-9)


def test_a_network_that_repeats_wrong_labels_does_worse_than_one_that_is_right():
    torch.manual_seed(0)
    truth = torch.randint(0, 2, (1, 100, 100))
    given_ = torch.where(torch.rand(1, 100, 100) < 0.3, 1 - truth, truth)
    repeated = torch.where(torch.rand(1, 100, 100) < 0.2, 1 - truth, truth)
    values = []
    for believed in (truth, repeated):
        score = ForwardCorrected()
        score.add(torch.nn.functional.one_hot(believed, 2).movedim(-1, 1) * 9.0, given_)
        values.append(score.value())
    assert values[0] < values[1]


def test_without_labels_it_is_infinite():
    score = ForwardCorrected()
    score.add(torch.zeros(1, 2, 3, 3), torch.full((1, 3, 3), 255))
    assert score.value() == math.inf
