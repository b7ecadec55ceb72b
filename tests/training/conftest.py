"""A run so small that training takes seconds."""

from __future__ import annotations

import pytest

from segnoise.config import Config, make_config
from segnoise.data.scenes import field_scene

TINY = {
    "name": "tiny",
    "data": {
        "kind": "raster",
        "images": ["scene.tif"],
        "labels": "fields.gpkg",
        "window": 32,
        "samples_per_epoch": 12,
    },
    "network": {"name": "BasicUNet", "features": [4, 4, 8, 8, 16, 4]},
    "training": {"epochs": 4, "batch_size": 4, "lr": 3.0e-3, "accelerator": "cpu"},
}


@pytest.fixture(scope="session")
def scene_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    field_scene(192, seed=3).save(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(scene_folder):
    """Makes a tiny configuration, changed by overrides."""

    def make(*overrides: str) -> Config:
        return make_config(TINY, overrides, base=scene_folder)

    return make
