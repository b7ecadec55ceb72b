"""Labels of which some are wrong, behind a network that says how sure it is: the likelihood, and what is read off it."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.kms import sample_field
from segnoise.methods import Channel
from segnoise.training import Run, load, train
from segnoise.training.channel import RATES, TEMPERATURES, ForwardCorrected


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


def patchy_labels(logits, rate, seed, rho=0.8):
    """True classes drawn from the logits, and given ones of which a share is wrong, in patches."""
    rng = np.random.default_rng(seed)
    truth = torch.distributions.Categorical(logits=logits.movedim(1, -1)).sample()
    fields = np.stack([sample_field(truth.shape[1:], rho, rng) for _ in truth])
    flip = torch.from_numpy(fields >= np.quantile(fields, 1 - rate)) if rate else torch.zeros_like(truth).bool()
    classes = logits.shape[1]
    other = (truth + torch.from_numpy(rng.integers(1, classes, truth.shape))) % classes
    return torch.where(flip, other, truth)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("temperature", "rate"), [(0.22, 0.4), (0.3, 0.2), (1.0, 0.0), (1.4, 0.1)])
def test_temperature_and_share_of_wrong_labels_are_found(classes, temperature, rate):
    torch.manual_seed(classes)
    sure = torch.nn.functional.avg_pool2d(torch.randn(40, classes, 32, 32) * 12, 3, 1, 1)
    score = ForwardCorrected()
    score.add(sure * temperature, patchy_labels(sure, rate, seed=1))
    found = score.channel()
    assert abs(found.rate - rate) <= 0.06
    assert 0.65 <= found.temperature / temperature <= 1.55


def test_among_networks_as_likely_the_sure_one_behind_a_worse_channel_is_believed():
    """The likelihood alone cannot tell a network that is 0.6 sure of labels from a sure one of which 0.4 are wrong."""
    torch.manual_seed(0)
    truth = torch.randint(0, 2, (50, 16, 16))
    given_ = torch.where(torch.rand(truth.shape) < 0.4, 1 - truth, truth)
    logits = torch.nn.functional.one_hot(truth, 2).movedim(-1, 1) * math.log(0.6 / 0.4)
    score = ForwardCorrected()
    score.add(logits, given_)
    told = score.channel()
    assert told.rate == 0.4
    assert told.temperature <= 0.11


def test_batches_and_ranks_add_up_and_unknown_labels_do_not_count():
    torch.manual_seed(1)
    logits, labels = torch.randn(6, 3, 8, 8), torch.randint(0, 3, (6, 8, 8))
    whole, parts = ForwardCorrected(), [ForwardCorrected(), ForwardCorrected()]
    whole.add(logits, labels)
    parts[0].add(logits[:4], labels[:4])
    parts[1].add(torch.cat([logits[4:], logits[:1]]), torch.cat([labels[4:], torch.full((1, 8, 8), 255)]))
    for name in ("sums", "products", "counts"):
        together = getattr(parts[0], name) + getattr(parts[1], name)
        assert torch.allclose(together, getattr(whole, name), rtol=1e-12)
        setattr(parts[0], name, together)
    assert parts[0].channel() == whole.channel()


def test_without_labels_there_is_no_channel():
    score = ForwardCorrected()
    score.add(torch.zeros(1, 2, 3, 3), torch.full((1, 3, 3), 255))
    assert score.channel() is None


def test_training_tells_the_method_and_the_log_and_the_checkpoint_keeps_it(tiny, tmp_path):
    folder = train(tiny("method=kms", "noise=kms(0.3)"), tmp_path / "run", quiet=True)
    last = Run(folder).log.read_text().splitlines()
    row = dict(zip(last[0].split(","), last[-1].split(","), strict=True))
    kms = load(folder, "last").system.objective.methods[0]
    assert kms.channel == Channel(
        pytest.approx(float(row["temperature"])), pytest.approx(float(row["label_error_rate"]))
    )
    plain = train(tiny("method=kms", "method.calibrate=false", "noise=kms(0.3)"), tmp_path / "plain", quiet=True)
    assert "temperature" not in Run(plain).log.read_text()
