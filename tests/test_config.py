"""A configuration is checked key by key, and every mistake is one line that names what would be right."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segnoise.config import Config, load_config, make_config
from segnoise.errors import UserError

RASTER = {"data": {"kind": "raster", "images": ["a.tif"], "labels": "f.gpkg"}}


def write(folder, content):
    path = folder / "run.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainning": {}}, "trainning: unknown key; did you mean 'training'"),
        ({"training": {"epoch": 3}}, "training.epoch: unknown key; did you mean 'epochs'"),
        ({"data": {**RASTER["data"], "label": 1}}, "data.label: unknown key; did you mean 'labels'"),
        ({"data": {**RASTER["data"], "split": {"bye": 1}}}, "data.split.bye: unknown key; did you mean 'by'"),
        ({"data": {"kind": "rastr"}}, "data.kind: there is no kind 'rastr'; did you mean 'raster'"),
        ({"data": {"images": ["a"]}}, "data.kind: this key is needed"),
        ({"data": {"kind": "raster", "images": ["a"]}}, "data.labels: this key is needed"),
        ({"method": "km"}, "there is no method 'km'; did you mean 'kms'"),
        ({"network": "Unett"}, "did you mean 'Unet'"),
        ({"training": {"epochs": 0}}, r"training.epochs: .*greater than or equal to 1"),
        ({"training": {"precision": "8-bit"}}, "training.precision"),
        ({"data": {**RASTER["data"], "classes": ["a", "a"]}}, "class names must differ"),
        ({"data": {**RASTER["data"], "split": {"fractions": {"train": 0.5, "val": 0.1}}}}, "must sum to 1"),
        ({"data": {**RASTER["data"], "split": {"group": "a"}}}, "data.split: group goes with by: source"),
        (
            {"data": {**RASTER["data"], "split": {"by": "source", "group": "(a"}}},
            r"data.split.group: not a regular expression: missing \), .* \(given: '\(a'\)",
        ),
        ({"data": {**RASTER["data"], "scaling": {"kind": "divide"}}}, "divide is needed"),
        (
            {"data": {**RASTER["data"], "scaling": {"kind": "divide", "divide": 255, "per": "image"}}},
            "data.scaling: divide is one number for all images; leave per: image out",
        ),
        (
            {"data": {"kind": "volume", "images": ["a"], "classes": ["a", "b"], "slice_labels": "t.csv"}},
            "^data.slice_labels: no method reads them; add image_labels to method$",
        ),
        ({"name": "a/b"}, "name"),
        ({"seed": -1}, "seed"),
    ],
)
def test_each_mistake_is_one_line_that_names_the_key(tmp_path, change, message):
    with pytest.raises(UserError, match=message) as caught:
        load_config(write(tmp_path, {**RASTER, **change}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "holds a list, not a mapping"),
        ("a: [1", "line"),
        ("", "not a mapping"),
        ("just words", "str"),
    ],
)
def test_yaml_that_is_no_mapping_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load_config(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_config(tmp_path / "none.yaml")


def test_paths_in_the_file_are_relative_to_it_and_overrides_to_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    config = load_config(write(tmp_path, RASTER), ["data.labels=mine.gpkg"])
    assert config.data.images == [str(tmp_path / "a.tif")]
    assert config.data.labels == str(tmp_path / "here" / "mine.gpkg")


def test_overrides_are_yaml_and_keep_the_rest_of_their_section():
    raw = {**RASTER, "method": {"name": "kms", "rho": 0.5}, "network": "BasicUNet"}
    config = make_config(raw, ["training.lr=1e-2", "network.features=[8,8,16,32,64,8]", "noise=null", "seed=3"])
    assert config.training.lr == 0.01
    assert config.network.options == {"features": [8, 8, 16, 32, 64, 8]}
    assert config.network.name == "BasicUNet"
    assert config.seed == 3


@pytest.mark.parametrize(("override", "message"), [("training.epochs", "section.key=value"), ("seed=[", "YAML")])
def test_malformed_overrides_are_refused(override, message):
    with pytest.raises(UserError, match=message):
        make_config(RASTER, [override])


@pytest.mark.parametrize(
    ("noise", "spec", "seed"),
    [
        ("kms(0.4)", "kms(0.4)", 0),
        ({"name": "kms", "level": 0.3, "rho": 0.8, "seed": 2}, "kms(0.3, rho=0.8)", 2),
        ({"spec": "omission(0.2)", "seed": 5}, "omission(0.2)", 5),
    ],
)
def test_the_three_spellings_of_noise_mean_the_same(noise, spec, seed):
    config = make_config({**RASTER, "noise": noise})
    assert config.noise is not None
    assert (config.noise.spec, config.noise.seed) == (spec, seed)


@given(
    st.integers(0, 99),
    st.sampled_from(["kms", "gce", {"name": "kms", "rho": 0.7}]),
    st.sampled_from([None, "kms(0.2)"]),
)
def test_a_resolved_configuration_reads_back_equal(seed, method, noise):
    config = make_config({**RASTER, "seed": seed, "method": method, "noise": noise})
    again = Config.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json"))))
    assert again == config
    assert again.fingerprint() == config.fingerprint()


def test_the_fingerprint_ignores_what_does_not_decide_the_result():
    base = make_config(RASTER)
    assert make_config(RASTER, ["name=other", "training.workers=2"]).fingerprint() == base.fingerprint()
    assert make_config(RASTER, ["seed=1"]).fingerprint() != base.fingerprint()
    assert make_config(RASTER, ["method=kms"]).fingerprint() != base.fingerprint()


def test_configuration_errors_come_without_torch(tmp_path):
    path = write(tmp_path, {**RASTER, "trainning": {}})
    code = (
        "import sys\nfrom segnoise.config import load_config\nfrom segnoise.errors import UserError\n"
        f"try:\n    load_config({str(path)!r})\nexcept UserError:\n    print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_volumes_are_not_turned_unless_asked():
    volume = {"kind": "volume", "images": ["a.nii.gz"], "labels": "m", "classes": ["a", "b"]}
    assert not make_config({"data": volume}).data.augment
    assert make_config({"data": {**volume, "augment": True}}).data.augment
    assert make_config(RASTER).data.augment
