"""What an endoscope makes of what lies before it: where it looks, smoke on the way, its light, its lens and sensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.data.scenes.surgical_tools import Point, View, drift
from segnoise.data.scenes.texture import Grid, smooth_noise


class Camera:
    """It pans, zooms and rolls over the tissue, which breathes, and the hand that holds it shakes.

    Args:
        view: the pixels.
        frames: how many.
        rng: of every draw.
    """

    def __init__(self, view: View, frames: int, rng: np.random.Generator) -> None:
        self._view = view
        pace = rng.uniform(8, 20)
        pan = rng.uniform(-0.2, 0.2, 2) + 0.12 * np.stack([drift(frames, pace, rng) for _ in "yx"], 1)
        # So far that it never looks beyond the tissue.
        self._pan = np.clip(pan, -0.42, 0.42)
        self._zoom = 1 + 0.05 * drift(frames, rng.uniform(14, 30), rng)
        self._roll = 0.07 * drift(frames, rng.uniform(14, 30), rng)
        self._shake = 0.004 * np.stack([drift(frames, 1.2, rng) for _ in "yx"], 1)
        push, period, phase = rng.uniform(0.006, 0.02, 2), rng.uniform(10, 30), rng.uniform(0, 2 * np.pi)
        self._breath = push * np.sin(2 * np.pi * np.arange(frames) / period + phase)[:, None]

    def view(self, frame: int) -> View:
        """Its pixels where the shaking hand holds them."""
        down, across = self._shake[frame]
        return View(self._view.y + down, self._view.x + across)

    def smear(self, frame: int) -> NDArray[np.float64]:
        """How many pixels the tissue moves down and across from the frame before."""
        before = max(frame - 1, 0)
        moved = self._pan[frame] - self._pan[before] - self._shake[frame] + self._shake[before]
        return np.abs(moved).astype(np.float64) / self._view.pixel

    def places(self, view: View, frame: int) -> tuple[Grid, Grid]:
        """The places of the tissue that its pixels see, ``H W`` (y and x)."""
        y, x = view.y[:, None], view.x[None, :]
        cosine, sine = self._turn(frame)
        (pan_y, pan_x), (push_y, push_x) = self._pan[frame], self._breath[frame]
        down = cosine * y - sine * x + (pan_y + push_y * np.cos(3 * x))
        across = sine * y + cosine * x + (pan_x + push_x * np.cos(2.5 * y))
        return down.astype(np.float32), across.astype(np.float32)

    def pixel_of(self, place: Point, frame: int) -> Point:
        """Where a place of the tissue is seen, but for its breathing."""
        cosine, sine = self._turn(frame)
        y, x = (place - self._pan[frame]) / (cosine**2 + sine**2)
        return np.array([cosine * y + sine * x, cosine * x - sine * y])

    def _turn(self, frame: int) -> tuple[float, float]:
        zoom, roll = float(self._zoom[frame]), float(self._roll[frame])
        return zoom * np.cos(roll), zoom * np.sin(roll)


class Smoke:
    """The haze of a cautery: it comes in bursts, drifts and thins out; some sequences have none.

    Args:
        frames: how many.
        rng: of every draw.
    """

    def __init__(self, frames: int, rng: np.random.Generator) -> None:
        bursts = int(rng.choice([0, 1, 2], p=[0.3, 0.45, 0.25]))
        since = np.arange(frames) - rng.uniform(-0.3, 0.9, (bursts, 1)) * frames
        most, lasts = rng.uniform(0.3, 0.7, (bursts, 1)), rng.uniform(8, 25, (bursts, 1))
        risen = np.clip(1 - np.exp(-np.maximum(since, 0) / 2.5), 0, 1)
        self._dense = (most * risen * np.exp(-np.maximum(since, 0) / lasts)).sum(axis=0)
        self._puffs = [smooth_noise((96, 192), scale, rng) for scale in (14.0, 6.0)]
        self._wind = rng.normal(0, 1.2, 2)
        self._grey = (rng.uniform(0.42, 0.58) * np.array([1.0, 0.98, 1.0])).astype(np.float32)

    def veil(self, picture: Grid, view: View, frame: int) -> None:
        """Lies over a picture ``H W 3``."""
        dense = self._dense[frame]
        if dense < 0.02:
            return
        down, across = 48 + frame * self._wind
        y, x = np.meshgrid(down + 60 * view.y[::3], 48 + across + 60 * view.x[::3], indexing="ij")
        thick = sum(share * puff.at(x, y) for share, puff in zip((0.35, 0.22), self._puffs, strict=True))
        large = np.repeat(np.repeat(np.asarray(thick), 3, axis=0), 3, axis=1)[: len(view.y), : len(view.x)]
        even = ndimage.uniform_filter(large, 5)
        picture += np.clip(dense * (0.75 + even), 0, 0.8)[..., None] * (self._grey - picture)


class Optics:
    """The light at the tip, weaker away from where it points; the lens, some with a round black rim; the sensor.

    Args:
        view: the pixels.
        rng: of every draw.
    """

    def __init__(self, view: View, rng: np.random.Generator) -> None:
        y, x = view.y[:, None], view.x[None, :]
        aim, slant = rng.normal(0, 0.06, 2), rng.uniform(-0.5, 0.5, 2)
        off = (y - aim[0]) ** 2 + (x - aim[1]) ** 2
        light = rng.uniform(1.15, 1.6) / (1 + rng.uniform(0.8, 1.8) * off) * (1 + slant[0] * y + slant[1] * x)
        if rng.random() < 0.4:
            light = light * np.clip((rng.uniform(0.62, 0.72) - np.hypot(y, x)) / 0.02, 0, 1)
        self.light = light.astype(np.float32)[..., None]
        self._balance = (np.array([1.0, 0.97, 0.97]) + rng.normal(0, 0.035, 3)).astype(np.float32)
        self._blur, self._grain = rng.uniform(0.4, 0.65), rng.uniform(0.006, 0.016)

    def taken(self, picture: Grid, smear: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
        """The 8-bit frame of a picture ``H W 3`` that moved by ``smear`` pixels down and across between two frames."""
        blur = np.hypot(self._blur, 0.2 * smear)
        sharp = ndimage.gaussian_filter(picture * self._balance, (*blur, 0), truncate=2.5)
        shown = 1 - np.exp(-1.35 * np.maximum(sharp, 0))
        shown += self._grain * (0.6 + 0.8 * shown) * rng.standard_normal(shown.shape, dtype=np.float32)
        return np.clip(np.rint(255 * shown), 0, 255).astype(np.uint8)
