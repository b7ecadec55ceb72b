"""Outlines drawn with few vertices."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from segnoise.errors import UserError
from segnoise.noise import Polygonise
from segnoise.vector import trace


def test_the_pixels_are_those_whose_centres_lie_in_the_simplified_outline() -> None:
    y, x = np.mgrid[:60, :70]
    labels = (((x - 34) / 27) ** 2 + ((y - 29) / 20) ** 2 < 1).astype(np.uint8)
    noisy, _ = Polygonise("7px").corrupt(labels, seed=1)
    _, outline = shapely.coverage_simplify(trace(labels.astype(np.int32) + 1), 7, simplify_boundary=False)
    assert 3 < len(outline.exterior.coords) < 12
    centres = shapely.points(x + 0.5, y + 0.5)
    clear = shapely.distance(centres, outline.exterior) > 1e-9
    assert clear.mean() > 0.98
    assert np.array_equal((noisy == 1)[clear], shapely.contains(outline, centres)[clear])


def test_a_larger_tolerance_moves_boundaries_further(parcels: NDArray[np.int32]) -> None:
    moved = [0.0]
    for tolerance in (2, 5, 10):
        record = Polygonise(f"{tolerance}px").corrupt(parcels, seed=1, instances=True)[1]
        moved.append(record["params"][0]["displacement"])
        assert record["params"][0]["met"] == tolerance
        assert record["card"]["displacement"]["changed_per_length"] == pytest.approx(moved[-1])
    assert moved == sorted(moved)
    assert 0.3 < moved[-1] < 10


def test_the_displacement_is_measured_over_all_images(parcels: NDArray[np.int32]) -> None:
    plain = np.zeros_like(parcels)
    plain[40:90, 60:150] = 1
    done = Polygonise("5px").corrupt_all([parcels, plain], seed=1, instances=True)
    assert np.array_equal(done[1][0], plain)
    lone = Polygonise("5px").corrupt(parcels, seed=1, instances=True)[1]["params"][0]["displacement"]
    assert 0 < done[0][1]["params"][0]["displacement"] == done[1][1]["params"][0]["displacement"] < lone


def test_shared_borders_stay_shared_and_no_label_is_invented(parcels: NDArray[np.int32]) -> None:
    whole = parcels + 1
    noisy, _ = Polygonise("6px").corrupt(whole, seed=1, instances=True)
    assert (noisy > 0).all()
    assert set(np.unique(noisy)) <= set(np.unique(whole))
    edge = np.ones(whole.shape, dtype=bool)
    edge[1:-1, 1:-1] = False
    # Borders end where they ended on the edge of the map, up to half a pixel.
    assert (noisy != whole)[edge].mean() < 0.1


def test_straight_outlines_stay_as_they_are() -> None:
    labels = np.zeros((40, 40), dtype=np.uint8)
    labels[5:20, 4:30] = 1
    labels[20:35, 4:30] = 2
    assert np.array_equal(Polygonise("8px").corrupt(labels, seed=1)[0], labels)


def test_the_rim_of_unknown_pixels_is_no_boundary(parcels: NDArray[np.int32]) -> None:
    y, x = np.mgrid[:160, :200]
    unknown = np.hypot(y - 80, x - 100) < 50
    noisy, _ = Polygonise("8px").corrupt(np.where(unknown, -1, 1), seed=1, instances=True)
    assert np.array_equal(noisy, np.where(unknown, -1, 1))


def test_a_tolerance_in_metres_is_an_area_of_pixels(parcels: NDArray[np.int32]) -> None:
    square, _ = Polygonise("3px").corrupt(parcels, seed=1, instances=True)
    metric, record = Polygonise("30m").corrupt(parcels, seed=1, instances=True, spacing=(10.0, 10.0))
    oblong, _ = Polygonise("30m").corrupt(parcels, seed=1, instances=True, spacing=(20.0, 5.0))
    assert np.array_equal(square, metric)
    assert np.array_equal(square, oblong)
    assert record["card"]["displacement_spaced"]["changed_per_length"] == record["params"][0]["displacement"]
    with pytest.raises(UserError, match="length 30m: the size"):
        Polygonise("30m").corrupt(parcels, seed=1, instances=True)


def test_volumes_are_refused_in_one_line(blocks: NDArray[np.int32]) -> None:
    with pytest.raises(UserError, match="polygonise: outlines need 2-D labels, these have 3 axes; corrupt each slice"):
        Polygonise("3px").corrupt(blocks, seed=1, instances=True)


def test_impossible_tolerances_are_refused() -> None:
    with pytest.raises(UserError, match="polygonise: tolerance -1px"):
        Polygonise("-1px")
    with pytest.raises(UserError, match="polygonise: tolerance 3 needs a unit"):
        Polygonise(3)
