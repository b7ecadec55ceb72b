"""Scores of patients against the metrics themselves, and their place in metrics.json and the report."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from segnoise.evaluation.patients import Patients
from segnoise.evaluation.scoretable import patient_table
from segnoise.metrics import bootstrap_interval, confusion_matrix, scores, surface_distances, volume_scores

CLASSES = ["background", "a", "b"]


def maps(seed, shape=(9, 10, 7)):
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape, np.int64)
    truth[2:7, 2:7] = 1
    truth[4:6, 4:6] = 2
    prediction = np.roll(truth, rng.integers(0, 3), axis=rng.integers(0, 2))
    truth[0] = 255
    return truth, prediction


def test_each_patient_has_the_scores_of_its_images_and_the_mean_its_interval():
    spacing = (1.0, 1.5, 3.0)
    patients, dice, volume, hd = Patients(CLASSES), {}, {}, {}
    for name, seeds in {"p": (0, 1), "q": (2,), "r": (3, 4)}.items():
        counts, far = 0, []
        for seed in seeds:
            truth, prediction = maps(seed)
            patients.add(name, truth, prediction, spacing)
            counts = counts + confusion_matrix(truth, prediction, 3)
            far.append(surface_distances(truth, prediction, 1, spacing).hausdorff())
        dice[name] = scores(counts, CLASSES)["dice"]["per_class"]["a"]
        volume[name] = volume_scores(counts, CLASSES, spacing)["volume_difference"]["per_class"]["a"]
        hd[name] = far
    found = patients.summary()
    assert (found["n"], found["unit"], found["axes"], found["tolerance"]) == (3, "mm", 3, 2.0)
    for key, values in (("dice", dice), ("volume_difference", volume), ("hd95", hd)):
        wanted = bootstrap_interval(values, seed=0)
        got = found[key]["per_class"]["a"]
        assert (got["value"], got["low"], got["high"], got["n"]) == (wanted.value, wanted.low, wanted.high, 3)
    assert "background" not in found["dice"]["per_class"]


def test_without_sizes_of_pixels_lengths_are_pixels():
    patients = Patients(CLASSES)
    truth, prediction = maps(1, (9, 10))
    patients.add("p", truth, prediction, (math.nan, math.nan))
    found = patients.summary()
    assert (found["unit"], found["axes"], found["tolerance"]) == ("px", 2, 2.0)
    assert found["hd95"]["per_class"]["a"]["value"] == surface_distances(truth, prediction, 1).hausdorff()


def test_an_organ_that_is_missed_is_null_and_not_infinity_in_the_file():
    patients = Patients(CLASSES)
    truth, _ = maps(1)
    patients.add("p", truth, np.zeros_like(truth), (1.0, 1.0, 1.0))
    found = patients.summary()
    assert found["hd95"]["per_class"]["a"]["value"] is None
    assert found["nsd"]["per_class"]["a"]["value"] == 0
    json.dumps(found, allow_nan=False)


def test_what_lies_under_unknown_labels_changes_nothing():
    truth, prediction = maps(2)
    other = np.where(truth == 255, 2 - prediction % 3, prediction)
    results = []
    for said in (prediction, other):
        patients = Patients(CLASSES)
        patients.add("p", truth, said, (1.0, 1.0, 2.0))
        results.append(patients.summary())
    assert results[0] == results[1]


@pytest.mark.parametrize("runs", [1, 2])
def test_the_table_has_a_line_a_class(runs):
    patients = Patients(CLASSES)
    for seed in range(3):
        patients.add(str(seed), *maps(seed), (1.0, 1.0, 1.0))
    table = patient_table([(f"run {k}", {"patients": patients.summary()}) for k in range(runs)])
    lines = [row for group in table.groups for row in group.rows]
    assert len(lines) == 3 * runs
    assert "HD95, mm" in table.columns
    assert "Volume difference, mm³" in table.columns
    assert " to " in lines[0].cells[0]
    assert patient_table([("run", {"iou": {}}), ("other", None)]) is None
