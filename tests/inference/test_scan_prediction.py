"""Whole OCT scans are predicted as their B-scans would be, and written where the scan lies."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import rasterio
import SimpleITK
import torch

from segnoise.config import make_config
from segnoise.data import Scaling
from segnoise.data.oct import read_duke, read_retouch, read_scan, read_vendor, scan_name
from segnoise.data.volume import write_volume
from segnoise.errors import UserError
from segnoise.inference import predict_image, predict_scan
from segnoise.training import Model
from segnoise.training.system import build_system
from segnoise.windows import Window
from tests.data.oct import oct_trees as trees

COUNT, ROWS, COLUMNS = SHAPE = 4, 40, 28
SIZES = {"bscan": 0.12, "depth": 0.004, "width": 0.011}
WHOLE = Window((0, 0), (ROWS, COLUMNS))


def untrained(**data):
    """A run on B-scans that has not learned anything."""
    data = {"kind": "oct", "folder": ".", "window": [24, 16], **data}
    config = make_config({"data": data, "network": {"name": "BasicUNet", "features": [4] * 6}}, base=Path())
    torch.manual_seed(0)
    return Model(build_system(config, 1, weights=False), Scaling((0.0,), (1.0,)), config, Path("runs/r")).eval()


def leaning(x):
    """Logits of two classes for which up and down, left and right, depth and width differ."""
    v = x[:, 0]
    lean = v - 0.5 * v.roll(1, 1) + 0.3 * v.roll(2, 2)
    return torch.stack([-lean, lean], 1)


@pytest.fixture(scope="module")
def model():
    run = untrained()
    run.forward = leaning
    return run


@pytest.fixture
def stack():
    """B-scans of 8 bits, bright at the top left, and labels of them."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(120, 0, ROWS)[:, None] + np.linspace(80, 0, COLUMNS)
    values = (ramp + rng.integers(0, 50, SHAPE)).astype(np.uint8)
    labels = (rng.random(SHAPE) < 0.3).astype(np.uint8)
    labels[1, :9] = 255
    return values, labels


def one_by_one(model, values, labels, folder):
    """Masks, scores and label errors of B-scans as the pictures that they are: ``B rows columns``."""
    folder.mkdir()
    masks, scores, errors = [], [], []
    for k, (image, given) in enumerate(zip(values, labels, strict=True)):
        for name, array in (("image", image), ("given", given)):
            with rasterio.open(
                folder / f"{name}{k}.png", "w", driver="PNG", count=1, height=ROWS, width=COLUMNS, dtype="uint8"
            ) as dst:
                dst.write(array, 1)
        predict_image(
            model, folder / f"image{k}.png", folder / f"{k}.png", scores=folder / f"p{k}.tif",
            labels=folder / f"given{k}.png", label_error=folder / f"w{k}.tif",
        )  # fmt: skip
        for found, file in ((masks, f"{k}.png"), (scores, f"p{k}.tif"), (errors, f"w{k}.tif")):
            with rasterio.open(folder / file) as src:
                found.append(src.read())
    return np.concatenate(masks), np.stack(scores), np.concatenate(errors)


def along(stack, axes):
    """A stack ``... B rows columns`` with its axes in another order."""
    order = [("bscan", "depth", "width").index(axis) - 3 for axis in axes]
    return np.moveaxis(stack, order, range(-3, 0))


