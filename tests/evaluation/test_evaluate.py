"""metrics.json says what independent computations say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, jaccard_score, roc_auc_score

from segnoise.config import make_config
from segnoise.data import IGNORE_INDEX
from segnoise.data.scenes import field_scene
from segnoise.errors import UserError
from segnoise.evaluation import RegionSource, evaluate, write_metrics
from segnoise.inference import predict_array
from segnoise.kms import error_map, mean_logit
from segnoise.training import Run, load, prepare, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    field_scene(192, seed=5).save(folder)
    raw = {
        "data": {"kind": "raster", "images": ["scene.tif"], "labels": "fields.gpkg", "window": 32,
                 "samples_per_epoch": 32},
        "noise": "kms(0.2)",
        "network": {"name": "BasicUNet", "features": [4, 4, 8, 8, 16, 4]},
        "method": "kms",
        "training": {"epochs": 2, "batch_size": 8, "lr": 1e-2, "accelerator": "cpu"},
    }  # fmt: skip
    return train(make_config(raw, base=folder), folder / "run", quiet=True)


@pytest.fixture(scope="module")
def metrics(run):
    return evaluate(run, checkpoint="last")


def test_the_names_are_those_of_the_design(metrics):
    per_class = {"iou", "dice", "precision", "recall", "f1", "accuracy", "boundary_f1"}
    for name in per_class:
        assert set(metrics[name]) == {"mean", "per_class"}
    single = {
        "object_precision",
        "object_recall",
        "object_f1",
        "label_error_auroc",
        "label_error_ap",
        "ece",
        "n_images",
    }
    assert single | {"seconds"} <= set(metrics)


def test_iou_equals_scikit_learn_on_the_clean_test_labels(run, metrics):
    model = load(run, "last")
    prepared = prepare(model.config, Run(run))
    truth, found = [], []
    for region in prepared.regions["test"]:
        source = RegionSource(prepared.sources[region.index], region)
        p, observed = predict_array(model, source, model.window, model.window // 4)
        labels = np.where(observed, prepared.clean[region.index].read(region.window), IGNORE_INDEX)
        truth.append(labels[labels != 255])
        found.append(p.argmax(0)[labels != 255])
    expected = jaccard_score(np.concatenate(truth), np.concatenate(found), average=None)
    assert list(metrics["iou"]["per_class"].values()) == pytest.approx(expected.tolist())


def test_label_error_detection_equals_scikit_learn(run, metrics):
    model = load(run, "last")
    prepared = prepare(model.config, Run(run))
    channel = model.system.objective.methods[0].channel  # what the run's held-out labels said at its end
    mu = mean_logit(min(max(channel.rate, 0.001), 0.5), 1.3133)
    scores, wrong = [], []
    for region in prepared.regions["train"]:
        for y in range(region.window.start[0], region.window.stop[0], 32):
            for x in range(region.window.start[1], region.window.stop[1], 32):
                window = type(region.window)((y, x), (32, 32))
                raw, seen = prepared.sources[0].read(window)
                import torch

                scaled = torch.from_numpy(prepared.scaling.apply(raw, seen))[None]
                with torch.no_grad():
                    p = (model.system.teachers[0](scaled).log_softmax(1) / channel.temperature).softmax(1)
                given = np.where(seen, prepared.given[0].read(window), 255)
                clean = np.where(seen, prepared.clean[0].read(window), 255)
                pi = error_map(p, torch.from_numpy(given)[None], mu=mu)[0].numpy()
                known = (given != 255) & (clean != 255)
                scores.append(pi[known])
                wrong.append((given != clean)[known])
    scores, wrong = np.concatenate(scores), np.concatenate(wrong)
    assert metrics["label_error_auroc"] == pytest.approx(roc_auc_score(wrong, scores), abs=2e-3)
    assert metrics["label_error_ap"] == pytest.approx(average_precision_score(wrong, scores), abs=5e-3)


def test_best_and_last_are_different_checkpoints_of_one_run(run):
    model = load(run, "best")
    assert model.source.name == "best.ckpt"
    assert load(run, "last").source.name == "last.ckpt"
    assert load(run / "checkpoints" / "last.ckpt").source == load(run, "last").source


def test_a_split_that_is_empty_is_named(run):
    with pytest.raises(UserError, match="known: train, val, test"):
        evaluate(run, split="all")


def test_metrics_are_plain_json(metrics, tmp_path):
    write_metrics(metrics, tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text()) == metrics
