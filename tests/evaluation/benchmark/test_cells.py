"""The address of a cell: everything that decides its result, and nothing else."""

from __future__ import annotations

import pytest

from segnoise.evaluation.benchmark.cells import first_difference, make_cell, settings_of
from segnoise.evaluation.benchmark.description import SetEntry, make_benchmark

IMAGES = {"kind": "images", "images": ["a/*.png"], "labels": "b", "classes": ["x", "y"], "window": 32}


def cell(data=None, noise="kms(0.4)", seed=0, threads=1, method=None, training=None, changes=None, kind="run", **more):
    entry = SetEntry(data={**IMAGES, **(data or {})}, training=training or {}, **more)
    return make_cell(kind, "s", entry, "m", method or [{"name": "gce"}], changes or {}, noise, seed, threads)


def test_the_address_is_the_same_tomorrow():
    assert cell().hash == "238395b7de4e0b11"


def test_how_the_description_is_written_does_not_matter():
    assert cell(training={"epochs": 50, "batch_size": 16}).hash == cell().hash  # the defaults
    assert cell(data=dict(reversed(IMAGES.items()))).hash == cell().hash
    assert cell(method=[{"name": "gce", "q": 0.7}]).hash == cell().hash
    assert cell(network={"name": "BasicUNet"}).hash == cell(network="BasicUNet").hash == cell().hash


def test_devices_and_workers_and_the_place_of_the_work_do_not_matter(tmp_path, monkeypatch):
    before = cell().hash
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cell().hash == before
    assert cell(training={"accelerator": "cpu", "devices": 1, "workers": 3}).hash == before


def test_an_option_that_came_later_and_is_off_does_not_matter_until_it_is_on(monkeypatch):
    before = cell(method=[{"name": "gce", "q": 0.5}]).hash
    monkeypatch.setattr(
        "segnoise.evaluation.benchmark.cells.method_defaults", lambda name: {"q": 0.7, "warmup": 0.1, "later": False}
    )
    assert cell(method=[{"name": "gce", "q": 0.5}]).hash == before
    assert cell(method=[{"name": "gce", "q": 0.5, "later": False}]).hash == before
    assert cell(method=[{"name": "gce", "q": 0.5, "later": True}]).hash != before
    monkeypatch.setattr(
        "segnoise.evaluation.benchmark.cells.method_defaults", lambda name: {"q": 0.7, "warmup": 0.1, "later": True}
    )
    assert (
        cell(method=[{"name": "gce", "q": 0.5, "later": False}]).hash != cell(method=[{"name": "gce", "q": 0.5}]).hash
    )


def test_a_default_of_a_method_that_changes_matters(monkeypatch):
    before = cell().hash
    monkeypatch.setattr("segnoise.evaluation.benchmark.cells.method_defaults", lambda name: {"q": 0.6})
    assert cell().hash != before


@pytest.mark.parametrize(
    "change",
    [
        {"data": {"window": 64}},
        {"data": {"images": ["c/*.png"]}},
        {"noise": "kms(0.2)"},
        {"noise": "none"},
        {"seed": 1},
        {"threads": 2},
        {"method": [{"name": "gce", "q": 0.5}]},
        {"method": [{"name": "kms"}]},
        {"training": {"epochs": 3}},
        {"changes": {"lr": 0.1}},
        {"kind": "two_networks"},
        {"network": {"name": "BasicUNet", "features": [4, 4, 8, 8, 16, 4]}},
        {"prepare": {"kind": "grey"}},
    ],
    ids=str,
)
def test_everything_that_decides_the_result_matters(change):
    assert cell(**change).hash != cell().hash


def test_the_seed_decides_initialisation_order_split_and_noise_of_all_methods():
    one, other = cell(seed=3), cell(seed=3, method=[{"name": "kms"}])
    assert one.run["seed"] == other.run["seed"] == 3
    assert one.run["noise"] == other.run["noise"] == {"spec": "kms(0.4)", "seed": 3}
    assert cell(noise="none").run["noise"] is None


def test_settings_name_the_first_difference(described):
    old = make_benchmark(described()).sets["scenes"]
    new = old.model_copy(update={"training": {**old.training, "epochs": 9}})
    assert first_difference(settings_of(old), settings_of(new)) == "training.epochs: 2, here 9"
    without = old.model_copy(update={"training": {k: v for k, v in old.training.items() if k != "epochs"}})
    assert first_difference(settings_of(old), settings_of(without)) == "training.epochs: 2, here the default"
