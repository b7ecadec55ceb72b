"""Claims about the division of land: nothing is lost when it is cut, bent and traced."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from segnoise.data.scenes.curves import Bend, blobs, pieces, ways
from segnoise.data.scenes.landscape import draw_landscape, snap
from segnoise.data.scenes.parcels import REGIMES, divide
from segnoise.draws import generator


@pytest.mark.parametrize("seed", range(3))
def test_parcels_fill_the_box_without_gaps_or_overlaps(seed: int) -> None:
    division = divide((0, 0, 500, 700), generator(seed))
    assert shapely.area(division.parcels).sum() == pytest.approx(500 * 700, rel=1e-5)
    assert shapely.coverage_is_valid(division.parcels)
    assert len(division.parcels) == len(division.regime)


def test_every_regime_takes_its_turn_and_has_parcels_of_its_own_size() -> None:
    division = divide((0, 0, 1000, 1000), generator(1))
    area = shapely.area(division.parcels)
    medians = [np.median(area[division.regime == index]) for index in range(len(REGIMES))]
    for median, regime in zip(medians, REGIMES.values(), strict=True):
        assert 0.4 < median / regime.area < 2.5
    assert medians == sorted(medians)


def test_bending_keeps_a_coverage_a_coverage() -> None:
    division = divide((-60, -60, 560, 560), generator(2))
    bent = snap(Bend((500, 500), division, generator(3))(division.parcels))
    assert shapely.is_valid(bent).all()
    assert shapely.area(bent).sum() == pytest.approx(shapely.area(shapely.unary_union(bent)), rel=1e-9)
    assert shapely.coverage_is_valid(bent)
    assert np.abs(shapely.area(bent) / shapely.area(division.parcels) - 1).max() > 0.02


def test_snapping_moves_no_vertex_by_more_than_half_a_step_of_the_lattice() -> None:
    xy = generator(0).uniform(-5, 5, (100, 2))
    line = shapely.LineString(xy)
    moved = shapely.get_coordinates(snap(np.array([line], dtype=object)))
    assert np.abs(moved - xy).max() <= 1 / 128
    assert np.all((moved * 128) % 2 == 1)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_blobs_are_smooth_valid_and_cover_their_share(share: float) -> None:
    found = blobs((600, 600), share, 30.0, generator(4))
    assert shapely.is_valid(found).all()
    inside = shapely.intersection(found, shapely.box(0, 0, 600, 600))
    assert shapely.area(inside).sum() / 600**2 == pytest.approx(share, rel=0.3)


def test_pieces_are_short_and_make_up_their_lines() -> None:
    lines, kinds = ways((700, 900), generator(5))
    assert "river" in kinds
    runs, widths = pieces(lines, np.arange(1.0, len(lines) + 1))
    assert shapely.get_num_coordinates(runs).max() <= 13
    assert shapely.length(runs).sum() == pytest.approx(shapely.length(lines).sum())
    for width, line in enumerate(lines, start=1):
        assert shapely.length(runs[widths == width]).sum() == pytest.approx(line.length)


def test_fields_keep_clear_of_roads_and_water() -> None:
    land = draw_landscape((400, 400), 3)
    for cover in ("water", "asphalt"):
        obstacles = shapely.unary_union(land.patches[land.cover == cover])
        assert obstacles.area > 100
        # Snapping may move an edge by a hundredth of a pixel.
        assert shapely.area(shapely.intersection(land.fields, obstacles)).sum() < 0.5


def test_a_watered_field_is_round_about_its_pivot() -> None:
    land = draw_landscape((1400, 1400), 1)
    watered = ~np.isnan(land.pivot[:, 0])
    assert watered.any()
    for field, centre in zip(land.fields[watered], land.pivot[watered], strict=True):
        reach = np.hypot(*(shapely.get_coordinates(field) - centre).T)
        assert reach.max() > 30
        assert field.area < 1.01 * np.pi * reach.max() ** 2
