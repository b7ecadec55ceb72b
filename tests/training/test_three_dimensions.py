"""Every method trains on images and on volumes, through the whole of training and from files."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
import rasterio
import torch

from segnoise.config import make_config
from segnoise.data.volume import write_volume
from segnoise.methods import Objective
from segnoise.methods.names import METHODS
from segnoise.training import Run, load, train
from segnoise.training.checkpoint import load_checkpoint
from segnoise.training.system import build_system

CLASSES = ["none", "outer", "inner"]
VARIANTS = {
    "elr with a belief of each pixel": {"name": "elr", "memory": True},
    "forward by held-out labels": {"name": "forward", "confusion": "held_out"},
    "kms": {"name": "kms", "start": 0, "ramp": 0, "length": "6px"},
    "kms with a gate": {"name": "kms", "gate": True},
    "kms with a teacher": {"name": "kms", "start": 0, "ensemble": 0},
    "kms with peers": {"name": "kms", "start": 0, "peers": True},
}
GIVEN = {name: {"name": name} for name in METHODS if name != "kms"} | VARIANTS


def cube(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright boxes in noise, with a wrong corner."""
    labels = np.zeros((12, 12, 8), np.uint8)
    labels[2:10, 2:10, 1:7] = 1
    labels[4:8, 4:8, 2:6] = 2
    image = labels + np.random.default_rng(seed).normal(0, 0.3, labels.shape)
    labels[:4, :4] = 2
    return image.astype(np.float32), labels


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Four volumes, a slice of each as an image, and what is in each of them and in each slice."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("images", "masks", "volumes", "labels"):
        (folder / name).mkdir()
    of_slices, of_volumes = ["image,slice,outer,inner"], ["image,outer,inner"]
    for k in range(4):
        image, labels = cube(k)
        write_volume(folder / "volumes" / f"c{k}.nii.gz", image, np.diag([1.0, 1.0, 3.0, 1.0]))
        write_volume(folder / "labels" / f"c{k}.nii.gz", labels, np.diag([1.0, 1.0, 3.0, 1.0]))
        of_slices += [f"volumes/c{k}.nii.gz,{z},{int(0 < z < 7)},{int(1 < z < 6)}" for z in range(8)]
        of_volumes.append(f"volumes/c{k}.nii.gz,1,{'' if k else 0}")
        grey = np.clip(80 * image[..., 4] + 40, 0, 255).astype(np.uint8)
        for name, array in (("images", grey), ("masks", labels[..., 4])):
            side = {"height": 48, "width": 48, "count": 1, "dtype": "uint8"}
            with rasterio.open(folder / name / f"c{k}.png", "w", driver="PNG", **side) as file:
                file.write(np.kron(array, np.ones((4, 4), np.uint8))[None])
    (folder / "slices.csv").write_text("\n".join(of_slices))
    (folder / "volumes.csv").write_text("\n".join(of_volumes))
    return folder


def described(folder, axes: int, method: dict) -> dict:
    weak = method["name"] == "image_labels"
    volumes = {"kind": "volume", "images": ["volumes/*.nii.gz"], "labels": "labels", "window": [8, 8, 8]}
    if axes == 3:
        # The window is the whole volume, so that what is in the volume is in the crop.
        data = {**volumes, "window": [12, 12, 8], "slice_labels": str(folder / "volumes.csv")} if weak else volumes
    elif weak:
        data = {**volumes, "window": 12, "slices": {"axis": 2}, "slice_labels": str(folder / "slices.csv")}
    else:
        data = {"kind": "images", "images": ["images/*.png"], "labels": "masks", "window": 16}
    split = {"by": "source", "fractions": {"train": 0.5, "val": 0.5, "test": 0}}
    return {
        "data": {"classes": CLASSES, "samples_per_epoch": 2, "split": split, **data},
        "network": {"name": "UNet", "channels": [4, 8], "strides": [2]},
        "method": method,
        "training": {"epochs": 3, "batch_size": 2, "lr": 1.0e-2, "accelerator": "cpu"},
    }


CLIPS = {"ms_tfal"}
"""Methods that compare neighbours along an axis, of which an image has none."""


@pytest.mark.parametrize(
    ("method", "axes"),
    [
        pytest.param(method, axes, id=f"{name}, {axes}-D")
        for name, method in GIVEN.items()
        for axes in (2, 3)
        if axes == 3 or name not in CLIPS
    ],
)
def test_every_method_takes_three_steps(place, tmp_path, method, axes):
    config = make_config(described(place, axes, method), base=place)
    run = Run(train(config, tmp_path / "run", quiet=True))
    with open(run.log, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["step"]) for row in rows] == [1, 2, 3]
    losses = [float(row[key]) for row in rows for key in ("loss", "supervised", "val_loss")]
    assert all(math.isfinite(loss) for loss in losses)
    assert len({row["loss"] for row in rows}) == 3
    if method["name"] == "image_labels":
        assert all(float(row["image_labels"]) > 0 for row in rows)

    needs = Objective([method], len(CLASSES)).needs
    state = load_checkpoint(run.checkpoint("last"))["system"]
    start = build_system(config, in_channels=1).state_dict()
    trained = {key: value for key, value in state.items() if key.startswith("networks.") and value.is_floating_point()}
    assert {key.split(".")[1] for key in trained} == {str(k) for k in range(needs.networks)}
    for number in range(needs.networks):
        mine = {key: value for key, value in trained.items() if key.startswith(f"networks.{number}.")}
        assert any(not torch.equal(value, start[key]) for key, value in mine.items())
    assert any(key.startswith("teachers.") for key in state) == (needs.teacher is not None)

    logits = load(run.folder)(torch.zeros(1, 1, *([16] * axes)))
    assert logits.shape == (1, len(CLASSES), *([16] * axes))
    assert torch.isfinite(logits).all()
