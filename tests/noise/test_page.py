"""The page of pictures beside a card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from segnoise.errors import UserError
from segnoise.noise import noise_card, noise_card_of, parse
from segnoise.noise import page as page_module
from segnoise.noise.page import write_page


def picture(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as src:
        return np.moveaxis(src.read()[:3], 0, -1)


def count(image: NDArray[np.uint8], colour: str) -> int:
    return int((image == np.round(255 * np.array(to_rgb(colour))).astype(np.uint8)).all(-1).sum())


def draw(tmp_path: Path, given: NDArray[Any], clean: NDArray[Any], instances: bool = False) -> NDArray[np.uint8]:
    card = noise_card(given, clean, instances=instances)
    return picture(
        write_page(card, given, clean, tmp_path / "page.png", instances=instances, title="a, b", overwrite=True)
    )


def test_errors_are_tinted_by_their_sign_over_the_area_they_have(tmp_path: Path) -> None:
    clean = np.zeros((40, 40), np.uint8)
    clean[:, 20:] = 1
    more, less = clean.copy(), clean.copy()
    more[10:30, 5:15], less[10:30, 25:35] = 1, 0
    nothing = [count(draw(tmp_path, clean, clean), c) for c in (page_module._LARGER, page_module._SMALLER)]
    grown = [count(draw(tmp_path, more, clean), c) for c in (page_module._LARGER, page_module._SMALLER)]
    shrunk = [count(draw(tmp_path, less, clean), c) for c in (page_module._LARGER, page_module._SMALLER)]
    assert grown[0] - nothing[0] > 5000 > abs(grown[1] - nothing[1])
    assert shrunk[1] - nothing[1] > 5000 > abs(shrunk[0] - nothing[0])


def test_equal_cards_give_equal_bytes(tmp_path: Path, classes: NDArray[np.uint8]) -> None:
    noisy, record = parse("kms(0.2)").corrupt(classes, 1)
    for name in ("a.png", "b.png"):
        write_page(record["card"], noisy, classes, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    "kind", ["same", "empty", "unknown", "one class", "line", "volume", "instances", "many classes"]
)
def test_any_pair_of_maps_has_a_page(tmp_path: Path, kind: str, blocks: NDArray[np.int32]) -> None:
    zeros, instances = np.zeros((12, 9), np.int16), kind == "instances"
    line = np.repeat([0, 3, 0, 2], 40)
    given, clean = {
        "same": (zeros, zeros),
        "empty": (zeros, zeros + np.eye(12, 9, dtype=np.int16)),
        "unknown": (zeros + 255, zeros),
        "one class": (zeros + 1, zeros + 1),
        "line": (np.roll(line, 3), line),
        "volume": (np.roll(blocks, 1, 0) % 4, blocks % 4),
        "instances": (np.roll(blocks, 1, 2), blocks),
        "many classes": (np.arange(400).reshape(20, 20) % 30, np.arange(400).reshape(20, 20) // 14),
    }[kind]
    image = draw(tmp_path, given, clean, instances)
    assert image.shape == (800, 1300, 3)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10


def test_a_large_map_shows_where_the_errors_are() -> None:
    wrong = np.zeros((900, 1300), bool)
    wrong[800:850, 1200:1250] = True
    rows, columns = page_module._worst_part(wrong)
    assert wrong[rows, columns].sum() == wrong.sum()
    assert (rows.stop - rows.start, columns.stop - columns.start) == (512, 512)
    volume = np.zeros((5, 600, 7), bool)
    volume[2, 590, 6] = True
    part = page_module._worst_part(volume)
    assert part[2] == 6
    assert volume[part].sum() == 1


def test_the_page_of_a_set_and_an_existing_page(tmp_path: Path, classes: NDArray[np.uint8]) -> None:
    noisy, _ = parse("boundary(2px)").corrupt(classes, 1)
    card = noise_card_of([(noisy, classes), (classes, classes)])
    path = write_page(card, noisy, classes, tmp_path / "page.png")
    before = path.read_bytes()
    with pytest.raises(UserError, match="already exists"):
        write_page(card, noisy, classes, path)
    assert path.read_bytes() == before
