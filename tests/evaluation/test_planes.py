"""Volumes in the report: turned as radiologists hang them, true in proportion, with the slices and the doubts of a run."""

from __future__ import annotations

import base64
import io
import re
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segnoise.config import make_config
from segnoise.data import IGNORE_INDEX
from segnoise.data.volume.grid import VolumeGrid
from segnoise.evaluation import evaluate, write_metrics, write_report
from segnoise.evaluation.overlay import DOUBT_COLOUR, overlay_uri, shown_size
from segnoise.evaluation.pictures import class_colour
from segnoise.evaluation.planes import volume_views
from segnoise.evaluation.wholes import Looked, _turned, look, wholes
from segnoise.inference import predict_array
from segnoise.training import Run, load, prepare, train

SPACING = (1.0, 1.5, 3.0)
SHAPE = (18, 16, 10)
CODES = ["".join(codes) for sides in permutations(("RL", "AP", "SI")) for codes in product(*sides)]


def affine_of(codes, spacing):
    turn = nibabel.orientations.axcodes2ornt(tuple(codes))
    affine = np.zeros((4, 4))
    for axis, (world, sign) in enumerate(turn):
        affine[int(world), axis] = sign * spacing[axis]
    affine[:, 3] = (-7.0, 11.0, 5.0, 1.0)
    return affine


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).convert("RGB")).astype(int)


def near(picture, colour, within=60):
    return (np.abs(picture - np.array(list(bytes.fromhex(colour[1:])))).sum(-1) < within).any()


def looked(array, grid, axis=2):
    labels = np.zeros(array.shape, dtype=np.int64)
    numbers = tuple(tuple(range(n)) for n in array.shape)
    return Looked(
        "mr", array.astype(np.float32), np.ones(array.shape, dtype=bool), labels, labels, labels, None, True, axis,
        numbers, grid.spacing, None,
    )  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(CODES), st.permutations(SPACING), st.sampled_from([(4, 5, 6), (3, 3, 3)]))
def test_volumes_are_turned_left_back_and_down_and_every_voxel_keeps_its_place(codes, spacing, shape):
    grid = VolumeGrid(shape, affine_of(codes, spacing))
    assert grid.codes == codes
    rng = np.random.default_rng(0)
    array = rng.permutation(np.prod(shape)).reshape(shape)
    turned = _turned(looked(array, grid), grid)
    assert nibabel.aff2axcodes(turned.affine) == ("L", "P", "I")
    for voxel in np.ndindex(*shape):
        there = np.argwhere(turned.image == array[voxel])[0]
        np.testing.assert_allclose(turned.affine @ [*there, 1], grid.affine @ [*voxel, 1], atol=1e-9)
        numbers = sorted(turned.numbers[axis][k] for axis, k in enumerate(there))
        assert numbers == sorted(voxel)
    np.testing.assert_allclose(turned.spacing, nibabel.affines.voxel_sizes(turned.affine))


@pytest.mark.parametrize(
    ("slices", "shape", "spacing"), [((20, 10), (60, 60), (1.0, 2.0)), ((7, 7), (70, 140), (1, 2))]
)
def test_pictures_are_as_long_as_what_they_show(slices, shape, spacing):
    scale = shape[0] / (slices[0] * spacing[0])
    assert shown_size(slices, spacing, scale) == shape
    assert shown_size((4, 8), (float("nan"), float("nan")), 10) == (40, 80)


