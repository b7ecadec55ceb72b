"""Error maps of any size: windows change next to nothing, objects add up, and mistakes are told."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.data import ArrayLabels, ArraySource
from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.inference import error_map_array, map_label_errors, object_errors
from segnoise.inference.errormap import error_windows
from segnoise.kms import error_map, sample_field
from segnoise.windows import Window


def drawn(shape: tuple[int, ...], rho: float = 0.9, classes: int = 2, seed: int = 0):
    """Calibrated probabilities, given labels, and which of them are wrong, drawn from the model."""
    rng = generator(seed, "errormap")
    rate = 1 / (1 + np.exp(-(-2.0 + 1.3133 * sample_field(shape, rho, rng))))
    logits = 3 * rng.standard_normal((classes, *shape))
    p = np.exp(logits) / np.exp(logits).sum(0)
    truth = (rng.random(shape) > p.cumsum(0)[:-1].reshape(classes - 1, *shape)).sum(0)
    wrong = rng.random(shape) < rate
    given_ = np.where(wrong, (truth + rng.integers(1, classes, shape)) % classes, truth)
    return p.astype(np.float32), given_, wrong


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_windows_change_next_to_nothing_and_tile_the_grid(rho):
    p, labels, _ = drawn((150, 210), rho)
    whole = error_map(torch.from_numpy(p)[None], torch.from_numpy(labels)[None], rho)[0].numpy()
    parts = error_map_array(p, labels, rho=rho, window=64)
    assert not np.isnan(parts).any()
    assert np.abs(parts - whole).mean() < 0.005
    seen = np.zeros(labels.shape, dtype=int)
    for core, found in error_windows(ArraySource(p), ArrayLabels(labels), rho, -2.0, 1.3133, 64):
        assert found.shape == core.size
        seen[core.slices] += 1
    assert (seen == 1).all()
    assert np.array_equal(error_map_array(p, labels, rho=rho, window=512), whole.astype(np.float32))


def test_a_seam_between_windows_is_no_edge():
    """Along the seams maps of whole and parts differ no more than a hundredth, where an unhaloed cut would show."""
    p, labels, _ = drawn((128, 128))
    whole = error_map(torch.from_numpy(p)[None], torch.from_numpy(labels)[None], 0.9)[0].numpy()
    seam = np.abs(error_map_array(p, labels, rho=0.9, window=64) - whole)[62:66]
    cut = error_map(torch.from_numpy(p)[None, :, :64], torch.from_numpy(labels)[None, :64], 0.9)[0].numpy()
    assert seam.mean() < 0.25 * np.abs(cut - whole[:64])[62:].mean()


def test_a_volume_with_a_correlation_for_each_axis():
    p, labels, _ = drawn((10, 40, 44), classes=3)
    rho = (0.3, 0.8, 0.9)
    whole = error_map(torch.from_numpy(p)[None], torch.from_numpy(labels)[None], rho)[0].numpy()
    assert np.abs(error_map_array(p, labels, rho=rho, window=20) - whole).mean() < 0.005


def raster(path, array, nodata=None, crs="EPSG:32736", west=0.0):
    array = array[None] if array.ndim == 2 else array
    profile = {"driver": "GTiff", "width": array.shape[2], "height": array.shape[1], "count": len(array)}
    profile |= {"dtype": array.dtype.name, "crs": crs, "transform": rasterio.Affine(10, 0, west, 0, -10, 0)}
    with rasterio.open(path, "w", nodata=nodata, **profile) as dst:
        dst.write(array)
    return path


def test_a_raster_keeps_its_grid_and_tells_how_many_labels_are_wrong(tmp_path):
    p, labels, wrong = drawn((130, 170), classes=3)
    labels = labels.astype(np.uint8)
    labels[:20, :30] = 255
    p[:, 100:, 150:] = np.nan
    steps = []
    found = map_label_errors(
        raster(tmp_path / "p.tif", p, nodata=float("nan")), raster(tmp_path / "y.tif", labels, nodata=255),
        tmp_path / "wrong.tif", rho=0.9, window=64, progress=lambda *done: steps.append(done),
    )  # fmt: skip
    with rasterio.open(tmp_path / "wrong.tif") as src:
        written = src.read(1)
        assert src.crs == "EPSG:32736"
        assert src.transform == rasterio.Affine(10, 0, 0, 0, -10, 0)
    unknown = (labels == 255) | np.isnan(p[0])
    assert np.array_equal(np.isnan(written), unknown)
    assert found.labels == int((~unknown).sum())
    assert found.expected == pytest.approx(float(np.nansum(written, dtype=np.float64)), rel=1e-6)
    assert found.expected == pytest.approx(wrong[~unknown].sum(), rel=0.15)
    assert steps[-1][0] == steps[-1][1] == len(steps) == 9


def test_mistakes_are_one_line_and_leave_no_file(tmp_path):
    p, labels, _ = drawn((40, 50))
    scores = raster(tmp_path / "p.tif", p)
    good = raster(tmp_path / "y.tif", labels.astype(np.uint8))
    out = tmp_path / "wrong.tif"
    cases = [
        (raster(tmp_path / "logits.tif", np.log(p)), good, "give softmax outputs, not logits"),
        (scores, raster(tmp_path / "moved.tif", labels.astype(np.uint8), west=1000.0), "grid"),
        (scores, raster(tmp_path / "many.tif", labels.astype(np.uint8) + 2), "class"),
        (scores, tmp_path / "missing.tif", "no such"),
        (good, good, "has 1 band; give probabilities"),
    ]
    for first, second, words in cases:
        with pytest.raises(UserError, match=words):
            map_label_errors(first, second, out)
        assert not out.exists()
    map_label_errors(scores, good, out)
    with pytest.raises(UserError, match="overwrite"):
        map_label_errors(scores, good, out)
    for arrays, words in (
        ((p, labels[:10]), "do not fit"),
        ((p, labels + 5), "but there are 2 classes"),
        ((p * 2, labels), "sum to 2; give softmax outputs"),
    ):
        with pytest.raises(UserError, match=words):
            error_map_array(*arrays)
    with pytest.raises(UserError, match="window 0"):
        error_map_array(p, labels, window=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_the_errors_of_objects_add_up_to_those_of_their_pixels(seed, instances):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (9, 11))
    p_wrong = rng.random((9, 11))
    p_wrong[rng.random((9, 11)) < 0.1] = np.nan
    found = object_errors(p_wrong, labels, instances)
    solid = labels > 0
    assert found.expected.sum() == pytest.approx(np.nansum(p_wrong[solid]))
    assert found.pixels.sum() == (solid & ~np.isnan(p_wrong)).sum()
    assert (np.diff(found.expected) <= 0).all()
    assert (labels[tuple(found.first.T)] == found.label).all()
    if instances:
        assert sorted(found.label.tolist()) == sorted(set(labels[solid].tolist()))


def test_nothing_to_look_at_is_an_empty_list():
    found = object_errors(np.zeros((4, 4)), np.zeros((4, 4), int))
    assert len(found.expected) == len(found.first) == 0
    with pytest.raises(UserError, match="does not fit"):
        object_errors(np.zeros((4, 4)), np.zeros((4, 5), int))


def test_cores_of_a_grid_smaller_than_a_window_are_the_grid():
    p, labels, _ = drawn((7, 5))
    cores = [core for core, _ in error_windows(ArraySource(p), ArrayLabels(labels), 0.9, -2.0, 1.3133, 64)]
    assert cores == [Window((0, 0), (7, 5))]
