"""Volumes of a run: how images and labels find each other, how they are split and made wrong, and what is refused."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from segnoise.config import make_config
from segnoise.data.volume import write_volume
from segnoise.errors import UserError
from segnoise.training import Run, prepare
from segnoise.training.opening import open_data
from segnoise.windows import Window

AFFINE = np.diag([-1.0, 1.5, 3.0, 1.0])
SHAPE = (12, 10, 6)


def volume(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:9, 2:8, 1:5] = 1
    labels[5:7, 4:6, 2:4] = 2
    return rng.normal(size=SHAPE).astype(np.float32), labels


@pytest.fixture
def place(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for k in range(8):
        image, labels = volume(k)
        write_volume(tmp_path / "images" / f"c{k}.nii.gz", image, AFFINE)
        write_volume(tmp_path / "labels" / f"c{k}.nii.gz", labels, AFFINE)
    return tmp_path


def config(folder, noise=None, **data):
    data = {
        "kind": "volume", "images": ["images/*.nii.gz"], "labels": "labels", "classes": ["none", "outer", "inner"],
        "window": [6, 6, 4], **data,
    }  # fmt: skip
    return make_config({"data": data, "noise": noise}, base=folder)


def whole(labels):
    return labels.read(Window((0,) * len(labels.shape), labels.shape))


@pytest.mark.parametrize("labels", ["labels", "labels/*.nii.gz", [f"labels/c{k}.nii.gz" for k in range(8)]])
def test_volumes_and_labels_are_paired_by_name(place, labels):
    opened = open_data(config(place, labels=labels), Run(place / "run"))
    assert [item.image.name for item in opened] == [item.file.name for item in opened]
    assert len(opened) == 8
    for item in opened:
        assert (whole(item.labels) == 2).sum() == 8
        assert item.source.spacing == (1.0, 1.5, 3.0)


def test_a_table_pairs_and_splits(place):
    rows = [f"images/c{k}.nii.gz,labels/c{7 - k}.nii.gz,{'train' if k < 5 else 'val'}" for k in range(8)]
    (place / "t.csv").write_text("\n".join(["image,label,split", *rows]))
    described = config(place, labels="t.csv", split={"by": "table"})
    opened = open_data(described, Run(place / "run"))
    assert [item.file.name for item in opened] == [f"c{7 - k}.nii.gz" for k in range(8)]
    regions = prepare(described, Run(place / "run")).regions
    assert [len(regions[name]) for name in ("train", "val", "test")] == [5, 3, 0]


def test_other_files_beside_the_labels_are_left_alone_and_two_of_one_name_are_told(place):
    (place / "labels" / "c0.json").write_text("{}")
    (place / "labels" / "readme.txt").touch()
    assert len(open_data(config(place), Run(place / "run"))) == 8
    _, labels = volume(0)
    write_volume(place / "labels" / "c0.nii", labels, AFFINE)
    with pytest.raises(
        UserError, match=r"data\.labels: two labels for .*c0\.nii\.gz: c0\.nii and c0\.nii\.gz; keep one"
    ):
        open_data(config(place), Run(place / "run"))
    with pytest.raises(UserError, match="the list is empty"):
        open_data(config(place, labels=[]), Run(place / "run"))


def test_an_nnunet_folder_brings_its_channels_labels_and_what_it_ignores(place):
    data = place / "Dataset001_X"
    for name in ("imagesTr", "labelsTr"):
        (data / name).mkdir(parents=True)
    for k in range(4):
        image, labels = volume(k)
        for channel in range(2):
            write_volume(data / "imagesTr" / f"x{k}_{channel:04d}.nii.gz", image + channel, AFFINE)
        write_volume(data / "labelsTr" / f"x{k}.nii.gz", labels, AFFINE)
    described = {
        "channel_names": {"0": "T1", "1": "T2"}, "labels": {"none": 0, "outer": 1, "ignore": 2}, "file_ending": ".nii.gz"
    }  # fmt: skip
    (data / "dataset.json").write_text(json.dumps(described))
    opened = open_data(
        config(place, images=["Dataset001_X/dataset.json"], labels=None, classes=["none", "outer"]), Run(place / "run")
    )
    assert [item.source.channels for item in opened] == [2] * 4
    assert all((whole(item.labels) == 255).sum() == 8 for item in opened)
    with pytest.raises(UserError, match=r"data\.classes: a, b, but .* has none, outer; write those"):
        open_data(config(place, images=["Dataset001_X/dataset.json"], labels=None, classes=["a", "b"]), Run(place))


@pytest.mark.parametrize("noise", ["kms(0.3)", "boundary(2mm)"])
def test_noisy_labels_lie_beside_the_run_on_the_grid_of_the_network(place, noise):
    described = config(place, noise)
    prepared = prepare(described, Run(place / "run"))
    assert prepared.clean is not None
    changed = {name: [] for name in prepared.regions}
    for name, regions in prepared.regions.items():
        for region in regions:
            given, clean = whole(prepared.given[region.index]), whole(prepared.clean[region.index])
            changed[name].append((given != clean).mean())
            file = nibabel.load(place / "run" / "labels" / f"{region.index:04d}_given.nii.gz")
            np.testing.assert_array_equal(np.asarray(file.dataobj), given)
            assert nibabel.aff2axcodes(file.affine) == ("R", "A", "S")
    assert max(changed["test"]) == 0
    assert min(np.mean(changed["train"]), np.mean(changed["val"])) > 0.02
    if noise.startswith("kms"):
        assert abs(np.mean(changed["train"]) - 0.3) < 0.01
    again = prepare(described, Run(place / "run"))
    np.testing.assert_array_equal(whole(again.given[0]), whole(prepared.given[0]))


def test_slices_of_a_volume_stay_on_one_side_and_are_its_planes(place):
    described = config(place, window=6, slices={"axis": 2, "neighbours": 1}, orientation=None)
    prepared = prepare(described, Run(place / "run"))
    assert len(prepared.sources) == 8 * SHAPE[2]
    assert prepared.channels == 3
    of = {name: {prepared.sources[r.index].name.split("/")[0] for r in rs} for name, rs in prepared.regions.items()}
    assert sum(len(names) for names in of.values()) == 8
    np.testing.assert_array_equal(whole(prepared.given[2]), volume(0)[1][:, :, 2])
    noisy = prepare(config(place, "kms(0.3)", window=6, slices={"axis": 2}), Run(place / "noisy"))
    assert (place / "noisy" / "labels" / "0000_given.tif").is_file()
    assert any((whole(g) != whole(c)).any() for g, c in zip(noisy.given, noisy.clean, strict=True))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": None}, r"data\.labels: this key is needed"),
        ({"images": ["none/*.nii.gz"]}, "the pattern matches no volume"),
        ({"labels": ["labels/c0.nii.gz"]}, r"data\.labels: no labels for .*c1\.nii\.gz; add c1\.\*"),
        ({"classes": ["none", "outer"]}, "class value 2 is outside the list of 2 classes"),
        ({"spacing": [0, 1, 1]}, r"data\.spacing: millimetres must be positive"),
        ({"window": [6, 6]}, "2 sides for crops of 3 axes"),
        ({"window": 2}, "a side of 2 is not between 4 and 4096"),
        ({"split": {"by": "block"}}, "volumes are dealt whole"),
        ({"orientation": "RAX"}, r"data\.orientation"),
        ({"orientation": "RRS"}, "one of R/L, one of A/P and one of S/I"),
        ({"slices": {"axis": 3}}, r"data\.slices\.axis"),
        ({"noise": "boundary(2m)"}, "mm"),
    ],
)
def test_what_cannot_be_trained_on_is_told(place, change, told):
    noise = change.pop("noise", None)
    with pytest.raises(UserError, match=told):
        prepare(config(place, noise, **change), Run(place / "run"))


def test_labels_on_another_grid_name_both_and_the_flip(place):
    _, labels = volume(0)
    turned = AFFINE @ np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    write_volume(place / "labels" / "c3.nii.gz", labels[::-1], turned, overwrite=True)
    with pytest.raises(UserError, match=r"labels/c3\.nii\.gz: not on the grid of its image .*images/c3.*flipped"):
        prepare(config(place), Run(place / "run"))
