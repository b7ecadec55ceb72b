"""docs/noise-gallery.md shows every noise there is, and its example of a new one works."""

from __future__ import annotations

import importlib
import json
import re
import runpy
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from segnoise.noise import NOISES, parse, replay

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "assets" / "noise"


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "draw_noise_gallery.py"))


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "docs" / "noise-gallery.md").read_text()


def test_the_page_lists_exactly_the_noises_that_are_registered(text: str) -> None:
    shown = re.findall(r"^### `(\w+)`$", text, re.MULTILINE)
    assert sorted(shown) == sorted(NOISES)


def test_the_page_is_what_the_tool_writes(tool: dict[str, Any], text: str) -> None:
    assert tool["page"]() == text, "run tools/draw_noise_gallery.py"


def test_every_noise_has_three_levels_of_its_own_and_one_small_picture(tool: dict[str, Any]) -> None:
    assert {path.stem for path in PICTURES.iterdir()} == set(NOISES)
    for name, entry in tool["entries"]().items():
        assert [parse(level).name for level in entry.levels] == [name] * 3
        assert len({str(parse(level)) for level in entry.levels}) == 3
        path = PICTURES / f"{name}.png"
        assert path.stat().st_size < 60_000
        with Image.open(path) as picture:
            assert picture.width > 4 * tool["SIZE"] * tool["ZOOM"]


def test_wrong_pixels_and_only_those_are_tinted(tool: dict[str, Any]) -> None:
    clean = tool["label_map"](True)
    noisy, _ = parse("misregistration(6px)").corrupt(clean, seed=1, instances=True)
    drawn = tool["picture"](noisy, clean, True)[:: tool["ZOOM"], :: tool["ZOOM"]]
    red, green, blue = np.moveaxis(drawn, -1, 0)
    known, wrong = noisy >= 0, noisy != clean
    missing = wrong & ((noisy == 0) | (clean == 0))
    assert np.array_equal((red > blue + 0.4) & (red > green + 0.2), known & wrong)
    assert green[known & missing].max() < green[known & wrong & ~missing].min()
    assert np.allclose(drawn[~known], matplotlib.colors.to_rgb(tool["UNKNOWN"]))


def test_the_map_of_classes_and_that_of_objects_are_the_same_landscape(tool: dict[str, Any]) -> None:
    objects, classes = tool["label_map"](True), tool["label_map"](False)
    assert np.array_equal(objects > 0, classes > 0)
    assert np.unique(classes).tolist() == [0, 1, 2, 3]


def test_the_new_noise_of_the_page_keeps_the_promises(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "holes.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("holes")
    monkeypatch.setitem(NOISES, "holes", module.Holes)
    labels = np.zeros((30, 40), dtype=np.uint8)
    labels[5:25, 5:25] = 2
    labels[:4] = 255
    done = parse("holes(0.3)").corrupt_all([labels, labels.T], seed=1)
    assert sum(int((noisy == 0).sum()) for noisy, _ in done) - 2 * int((labels == 0).sum()) == 240
    assert all(
        np.array_equal(noisy == 255, clean == 255) for (noisy, _), clean in zip(done, [labels, labels.T], strict=True)
    )
    assert np.array_equal(replay(labels, json.loads(json.dumps(done[0][1]))), done[0][0])
    assert np.array_equal(parse("holes(0)").corrupt(labels, seed=1)[0], labels)
    assert str(parse("holes(0.3)")) == "holes(0.3)"