@pytest.mark.parametrize(
    ("ending", "axes"),
    [
        (".nii.gz", ("width", "depth", "bscan")),
        (".nii", ("depth", "width", "bscan")),
        (".mhd", ("width", "depth", "bscan")),
        (".nrrd", ("bscan", "depth", "width")),
        (".mha", ("depth", "bscan", "width")),
    ],
)
def test_a_volume_is_predicted_as_its_bscans_and_lies_on_the_file(model, stack, tmp_path, ending, axes):
    values, labels = stack
    affine = np.eye(4)
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, -1]])
    affine[:3, :3], affine[:3, 3] = turn * [SIZES[axis] for axis in axes], (7, -8, 9)
    scan, given = tmp_path / f"eye{ending}", tmp_path / f"given{ending}"
    for path, array in ((scan, values), (given, labels)):
        if ending.startswith(".nii"):
            nibabel.save(nibabel.Nifti1Image(along(array, axes), affine), path)
            continue
        image = SimpleITK.GetImageFromArray(along(array, axes).T)
        lps = np.diag([-1, -1, 1]) @ affine[:3]
        image.SetSpacing([SIZES[axis] for axis in axes])
        image.SetDirection((np.diag([-1, -1, 1]) @ turn).ravel())
        image.SetOrigin(lps[:, 3])
        SimpleITK.WriteImage(image, str(path))
    steps = []
    made = predict_scan(
        model, scan, tmp_path / "seg.nii.gz", scores=tmp_path / "p.nii.gz", labels=given,
        label_error=tmp_path / "wrong.nii.gz", progress=lambda *done: steps.append(done),
    )  # fmt: skip
    masks, scores, errors = one_by_one(model, values, labels, tmp_path / "single")
    for name, wanted in (("seg", masks), ("wrong", errors), ("p", np.moveaxis(scores, 1, 0))):
        file = nibabel.load(tmp_path / f"{name}.nii.gz")
        np.testing.assert_allclose(file.affine, affine, atol=1e-6)
        found = np.asarray(file.dataobj)
        wanted = along(wanted, axes)
        np.testing.assert_array_equal(found, np.moveaxis(wanted, 0, -1) if name == "p" else wanted)
    assert 0 < masks.mean() < 1
    assert steps == [(k, COUNT) for k in range(1, COUNT + 1)]
    assert made.wrong.labels == (labels != 255).sum()
    assert made.wrong.expected == pytest.approx(np.nansum(errors, dtype=float))


class TestWhichAxis:
    @pytest.mark.parametrize("sizes", [(1, 1, 1), (0.01, 0.01, 0.12), (0.03, 0.002, 0.03), (0.0101, 0.01, 0.12)])
    def test_what_the_spacing_does_not_tell_must_be_said(self, model, stack, tmp_path, sizes):
        values, _ = stack
        path = write_volume(tmp_path / "eye.nii.gz", along(values, ("depth", "width", "bscan")), np.diag([*sizes, 1]))
        with pytest.raises(UserError, match=r"eye\.nii\.gz: spacing \(.*\) mm does not tell which .* say --axes"):
            predict_scan(model, path, tmp_path / "seg.nii.gz")
        assert not (tmp_path / "seg.nii.gz").exists()
        np.testing.assert_array_equal(read_scan(path, ("depth", "width", "bscan")).values, values)

    def test_what_is_said_stands_before_the_spacing(self, stack, tmp_path):
        path = write_volume(tmp_path / "eye.nii.gz", stack[0], np.diag([0.004, 0.011, 0.12, 1]))
        np.testing.assert_array_equal(read_scan(path, ("bscan", "depth", "width")).values, stack[0])

    @pytest.mark.parametrize("axes", [("depth", "width"), ("depth", "width", "width"), ("x", "y", "z")])
    def test_axes_are_each_named_once(self, stack, tmp_path, axes):
        path = write_volume(tmp_path / "eye.nii.gz", stack[0], np.eye(4))
        with pytest.raises(UserError, match="give width, depth, bscan, each once"):
            read_scan(path, axes)

    def test_formats_that_say_their_axes_take_none(self, tmp_path):
        trees.write_duke(tmp_path, subjects=(1,))
        with pytest.raises(UserError, match=r"Subject_01\.mat: its format says .* leave the axes out"):
            read_scan(tmp_path / "Subject_01.mat", ("width", "depth", "bscan"))


