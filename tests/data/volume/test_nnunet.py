from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segnoise.data.volume import VolumeLabels, VolumeSource, read_nnunet, write_volume
from segnoise.errors import UserError
from segnoise.windows import Window

DESCRIBED = {
    "channel_names": {"0": "T2", "1": "ADC"},
    "labels": {"background": 0, "PZ": 1, "TZ": 2, "ignore": 3},
    "numTraining": 2,
    "file_ending": ".nii.gz",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("imagesTr", "labelsTr", "imagesTs"):
        (tmp_path / name).mkdir()
    for number, case in enumerate(("case_2", "case_10")):
        for channel in range(2):
            write_volume(
                tmp_path / "imagesTr" / f"{case}_{channel:04d}.nii.gz",
                np.full((3, 4, 5), 10 * number + channel),
                np.eye(4),
            )
        write_volume(tmp_path / "labelsTr" / f"{case}.nii.gz", np.arange(60).reshape(3, 4, 5) % 4, np.eye(4))
    for channel in range(2):
        write_volume(tmp_path / "imagesTs" / f"new_{channel:04d}.nii.gz", np.zeros((3, 4, 5)), np.eye(4))
    (tmp_path / "dataset.json").write_text(json.dumps(DESCRIBED))
    return tmp_path


def describe(folder: Path, **changes: object) -> None:
    described = {**DESCRIBED, **changes}
    (folder / "dataset.json").write_text(json.dumps({k: v for k, v in described.items() if v is not None}))


def test_cases_channels_classes_and_the_ignore_index(folder):
    dataset = read_nnunet(folder)
    assert dataset.channels == ("T2", "ADC")
    assert dataset.classes == ("background", "PZ", "TZ")
    assert dataset.ignore == 3
    assert [case.name for case in dataset.training] == ["case_2", "case_10"]
    assert [path.name for path in dataset.training[1].images] == ["case_10_0000.nii.gz", "case_10_0001.nii.gz"]
    assert dataset.training[0].label == folder / "labelsTr" / "case_2.nii.gz"
    assert [(case.name, case.label) for case in dataset.test] == [("new", None)]


def test_a_case_is_read_as_channels_and_labels(folder):
    dataset = read_nnunet(folder)
    case = dataset.training[1]
    source = VolumeSource(case.images)
    labels = VolumeLabels(case.label, len(dataset.classes), like=source, ignore=dataset.ignore)
    whole = Window((0, 0, 0), (3, 4, 5))
    assert source.read(whole)[0][:, 0, 0, 0].tolist() == [10, 11]
    assert labels.read(whole).ravel()[:5].tolist() == [0, 1, 2, 255, 0]


def test_cases_may_be_listed_with_their_paths(folder):
    listed = {
        "x": {
            "images": ["imagesTr/case_2_0000.nii.gz", "imagesTr/case_2_0001.nii.gz"],
            "label": "labelsTr/case_2.nii.gz",
        }
    }
    describe(folder, dataset=listed)
    assert [case.name for case in read_nnunet(folder).training] == ["x"]
    listed["x"]["images"].pop()
    describe(folder, dataset=listed)
    with pytest.raises(UserError, match="case x has 1 images for 2 channels"):
        read_nnunet(folder)
    listed["x"]["images"].append("elsewhere.nii.gz")
    describe(folder, dataset=listed)
    with pytest.raises(UserError, match=r"elsewhere\.nii\.gz: no such file, named by"):
        read_nnunet(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("imagesTr/case_10_0001.nii.gz", "channel 'ADC' of the case case_10"),
        ("imagesTr/case_10_0000.nii.gz", "channel 'T2' of the case case_10"),
        ("imagesTs/new_0001.nii.gz", "channel 'ADC' of the case new"),
        ("labelsTr/case_2.nii.gz", "the labels of the case case_2"),
        ("dataset.json", "give an nnU-Net folder"),
    ],
)
def test_a_missing_file_is_named(folder, name, message):
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"{Path(name).name}: no such file.*{message}"):
        read_nnunet(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"background": 0, "whole": [1, 2]}}, r"label 'whole' is a region \[1, 2\]"),
        ({"labels": {"background": 0, "PZ": 2}}, "from 0 without gaps"),
        ({"labels": {"background": 0, "PZ": 0}}, "from 0 without gaps"),
        ({"labels": {"background": 0, "PZ": 1, "ignore": 1}}, "from 0 without gaps"),
        ({"labels": {"background": 0, "PZ": "1"}}, "label 'PZ' has the index '1'"),
        ({"labels": None}, "has no object 'labels'"),
        ({"channel_names": {"1": "CT"}}, "must number the channels"),
        ({"channel_names": None, "modality": {"0": "CT"}}, "the format of nnU-Net 1"),
        ({"channel_names": None}, "has no 'channel_names'; add"),
        ({"file_ending": ".xyz"}, "file_ending '.xyz'"),
        ({"file_ending": ".nrrd"}, "has no case in imagesTr"),
    ],
)
def test_a_description_that_cannot_be_used_says_why(folder, changes, message):
    describe(folder, **changes)
    with pytest.raises(UserError, match=message):
        read_nnunet(folder)


def test_what_is_no_json_is_refused(folder):
    (folder / "dataset.json").write_text("{")
    with pytest.raises(UserError, match="is no JSON"):
        read_nnunet(folder)
