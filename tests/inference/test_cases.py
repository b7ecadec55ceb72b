"""Which files are one scan, and which labels were given for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from segnoise.config import make_config
from segnoise.data import Scaling
from segnoise.data.volume import write_volume
from segnoise.errors import UserError
from segnoise.inference.cases import Case, cases_of, channels_of, labels_of, unknown_index
from segnoise.training import Model
from segnoise.training.system import build_system


def run_on(channels, images=("*.nii.gz",), neighbours=None, base=Path()):
    """An untrained run on volumes of so many channels."""
    data = {"kind": "volume", "images": list(images), "classes": ["none", "ball"], "window": 16}
    if neighbours is not None:
        data["slices"] = {"axis": 2, "neighbours": neighbours}
    config = make_config({"data": data, "network": {"name": "BasicUNet", "features": [4] * 6}}, base=base)
    inputs = channels * (2 * (neighbours or 0) + 1)
    scaling = Scaling((0.0,) * inputs, (1.0,) * inputs)
    return Model(build_system(config, inputs, weights=False), scaling, config, Path("runs/r"))


def volumes(folder, *names, channels=1):
    folder.mkdir(exist_ok=True)
    values = np.zeros((channels, 3, 3, 3), np.uint8)
    return [write_volume(folder / name, values, np.eye(4)) for name in names]


@pytest.mark.parametrize("neighbours", [None, 0, 2])
def test_slices_looked_at_together_are_no_channels_of_a_volume(neighbours):
    assert channels_of(run_on(3, neighbours=neighbours)) == 3


class TestChannels:
    def test_numbered_files_are_the_channels_of_a_case_in_the_order_of_their_numbers(self, tmp_path):
        b1, a0, b0, a1 = volumes(tmp_path, "p_b_0001.nii.gz", "p_a_0000.nii.gz", "p_b_0000.nii.gz", "p_a_0001.nii.gz")
        assert cases_of(run_on(2), [b1, a0, b0, a1]) == [Case("p_b", (b0, b1)), Case("p_a", (a0, a1))]

    def test_files_of_two_folders_or_kinds_are_not_mixed(self, tmp_path):
        here = volumes(tmp_path / "here", "a_0000.nii.gz", "a_0001.nii.gz")
        there = volumes(tmp_path / "there", "a_0000.nii", "a_0001.nii")
        other = volumes(tmp_path / "there", "a_0000.nii.gz", "a_0001.nii.gz")
        cases = cases_of(run_on(2), [*here, *there, *other])
        assert [case.files for case in cases] == [tuple(here), tuple(there), tuple(other)]

    def test_a_volume_that_has_all_channels_is_a_scan_whatever_its_number(self, tmp_path):
        paths = volumes(tmp_path, "day_0000.nii.gz", "day_0001.nii.gz", channels=2)
        assert cases_of(run_on(2), paths) == [Case("day_0000", (paths[0],)), Case("day_0001", (paths[1],))]

    def test_for_a_run_on_one_channel_numbers_are_names(self, tmp_path):
        paths = volumes(tmp_path, "day_0000.nii.gz", "day_0001.nii.gz")
        assert [case.name for case in cases_of(run_on(1), paths)] == ["day_0000", "day_0001"]

    def test_after_an_nnunet_set_of_one_channel_the_number_is_left_out(self, tmp_path):
        model = run_on(1, [str(tmp_path / "dataset.json")])
        paths = volumes(tmp_path, "c1_0000.nii.gz", "c2.nii.gz")
        assert cases_of(model, paths) == [Case("c1", (paths[0],)), Case("c2", (paths[1],))]

    @pytest.mark.parametrize(
        ("given", "missing"),
        [(["a_0000", "a_0002"], "a_0001"), (["a_0000", "a_0001"], "a_0002"), (["a_0001"], "a_0000")],
    )
    def test_a_channel_that_was_not_given_is_named(self, tmp_path, given, missing):
        paths = volumes(tmp_path, *(f"{name}.nii.gz" for name in given))
        with pytest.raises(UserError, match=rf"{missing}\.nii\.gz: was not given; the run was trained on 3 channels"):
            cases_of(run_on(3), paths)


class TestLabels:
    @pytest.fixture
    def cases(self, tmp_path):
        return [Case(p.name.removesuffix(".nii.gz"), (p,)) for p in volumes(tmp_path, "a.nii.gz", "b.1.nii.gz")]

    def test_a_folder_gives_each_scan_the_volume_called_so(self, tmp_path, cases):
        a, b, _ = volumes(tmp_path / "given", "a.nii", "b.1.nii.gz", "c.nii.gz")
        (tmp_path / "given" / "a.json").write_text("{}")
        assert labels_of(cases, tmp_path / "given") == [a, b]
        assert labels_of(cases[1:], str(tmp_path / "given")) == [b]

    def test_a_pattern_does_too(self, tmp_path, cases):
        a, b = volumes(tmp_path / "given", "a.nii.gz", "b.1.nii.gz")
        assert labels_of(cases, f"{tmp_path}/giv*/*.nii.gz") == [a, b]
        assert labels_of(cases[:1], f"{tmp_path}/giv*/*.nii.gz") == [a]

    def test_a_file_is_that_of_one_scan_whatever_it_is_called(self, tmp_path, cases):
        (other,) = volumes(tmp_path, "drawn[1].nii.gz")
        assert labels_of(cases[:1], other) == [other]
        with pytest.raises(UserError, match=r"no labels for .*a\.nii\.gz; add a\.\*"):
            labels_of(cases, volumes(tmp_path / "given", "b.1.nii.gz")[0])

    def test_a_folder_of_slices_is_one_volume_and_one_of_volumes_is_not(self, tmp_path, cases):
        (tmp_path / "given").mkdir()
        for name in ("z1.tif", "z2.tif"):
            tifffile.imwrite(tmp_path / "given" / name, np.zeros((4, 4), np.uint8))
        assert labels_of(cases[:1], tmp_path / "given") == [tmp_path / "given"]
        tifffile.imwrite(tmp_path / "given" / "a.tif", np.zeros((3, 4, 4), np.uint8))
        assert labels_of(cases[:1], tmp_path / "given") == [tmp_path / "given" / "a.tif"]

    def test_a_table_gives_them_by_path(self, tmp_path, cases):
        x, y = volumes(tmp_path / "given", "x.nii.gz", "y.nii.gz")
        (tmp_path / "pairs.csv").write_text("image,label\na.nii.gz,given/y.nii.gz\nb.1.nii.gz,given/x.nii.gz\n")
        assert labels_of(cases, tmp_path / "pairs.csv") == [y, x]
        (tmp_path / "pairs.csv").write_text("image,label\na.nii.gz,given/y.nii.gz\n")
        with pytest.raises(UserError, match=r"has no row for the image .*b\.1\.nii\.gz"):
            labels_of(cases, tmp_path / "pairs.csv")

    def test_none_or_two_for_a_scan_are_told(self, tmp_path, cases):
        volumes(tmp_path / "given", "a.nii", "a.nii.gz")
        with pytest.raises(UserError, match=r"two labels for .*a\.nii\.gz: a\.nii and a\.nii\.gz; keep one"):
            labels_of(cases, tmp_path / "given")
        with pytest.raises(UserError, match="matches no volume"):
            labels_of(cases, f"{tmp_path}/given/*.nrrd")


@pytest.mark.parametrize(("labels", "unknown"), [({}, None), ({"ignore": 2}, 2)])
def test_the_index_for_unknown_is_that_of_the_training_set(tmp_path, labels, unknown):
    volumes(tmp_path / "imagesTr", "c1_0000.nii.gz")
    volumes(tmp_path / "labelsTr", "c1.nii.gz")
    model = run_on(1, [str(tmp_path / "dataset.json")])
    assert unknown_index(model) is None
    described = {
        "channel_names": {"0": "MR"}, "labels": {"none": 0, "ball": 1, **labels}, "file_ending": ".nii.gz",
    }  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    assert unknown_index(model) == unknown
    assert unknown_index(run_on(1)) is None
