"""Writes small fundus sets as their authors lay them out: names, formats and values of the published files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SHAPE = (40, 48)


def disc(radius: float = 18) -> np.ndarray:
    """A field of view in the middle."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (y - 19.5) ** 2 + (x - 23.5) ** 2 < radius**2


def vessels(seed: int) -> np.ndarray:
    """A mask 0 / 1 with pixels inside and outside the field of view."""
    return (np.random.default_rng(seed).random(SHAPE) < 0.2).astype(np.uint8)


def photograph(seed: int) -> np.ndarray:
    """RGB on black, with a dark spot inside the disc and one stray bright pixel outside."""
    rgb = np.random.default_rng(seed).integers(60, 200, (*SHAPE, 3)).astype(np.uint8)
    rgb[~disc()] = 2
    rgb[18:21, 20:23] = 3
    rgb[0, 0] = 90
    return rgb


def save(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


def write_drive(root: Path) -> dict[str, np.ndarray]:
    """Two training images with labels and a test image without, as in the current download; truth by number."""
    truth = {}
    for number, folder in ((21, "training"), (22, "training"), (1, "test")):
        stem = f"{number:02d}_{folder}"
        save(root / folder / "images" / f"{stem}.tif", photograph(number))
        save(root / folder / "mask" / f"{stem}_mask.gif", disc().astype(np.uint8) * 255)
        if folder == "training":
            truth[f"{number:02d}"] = vessels(number)
            save(root / folder / "1st_manual" / f"{number:02d}_manual1.gif", vessels(number) * 255)
    return truth


def write_chase(root: Path) -> dict[str, np.ndarray]:
    """Both eyes of two children, each drawn by two observers in one-bit PNG; truth by stem and observer."""
    truth = {}
    for i, eye in enumerate(["Image_01L", "Image_01R", "Image_14L", "Image_14R"]):
        save(root / f"{eye}.jpg", photograph(i))
        for observer, ending in ((1, "1stHO"), (2, "2ndHO")):
            truth[f"{eye}/{observer}"] = vessels(10 * i + observer)
            save(root / f"{eye}_{ending}.png", truth[f"{eye}/{observer}"] * 255, mode="1")
    return truth


def rim_and_cup() -> np.ndarray:
    """A REFUGE mask: 255 background, 128 rim, 0 cup."""
    mask = np.full(SHAPE, 255, dtype=np.uint8)
    mask[disc(12)] = 128
    mask[disc(6)] = 0
    return mask


def write_refuge(root: Path) -> None:
    """The folders of the archives: masks apart from the images for training and validation, none for the test."""
    for stem, images, masks in (
        ("g0001", "Training400/Glaucoma", "Annotation-Training400/Disc_Cup_Masks/Glaucoma"),
        ("n0001", "Training400/Non-Glaucoma", "Annotation-Training400/Disc_Cup_Masks/Non-Glaucoma"),
        ("V0001", "REFUGE-Validation400", "REFUGE-Validation400-GT/Disc_Cup_Masks"),
        ("T0001", "REFUGE-Test400", None),
    ):
        save(root / images / f"{stem}.jpg", photograph(1))
        if masks is not None:
            save(root / masks / f"{stem}.bmp", rim_and_cup())


def write_plain(root: Path, masks: str = "masks", black_and_white: bool = False, fov: bool = False) -> None:
    for number in (1, 2, 10):
        save(root / "images" / f"eye{number}.png", photograph(number))
        save(root / masks / f"eye{number}.png", vessels(number) * (255 if black_and_white else 1))
        if fov:
            save(root / "fov" / f"eye{number}.gif", disc().astype(np.uint8) * 255)
