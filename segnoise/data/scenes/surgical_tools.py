"""Surgical instruments before an endoscope: how they move, and how shaft, wrist, clasper and thread look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.data.scenes.texture import Grid, smooth_noise

SHAFT, WRIST, CLASPER, THREAD = 1, 2, 3, 4

Point = NDArray[np.float64]
Box = tuple[slice, slice]

_SHADOW = 0.05


def drift(frames: int, pace: float, rng: np.random.Generator) -> Grid:
    """A value for each frame that wanders smoothly: mean 0, variance 1, alike for about ``pace`` frames."""
    return smooth_noise((1, frames), pace, rng).raster((1, frames))[0]


@dataclass(frozen=True)
class View:
    """The pixel centres of the camera: ``y`` ``H`` and ``x`` ``W`` from its middle, in heights of the image."""

    y: Grid
    x: Grid

    @property
    def pixel(self) -> float:
        """The side of a pixel."""
        return 1 / len(self.y)

    def box(self, points: Point, reach: float) -> Box:
        """The pixels within a reach of the box around points ``N 2``."""
        low, high = points.min(axis=0) - reach, points.max(axis=0) + reach
        rows, columns = (np.searchsorted(axis, (low[a], high[a])) for a, axis in enumerate((self.y, self.x)))
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))


@dataclass(frozen=True)
class Bar:
    """A tapering round bar from ``start`` to ``end`` (y, x), of these radii and of one class.

    Its far end is cut flat or rounded.
    """

    label: int
    start: Point
    end: Point
    radii: tuple[float, float]
    flat: bool = False

    def seen(self, view: View, margin: float) -> tuple[Box, Grid, Grid, Grid]:
        """The pixels near it; how far they lie outside (negative: inside), past its end, and across in radii."""
        axis = self.end - self.start
        length = float(np.linalg.norm(axis))
        down, right = (axis / length).astype(np.float32)
        box = view.box(np.stack([self.start, self.end]), max(self.radii) + margin)
        y, x = (view.y[box[0], None] - np.float32(self.start[0])), (view.x[None, box[1]] - np.float32(self.start[1]))
        along, across = y * down + x * right, x * down - y * right
        held = np.clip(along, 0, length)
        radius = self.radii[0] + (self.radii[1] - self.radii[0]) / length * held
        if self.flat:
            away = np.maximum(np.abs(across) - radius, along - length)
        else:
            away = np.hypot(across, along - held) - radius
        return box, away, along - length, across / radius


class Tool:
    """An instrument that enters through a port outside the image, with a wrist that bends and two jaws that open.

    Args:
        frames: how many.
        way: direction from the middle of the image to the port, in radians from right to down.
        aspect: width of the image over its height.
        rng: of every draw.
    """

    def __init__(self, frames: int, way: float, aspect: float, rng: np.random.Generator) -> None:
        out = np.array([np.sin(way), np.cos(way)])
        port = out * [1.0, aspect] * rng.uniform(1.0, 1.4)
        home = out * [0.2, 0.22 * aspect] * rng.uniform(0.8, 1.4)
        slow, quick, jitter = rng.uniform(10, 22), rng.uniform(2.5, 5.0), rng.uniform(0.012, 0.035)
        # At times it is drawn back.
        back = 0.35 * np.clip(drift(frames, slow, rng) - 0.9, 0, 1)[:, None] * out
        sway = [0.13 * drift(frames, slow, rng) + jitter * drift(frames, quick, rng) for _ in "yx"]
        neck = home + back + np.stack(sway, axis=1)
        bend = np.clip(rng.normal(0, 0.3) + 0.45 * drift(frames, rng.uniform(5, 12), rng), -1.3, 1.3)
        gap = np.clip(rng.uniform(0.1, 0.35) + 0.22 * drift(frames, rng.uniform(3, 8), rng), 0.02, 0.75)
        radius = rng.uniform(0.062, 0.088) * np.clip(1 + 0.1 * drift(frames, rng.uniform(12, 25), rng), 0.7, 1.35)
        self._poses = [_pose(port, *of) for of in zip(neck, bend, gap, radius, strict=True)]
        dark = rng.random() < 0.6
        tint = np.array([1.0, 0.97, 0.98]) + rng.normal(0, 0.02, 3)
        tones = (rng.uniform(0.1, 0.22) if dark else rng.uniform(0.4, 0.6), *rng.uniform((0.38, 0.45), (0.55, 0.62)))
        stain = float(np.clip(rng.normal(0.3, 0.35), 0, 1))
        # One entry a class, the first for what is none.
        self._colour = np.array([[0, 0, 0], *(tone * tint for tone in tones)], dtype=np.float32)
        self._glint = np.array([0, 0.35 if dark else 0.6, 0.6, 0.75], dtype=np.float32)
        self._stain = np.array([0, 0.7 * stain, stain, 1.2 * stain], dtype=np.float32)
        self._ring = (rng.uniform(0.04, 0.16), rng.uniform(0.02, 0.08) if rng.random() < 0.6 else 0.0)
        self._blood = smooth_noise((128, 256), rng.uniform(5, 12), rng)
        self._lean = rng.uniform(-0.45, 0.45)

    def grip(self, frame: int) -> Point:
        """Where its jaws meet what they hold."""
        tips = [bar.end for bar in self._poses[frame] if bar.label == CLASPER]
        return np.asarray((tips[1] + tips[3]) / 2)

    def draw(self, picture: Grid, truth: NDArray[np.uint8], view: View, frame: int) -> None:
        """Lays it over a picture ``H W 3``, with its shadow, and its classes over the truth ``H W``."""
        cover, along, across = (np.zeros(truth.shape, dtype=np.float32) for _ in range(3))
        beside = np.full(truth.shape, np.inf, dtype=np.float32)
        label = np.zeros(truth.shape, dtype=np.uint8)
        bars = self._poses[frame]
        for bar, before in zip(bars, self._poses[max(frame - 1, 0)], strict=True):
            soft = view.pixel + 0.4 * _sideways(bar, before)
            box, away, far, side = bar.seen(view, max(_SHADOW, soft))
            opaque = np.clip(0.5 - away / soft, 0, 1)
            front = (opaque > 0) & (opaque >= np.minimum(cover[box], 0.5))
            along[box][front], across[box][front], label[box][front] = far[front], side[front], bar.label
            np.maximum(cover[box], opaque, out=cover[box])
            np.minimum(beside[box], away, out=beside[box])
            truth[box][away < 0] = bar.label
        picture *= (1 - 0.42 * np.exp(-np.square(np.maximum(beside, 0) / (0.5 * _SHADOW))))[..., None]
        seen = np.flatnonzero(cover)
        opaque = cover.reshape(-1)[seen, None]
        flat = picture.reshape(-1, 3)
        light = self._lit(label.reshape(-1)[seen], along.reshape(-1)[seen], across.reshape(-1)[seen])
        flat[seen] += opaque * (light - flat[seen])

    def _lit(self, label: NDArray[np.uint8], along: Grid, across: Grid) -> Grid:
        """The colours of points of its surface, ``N 3``."""
        side = np.clip(across, -1, 1)
        facing = np.sqrt(1 - 0.98 * side * side)
        shaft, jaw = label == SHAFT, label == CLASPER
        start, wide = self._ring
        tone = 0.3 + 0.7 * facing
        tone *= 1 + 0.9 * (shaft & (along < -start) & (along > -start - wide))
        tone *= 1 - 0.35 * (jaw & (np.sin(along * 90) > 0.75))
        glint = self._glint[label]
        colour = tone[:, None] * self._colour[label]
        # Steel mirrors the tissue beside it.
        colour += (0.16 * glint * (1 - facing))[:, None] * np.array([0.9, 0.3, 0.25], dtype=np.float32)
        place = np.stack([240 + 250 * along, 20 + 20.0 * label + 16 * side]).astype(np.float64)
        stained = self._blood.at(place[0], place[1])
        share = np.clip(0.8 * (stained - 1.6 + 2.2 * self._stain[label]), 0, 0.8)[:, None]
        blood = (0.35 + 0.65 * facing)[:, None] * np.array([0.45, 0.1, 0.09], dtype=np.float32)
        colour += share * (blood - colour)
        streak = np.exp(-np.square((side - self._lean) / 0.16)) + 0.5 * np.exp(-np.square((side + 0.6) / 0.1))
        colour += (glint * streak * (0.7 + 0.3 * np.sin(along * 25 + 1)))[:, None]
        return np.asarray(colour, dtype=np.float32)


class Thread:
    """A suture: from where it leaves the tissue to the jaws that pull it, and its loose end.

    Args:
        frames: how many.
        rng: of every draw.
    """

    def __init__(self, frames: int, rng: np.random.Generator) -> None:
        self.exit = rng.uniform(-0.22, 0.22, 2)
        slack = [rng.normal(0, 0.1) + 0.12 * drift(frames, rng.uniform(5, 12), rng) for _ in range(4)]
        self._slack = np.stack(slack, axis=1)
        turns = np.cumsum(rng.normal(0, 0.4, 7)) + rng.uniform(0, 2 * np.pi)
        steps = rng.uniform(0.045, 0.075) * np.stack([np.sin(turns), np.cos(turns)], axis=1)
        self._tail = ndimage.zoom(np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]), (25, 1), order=3)
        colours = ((0.24, 0.16, 0.42), (0.12, 0.12, 0.16), (0.74, 0.70, 0.62), (0.16, 0.3, 0.5))
        self._colour = np.array(colours[rng.integers(len(colours))], dtype=np.float32)
        self._half = rng.uniform(0.0052, 0.0068)

    def loose(self, start: Point) -> Point:
        """The line ``N 2`` of its loose end on the tissue."""
        return start + self._tail

    def pulled(self, start: Point, grip: Point, frame: int) -> Point:
        """The line ``N 2`` from the tissue to the jaws: a cubic curve that slackens and tightens."""
        slack = self._slack[frame].reshape(2, 2)
        first, second = (start + share * (grip - start) + slack[k] for k, share in enumerate((1 / 3, 2 / 3)))
        s = np.linspace(0, 1, 120)[:, None]
        r = 1 - s
        return np.asarray(r**3 * start + 3 * r * r * s * first + 3 * r * s * s * second + s**3 * grip)

    def draw(self, picture: Grid, truth: NDArray[np.uint8], view: View, line: Point) -> None:
        """Lays a line of it over a picture ``H W 3`` and over the truth ``H W``."""
        half = max(self._half, 0.62 * view.pixel)
        away = _from_line(line, view, half + 1.5 * view.pixel) - half
        rows, columns = np.nonzero(away < view.pixel)
        cover = np.clip(0.5 - away[rows, columns] / view.pixel, 0, 1)[:, None]
        tone = 1 + 0.25 * np.sin(70 * (view.y[rows] + 0.7 * view.x[columns]))[:, None]
        under = picture[rows, columns] * (1 - 0.2 * (cover < 1))
        picture[rows, columns] = under + cover * (tone * self._colour - under)
        truth[away < 0] = THREAD


def _pose(port: Point, neck: Point, bend: float, gap: float, radius: float) -> list[Bar]:
    """The bars of an instrument, from the one furthest from the eye to the nearest; of each jaw first its root."""
    heading = float(np.arctan2(*(neck - port)))
    joint = neck + 2.1 * radius * _towards(heading + 0.5 * bend)
    shaft = Bar(SHAFT, port, neck, (0.85 * radius, radius), flat=True)
    jaws = []
    for side in (-1, 1):
        knee = joint + 1.5 * radius * _towards(heading + bend + side * gap)
        tip = knee + 1.4 * radius * _towards(heading + bend + 0.55 * side * gap)
        jaws.append(Bar(CLASPER, joint, knee, (0.36 * radius, 0.3 * radius)))
        jaws.append(Bar(CLASPER, knee, tip, (0.3 * radius, 0.15 * radius)))
    root = neck - 0.25 * radius * _towards(heading)
    wrist = Bar(WRIST, root, joint, (0.8 * radius, 0.62 * radius))
    knuckle = Bar(WRIST, joint, joint + 0.2 * radius * _towards(heading + bend), (0.58 * radius, 0.5 * radius))
    return [shaft, wrist, knuckle, *jaws]


def _sideways(bar: Bar, before: Bar) -> float:
    """How far the end of a bar has moved across it since the frame before."""
    axis, step = bar.end - bar.start, bar.end - before.end
    return float(abs(axis[0] * step[1] - axis[1] * step[0]) / np.linalg.norm(axis))


def _from_line(line: Point, view: View, reach: float) -> NDArray[np.float64]:
    """The distance of the pixels from a line ``N 2`` where it is within a reach; inf elsewhere."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    place = np.concatenate([[0.0], np.cumsum(steps)])
    even = np.linspace(0, place[-1], int(2 * place[-1] / view.pixel) + 2)
    y, x = (np.interp(even, place, line[:, axis]) for axis in range(2))
    around = np.arange(-(width := int(np.ceil(reach / view.pixel))), width + 1)
    row = np.rint((y - view.y[0]) / view.pixel).astype(int)[:, None, None] + around[:, None]
    column = np.rint((x - view.x[0]) / view.pixel).astype(int)[:, None, None] + around
    row, column = np.broadcast_arrays(row, column)
    nearest = np.full((len(view.y), len(view.x)), np.inf)
    inside = (row >= 0) & (column >= 0) & (row < len(view.y)) & (column < len(view.x))
    which = np.nonzero(inside)[0]
    row, column = row[inside], column[inside]
    np.minimum.at(nearest, (row, column), np.hypot(view.y[row] - y[which], view.x[column] - x[which]))
    return nearest


def _towards(angle: float) -> Point:
    return np.array([np.sin(angle), np.cos(angle)])
