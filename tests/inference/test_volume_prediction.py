"""Predictions of volumes lie where the volumes lie."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from segnoise import cli
from segnoise.config import make_config
from segnoise.data import ArraySource
from segnoise.data.volume import write_volume
from segnoise.errors import UserError
from segnoise.inference import error_map_array, predict_array, predict_volume
from segnoise.training import load, train

LPS_OBLIQUE = np.array([[-1.9, 0.3, 0, 40], [-0.3, -1.9, 0, 55], [0, 0, 2.5, -20], [0, 0, 0, 1]], float)


class PerVoxel(nn.Module):
    """Class 1 above 0, whatever lies around."""

    def forward(self, x):
        return torch.cat([-5 * x, 5 * x], 1)


@pytest.mark.parametrize(("window", "overlap"), [((4, 5, 6), (1, 2, 0)), (6, 3), ((30, 4, 4), (0, 0, 2))])
def test_blended_windows_of_a_volume_sum_to_one_and_lie_in_place(window, overlap):
    array = np.random.default_rng(0).normal(size=(1, 11, 13, 9)).astype(np.float32)
    array[0, 3, 4, 5] = np.nan
    done = []
    said, observed = predict_array(
        PerVoxel(), ArraySource(array), window, overlap, progress=lambda k, n: done.append((k, n))
    )
    assert said.shape == (2, 11, 13, 9)
    assert done[-1][0] == done[-1][1] == len(done)
    seen = np.isfinite(array[0])
    np.testing.assert_array_equal(observed, seen)
    np.testing.assert_allclose(said[1][seen], 1 / (1 + np.exp(-10 * array[0][seen])), atol=1e-5)


def scene(seed, shape=(18, 20, 12)):
    """A bright ball in noise, and where it is."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(6, np.array(shape) - 6)
    away = np.sqrt(sum((g - c) ** 2 for g, c in zip(np.indices(shape), centre, strict=True)))
    labels = (away < 4).astype(np.uint8)
    return (100 * (seed + 1) * (labels + rng.normal(0, 0.2, shape))).astype(np.float32), labels


@pytest.fixture(scope="module", params=["whole", "slices"])
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for k in range(6):
        for name, values in zip(("images", "labels"), scene(k), strict=True):
            write_volume(folder / name / f"case_{k}.nii.gz", values, LPS_OBLIQUE)
    sliced = request.param == "slices"
    raw = {
        "data": {
            "kind": "volume", "images": ["images/*.nii.gz"], "labels": "labels", "classes": ["background", "ball"],
            "window": [12, 12] if sliced else [12, 12, 8], "samples_per_epoch": 32,
            "slices": {"axis": 2, "neighbours": 1} if sliced else None,
            "spacing": None if sliced else [2.0, 2.0, 2.0],
        },
        "network": {"name": "BasicUNet", "features": [8, 8, 8, 8, 8, 8]},
        "training": {"epochs": 10 if sliced else 5, "batch_size": 8, "lr": 0.01, "accelerator": "cpu"},
    }  # fmt: skip
    (folder / "run.yaml").write_text(json.dumps(raw))
    return folder, train(make_config(raw, base=folder), folder / "run", quiet=True)


