"""A split that is given, and has one patient on two sides."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import rasterio

from segnoise.config import make_config
from segnoise.data.volume import write_volume
from segnoise.errors import UserError
from segnoise.training import Run, prepare, train
from tests.data import fundus_trees

SPLIT = {"a1": "train", "a2": "train", "b1": "train", "b2": "val", "c1": "val", "c2": "test"}


@pytest.fixture(params=["volume", "slices", "images"])
def given(request, tmp_path):
    """Six images of three patients as a configuration's section; b and c are on two sides."""
    suffix = "png" if request.param == "images" else "nii.gz"
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for k, name in enumerate(SPLIT):
        values = np.random.default_rng(k).integers(0, 200, (16, 16, 8)).astype(np.uint8)
        for folder, array in (("images", values), ("labels", (values > 100).astype(np.uint8))):
            path = tmp_path / folder / f"{name}.{suffix}"
            if suffix == "png":
                side = {"height": 16, "width": 16, "count": 1, "dtype": "uint8"}
                with rasterio.open(path, "w", driver="PNG", **side) as file:
                    file.write(array[None, :, :, 0])
            else:
                write_volume(path, array, np.eye(4))

    def make(split=SPLIT, **more):
        rows = [f"images/{name}.{suffix},labels/{name}.{suffix},{side}" for name, side in split.items()]
        (tmp_path / "table.csv").write_text("\n".join(["image,label,split", *rows]))
        return {
            "kind": "images" if suffix == "png" else "volume", "images": [f"images/*.{suffix}"], "labels": "table.csv",
            "classes": ["none", "some"], "window": [16, 16, 8] if request.param == "volume" else 16,
            "split": {"by": "table", "group": "^([a-z])", **more},
            **({"slices": {"axis": 2}} if request.param == "slices" else {}),
        }  # fmt: skip

    return make


def described(folder, data):
    raw = {
        "data": {**data, "samples_per_epoch": 2},
        "network": {"name": "UNet", "channels": [4, 8], "strides": [2]},
        "training": {"epochs": 1, "batch_size": 2, "accelerator": "cpu"},
    }
    return make_config(raw, base=folder)


def test_a_patient_on_two_sides_is_refused_with_both_images_and_the_way_to_allow_it(tmp_path, given):
    with pytest.raises(UserError) as told:
        train(described(tmp_path, given()), tmp_path / "run", quiet=True)
    line = str(told.value)
    assert line.startswith("data.split: b is in train (")
    assert "images/b1." in line
    assert "images/b2." in line
    assert "(1 more like it)" in line
    assert line.endswith("allow it with data.split.allow_shared_groups: true")
    assert "\n" not in line
    assert not (tmp_path / "run").exists()


def test_it_is_trained_on_when_allowed_and_said_in_the_log_and_in_the_folder(tmp_path, given, caplog):
    with caplog.at_level(logging.WARNING):
        run = Run(train(described(tmp_path, given(allow_shared_groups=True)), tmp_path / "run", quiet=True))
    assert run.checkpoint("last").is_file()
    (warning,) = [r.getMessage() for r in caplog.records if r.name == "segnoise.training.prepare"]
    assert "b is in train" in warning
    assert warning.endswith("scores are too good")
    assert json.loads(run.prepared.read_text())["shared_groups"] == ["b", "c"]


def test_a_split_that_keeps_patients_apart_is_trained_on_in_silence(tmp_path, given, caplog):
    apart = {name: {"a": "train", "b": "val", "c": "test"}[name[0]] for name in SPLIT}
    for allow in ({}, {"allow_shared_groups": True}):
        prepared = prepare(described(tmp_path, given(apart, **allow)), Run(tmp_path / f"run{len(allow)}"))
        assert all(prepared.regions[side] for side in ("train", "val", "test"))
    assert not [r for r in caplog.records if r.name == "segnoise.training.prepare"]
    assert json.loads(Run(tmp_path / "run0").prepared.read_text())["shared_groups"] == []


def test_the_slices_of_a_volume_are_no_patient_on_two_sides(tmp_path, given):
    data = given()
    del data["split"]["group"]
    regions = prepare(described(tmp_path, data), Run(tmp_path / "run")).regions
    assert all(regions[side] for side in ("train", "val", "test"))


def test_slices_of_volumes_of_one_name_in_two_folders_are_two_patients(tmp_path):
    rows = ["image,label,split"]
    for k, side in enumerate(("train", "val")):
        (tmp_path / side).mkdir()
        values = np.random.default_rng(k).integers(0, 2, (16, 16, 4)).astype(np.uint8)
        for name in ("scan", "labels"):
            write_volume(tmp_path / side / f"{name}.nii.gz", values, np.eye(4))
        rows.append(f"{side}/scan.nii.gz,{side}/labels.nii.gz,{side}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    data = {
        "kind": "volume", "images": ["*/scan.nii.gz"], "labels": "table.csv", "classes": ["none", "some"], "window": 16,
        "slices": {"axis": 2},
    }  # fmt: skip
    prepared = prepare(described(tmp_path, {**data, "split": {"by": "table"}}), Run(tmp_path / "given"))
    assert [len(prepared.regions[side]) for side in ("train", "val")] == [4, 4]
    halves = {"by": "source", "fractions": {"train": 0.5, "val": 0.5, "test": 0}}
    prepared = prepare(described(tmp_path, {**data, "split": halves}), Run(tmp_path / "dealt"))
    assert [len(prepared.regions[side]) for side in ("train", "val")] == [4, 4]


def test_the_folders_of_a_set_are_a_split_that_is_looked_at_too(tmp_path):
    """REFUGE is split by its folders; with an expression that takes all its images for one patient it is refused."""
    fundus_trees.write_refuge(tmp_path)
    data = {"kind": "fundus", "folder": str(tmp_path), "classes": ["background", "rim", "cup"], "window": 16}
    prepare(described(tmp_path, {**data, "split": {"by": "table"}}), Run(tmp_path / "trusted"))
    with pytest.raises(UserError, match=r"is in train \(.*\.jpg\) and in val \(.*\.jpg\), so scores"):
        prepare(described(tmp_path, {**data, "split": {"by": "table", "group": "^"}}), Run(tmp_path / "looked"))


@pytest.mark.parametrize(
    ("split", "told"),
    [
        ({"by": "block", "group": "a"}, "group goes with by: source or by: table, not by: block"),
        ({"by": "source", "allow_shared_groups": True}, "allow_shared_groups goes with by: table; by: source shares none"),
        ({"by": "table", "allow_shared_group": True}, "did you mean 'allow_shared_groups'"),
    ],
)  # fmt: skip
def test_keys_that_do_not_go_together_are_told(split, told):
    with pytest.raises(UserError, match=told):
        make_config({"data": {"kind": "images", "images": ["x"], "labels": "y", "classes": ["a", "b"], "split": split}})
