"""Labels of which some are wrong, behind a network that says how sure it is: the likelihood, and what is read off it."""

import math

import numpy as np
import pytest
import torch

from segnoise.kms import sample_field
from segnoise.training import Run, load, train
from segnoise.training.channel import ChannelFit


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
    fit = ChannelFit()
    fit.add(sure * temperature, patchy_labels(sure, rate, seed=1))
    found = fit.channel()
    assert abs(found.rate - rate) <= 0.06
    assert 0.65 <= found.temperature / temperature <= 1.55


def test_among_networks_as_likely_the_sure_one_behind_a_worse_channel_is_believed():
    """The likelihood alone cannot tell a network that is 0.6 sure of labels from a sure one of which 0.4 are wrong."""
    torch.manual_seed(0)
    truth = torch.randint(0, 2, (50, 16, 16))
    given_ = torch.where(torch.rand(truth.shape) < 0.4, 1 - truth, truth)
    logits = torch.nn.functional.one_hot(truth, 2).movedim(-1, 1) * math.log(0.6 / 0.4)
    fit = ChannelFit()
    fit.add(logits, given_)
    told = fit.channel()
    assert told.rate == pytest.approx(0.4, abs=0.02)
    assert told.temperature <= 0.11
    assert told.temperature >= 0.08  # behind 0.4, 0.04 and 0.055 explain nothing better, and are surer than is known


@pytest.mark.parametrize("classes", [2, 4])
def test_labels_are_not_taken_to_be_worse_than_chance(classes):
    torch.manual_seed(0)
    truth = torch.randint(0, classes, (30, 16, 16))
    fit = ChannelFit()
    fit.add(torch.nn.functional.one_hot(truth, classes).movedim(-1, 1) * 6.0, (truth + 1) % classes)
    assert fit.channel().rate == pytest.approx(1 - 1 / classes)


def test_unknown_labels_and_the_size_of_batches_do_not_count():
    torch.manual_seed(1)
    logits, labels = torch.randn(6, 3, 8, 8), torch.randint(0, 3, (6, 8, 8))
    whole, parts = ChannelFit(), ChannelFit()
    whole.add(logits, labels)
    parts.add(logits[:4], labels[:4])
    parts.add(torch.cat([logits[4:], logits[:1]]), torch.cat([labels[4:], torch.full((1, 8, 8), 255)]))
    for assumed in ("uniform", "learned"):
        assert parts.channel(assumed) == whole.channel(assumed)


@pytest.mark.parametrize("truth", [((1.0, 0.0), (0.3, 0.7)), ((0.8, 0.1, 0.1), (0.0, 1.0, 0.0), (0.0, 0.4, 0.6))])
def test_a_confusion_is_learned(truth):
    torch.manual_seed(len(truth))
    matrix = torch.tensor(truth)
    sure = torch.nn.functional.avg_pool2d(torch.randn(60, len(truth), 32, 32) * 16, 3, 1, 1)
    true = torch.distributions.Categorical(logits=sure.movedim(1, -1)).sample()
    fit = ChannelFit()
    fit.add(sure, torch.distributions.Categorical(matrix[true]).sample())
    found = fit.channel("learned")
    assert (torch.tensor(found.confusion) - matrix).abs().max() < 0.05
    assert abs(found.rate - float((1 - matrix.diagonal())[true].mean())) < 0.03
    assert torch.tensor(found.confusion).sum(1) == pytest.approx(1)
    uniform = torch.tensor(fit.channel("uniform").confusion)
    off = uniform[~torch.eye(len(truth), dtype=torch.bool)]
    assert off.max() - off.min() < 1e-6


def test_behind_a_given_confusion_only_the_temperature_is_fitted():
    torch.manual_seed(0)
    given_ = ((0.9, 0.1), (0.4, 0.6))
    sure = torch.nn.functional.avg_pool2d(torch.randn(60, 2, 32, 32) * 16, 3, 1, 1)
    true = torch.distributions.Categorical(logits=sure.movedim(1, -1)).sample()
    fit = ChannelFit()
    fit.add(sure * 0.3, torch.distributions.Categorical(torch.tensor(given_)[true]).sample())
    found = fit.channel(given_)
    assert found.confusion == tuple(tuple(pytest.approx(p) for p in row) for row in given_)
    assert 0.2 < found.temperature < 0.45


def test_without_labels_there_is_no_channel():
    fit = ChannelFit()
    fit.add(torch.zeros(1, 2, 3, 3), torch.full((1, 3, 3), 255))
    assert fit.channel() is None


def test_training_tells_the_method_and_the_log_and_the_checkpoint_keeps_it(tiny, tmp_path):
    folder = train(tiny("method=kms", "noise=kms(0.3)"), tmp_path / "run", quiet=True)
    last = Run(folder).log.read_text().splitlines()
    row = dict(zip(last[0].split(","), last[-1].split(","), strict=True))
    kms = load(folder, "last").system.objective.methods[0]
    assert kms.channel.temperature == pytest.approx(float(row["temperature"]), rel=1e-4)
    assert kms.channel.rate == pytest.approx(float(row["label_error_rate"]), rel=1e-4)
    plain = train(tiny("method=kms", "method.calibrate=false", "noise=kms(0.3)"), tmp_path / "plain", quiet=True)
    assert "temperature" not in Run(plain).log.read_text()
