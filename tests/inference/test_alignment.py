"""One vector for a scene: found where there is one, refused where the errors are of another kind."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from segnoise.data.scenes import field_scene
from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.inference import find_displacement, move_labels
from segnoise.noise import parse


@pytest.fixture(scope="module", params=[0, 1, 2])
def scene(request):
    """Fields, and the beliefs of a network that gets 95 % of the pixels right, wrong in patches."""
    truth = (field_scene(320, seed=request.param).instances > 0).astype(np.uint8)
    return truth, beliefs(truth, request.param), request.param


def beliefs(truth, seed):
    noise = ndimage.gaussian_filter(generator(seed, "beliefs").standard_normal(truth.shape), 3)
    p = 1 / (1 + np.exp(-(3 * ndimage.gaussian_filter(2.0 * truth - 1, 2) + 12 * noise)))
    return np.stack([1 - p, p]).astype(np.float32)


@pytest.mark.parametrize("shift", [2, 4, 8])
def test_the_vector_of_misregistered_labels_is_found_within_half_a_pixel(scene, shift):
    truth, p, seed = scene
    labels, record = parse(f"misregistration({shift}px)").corrupt(truth, seed=seed)
    moved_by = np.rint(np.array(record["params"][0]["direction"]) * shift)  # pixels take the nearest label
    found = find_displacement(p, labels)
    assert found.accepted, found.reason
    assert np.abs(np.array(found.vector) + moved_by).max() < 0.5
    assert max(found.error) < 0.2
    back = move_labels(labels, found.vector)
    known = back != 255
    assert (back != truth)[known].mean() < 0.05 * (labels != truth)[labels != 255].mean()


@pytest.mark.parametrize(
    "noise",
    ["none", "kms(0.2)", "kms(0.4)", "boundary(4px)", "boundary(4px, bias=3px)", "omission(0.3)",
     "markov(180, 0.8, 0.05, 0.2)", "misregistration(0.3px)"],
)  # fmt: skip
def test_errors_that_are_no_displacement_are_refused(scene, noise):
    truth, p, seed = scene
    labels = truth if noise == "none" else parse(noise).corrupt(truth, seed=seed)[0]
    found = find_displacement(p, labels)
    assert not found.accepted
    assert found.reason.startswith(("the labels lie where they belong", "parts of the image do not agree"))


def test_a_vector_at_the_rim_of_the_search_is_refused(scene):
    truth, p, _ = scene
    found = find_displacement(p, move_labels(truth, (6, 0)), radius=4)
    assert "rim of the search" in found.reason


def test_a_volume_of_three_classes_and_a_line():
    rng = generator(0, "volume")
    field = ndimage.gaussian_filter(rng.standard_normal((40, 48, 56)), 4)
    truth = np.digitize(field, np.quantile(field, [0.6, 0.85]))
    p = np.full((3, *truth.shape), 0.1)
    np.put_along_axis(p, truth[None], 0.8, 0)
    found = find_displacement(p, move_labels(truth, (2, -3, 1)), radius=4)
    assert found.accepted
    assert np.allclose(found.vector, (-2, 3, -1), atol=0.2)
    line = find_displacement(p[:, 20, 20], move_labels(truth[20, 20], (2,)), radius=5)
    assert line.vector[0] == pytest.approx(-2, abs=0.3)


def test_what_is_unknown_has_no_say(scene):
    truth, p, _ = scene
    labels = move_labels(truth, (3, -2))
    labels[40:90, 100:200] = 255
    holed = p.copy()
    holed[:, 200:240, :60] = np.nan
    found = find_displacement(holed, labels)
    assert np.allclose(found.vector, (-3, 2), atol=0.2)
    other = p.copy()
    other[:, 200:240, :60] = np.nan  # whatever was there
    assert found == find_displacement(other, labels)


def test_moving_and_moving_back_loses_the_rim_only():
    labels = np.arange(30, dtype=np.uint8).reshape(5, 6)
    there = move_labels(labels, (2.2, -0.6))
    assert (there[:2] == 255).all()
    assert (there[:, -1] == 255).all()
    back = move_labels(there, (-2, 1))
    assert np.array_equal(back[:3, 1:], labels[:3, 1:])
    assert (move_labels(labels, (7, 0)) == 255).all()
    assert np.array_equal(move_labels(labels, (0.4, -0.4)), labels)


def test_what_cannot_be_is_told():
    p = np.full((2, 20, 24), 0.5)
    labels = np.zeros((20, 24), int)
    with pytest.raises(UserError, match="no outline"):
        find_displacement(p, labels, radius=3)
    labels[5:9, 5:9] = 1
    with pytest.raises(UserError, match="do not fit labels"):
        find_displacement(p[:, :-1], labels)
    with pytest.raises(UserError, match="radius: 10 does not fit"):
        find_displacement(p, labels)
    with pytest.raises(UserError, match="sum to 1"):
        find_displacement(p * 2, labels, radius=3)
    with pytest.raises(UserError, match="there are 2 classes"):
        find_displacement(p, labels * 2, radius=3)
    with pytest.raises(UserError, match="2 numbers for 3 axes"):
        move_labels(np.zeros((2, 2, 2)), (1, 1))
