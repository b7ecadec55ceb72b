"""The deal of training, validation and test data can be held while everything else changes."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from segnoise.config import make_config
from segnoise.errors import UserError
from segnoise.training import Run, prepare


@pytest.fixture
def photographs(tmp_path):
    """Four slices each of six patients."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for k in range(24):
        for name in ("images", "masks"):
            path = tmp_path / name / f"p{k // 4}_{k % 4}.png"
            with rasterio.open(path, "w", driver="PNG", height=20, width=20, count=1, dtype="uint8") as dst:
                dst.write(np.eye(20, dtype=np.uint8), 1)
    return tmp_path


def regions(folder, name, **changes):
    data = {
        "kind": "images",
        "images": ["images/*.png"],
        "labels": "masks",
        "classes": ["a", "b"],
        "window": 20,
        "split": {"by": "source", "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}} | changes.pop("split", {}),
    }
    return prepare(make_config({"data": data, **changes}, base=folder), Run(folder / name)).regions


def test_a_seed_of_the_split_holds_it_while_the_run_s_seed_changes(photographs):
    by_seed = [regions(photographs, f"a{seed}", seed=seed) for seed in (0, 1)]
    assert by_seed[0] != by_seed[1]
    held = [regions(photographs, f"b{seed}", seed=seed, split={"seed": 1}) for seed in (0, 7)]
    assert held == [by_seed[1], by_seed[1]]
    blocks = [
        regions(photographs, f"c{seed}", seed=seed, split={"by": "block", "seed": 3}) for seed in (0, 1)
    ]  # fmt: skip
    assert blocks[0] == blocks[1]


def test_slices_of_a_patient_stay_on_one_side(photographs):
    dealt = regions(photographs, "run", split={"group": r"(p\d)_"})
    patients = {name: {region.index // 4 for region in boxes} for name, boxes in dealt.items()}
    assert {name: len(found) for name, found in patients.items()} == {"train": 3, "val": 2, "test": 1}
    assert sum(len(boxes) for boxes in dealt.values()) == 24
    assert not patients["train"] & patients["val"]
    assert not patients["train"] & patients["test"]


def test_a_group_that_matches_nothing_names_the_image(photographs):
    with pytest.raises(UserError, match=r"data\.split\.group: 'q\[0-9\]' matches nothing in the image name 'p0_0'"):
        regions(photographs, "run", split={"group": "q[0-9]"})