def test_lines_tints_and_doubts_lie_where_the_labels_say():
    grey, seen = np.full((10, 10), 128, dtype=np.uint8), np.ones((10, 10), dtype=bool)
    labels, other, p = (np.zeros((10, 10), dtype=int) for _ in range(3))
    labels[1:5, 1:5], other[6:9, 6:9] = 1, 2
    labels[9, 0] = IGNORE_INDEX
    p = np.zeros((10, 10), dtype=np.float32)
    p[6:9, 1:4] = 1
    size = (400, 400)
    picture = pixels(overlay_uri(grey, seen, size, outline=labels, fill=other, wrong=p))
    line = np.array(list(bytes.fromhex(class_colour(1)[1:])))
    assert np.abs(picture[40:200, 40] - line).sum(-1).mean() < 60, "the left border of the outline"
    assert np.abs(picture[80:160, 80:160] - 128).max() < 12, "its inside is the image"
    tint = 0.62 * 128 + 0.38 * np.array(list(bytes.fromhex(class_colour(2)[1:])))
    assert np.abs(picture[260:340, 260:340] - tint).max() < 14
    doubt = 0.25 * 128 + 0.75 * np.array(list(bytes.fromhex(DOUBT_COLOUR[1:])))
    assert np.abs(picture[260:340, 60:140] - doubt).max() < 14
    assert np.abs(picture[370:395, 5:35] - 128).max() < 12, "unknown labels are no object"


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Eight head-first scans stored front to left to down, with a bright object nearer to the right ear."""
    folder = tmp_path_factory.mktemp("scans")
    for part in ("images", "labels"):
        (folder / part).mkdir()
    for k in range(8):
        rng = np.random.default_rng(k)
        truth = np.zeros(SHAPE, dtype=np.uint8)
        i, j = rng.integers(2, 6), rng.integers(2, 6)
        truth[i : i + 6, j : j + 6, 2:7] = 1
        image = (200 * truth + rng.normal(100, 20, SHAPE)).astype(np.float32)
        for part, array in (("images", image), ("labels", truth)):
            file = nibabel.Nifti1Image(array, affine_of("ALI", SPACING))
            nibabel.save(file, folder / part / f"case{k}.nii.gz")
    return folder


def run_of(folder, name, **data):
    config = {
        "name": name,
        "data": {
            "kind": "volume", "images": ["images/*.nii.gz"], "labels": "labels", "classes": ["background", "mass"],
            "window": [8, 8, 8], "samples_per_epoch": 8,
            "split": {"by": "source", "fractions": {"train": 0.5, "val": 0.1, "test": 0.4}}, **data,
        },
        "noise": "kms(0.2)",
        "network": {"name": "BasicUNet", "features": [4, 4, 4, 8, 8, 4]},
        "training": {"epochs": 2, "batch_size": 4, "lr": 1e-2, "accelerator": "cpu"},
    }  # fmt: skip
    run = train(make_config(config, base=folder), folder / name, quiet=True)
    write_metrics(evaluate(run), run / "metrics.json")
    return run


@pytest.fixture(scope="module")
def run(scans):
    return run_of(scans, "whole")


@pytest.fixture(scope="module")
def cut(scans):
    return run_of(scans, "cut", slices={"axis": 1, "neighbours": 1}, window=8)


def opened(run):
    model = load(run)
    return model, prepare(model.config, Run(run))


def test_a_volume_is_predicted_and_doubted_in_place(run):
    model, prepared = opened(run)
    whole = wholes(prepared, "train")[0]
    seen = look(whole, model, prepared, label_errors=True)
    source = prepared.sources[whole.regions[0].index]
    p, _ = predict_array(model, source, model.sides, model.overlap)
    turn = nibabel.orientations.ornt_transform(
        *(nibabel.orientations.axcodes2ornt(c) for c in ("RAS", "LPI"))
    )  # networks see RAS
    np.testing.assert_array_equal(seen.prediction, nibabel.orientations.apply_orientation(p.argmax(0), turn))
    assert seen.wrong.shape == seen.given.shape
    assert 0 <= seen.wrong.min() < seen.wrong.max() <= 1
    assert seen.oriented
    assert seen.spacing == (1.5, 1.0, 3.0)
    assert seen.axis == 2, "the coarsest axis is the one slices lie across"
    changed = seen.given != seen.reference
    assert changed.any(), "the reference is the true label"


def test_the_slices_of_a_volume_make_it_whole_again(cut):
    model, prepared = opened(cut)
    found = wholes(prepared, "test")
    assert len({w.name for w in found}) == len(found)
    assert all(w.name.startswith("case") for w in found)
    seen = look(found[0], model, prepared, label_errors=False)
    file = nibabel.load(prepared.sources[found[0].regions[0].index].path)
    canonical = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(file.affine), nibabel.orientations.axcodes2ornt("LPI")
    )
    stored = nibabel.orientations.apply_orientation(file.get_fdata(dtype=np.float32), canonical)
    assert np.corrcoef(seen.image.ravel(), stored.ravel())[0, 1] > 1 - 1e-6, "values are scaled, none is moved"
    assert seen.axis == 1
    assert seen.numbers[1] == tuple(reversed(range(SHAPE[0]))), "slices from back to front are shown from the front"


def test_the_worst_volume_comes_first_and_planes_go_through_what_is_wrong(run):
    model, prepared = opened(run)
    views = volume_views(model, prepared)
    dice = [float(re.search(r"Dice ([0-9.]+)", view.note)[1]) for view in views.test]
    assert len(dice) == 3
    assert dice == sorted(dice)
    assert len(views.train) == 2
    assert not views.calibrated, "cross-entropy estimates no label errors"
    axial, coronal, sagittal = views.test[0].planes
    assert [p.heading.split(",")[0] for p in views.test[0].planes] == ["axial", "coronal", "sagittal"]
    assert (axial.letters, coronal.letters, sagittal.letters) == ("RLAP", "RLSI", "APSI")
    # 16 x 1.5, 18 x 1 and 10 x 3 mm: the longest is 300 pixels
    assert (sagittal.width, sagittal.height) == (180, 300)
    assert (axial.width, axial.height) == (240, 180)
    assert pixels(axial.uri).shape == (180, 240, 3)
    assert all("axial" in plane.heading for plane in views.test[0].slices)
    assert near(pixels(views.train[0].planes[0].uri), DOUBT_COLOUR, within=200)


def test_the_page_shows_them_with_letters_and_words(run):
    page = write_report([run]).read_text()
    section = page[page.index('id="volumes"') :]
    section = section[: section.index("</section>")]
    assert [section.count(f'class="{name}"') for name in ("planes", "mosaic")] == [5, 5]
    assert section.count('class="left" aria-hidden="true">R<') == 10, "axial and coronal planes"
    assert section.count('class="left" aria-hidden="true">A<') == 5
    assert all(alt for alt in re.findall(r'alt="([^"]*)"', section))


def test_b_scans_have_slices_and_no_planes(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        for eye in range(4):
            (tmp_path / part / f"eye{eye}").mkdir(parents=True)
            for k in range(5):
                mask = np.zeros((16, 24), dtype=np.uint8)
                mask[4:10, 4:14] = k > 0
                array = mask if part == "masks" else (100 * mask + rng.integers(0, 80, mask.shape)).astype(np.uint8)
                Image.fromarray(array).save(tmp_path / part / f"eye{eye}" / f"{k}.png")
    config = {
        "data": {"kind": "oct", "layout": "bscans", "folder": ".", "classes": ["background", "fluid"], "window": 16,
                 "samples_per_epoch": 8},
        "network": {"name": "BasicUNet", "features": [4, 4, 4, 8, 8, 4]},
        "training": {"epochs": 1, "batch_size": 4, "accelerator": "cpu"},
    }  # fmt: skip
    run = train(make_config(config, base=tmp_path), tmp_path / "oct", quiet=True)
    views = volume_views(*opened(run))
    assert views.test
    assert not any(view.planes for view in views.test)
    assert [p.heading for p in views.train[0].slices] == [f"slice {k}" for k in range(len(views.train[0].slices))]


def test_maps_and_photographs_have_no_volumes(demo):
    assert volume_views(*opened(demo.runs["plain"])) is None
    assert 'id="volumes"' not in demo.report.read_text()
