"""Displaced boundaries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.errors import UserError
from segnoise.noise import Boundary, parse


@pytest.mark.parametrize("asked", [0.5, 1.0, 3.0, 6.0])
def test_the_mean_absolute_displacement_is_met_to_the_pixel(asked: float, parcels: NDArray[np.int32]) -> None:
    labels = parcels % 5
    noisy, record = Boundary(f"{asked}px").corrupt(labels, seed=2)
    faces = sum(np.count_nonzero(np.diff(labels, axis=a)) for a in (0, 1))
    assert abs((noisy != labels).sum() - asked * math.pi / 4 * faces) <= 1
    assert record["params"][0]["met"] == pytest.approx(asked, abs=0.01)
    assert record["card"]["displacement"]["changed_per_length"] == pytest.approx(asked, abs=0.01)


def test_in_a_volume_the_level_is_changed_volume_over_surface(blocks: NDArray[np.int32]) -> None:
    labels = (blocks > 0).astype(np.uint8)
    noisy, _ = Boundary("1px").corrupt(labels, seed=2)
    faces = sum(np.count_nonzero(np.diff(labels, axis=a)) for a in range(3))
    assert abs((noisy != labels).sum() - 2 / 3 * faces) <= 1


def test_metric_lengths_follow_the_spacing_also_when_pixels_are_not_square(parcels: NDArray[np.int32]) -> None:
    by_pixel, _ = Boundary("2px").corrupt(parcels, seed=3, instances=True)
    by_metre, record = Boundary("20m").corrupt(parcels, seed=3, instances=True, spacing=(10.0, 10.0))
    assert np.array_equal(by_pixel, by_metre)
    assert record["card"]["displacement_spaced"]["changed_per_length"] == pytest.approx(20, abs=0.1)
    _, oblong = Boundary("20m").corrupt(parcels, seed=3, instances=True, spacing=(10.0, 5.0))
    assert oblong["card"]["displacement_spaced"]["changed_per_length"] == pytest.approx(20, abs=0.1)


def test_a_metric_length_without_spacing_is_refused(parcels: NDArray[np.int32]) -> None:
    for spacing in (None, (float("nan"), float("nan"))):
        with pytest.raises(UserError, match="give it in px"):
            Boundary("5m").corrupt(parcels, seed=0, instances=True, spacing=spacing)


def test_positive_bias_grows_objects_and_negative_bias_shrinks_them() -> None:
    labels = (np.hypot(*np.mgrid[-60:60, -60:60]) < 30).astype(np.uint8)
    for bias, sign in ((2.0, 1), (-2.0, -1)):
        noisy, record = Boundary("3px", bias=f"{bias}px").corrupt(labels, seed=4)
        assert record["params"][0]["met"] == pytest.approx(3.0, rel=0.05)
        assert sign * (int(noisy.sum()) - int(labels.sum())) > 0
        assert record["card"]["displacement"]["bias"] == pytest.approx(bias, abs=1.2)


def test_bias_alone_is_a_dilation() -> None:
    labels = np.zeros((31, 31), dtype=np.uint8)
    labels[10:21, 10:21] = 1
    noisy, record = Boundary("1px", bias="1px").corrupt(labels, seed=0)
    assert record["params"][0]["scale"] == 0
    assert np.array_equal(noisy == 1, ndimage.distance_transform_edt(labels == 0) - 0.5 < 1)


def test_touching_instances_exchange_pixels_and_make_no_background() -> None:
    labels = np.ones((60, 60), dtype=np.int32)
    labels[:, 30:] = 2
    noisy, record = Boundary("2px").corrupt(labels, seed=5, instances=True)
    assert set(np.unique(noisy)) == {1, 2}
    assert record["card"]["flip_rate"]["overall"] == 0
    assert record["card"]["reassigned"] == pytest.approx((noisy != labels).mean())
    assert (noisy != labels).sum() == pytest.approx(2 * math.pi / 4 * 60, abs=1)


def test_a_straight_edge_stays_one_edge() -> None:
    labels = np.zeros((80, 200), dtype=np.uint8)
    labels[40:] = 1
    noisy, _ = Boundary("3px", rho=0.95).corrupt(labels, seed=1)
    assert ndimage.label(noisy)[1] + ndimage.label(1 - noisy)[1] == 2
    height = noisy.argmax(0)
    assert np.array_equal(noisy, (np.arange(80)[:, None] >= height).astype(np.uint8))


@pytest.mark.parametrize(
    "expression", ["boundary(4px, rho=0.6, topology=keep)", "boundary(4px, rho=0.3, bias=0.5px, topology=keep)"]
)
def test_topology_keep_leaves_no_islands_and_no_holes(expression: str) -> None:
    rows, columns = np.mgrid[:120, :120]
    labels = (np.hypot(rows - 60, columns - 60) < 35).astype(np.uint8)
    labels[:4] = 255
    free, kept = (parse(e).corrupt(labels, seed=3) for e in (expression.replace(", topology=keep", ""), expression))
    less = 0
    for value in (0, 1):
        pieces, count = ndimage.label(kept[0] == value)
        held = {int(k) for k in np.unique(pieces[(labels == value) & (kept[0] == value)]) if k}
        assert held == set(range(1, count + 1))
        less += ndimage.label(free[0] == value)[1] - count
    assert less > 0
    assert kept[1]["params"][0]["met"] == pytest.approx(4, rel=0.05)
    assert (kept[0][:4] == 255).all()


def test_topology_keep_of_touching_instances_and_volumes(parcels: NDArray[np.int32], blocks: NDArray[np.int32]) -> None:
    for labels in (parcels, blocks):
        noisy, record = parse("boundary(1.5px, rho=0.5, topology=keep)").corrupt(labels, seed=2, instances=True)
        assert record["params"][0]["met"] == pytest.approx(1.5, rel=0.05)
        for value in np.unique(noisy):
            pieces, count = ndimage.label(noisy == value)
            assert {int(k) for k in np.unique(pieces[(labels == value) & (noisy == value)]) if k} == set(
                range(1, count + 1)
            )


def test_labels_across_unknown_pixels_do_not_meet() -> None:
    labels = np.zeros((30, 30), dtype=np.uint8)
    labels[:, 14:16] = 255
    labels[:, 16:] = 1
    noisy, record = Boundary("3px").corrupt(labels, seed=1)
    assert np.array_equal(noisy, labels)
    assert record["params"][0]["met"] == 0


def test_the_part_beyond_unknown_pixels_is_as_if_it_were_alone(parcels: NDArray[np.int32]) -> None:
    labels = parcels.copy()
    labels[:, 100:] = -1
    changed = labels.copy()
    changed[:, 120:] = parcels[:, 120:]
    changed[:, 120:][changed[:, 120:] > 0] += 10_000
    corruption = Boundary("2px")
    [params] = corruption.fit([labels], [corruption.draw(labels.shape, np.random.default_rng(1))], instances=True)
    params["threshold"][1] = labels.size
    alone, beside = (corruption.apply(x, params, instances=True)[:, :100] for x in (labels, changed))
    assert np.array_equal(alone, beside)


@pytest.mark.parametrize(
    "options",
    [
        {"displacement": 3},
        {"displacement": "-1px"},
        {"displacement": "3km"},
        {"displacement": "3px", "bias": "1m"},
        {"displacement": "1px", "bias": "2px"},
        {"displacement": "1px", "rho": 1.5},
    ],
)
def test_impossible_displacements_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(UserError):
        Boundary(**options)
