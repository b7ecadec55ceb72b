"""Scores of sequences against the metrics themselves and the masks that are written, and their place in the report."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.config import make_config
from segnoise.evaluation import evaluate, write_metrics, write_report
from segnoise.evaluation.patients import Patients
from segnoise.evaluation.scoretable import sequence_table
from segnoise.evaluation.sequences import Sequences, sequence_name
from segnoise.inference import predict_video
from segnoise.metrics import FlickerCounts, flicker, flicker_counts, frame_confusions, video_scores
from segnoise.training import Run, load, prepare, train
from tests.data.video import video_trees as trees

CLASSES = ["none", "a", "b"]


def maps(seed, frames, shape=(5, 6)):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, shape)[None].repeat(frames, 0)
    truth[rng.random(truth.shape) < 0.2] = 255
    return truth, rng.integers(0, 3, truth.shape)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_frames_may_come_in_any_pieces_and_a_gap_is_not_compared_across(first, second):
    sequences, counts, changes = Sequences(CLASSES), [], FlickerCounts()
    for source, pieces in ((3, first), (4, second)):
        truth, said = maps(source, sum(pieces))
        counts.append(frame_confusions(truth, said, 3))
        changes += flicker_counts(truth, said)
        for end, size in zip(np.cumsum(pieces), pieces, strict=True):
            sequences.add("cut", source, truth[end - size : end], said[end - size : end])
    truth, said = maps(9, 3)
    sequences.add("other", 5, truth, said)
    found = sequences.summary()
    both = {"cut": np.concatenate(counts), "other": frame_confusions(truth, said, 3)}
    assert {key: found[key] for key in video_scores(both, CLASSES)} == video_scores(both, CLASSES)
    other = flicker_counts(truth, said)
    assert found["flicker_per_sequence"] == {"cut": flicker(changes), "other": flicker(other)}
    assert found["flicker"] == flicker(changes + other)
    assert found["n"] == 2


def test_a_stretch_belongs_to_its_recording():
    assert sequence_name("deep/case/00000-00003", [0, 1, 2, 3]) == "deep/case"
    assert sequence_name("case/00000-00003", [5, 6]) == "case/00000-00003"


@pytest.mark.parametrize("spacings", [[(0.5, 0.25), (1.0, 2.0)], [(0.5, 0.25), (math.nan, math.nan)]])
def test_images_that_are_measured_as_they_come_and_not_kept_score_the_same(spacings):
    early, late = Patients(CLASSES, spacings), Patients(CLASSES)
    for k, spacing in enumerate(spacings):
        for seed in (k, k + 5):
            truth, said = maps(seed, 1, (20, 24))
            for patients in (early, late):
                patients.add(f"p{k}", truth[0], said[0], spacing)
    assert early._images == []
    assert early.summary() == late.summary() == late.summary()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on six short sequences, one of them cut by a gap, with every sequence in the test split but two."""
    root = tmp_path_factory.mktemp("sequences")
    trees.write_frames(root, {**{f"s{k}": range(5) for k in range(5)}, "cut": [0, 1, 2, 30, 31, 32]}, (32, 40))
    (root / "labels" / "s1" / "00002.png").unlink()
    rows = [f"images/{n}/{p.name},labels/{n}/{p.stem}.png,{s}" for n, s in SPLITS.items() for p in frames(root, n)]
    (root / "table.csv").write_text("\n".join(["image,label,split", *rows]) + "\n")
    data = {
        "kind": "video", "images": ["images"], "labels": "table.csv", "classes": ["none", "box"], "frames": 2,
        "window": 16, "split": {"by": "table"}, "samples_per_epoch": 8,
    }  # fmt: skip
    config = {
        "data": data, "network": {"name": "UNet", "channels": [4, 8], "strides": [2]},
        "training": {"epochs": 3, "batch_size": 4, "lr": 0.02, "accelerator": "cpu"},
    }  # fmt: skip
    return root, train(make_config(config, base=root), root / "run", quiet=True)


SPLITS = {"s0": "train", "s2": "train", "s3": "val", "s1": "test", "s4": "test", "cut": "test"}


def frames(root, name):
    return [
        p for p in sorted((root / "images" / name).iterdir()) if (root / "labels" / name / f"{p.stem}.png").exists()
    ]


