"""A command that succeeds quietly says nothing: no warning of a library reaches the user."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import rasterio


def test_quiet_success_prints_nothing(tmp_path):
    with rasterio.open(
        tmp_path / "l.tif", "w", driver="GTiff", width=32, height=32, count=1, dtype="uint8", crs="EPSG:32736",
        transform=rasterio.Affine(3, 0, 5e5, 0, -3, 9e6),
    ) as dst:  # fmt: skip
        dst.write(np.ones((1, 32, 32), np.uint8))
    (tmp_path / "c.yaml").write_text(
        "data: {kind: scenes, size: 160, window: 32, samples_per_epoch: 8}\n"
        "network: {name: BasicUNet, features: [4, 4, 8, 8, 16, 4]}\n"
        "training: {epochs: 1, batch_size: 4, accelerator: cpu}\n"
    )
    for arguments in (
        ["train", "c.yaml", "-o", "run"],
        ["fields", "run", "run/scenes/0000/scene.tif", "-o", "f.gpkg"],
        ["polygons", "l.tif", "-o", "l.gpkg"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "segnoise", *arguments, "--quiet"], cwd=tmp_path, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), arguments
