"""Two networks as one, and what networks say of training labels whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segnoise.config import make_config
from segnoise.data import ArrayLabels, ArraySource, Region, Scaling
from segnoise.evaluation.averaged import Averaged
from segnoise.evaluation.labelerrors import label_errors
from segnoise.methods import Objective
from segnoise.methods.kms import KMS
from segnoise.metrics import auroc
from segnoise.training import Model, Prepared, System
from segnoise.windows import Window

CONFIG = make_config({"data": {"kind": "scenes", "window": 16}})


def model(seed):
    torch.manual_seed(seed)
    system = System(nn.Conv2d(1, 2, 1), Objective(["cross_entropy"], num_classes=2))
    return Model(system, Scaling((0.0,), (1.0,)), CONFIG, Path("run")).eval()


@pytest.fixture
def prepared():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 32, 48)).astype(np.float32)
    clean = rng.integers(0, 2, (32, 48))
    given = np.where(rng.random((32, 48)) < 0.3, 1 - clean, clean)
    given[:5], clean[:, :3] = 255, 255
    regions = {"train": [Region(0, Window((0, 0), (32, 48)))]}
    return Prepared(
        [ArraySource(image)], [ArrayLabels(given)], [ArrayLabels(clean)], regions, Scaling((0.0,), (1.0,)), {}
    )  # fmt: skip


def test_the_average_is_that_of_the_probabilities():
    image = torch.randn(2, 1, 8, 8)
    models = [model(0), model(1), model(2)]
    mean = torch.stack([m(image).softmax(1) for m in models]).mean(0)
    averaged = Averaged(models)
    assert torch.allclose(averaged(image).softmax(1), mean, atol=1e-6)
    assert (averaged.classes, averaged.window) == (["background", "field"], 16)
    assert torch.allclose(Averaged(models[:1])(image).softmax(1), models[0](image).softmax(1), atol=1e-6)


@pytest.mark.parametrize("seeds", [(0,), (1, 2)])
def test_scores_and_repeated_labels_are_those_of_all_known_pixels(prepared, seeds):
    models = [model(seed) for seed in seeds]
    image = torch.from_numpy(prepared.sources[0].read(Window((0, 0), (32, 48)))[0])[None]
    with torch.no_grad():
        p = torch.stack([m(image).softmax(1) for m in models]).mean(0)[0].numpy()
    given, clean = (labels[0].read(Window((0, 0), (32, 48))) for labels in (prepared.given, prepared.clean))
    known = (given != 255) & (clean != 255)
    wrong = (given != clean)[known]
    score = 1 - np.take_along_axis(p, np.where(known, given, 0)[None], 0)[0][known]
    found = label_errors(models, prepared)
    assert (found.labels, found.wrong) == (known.sum(), wrong.sum())
    assert found.memorised == pytest.approx((p.argmax(0) == given)[known][wrong].mean())
    assert found.mistaken == (p.argmax(0) != clean)[known].sum()
    assert found.left_wrong == found.wrong  # cross-entropy corrects nothing
    assert found.curve.auroc() == pytest.approx(auroc(score, wrong), abs=1e-3)


def test_corrected_labels_are_those_of_the_largest_target(prepared):
    """A matrix that calls every label wrong turns each into the other class."""
    one = model(0)
    swap = KMS(2, confusion=[[0.0, 1.0], [1.0, 0.0]], calibrate=False)
    system = System(one.system.networks[0], Objective([swap], num_classes=2))
    found = label_errors([Model(system, one.scaling, CONFIG, Path("run")).eval()], prepared)
    assert found.left_wrong == found.labels - found.wrong


def test_without_wrong_labels_nothing_is_repeated(prepared):
    same = Prepared(
        prepared.sources, prepared.clean, prepared.clean, prepared.regions, prepared.scaling, {}
    )  # fmt: skip
    assert label_errors([model(0)], same).memorised is None


def test_without_the_truth_there_is_nothing_to_say(prepared):
    blind = Prepared(prepared.sources, prepared.given, None, prepared.regions, prepared.scaling, {})
    with pytest.raises(ValueError, match="clean labels are not known"):
        label_errors([model(0)], blind)