def test_a_prediction_overlays_the_scan_it_was_made_from(trained, tmp_path):
    _, run = trained
    image, labels = scene(99)
    scan = write_volume(tmp_path / "new.nii.gz", image, LPS_OBLIQUE)
    out = predict_volume(load(run), scan, tmp_path / "seg.nii.gz", scores=tmp_path / "p.nii.gz").path
    seg, p = nibabel.load(out), nibabel.load(tmp_path / "p.nii.gz")
    assert seg.shape == image.shape
    assert np.issubdtype(seg.get_data_dtype(), np.integer)
    np.testing.assert_allclose(seg.affine, nibabel.load(scan).affine, atol=1e-6)
    np.testing.assert_allclose(p.affine, seg.affine, atol=1e-6)
    said = np.asarray(seg.dataobj)
    known = said != 255
    assert known.mean() > 0.7
    overlap = ((said == 1) & (labels == 1)).sum() / ((said[known] == 1) | (labels[known] == 1)).sum()
    assert overlap > 0.6
    chances = np.asarray(p.dataobj)
    assert chances.shape == (*image.shape, 2)
    np.testing.assert_allclose(chances[known].sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(chances[known].argmax(-1), said[known])
    assert np.isnan(chances[~known]).any(-1).all()


def test_a_scan_stored_the_other_way_round_gets_the_same_labels_in_space(trained, tmp_path):
    _, run = trained
    image, _ = scene(7)
    flipped = LPS_OBLIQUE @ np.array([[-1, 0, 0, 17], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    one = write_volume(tmp_path / "one.nii.gz", image, LPS_OBLIQUE)
    other = write_volume(tmp_path / "other.nii.gz", image[::-1], flipped)
    model = load(run)
    a, b = (predict_volume(model, p, tmp_path / f"seg_{p.name}").path for p in (one, other))
    np.testing.assert_array_equal(np.asarray(nibabel.load(a).dataobj), np.asarray(nibabel.load(b).dataobj)[::-1])


def test_labels_that_were_given_are_judged_where_they_lie(trained, tmp_path):
    _, run = trained
    image, truth = scene(99)
    image[2:4, 3:6, 5] = np.nan
    scan = write_volume(tmp_path / "new.nii.gz", image, LPS_OBLIQUE)
    ball = np.argwhere(truth == 1)
    given = truth.copy()
    low = ball[:, 0] < np.median(ball[:, 0])
    given[tuple(ball[low].T)] = 0  # half of the ball was forgotten
    given[:, :3, 0] = 255
    labels = write_volume(tmp_path / "given.nii.gz", given, LPS_OBLIQUE)
    made = predict_volume(
        load(run), scan, tmp_path / "seg.nii.gz", scores=tmp_path / "p.nii.gz", labels=labels,
        label_error=tmp_path / "wrong.nii.gz",
    )  # fmt: skip
    file = nibabel.load(tmp_path / "wrong.nii.gz")
    assert file.get_data_dtype() == np.float32
    np.testing.assert_allclose(file.affine, nibabel.load(scan).affine, atol=1e-6)
    wrong = np.asarray(file.dataobj)
    unknown = (given == 255) | (np.asarray(nibabel.load(made.path).dataobj) == 255)
    assert unknown[2:4, 3:6, 5].all()
    np.testing.assert_array_equal(np.isnan(wrong), unknown)
    probabilities = np.moveaxis(np.asarray(nibabel.load(tmp_path / "p.nii.gz").dataobj), -1, 0)
    np.testing.assert_array_equal(wrong, error_map_array(probabilities, given, rho=0.5))
    forgotten = (truth == 1) & (given == 0) & ~unknown
    assert wrong[forgotten].mean() > 3 * wrong[~forgotten & ~unknown].mean()
    assert made.wrong.labels == (~unknown).sum()
    assert made.wrong.expected == pytest.approx(wrong[~unknown].sum(dtype=float))


def test_labels_that_do_not_lie_on_the_scan_are_told_before_anything_is_written(trained, tmp_path):
    _, run = trained
    model, (image, truth) = load(run), scene(99)
    scan = write_volume(tmp_path / "new.nii.gz", image, LPS_OBLIQUE)
    mirrored = LPS_OBLIQUE @ np.array([[-1, 0, 0, 17], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    for name, values, affine, told in (
        ("short", truth[:, :, :9], LPS_OBLIQUE, "not on the grid of its image .*new.nii.gz.*18 x 20 x 9.*18 x 20 x 12"),
        ("mirrored", truth[::-1], mirrored, "new.nii.gz.* the labels fit the image flipped along axis 0"),
        ("other", truth + 1, LPS_OBLIQUE, r"class value 2 is outside the list of 2 classes .*voxel"),
    ):
        labels = write_volume(tmp_path / f"{name}.nii.gz", values, affine)
        with pytest.raises(UserError, match=rf"{name}\.nii\.gz: .*{told}"):
            predict_volume(
                model, scan, tmp_path / "seg.nii.gz", labels=labels, label_error=tmp_path / "wrong.nii.gz"
            )  # fmt: skip
    with pytest.raises(UserError, match="labels and label_error: give both"):
        predict_volume(model, scan, tmp_path / "seg.nii.gz", labels=scan)
    assert not list(tmp_path.glob("seg*")) + list(tmp_path.glob("wrong*"))


def test_an_output_that_cannot_be_written_is_told_before_the_network_looks(trained, tmp_path):
    _, run = trained
    scan = write_volume(tmp_path / "new.nii.gz", scene(99)[0], LPS_OBLIQUE)
    (tmp_path / "there.nii.gz").touch()
    for beside in ({"scores": tmp_path / "there.nii.gz"}, {"labels": scan, "label_error": tmp_path / "there.nii.gz"}):
        with pytest.raises(UserError, match=r"there\.nii\.gz: already exists"):
            predict_volume(load(run), scan, tmp_path / "seg.nii.gz", **beside)
    with pytest.raises(UserError, match=r"p\.dcm: volumes are written as \.nii\.gz or \.nii; give"):
        predict_volume(load(run), scan, tmp_path / "seg.nii.gz", scores=tmp_path / "p.dcm")
    with pytest.raises(UserError, match=r"refers to a DICOM series, and .*new\.nii\.gz is none"):
        predict_volume(load(run), scan, tmp_path / "seg.dcm")
    assert not list(tmp_path.glob("seg*"))


def test_the_command_predicts_evaluates_and_draws(trained, monkeypatch, tmp_path, capsys):
    folder, run = trained
    images = sorted((folder / "images").glob("*.nii.gz"))[:2]
    for arguments in (
        ["evaluate", str(run), "-q"],
        ["predict", str(run), *map(str, images), "-o", str(tmp_path / "out"), "--scores", "-q"],
    ):
        monkeypatch.setattr("sys.argv", ["segnoise", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code in (0, None)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        f"{path.name.removesuffix('.nii.gz')}{end}.nii.gz" for path in images for end in ("", "_scores")
    }
    assert json.loads((run / "metrics.json").read_text())["iou"]["per_class"]["ball"] > 0.5
    assert "label error" in (run / "report.html").read_text()


def test_what_cannot_be_predicted_is_told(trained, tmp_path):
    folder, run = trained
    model = load(run)
    two = write_volume(tmp_path / "two.nii.gz", np.zeros((2, 4, 4, 4), np.float32), np.eye(4))
    with pytest.raises(UserError, match="has 2 channels, but the model was trained on 1; give 1 alone"):
        predict_volume(model, two, tmp_path / "a.nii.gz")
    scan = next((folder / "images").glob("*"))
    with pytest.raises(UserError, match=r"written as \.nii\.gz or \.nii"):
        predict_volume(model, scan, tmp_path / "a.tif")
    (tmp_path / "there.nii.gz").touch()
    with pytest.raises(UserError, match="exists"):
        predict_volume(model, scan, tmp_path / "there.nii.gz")
