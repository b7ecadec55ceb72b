"""A description is checked key by key, and every mistake is one line that names what would be right."""

from __future__ import annotations

import re

import pytest
import yaml

from segnoise.errors import UserError
from segnoise.evaluation.benchmark.description import load_benchmark, make_benchmark, packaged_benchmarks

SCENES = {"kind": "scenes", "size": 128, "window": 32}
PICTURES = {"kind": "images", "images": ["a/*.png"], "labels": "b", "classes": ["x", "y"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": []}, "b.yaml: noise: unknown key; did you mean 'noises'?"),
        ({"noises": []}, "b.yaml: noises: list should have at least 1 item"),
        ({"noises": ["kms(0.4)", "kms(0.4)"]}, "b.yaml: noises: something is listed twice"),
        ({"seeds": [-1]}, "b.yaml: seeds.0: input should be greater than or equal to 0 (given: -1)"),
        ({"sets": {}}, "b.yaml: sets: dictionary should have at least 1 item"),
        ({"sets": {"a b": {"data": SCENES}}}, "sets.a b: a set's name has letters, digits"),
        ({"sets": {"s": {"network": "Unet"}}}, "b.yaml: sets.s.data: this key is needed"),
        ({"sets": {"s": {"data": SCENES, "nework": "Unet"}}}, "sets.s.nework: unknown key; did you mean 'network'?"),
        ({"sets": {"s": {"data": SCENES, "network": "Unett"}}}, "there is no network 'Unett'; did you mean 'Unet'?"),
        ({"sets": {"s": {"data": {"kind": "scene"}}}}, "sets.s: data.kind: there is no kind 'scene'"),
        (
            {"sets": {"s": {"data": SCENES, "training": {"epoch": 3}}}},
            "sets.s: training.epoch: unknown key; did you mean 'epochs'?",
        ),
        (
            {"sets": {"s": {"data": SCENES, "training": {"early_stopping": 3}}}},
            "sets.s: training.early_stopping: would give the methods unequal numbers of steps",
        ),
        (
            {"sets": {"s": {"data": {**SCENES, "split": {"seed": 1}}}}},
            "sets.s: data.split.seed: the seeds of the benchmark deal the splits",
        ),
        (
            {"sets": {"s": {"data": {**PICTURES, "labels": "/home/me/labels"}}}},
            "sets.s: /home/me/labels: give a path relative to the folder of the data (--data)",
        ),
        (
            {"sets": {"s": {"data": PICTURES, "prepare": {"kind": "slice"}}}},
            "sets.s.prepare.kind: known: slices, grey, reduced",
        ),
        (
            {"sets": {"s": {"data": PICTURES, "prepare": {"kind": "slices", "axes": 1}}}},
            "sets.s.prepare.axes: unknown key; did you mean 'axis'?",
        ),
        (
            {"sets": {"s": {"data": PICTURES, "prepare": {"kind": "slices", "axis": 3}}}},
            "sets.s.prepare.axis: input should be less than or equal to 2 (given: 3)",
        ),
        ({"methods": ["km"]}, "there is no method 'km'; did you mean 'kms'?"),
        ({"methods": ["kms", "kms"]}, "methods: two have the label kms; give one of them another `label`"),
        (
            {"methods": [{"name": "cross_entropy", "label_smoothing": 0.1}]},
            "the label cross_entropy is that of the plain loss in every table",
        ),
        ({"methods": [{"name": "gce", "tune": {"q": [0.5]}}]}, "tuning: this section is needed, for gce has values"),
        (
            {"methods": [{"name": "gce", "tune": {"training.epochs": [1]}}], "tuning": {"seeds": [9]}},
            "tune.training.epochs: only training.lr and training.weight_decay leave the budget equal",
        ),
        (
            {"methods": [{"name": "gce", "tune": {"q": [0.1, 0.2, 0.3]}}], "tuning": {"seeds": [9], "trials": 2}},
            "gce has 3 combinations to try, more than tuning.trials 2",
        ),
        (
            {"methods": [{"name": "gce", "tune": {"gec.q": [0.1]}}], "tuning": {"seeds": [9]}},
            "tune.gec.q: did you mean 'gce'?",
        ),
        (
            {"methods": [{"method": ["gce", "kms"], "tune": {"q": [0.1]}}], "tuning": {"seeds": [9]}},
            "tune.q: say of which method: gce.q, kms.q",
        ),
        ({"tuning": {"seeds": [0]}}, "tuning.seeds: 0 is also a seed of the results; tune on other seeds"),
    ],
)
def test_a_mistake_is_one_line(described, change, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        make_benchmark(described(**change), "b.yaml")
    assert "\n" not in str(caught.value)


def test_methods_are_written_short_or_long(described):
    short = ["gce", {"name": "kms", "decay": 0.9}, ["gce", "kms"], {"label": "other", "method": "gce"}]
    labels = [m.label for m in make_benchmark(described(methods=short)).methods]
    assert labels == ["gce", "kms", "gce+kms", "other"]


def test_spaces_in_a_noise_do_not_matter(described):
    assert make_benchmark(described(noises=["kms( 0.4, rho = 0.9 )"])).noises == ["kms(0.4,rho=0.9)"]


@pytest.mark.parametrize("name", packaged_benchmarks())
def test_packaged_benchmarks_are_sound(name):
    benchmark, _ = load_benchmark(name)
    assert benchmark.name == name


def test_the_packaged_benchmarks_are_there():
    assert packaged_benchmarks() == ["full", "isic2017", "jsrt", "smoke", "standard", "whu"]


def test_a_file_is_read_relative_to_itself(tmp_path, described):
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump(described()))
    assert load_benchmark(path)[1] == tmp_path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "line 1: not valid YAML"),
        ("- a", "holds a list, not a mapping"),
        ("name: b", "seeds: this key is needed"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path, text, message):
    path = tmp_path / "bench.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(f"{path}")) as caught:
        load_benchmark(path)
    assert message in str(caught.value)


def test_a_name_that_is_neither_file_nor_packaged_names_the_nearest():
    with pytest.raises(UserError, match="smok: no such file or packaged benchmark; did you mean 'smoke'"):
        load_benchmark("smok")
    with pytest.raises(UserError, match=r"smok\.yaml: no such file; packaged benchmarks are full"):
        load_benchmark("smok.yaml")
