"""Procedural chest radiographs and the exact masks of their lungs and heart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnoise.data.scenes.chest_film import expose
from segnoise.data.scenes.chest_shape import draw_chest
from segnoise.data.scenes.pngfile import save_pair
from segnoise.draws import generator
from segnoise.errors import UserError

CHEST_CLASSES = ("background", "lung", "heart")
"""The names of the values of ``Radiograph.mask``."""


@dataclass(frozen=True)
class Radiograph:
    """A frontal chest film, uint8 ``H W``, bright where the rays are weakened, and the truth: ``mask`` ``H W`` indexes
    ``CHEST_CLASSES``. As on the film, the patient's left is at the right.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]

    def save(self, folder: str | Path, name: str = "chest", overwrite: bool = False) -> dict[str, Path]:
        """Writes ``images/NAME.png`` and ``labels/NAME.png`` (class indices) into ``folder``, which is made if missing;
        returns their paths under ``"image"`` and ``"label"``.

        Raises UserError when a file exists and ``overwrite`` is false, or cannot be written.
        """
        image, label = save_pair(folder, name, self.image, self.mask, overwrite)
        return {"image": image, "label": label}


def radiograph(size: int | tuple[int, int] = 256, seed: int = 0, *, heart: bool = False) -> Radiograph:
    """Draws a frontal chest film with exact truth; equal arguments give equal bytes.

    Attenuation along each ray is summed over body, lungs, heart, great vessels, bones, vessels and breasts, then
    exposed with quantum noise. Lungs end where the shadows of wall, diaphragm, heart and mediastinum begin; opacities
    and effusions that hide this border in some films do not move it. Air around the body and in the stomach is as dark.

    Args:
        size: pixels, one number or ``(height, width)``, at least 64 each.
        seed: of every draw.
        heart: mark the heart as the third class; otherwise it is background.

    Raises:
        UserError: the size is too small.

    >>> film = radiograph(128, seed=1, heart=True)
    >>> film.image.shape, film.image.dtype, np.unique(film.mask).tolist()
    ((128, 128), dtype('uint8'), [0, 1, 2])
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 64:
        raise UserError(f"size {size}: a film has at least 64 pixels a side")
    rng = generator(seed, "radiograph", "shape")
    chest = draw_chest(rng)
    u, v, pixel = _view((height, width), rng)
    mask = chest.lungs(u, v).astype(np.uint8)
    if heart:
        mask[chest.cavity(u, v) & (chest.heart.reach(u, v) < 1)] = CHEST_CLASSES.index("heart")
    return Radiograph(expose(chest, u, v, pixel, generator(seed, "radiograph", "film")), mask)


def _view(shape: tuple[int, int], rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Chest coordinates of the pixel centres of a turned, shifted and scaled view, and a pixel's side in ``v``."""
    side = min(shape)
    tall = side * float(rng.uniform(0.58, 0.72))
    broad = tall * float(rng.uniform(0.57, 0.69))
    turn = np.deg2rad(float(rng.normal(0, 3.0)))
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    y -= shape[0] / 2 + side * float(rng.normal(0, 0.015))
    x -= shape[1] / 2 + side * float(rng.normal(0, 0.02))
    u = (np.cos(turn) * x + np.sin(turn) * y) / broad
    v = (np.cos(turn) * y - np.sin(turn) * x) / tall + 0.52
    return u, v, 1 / tall
