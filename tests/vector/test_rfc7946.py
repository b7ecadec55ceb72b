from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from segnoise.errors import UserError
from segnoise.vector import check_geojson, polygonize

SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
HOLE = [[0.2, 0.2], [0.2, 0.4], [0.4, 0.4], [0.4, 0.2], [0.2, 0.2]]


def feature(*rings: list[Any], **members: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": list(rings)}
    return {"type": "Feature", "geometry": geometry, "properties": {}} | members


def check(folder: Path, *features: Any, **members: Any) -> list[str]:
    path = folder / "test.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)} | members))
    return check_geojson(path)


@pytest.fixture
def fields(parcels, utm):
    labels = parcels((60, 60), 20)
    return polygonize(labels, utm(labels.shape))


def test_what_gdal_writes_by_default_is_flagged(tmp_path, fields):
    fields.to_file(tmp_path / "gdal.geojson", driver="GeoJSON")
    problems = check_geojson(tmp_path / "gdal.geojson")
    assert any("crs member" in problem for problem in problems)
    assert any("not degrees" in problem for problem in problems)


def test_what_gdal_writes_when_told_so_conforms(tmp_path, fields):
    fields.to_file(tmp_path / "gdal.geojson", driver="GeoJSON", RFC7946="YES", WRITE_BBOX="YES")
    assert "bbox" in json.loads((tmp_path / "gdal.geojson").read_text())
    assert check_geojson(tmp_path / "gdal.geojson") == []


def test_a_conforming_file_has_no_problems(tmp_path):
    parts = {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], [[[2, 0], [3, 0], [3, 1], [2, 0]]]]}
    assert check(tmp_path, feature(SQUARE, HOLE, id="a"), feature(SQUARE, id="b", geometry=parts)) == []
    assert check(tmp_path, feature(SQUARE, geometry=None, properties=None)) == []
    assert check(tmp_path) == []


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (feature(SQUARE[::-1]), "outer ring is not counter-clockwise"),
        (feature(SQUARE, HOLE[::-1]), "hole is not clockwise"),
        (feature(SQUARE[:-1]), "not closed"),
        (feature([[0, 0], [1, 0], [0, 0]]), "fewer than four"),
        (feature([*SQUARE[:2], *SQUARE[1:]]), "repeats a position"),
        (feature([[5e5, 0], [5e5 + 1, 0], [5e5, 1], [5e5, 0]]), "not degrees"),
        (feature([[0, 0], [1, 0], [1, 91], [0, 0]]), "not degrees"),
        (feature([[0, 0], [1, 0], [1, 0.12345678], [0, 0]]), "more than 7 decimals"),
        (feature([[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]), "crosses the antimeridian"),
        (feature([[0, 0], [2, 2], [2, 0], [0, 1], [0, 0]]), "geometry is not valid"),
        (feature(SQUARE, [[2, 2], [2, 3], [3, 3], [2, 2]]), "geometry is not valid"),
        (feature(SQUARE, id=3), "id is not a string"),
        (feature(SQUARE, properties=[1]), "properties is neither"),
        (feature(SQUARE, geometry={"type": "Point", "coordinates": [0, 0]}), "neither a Polygon"),
        (feature(SQUARE, geometry={"type": "Polygon", "coordinates": [["a"]]}), "not rings of positions"),
        (feature(SQUARE, geometry={"type": "Polygon", "coordinates": []}), "not rings of positions"),
        (feature(SQUARE, geometry={"type": "Polygon"}), "not rings of positions"),
        ({"type": "Feature", "geometry": None}, "properties is neither"),
        ({"type": "Feature", "properties": {}}, "geometry is neither"),
        ({"type": "Thing"}, "is not a Feature"),
        (7, "is not a Feature"),
    ],
)
def test_each_departure_is_named_with_its_place(tmp_path, broken, problem):
    problems = check(tmp_path, feature(SQUARE, id="fine"), broken)
    assert any(problem in line and "feature 1" in line for line in problems)
    assert not any("feature 0" in line for line in problems)


def test_equal_ids_are_named(tmp_path):
    assert check(tmp_path, feature(SQUARE, id="a"), feature(SQUARE, id="a")) == ["id occurs twice (feature 1, id 'a')"]


def test_a_repeated_problem_is_one_line_with_its_count(tmp_path):
    (line,) = check(tmp_path, *[feature(SQUARE[::-1])] * 3)
    assert line == "outer ring is not counter-clockwise (3 times, first in feature 0)"


@pytest.mark.parametrize(
    ("bbox", "problem"),
    [
        ([0, 0, 1, 1], None),
        ([0, 0, 0, 1, 1, 9], None),
        ([0, 0, 1, 0.5], "does not hold"),
        ([1, 0, 0, 1], "does not hold"),
        ([0, 1, 1, 0], "not \\[west"),
        ([0, 0, 500, 1], "not \\[west"),
        ([0, 0, 1], "not four"),
        ("0 0 1 1", "not four"),
    ],
)
def test_the_bbox_holds_the_features(tmp_path, bbox, problem):
    problems = check(tmp_path, feature(SQUARE), bbox=bbox)
    if problem is None:
        assert problems == []
    else:
        assert re.search(problem, problems[0])


def test_a_bbox_across_the_antimeridian_has_west_above_east(tmp_path):
    east = feature([[178, 0], [179, 0], [179, 1], [178, 0]])
    west = feature([[-179, 0], [-178, 0], [-178, 1], [-179, 0]])
    assert check(tmp_path, east, west, bbox=[178, 0, -178, 1]) == []
    assert check(tmp_path, east, west, bbox=[179, 0, -178, 1]) == ["bbox does not hold every feature"]


def test_what_is_not_json_or_not_a_collection_is_said(tmp_path):
    path = tmp_path / "test.geojson"
    for text, problem in [
        ('{"type": "FeatureCollection", "features": [', "is not JSON"),
        ('{"type": "FeatureCollection", "features": [], "x": NaN}', "NaN is not a JSON number"),
        ('{"type": "Polygon"}', "is not a FeatureCollection"),
        ('{"type": "FeatureCollection"}', "features is not a list"),
    ]:
        path.write_text(text)
        assert problem in check_geojson(path)[0]


def test_no_such_file(tmp_path):
    with pytest.raises(UserError, match=r"absent\.geojson: cannot be read"):
        check_geojson(tmp_path / "absent.geojson")