class TestSets:
    def test_a_retouch_scan_is_seen_as_in_training_and_judged_by_its_reference(self, tmp_path):
        _, labels = trees.write_retouch(tmp_path, "Cirrus", "TRAIN003", SHAPE, "uint16")
        path = tmp_path / "Cirrus" / "TRAIN003" / "oct.mhd"
        whole = read_scan(path)
        _, items = read_retouch(tmp_path)
        for k, item in enumerate(items):
            for one, other in zip(whole.bscan(k).read(WHOLE), item.source.read(WHOLE), strict=True):
                np.testing.assert_array_equal(one, other)
            assert whole.bscan(k).spacing == pytest.approx(item.source.spacing)
        run = untrained(layout="retouch", classes=["background", "IRF", "SRF", "PED"])
        out, wrong = tmp_path / "seg.nii.gz", tmp_path / "wrong.nii.gz"
        made = predict_scan(run, path, out, labels=path.with_name("reference.mhd"), label_error=wrong)
        assert made.wrong.labels == labels.size
        scan, seg = SimpleITK.ReadImage(str(path)), SimpleITK.ReadImage(str(out))
        assert seg.GetSize() == scan.GetSize()
        for get in ("GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(getattr(seg, get)(), getattr(scan, get)(), atol=1e-6)
        assert scan_name(path) == "TRAIN003"

    def test_a_retouch_scan_keeps_its_axes_whatever_its_header_says(self, tmp_path):
        values, _ = trees.write_retouch(tmp_path, "Cirrus", "TRAIN003", SHAPE, "uint8")
        path = tmp_path / "Cirrus" / "TRAIN003" / "oct.mhd"
        path.write_text(
            "\n".join(x for x in path.read_text().splitlines() if not x.startswith("ElementSpacing")) + "\n"
        )
        np.testing.assert_array_equal(read_scan(path).values, values)

    def test_all_of_a_duke_subject_is_predicted_on_a_grid_of_its_spacing(self, tmp_path, model):
        trees.write_duke(tmp_path, subjects=(1,), labelled=(2, 6))
        path = tmp_path / "Subject_01.mat"
        whole = read_scan(path)
        _, items = read_duke(tmp_path)
        for item, k in zip(items, (2, 6), strict=True):
            window = Window((0, 0), item.source.shape)
            np.testing.assert_array_equal(whole.bscan(k).read(window)[0], item.source.read(window)[0])
            assert whole.bscan(k).spacing == item.source.spacing
        rows, columns, scans = trees.DUKE
        labels = np.zeros((columns, rows, scans), np.uint8)
        seg = nibabel.load(predict_scan(model, path, tmp_path / "seg.nii.gz").path)
        assert seg.shape == labels.shape
        np.testing.assert_allclose(seg.affine, np.diag([-0.01133, -0.00387, 1, 1]), atol=1e-7)
        write_volume(tmp_path / "given.nii.gz", labels, seg.affine)
        made = predict_scan(
            model, path, tmp_path / "again.nii.gz", labels=tmp_path / "given.nii.gz",
            label_error=tmp_path / "wrong.nii.gz",
        )  # fmt: skip
        assert made.wrong.labels == labels.size


class TestDevices:
    def scans(self, path):
        whole = read_scan(path)
        items = read_vendor(path)[1]
        assert len(items) == len(whole.values)
        for k, item in enumerate(items):
            for one, other in zip(whole.bscan(k).read(WHOLE), item.source.read(WHOLE), strict=True):
                np.testing.assert_array_equal(one, other)
        return whole

    def test_topcon_and_cirrus_are_seen_as_in_training(self, stack, tmp_path, model):
        scan = self.scans(trees.write_fda(tmp_path / "eye.fda", stack[0], {}))
        np.testing.assert_array_equal(scan.values, stack[0])
        np.testing.assert_allclose(scan.grid.spacing, (6 / COLUMNS, 0.0026, np.nan))
        path = tmp_path / f"Cube {COLUMNS}x{COUNT}_z.img"
        path.write_bytes(stack[0].tobytes())
        self.scans(path)
        seg = nibabel.load(predict_scan(model, path, tmp_path / "seg.nii.gz").path)
        assert seg.shape == (COLUMNS, ROWS, COUNT)
        np.testing.assert_allclose(seg.header.get_zooms(), (6 / (COLUMNS - 1), 2 / (ROWS - 1), 1))

    def test_heidelbergs_missing_pixels_are_unknown(self, tmp_path, model):
        pytest.importorskip("eyepy", reason=".vol is read through eyepy")
        values = np.random.default_rng(0).random(SHAPE).astype(np.float32)
        values[1, 3, 4] = trees.MISSING
        path = trees.write_vol(tmp_path / "eye.vol", values, np.full((3, COUNT, COLUMNS), trees.MISSING))
        self.scans(path)
        seg = np.asarray(nibabel.load(predict_scan(model, path, tmp_path / "seg.nii.gz").path).dataobj)
        assert np.argwhere(seg == 255).tolist() == [[4, 3, 1]]

    def test_without_eyepy_the_extra_is_named(self, tmp_path, model, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "eyepy", None)
        (tmp_path / "eye.vol").touch()
        with pytest.raises(UserError, match=r"eye\.vol: \.vol files need eyepy; pip install segnoise\[oct\]"):
            predict_scan(model, tmp_path / "eye.vol", tmp_path / "seg.nii.gz")


def test_what_has_no_value_is_unknown_and_an_empty_bscan_no_mistake(model, stack, tmp_path):
    values = along(stack[0], ("width", "depth", "bscan")).astype(np.float32)
    values[:, :, 2] = np.nan
    values[3:5, 7, 0] = np.nan
    affine = np.diag([0.011, 0.004, 0.12, 1])
    scan = write_volume(tmp_path / "eye.nii.gz", values, affine)
    given = write_volume(tmp_path / "given.nii.gz", np.zeros(values.shape, np.uint8), affine)
    seg, p, wrong = (tmp_path / f"{name}.nii.gz" for name in ("seg", "p", "wrong"))
    made = predict_scan(model, scan, seg, scores=p, labels=given, label_error=wrong)
    unknown = np.isnan(values)
    np.testing.assert_array_equal(np.asarray(nibabel.load(seg).dataobj) == 255, unknown)
    np.testing.assert_array_equal(np.isnan(np.asarray(nibabel.load(p).dataobj)).any(-1), unknown)
    np.testing.assert_array_equal(np.isnan(np.asarray(nibabel.load(wrong).dataobj)), unknown)
    assert made.wrong.labels == (~unknown).sum()


def test_mistakes_are_one_line_and_leave_no_file(model, stack, tmp_path):
    values = along(stack[0], ("width", "depth", "bscan"))
    affine = np.diag([0.011, 0.004, 0.12, 1])
    scan = write_volume(tmp_path / "eye.nii.gz", values, affine)
    short = write_volume(tmp_path / "short.nii.gz", np.zeros((COLUMNS, ROWS, 3), np.uint8), affine)
    seven = write_volume(tmp_path / "seven.nii.gz", np.full(values.shape, 7, np.uint8), affine)
    half = write_volume(tmp_path / "half.nii.gz", np.full(values.shape, 0.5, np.float32), affine)
    two = write_volume(tmp_path / "two.nii.gz", np.stack([values, values]), affine)
    out = tmp_path / "out"
    out.mkdir()

    def judged(labels):
        return {"labels": labels, "label_error": out / "w.nii.gz", "scores": out / "p.nii.gz"}

    for path, name, more, told in (
        (scan, "seg.nii.gz", judged(short), r"short\.nii\.gz: not on the grid of its image .*eye\.nii\.gz"),
        (scan, "seg.nii.gz", judged(seven), r"seven\.nii\.gz: class value 7 is outside the list of 2 classes"),
        (scan, "seg.nii.gz", judged(half), r"half\.nii\.gz: label value 0\.5 is not a whole number"),
        (scan, "seg.nii.gz", judged(tmp_path / "none.nii.gz"), r"none\.nii\.gz: no such file"),
        (scan, "seg.png", {}, r"seg\.png: volumes are written as \.nii\.gz or \.nii"),
        (scan, "seg.nii.gz", {"scores": scan}, r"eye\.nii\.gz: already exists"),
        (scan, "seg.nii.gz", {"labels": scan}, "labels and label_error: give both"),
        (scan, "seg.nii.gz", {"overlap": 16}, "overlap 16: must be at least 0 and below the window 16"),
        (two, "seg.nii.gz", {}, r"two\.nii\.gz: has 2 channels; an OCT scan has one"),
        (tmp_path / "no.mhd", "seg.nii.gz", {}, r"no\.mhd: no such file"),
    ):
        with pytest.raises(UserError, match=told) as error:
            predict_scan(model, path, out / name, **more)
        assert "\n" not in str(error.value)
        assert list(out.iterdir()) == []


def test_a_run_on_other_data_is_told(tmp_path):
    raw = {"data": {"kind": "images", "images": ["a.png"], "labels": "b", "classes": ["a", "b"]}}
    config = make_config({**raw, "network": {"name": "BasicUNet", "features": [4] * 6}}, base=tmp_path)
    run = Model(build_system(config, 1, weights=False), Scaling((0.0,), (1.0,)), config, Path("runs/r"))
    with pytest.raises(UserError, match="runs/r: was trained on data of kind images, not on B-scans"):
        predict_scan(run, tmp_path / "a.nii.gz", tmp_path / "seg.nii.gz")
