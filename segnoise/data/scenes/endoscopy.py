"""Procedural endoscopic sequences and the exact classes of every frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnoise.data.scenes.endoscope import Camera, Optics, Smoke
from segnoise.data.scenes.pngfile import write_png
from segnoise.data.scenes.surgical_tools import Thread, Tool, View
from segnoise.data.scenes.tissue import Tissue
from segnoise.draws import generator
from segnoise.errors import UserError

ENDOSCOPY_CLASSES = ("tissue", "shaft", "wrist", "clasper", "thread")
"""The names of the values of ``EndoscopicSequence.mask``."""


@dataclass(frozen=True)
class EndoscopicSequence:
    """Consecutive frames of an operation, uint8 ``T H W 3``, and the truth: ``mask`` ``T H W`` indexes
    ``ENDOSCOPY_CLASSES``.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]

    def save(self, folder: str | Path, name: str = "seq_1", overwrite: bool = False) -> dict[str, Path]:
        """Writes ``images/NAME/00000.png`` (RGB) and ``labels/NAME/00000.png`` (class indices), one file a frame, into
        ``folder``, which is made if missing; returns the two folders under ``"images"`` and ``"labels"``.

        Raises UserError when a file exists and ``overwrite`` is false, or cannot be written.
        """
        folders = {kind: Path(folder) / kind / name for kind in ("images", "labels")}
        for t, pair in enumerate(zip(self.image, self.mask, strict=True)):
            for place, values in zip(folders.values(), pair, strict=True):
                write_png(place / f"{t:05d}.png", values, overwrite)
        return folders


def endoscopic_sequence(frames: int = 24, size: tuple[int, int] = (96, 128), seed: int = 0) -> EndoscopicSequence:
    """Draws an operation as an endoscope sees it, with exact truth; equal arguments give equal bytes.

    Two or three instruments enter through ports outside the image; wrists bend, jaws open, and the jaws of one pull a
    suture out of the tissue. Under them tissue with folds, vessels, fat, fascia and blood moves as the camera pans and
    as it breathes. Wet tissue and steel glint alike, steel is stained with blood and mirrors the tissue, pale fascia is
    as grey as steel and dark folds are as dark as shafts; smoke, the falling light, blur of movement and noise do the
    rest: colour alone does not tell the classes. The truth is that of the pixels' centres.

    Args:
        frames: how many.
        size: rows and columns, at least 64 each.
        seed: of every draw.

    Raises:
        UserError: the size is too small, or there is no frame.

    >>> operation = endoscopic_sequence(3, (96, 128), seed=1)
    >>> operation.image.shape, operation.mask.shape, np.unique(operation.mask).tolist()
    ((3, 96, 128, 3), (3, 96, 128), [0, 1, 2, 3, 4])
    """
    rows, columns = size
    if min(size) < 64:
        raise UserError(f"size {size}: an endoscopic frame has at least 64 pixels a side")
    if frames < 1:
        raise UserError(f"frames {frames}: give at least 1")
    aspect = columns / rows
    pixels = View(*(((np.arange(n) + (1 - n) / 2) / rows).astype(np.float32) for n in (rows, columns)))
    rng, grain = generator(seed, "endoscopy", "scene"), generator(seed, "endoscopy", "grain")
    optics, camera, smoke = Optics(pixels, rng), Camera(pixels, frames, rng), Smoke(frames, rng)
    thread, (holder, *others) = Thread(frames, rng), _tools(frames, aspect, rng)
    tissue = Tissue(rows, aspect, generator(seed, "endoscopy", "tissue"))
    image = np.empty((frames, rows, columns, 3), dtype=np.uint8)
    mask = np.zeros((frames, rows, columns), dtype=np.uint8)
    for t, truth in enumerate(mask):
        view = camera.view(t)
        picture = tissue.seen(*camera.places(view, t), -0.8 * view.y[:, None], -0.8 * view.x[None, :])
        exit_ = camera.pixel_of(thread.exit, t)
        thread.draw(picture, truth, view, thread.loose(exit_))
        for tool in others:
            tool.draw(picture, truth, view, t)
        thread.draw(picture, truth, view, thread.pulled(exit_, holder.grip(t), t))
        holder.draw(picture, truth, view, t)
        smoke.veil(picture, view, t)
        picture *= optics.light
        image[t] = optics.taken(picture, camera.smear(t), grain)
    return EndoscopicSequence(image, mask)


def _tools(frames: int, aspect: float, rng: np.random.Generator) -> list[Tool]:
    """One from the right, one from the left, at times a third from below or above; the first pulls the thread."""
    third = rng.uniform(1.2, 2.0) * rng.choice([-1, 1])
    ways = [rng.uniform(-0.5, 0.9), np.pi + rng.uniform(-0.9, 0.5), third]
    order = [*rng.permutation(2).tolist(), *([2] if rng.random() < 0.25 else [])]
    return [Tool(frames, float(ways[k]), aspect, rng) for k in order]
