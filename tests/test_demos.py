"""The demos' drawings and configurations fit each other; that they train is seen by CI, which runs one of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from segnoise import demos
from segnoise.config import make_config
from segnoise.errors import UserError
from segnoise.training import Run, prepare


@pytest.mark.parametrize("name", [name for name in demos.DEMOS if name != "fields"])
def test_what_is_drawn_is_what_the_configuration_reads(tmp_path, name):
    demos.DEMOS[name].draw(tmp_path, 0)
    raw = demos.packaged_config(f"demo-{name}")
    config = make_config({**raw, "noise": None}, base=tmp_path)
    prepared = prepare(config, Run(tmp_path / "run"))
    assert all(prepared.regions[split] for split in ("train", "val", "test"))
    assert set(demos.DEMOS[name].scored) == set(config.data.classes[1:])
    seen = set()
    for region in prepared.regions["test"]:
        seen |= set(np.unique(prepared.given[region.index].read(region.window)))
    assert set(range(len(config.data.classes))) <= seen
    if config.data.split.group:
        eyes = {
            split: {re.search(config.data.split.group, prepared.sources[r.index].name)[1] for r in boxes}
            for split, boxes in prepared.regions.items()
        }
        assert not eyes["train"] & (eyes["val"] | eyes["test"])


def test_another_seed_draws_other_pictures(tmp_path):
    for seed in (0, 1):
        demos.DEMOS["lungs"].draw(tmp_path / str(seed), seed)
    first, second = (sorted((tmp_path / str(seed)).rglob("*.png")) for seed in (0, 1))
    assert len(first) == len(second) == 2 * demos.FILMS
    assert not {path.read_bytes() for path in first} & {path.read_bytes() for path in second}


def test_an_unknown_demo_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="'lung': there is none; did you mean 'lungs'"):
        demos.run_demo("lung", tmp_path / "demo")


def test_a_folder_with_other_things_is_not_deleted(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="is not a demo's folder"):
        demos.run_demo("lungs", tmp_path, overwrite=True)
    assert Path(tmp_path / "mine.txt").exists()