def test_evaluate_says_of_sequences_what_the_written_masks_say(trained):
    root, run = trained
    found = evaluate(run)["sequences"]
    predict_video(load(run), root / "images", root / "masks")
    counts, changes = {}, {}
    for name in ("cut", "s1", "s4"):
        truth, said = [], []
        for image in sorted((root / "images" / name).iterdir()):
            mask = root / "labels" / name / f"{image.stem}.png"
            said.append(read(root / "masks" / name / f"{image.stem}.png"))
            truth.append(read(mask) if mask.exists() else np.full_like(said[-1], 255))
        counts[name] = frame_confusions(np.array(truth), np.array(said), 2)
        runs = [slice(0, 3), slice(3, 6)] if name == "cut" else [slice(None)]
        parts = [flicker_counts(np.array(truth[r]), np.array(said[r])) for r in runs]
        changes[name] = sum(parts, FlickerCounts())
    wanted = video_scores(counts, ["none", "box"])
    assert {key: found[key] for key in wanted} == wanted
    assert found["flicker_per_sequence"] == {name: flicker(c) for name, c in changes.items()}
    assert found["flicker"] == flicker(sum(changes.values(), FlickerCounts())) > 0
    assert found["challenge"]["frames"] == 6 + 4 + 5


def read(path):
    with rasterio.open(path) as src:
        return src.read(1)


def test_the_scores_of_a_sequence_do_not_depend_on_how_much_of_it_is_held(trained, monkeypatch):
    _, run = trained
    whole = evaluate(run)
    held = []
    import segnoise.evaluation.scoring as scoring

    real = scoring.predict_array

    def counted(model, source, *arguments, **options):
        held.append(source.shape[0])
        return real(model, source, *arguments, **options)

    monkeypatch.setattr(scoring, "predict_array", counted)
    evaluate(run)
    assert max(held) == 5
    # Two frames of 32 x 40 px and 2 classes, which is also what a clip has.
    monkeypatch.setattr(scoring, "_HELD", 2 * 2 * 32 * 40)
    held.clear()
    again = evaluate(run)
    assert (again["sequences"], again["patients"]) == (whole["sequences"], whole["patients"])
    assert max(held) <= 3


@pytest.mark.parametrize("runs", [1, 2])
def test_the_table_has_a_line_a_sequence_and_one_of_all(runs):
    sequences = Sequences(CLASSES)
    for source, name in enumerate(["one", "two"]):
        sequences.add(name, source, *maps(source, 3))
    found = json.loads(json.dumps(sequences.summary(), allow_nan=False))
    table = sequence_table([("r", {"sequences": found}), ("none", None)][:runs])
    assert table.columns == ["IoU of frames", "Dice of frames", "IoU, pooled", "Dice, pooled", "Flicker", "Frames"]
    rows = [(group.heading or row.name, row) for group in table.groups for row in group.rows]
    assert [name for name, _ in rows] == ["one", "two", "all" if runs == 1 else "all sequences"]
    one, every = rows[0][1].cells, rows[-1][1].cells
    assert one[0] == f"{found['challenge_per_sequence']['one']['iou']['mean']:.3f}"
    assert one[3] == f"{found['pooled_per_sequence']['one']['dice']['mean']:.3f}"
    assert every[2] == f"{found['pooled']['iou']['mean']:.3f}"
    assert every[4:] == [f"{found['flicker']:.4f}", str(found["challenge"]["frames"])]
    assert sequence_table([("none", None), ("old", {"iou": {}})]) is None


def test_the_report_shows_them(trained):
    _, run = trained
    metrics = evaluate(run)
    write_metrics(metrics, Run(run).metrics)
    text = write_report([run]).read_text()
    assert "Scores over sequences" in text
    cells = sequence_table([("", metrics)]).groups[0].rows[0].cells
    row = '<th scope="row">cut</th>' + "".join(f"<td>{cell}</td>" for cell in cells)
    assert row in text
    Run(run).metrics.unlink()
    assert "Scores over sequences" not in write_report([run]).read_text()
    assert len(prepare(load(run).config, Run(run)).regions["test"]) == 4
