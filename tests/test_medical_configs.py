"""The configurations of configs/medical: each can be read, its methods be built, and files laid out as its set's be opened."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from segnoise.config import load_config
from segnoise.data.volume import write_volume
from segnoise.methods import Objective
from segnoise.training import Run
from segnoise.training.opening import open_data
from tests.data import fundus_trees
from tests.data.oct import oct_trees

FOLDER = Path(__file__).parents[1] / "configs" / "medical"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_can_be_read_with_its_methods_and_data_beside_the_repository(file):
    config = load_config(file)
    assert Objective(config.methods(), len(config.data.classes)).names
    raw = yaml.safe_load(file.read_text())["data"]
    paths = [raw[key] for key in ("folder", "labels", "slice_labels") if key in raw] + raw.get("images", [])
    assert paths
    assert all(path.startswith("../../data/") for path in paths)
    line = next(line for line in file.read_text().splitlines() if "segnoise train" in line)
    assert f"configs/medical/{file.name}" in line


def test_the_page_lists_each_file():
    listed = re.findall(r"^\| `([\w.]+)`", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [file.name for file in FILES]


def opened(name, folder, *overrides):
    return open_data(load_config(FOLDER / f"{name}.yaml", overrides), Run(folder / "run"))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("drive", fundus_trees.write_drive), ("refuge", fundus_trees.write_refuge), ("duke_fluid", oct_trees.write_duke),
        ("olives", oct_trees.write_olives),
        ("retouch", lambda root: oct_trees.write_retouch(root, "Spectralis", "TRAIN025", (3, 12, 16), "uint16")),
    ],
)  # fmt: skip
def test_it_opens_files_that_are_laid_out_as_those_of_its_set(tmp_path, name, write):
    write(tmp_path)
    items = opened(name, tmp_path, f"data.folder={tmp_path}")
    assert items
    assert all((item.image_labels is not None) == (name == "olives") for item in items)


@pytest.mark.parametrize(
    ("name", "place", "images", "labels"),
    [
        ("hippocampus", "hippocampus", "images/hippocampus_00*.nii.gz", "labels/*.nii.gz"),
        ("nuclei", "nuclei_dsb2018", "images/02*.png", "labels"),
        ("ultrasound_nerves", "ultrasound_nerves", "images/us_001*.png", "labels"),
        ("polyps", "polyps", "images/cju1*.jpg", "labels"),
    ],
)
def test_it_opens_some_real_images_of_its_set(shared_data, tmp_path, name, place, images, labels):
    at = shared_data / place
    items = opened(name, tmp_path, f"data.images=[{at / images}]", f"data.labels={at / labels}")
    assert len(items) > 1
    if name == "ultrasound_nerves":
        assert {item.group for item in items} == {"001"}


def test_slices_of_a_table_are_dealt_by_patient(tmp_path):
    (tmp_path / "images").mkdir()
    rows = ["image,slice,tumour,oedema"]
    for name in ("case01_t1", "case01_t2", "case02_t1"):
        write_volume(tmp_path / "images" / f"{name}.nii.gz", np.zeros((8, 8, 4), np.float32), np.eye(4))
        rows.append(f"images/{name}.nii.gz,2,1,0")
    (tmp_path / "slices.csv").write_text("\n".join(rows))
    overrides = f"data.images=[{tmp_path}/images/*.nii.gz]", f"data.slice_labels={tmp_path}/slices.csv"
    items = opened("volume_slices_weak", tmp_path, *overrides)
    assert [item.group for item in items] == ["case01"] * 8 + ["case02"] * 4
    assert [item.source.name[-3:] for item in items if item.image_labels is not None] == ["002"] * 3
