"""The noise of published studies on endoscopic video: whole sequences labelled badly, a few frames in the same way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.draws import generator
from segnoise.errors import UserError, nearest
from segnoise.length import Length
from segnoise.noise.base import Corruption, Params, check_share, key_of
from segnoise.noise.geometry import compact, known_labels
from segnoise.noise.share import Share
from segnoise.noise.vanishing import with_vanished

WAYS = ("dilate", "erode", "affine", "polygon")
RADIUS = (40 / 1024, 50 / 1024)
"""Published: 40 to 50 px in frames of 1024 rows."""

DEGREES, SHIFT, SCALE = 30.0, 0.2, 0.2
"""How far an instance turns, moves up or down (of the image height), and grows or shrinks, at most."""

CORNERS, JITTER = (4, 8), 0.2
"""Corners of a polygon, and how far each is off, at most, of the instance's box."""

Box = tuple[slice, slice]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, init=False)
class Segments(Corruption):
    """A share of the sequences ``T H W`` is cut into segments of a few frames, in each of which each class is drawn
    wrong in one way.

    A segment lasts ``U{frames}`` frames; what is left at the end is one segment as soon as it is no longer than the
    longest. For each segment and each class above 0 (object, among ids) one way is drawn:

    - ``dilate``: the class and all within r of it, ``|x - y| <= r``; one r for the segment and class, ``U{radius}``
    - ``erode``: the class without all within r of what is known to be something else; one r likewise
    - ``affine``: every instance in every frame turns by U(-30, 30) degrees about the centre of the image, scales by
      U(0.8, 1.2) about it and moves up or down by U(-0.2, 0.2) of the image height
    - ``polygon``: n corners lie at equal steps along the outline of every instance in every frame, each shifted by
      U(-0.2, 0.2) of the width and height of its box, and are joined and filled (even-odd, pixel centres); one n for
      the segment and class, ``U{4..8}``

    An instance is a region of one class in one frame whose pixels touch, at corners too. The drawn classes are then
    laid on background, the one with the larger true area in the segment first, of equal areas the smaller class: what
    is eroded or moved away becomes background, never a neighbour. Unknown pixels stay, and are nothing else to erode
    from. Labels ``H W`` are a sequence of one frame.

    Args:
        ratio: share of the sequences; published: 0.3, 0.5, 0.8. Which ones: as in :class:`Share`.
        radius: least and largest r, as shares of the image height or such as ``(40px, 50px)``; rounded to whole
            pixels. One value stands for both.
        odds: of dilate, erode, affine and polygon.
        no_polygon: classes whose odds of a polygon go to affine; published: thread, 6.
        about: ``image`` or ``object``: what an instance turns and scales about, the latter its own centroid.
        frames: of a segment, the least and the most.

    Raises:
        UserError: a value outside its range, or labels that are neither ``T H W`` nor ``H W``.

    Cui, B., et al. Rectifying noisy labels with sequential prior: multi-scale temporal feature affinity learning for
    robust video segmentation. MICCAI 2023. Repository BeileiCui/MS-TFAL, which pastes in the order of a folder.

    >>> video = np.zeros((8, 32, 32), dtype=np.uint8)
    >>> video[:, 10:20, 10:20] = 1
    >>> noisy, record = Segments(1, radius="2px", odds=(1, 1, 0, 0)).corrupt(video, seed=1)
    >>> [(s["frames"], s["labels"]) for s in record["params"][0]["part"]["part"]["segments"]]
    [([0, 3], {'1': {'way': 'erode', 'radius': 2}}), ([3, 8], {'1': {'way': 'dilate', 'radius': 2}})]
    >>> [int(frame.sum()) for frame in noisy]
    [36, 36, 36, 184, 184, 184, 184, 184]
    """

    ratio: float
    radius: tuple[Length | float, Length | float]
    odds: tuple[float, ...]
    no_polygon: tuple[int, ...]
    about: str
    frames: tuple[int, int]
    name: ClassVar[str] = "segments"

    def __init__(
        self,
        ratio: float,
        radius: Length | str | float | Sequence[Length | str | float] = RADIUS,
        odds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        no_polygon: int | Sequence[int] = (),
        about: str = "image",
        frames: Sequence[int] = (3, 6),
    ) -> None:
        object.__setattr__(self, "ratio", check_share(self.name, "ratio", ratio))
        object.__setattr__(self, "radius", _radius_of(radius))
        object.__setattr__(self, "odds", _odds_of(odds))
        excluded = no_polygon if isinstance(no_polygon, (tuple, list)) else (no_polygon,)
        if not all(isinstance(c, int) and c > 0 for c in excluded):
            raise UserError(f"segments: no_polygon {no_polygon} must be classes above 0, such as 6 or (6, 8)")
        object.__setattr__(self, "no_polygon", tuple(excluded))
        if about not in ("image", "object"):
            raise UserError(f"segments: about {about!r} is unknown; {nearest(str(about), ('image', 'object'))}")
        object.__setattr__(self, "about", about)
        object.__setattr__(self, "frames", _frame_counts(frames))

    def __str__(self) -> str:
        said = [repr(self.ratio)]
        if self.radius != RADIUS:
            said.append(f"radius=({', '.join(map(str, self.radius))})")
        if self.odds != (1.0, 1.0, 1.0, 1.0):
            said.append(f"odds={self.odds!r}")
        if self.no_polygon:
            said.append(f"no_polygon=({', '.join(map(str, self.no_polygon))})")
        if self.about != "image":
            said.append(f"about={self.about}")
        if self.frames != (3, 6):
            said.append(f"frames={self.frames!r}")
        return f"segments({', '.join(said)})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "part": self._sequences().draw(shape, generator)}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        return self._sequences().apply(labels, params["part"], instances, spacing)

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        parts = [p["part"] for p in params]
        done = self._sequences().fit_apply(images, parts, instances, spacing, num_classes)
        noisy = [labels for labels, _ in done]
        said: Params = {what: done[0][1][what] for what in ("met", "why") if done and what in done[0][1]}
        common = with_vanished(said, images, noisy, instances)
        return [(x, {**p, **common, "part": part}) for (x, part), p in zip(done, params, strict=True)]

    def _sequences(self) -> Share:
        return Share(self.ratio, _Sequence(self))


@dataclass(frozen=True)
class _Sequence(Corruption):
    """One sequence, all of whose segments are drawn wrong."""

    noise: Segments
    name: ClassVar[str] = "sequence"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "key": key_of(generator)}

    def fit(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[Params]:
        return [
            {**p, "segments": [_said(*one) for one in self._plan(_frames_of(x), p["key"], instances)]}
            for x, p in zip(images, params, strict=True)
        ]

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        noisy = labels.copy()
        frames, drawn = _frames_of(labels), _frames_of(noisy)
        for number, (some, ways) in enumerate(self._plan(frames, params["key"], instances)):
            for t in range(some.start, some.stop):
                known = known_labels(frames[t], instances)
                drawn[t][known] = 0
                for label, way in ways.items():
                    rng = generator(params["key"], "instances", number, label, t)
                    for box, mask in self._drawn(frames[t] == label, known, way, rng):
                        drawn[t][box][mask & known[box]] = label
        return noisy

    def _plan(self, frames: NDArray[Any], key: int, instances: bool) -> Iterator[tuple[slice, dict[int, Params]]]:
        """The segments, and for each label in it, in the order of pasting, what is done to it."""
        for number, some in enumerate(_cut(len(frames), self.noise.frames, key)):
            part = frames[some]
            values, position = compact(part[known_labels(part, instances) & (part > 0)])
            area = np.bincount(position, minlength=len(values))
            order = values[np.argsort(-area, kind="stable")].tolist()
            yield some, {label: self._way(key, number, label, frames.shape[1]) for label in order}

    def _way(self, key: int, segment: int, label: int, height: int) -> Params:
        rng = generator(key, "segment", segment, label)
        odds = np.array(self.noise.odds)
        if label in self.noise.no_polygon:
            odds += odds[3] * np.array([0, 0, 1, -1])
        which, where, many = rng.random(3)
        way = WAYS[int(np.searchsorted(np.cumsum(odds), which * odds.sum(), side="right"))]
        if way in ("dilate", "erode"):
            return {"way": way, "radius": _between(_pixels(self.noise.radius, height), where)}
        return {"way": way, "corners": _between(CORNERS, many)} if way == "polygon" else {"way": way}

    def _drawn(self, mask: Mask, known: Mask, way: Params, rng: np.random.Generator) -> Iterator[tuple[Box, Mask]]:
        """A class in one frame as it is drawn, in boxes."""
        if not mask.any():
            return
        if "radius" in way:
            # Nothing further away than the radius has a part in it.
            box = _padded(ndimage.find_objects(mask.view(np.uint8))[0], way["radius"], mask.shape)
            act = _dilated if way["way"] == "dilate" else _eroded
            yield box, act(mask[box], known[box], way["radius"])
            return
        numbers, _ = ndimage.label(mask, np.ones((3, 3)))
        for number, box in enumerate(ndimage.find_objects(numbers), start=1):
            instance = numbers[box] == number
            if way["way"] == "polygon":
                yield _polygon(instance, box, mask.shape, way["corners"], rng)
            else:
                yield _moved(instance, box, mask.shape, self.noise.about, rng)


def _cut(frames: int, between: tuple[int, int], key: int) -> Iterator[slice]:
    rng = generator(key, "lengths")
    start = 0
    while start < frames:
        length = int(rng.integers(between[0], between[1] + 1))
        stop = start + length if frames - start > between[1] else frames
        yield slice(start, stop)
        start = stop


def _said(some: slice, ways: dict[int, Params]) -> Params:
    return {"frames": [some.start, some.stop], "labels": {str(label): way for label, way in ways.items()}}


def _frames_of(labels: NDArray[Any]) -> NDArray[Any]:
    if labels.ndim not in (2, 3):
        raise UserError(f"segments: needs labels T H W, or H W for one frame; these have {labels.ndim} axes")
    return labels if labels.ndim == 3 else labels[None]


def _between(bounds: tuple[int, int], share: float) -> int:
    return bounds[0] + int(share * (bounds[1] - bounds[0] + 1))


def _pixels(radius: tuple[Length | float, Length | float], height: int) -> tuple[int, int]:
    low, high = (r.value if isinstance(r, Length) else r * height for r in radius)
    return math.floor(low + 0.5), math.floor(high + 0.5)


def _padded(box: Box, by: int, shape: tuple[int, ...]) -> Box:
    rows, columns = (slice(max(s.start - by, 0), min(s.stop + by, n)) for s, n in zip(box, shape, strict=True))
    return rows, columns


def _dilated(mask: Mask, known: Mask, radius: int) -> Mask:
    near: Mask = ndimage.distance_transform_edt(~mask) <= radius
    return near


def _eroded(mask: Mask, known: Mask, radius: int) -> Mask:
    other = known & ~mask
    if not other.any():
        return mask
    far: Mask = ndimage.distance_transform_edt(~other) > radius
    return mask & far


def _moved(instance: Mask, box: Box, shape: tuple[int, ...], about: str, rng: np.random.Generator) -> tuple[Box, Mask]:
    """An instance turned, scaled and moved: x shows it iff the pixel at ``c + R^-1 (x - c - t) / k`` does."""
    turn, shift, scale = rng.uniform(-1, 1, 3)
    corner = np.array([s.start for s in box], dtype=np.float64)
    centre = (np.array(shape) - 1) / 2 if about == "image" else corner + np.argwhere(instance).mean(axis=0)
    cosine, sine = math.cos(math.radians(DEGREES * turn)), math.sin(math.radians(DEGREES * turn))
    there = (1 + SCALE * scale) * np.array([[cosine, -sine], [sine, cosine]])
    goal = centre + np.array([SHIFT * shift * shape[0], 0])
    half = np.array(instance.shape) / 2
    middle = goal + there @ (corner + half - 0.5 - centre)
    reach = np.abs(there) @ half
    low = np.clip(np.floor(middle - reach), 0, shape).astype(int)
    high = np.clip(np.ceil(middle + reach) + 1, 0, shape).astype(int)
    rows, columns = np.arange(low[0], high[0])[:, None], np.arange(low[1], high[1])
    back = np.linalg.inv(there)
    origin = centre - corner - back @ goal + 0.5
    y, x = (np.floor(back[a, 0] * rows + back[a, 1] * columns + origin[a]).astype(int) for a in range(2))
    inside = (y >= 0) & (x >= 0) & (y < instance.shape[0]) & (x < instance.shape[1])
    shown = np.zeros(inside.shape, dtype=bool)
    shown[inside] = instance[y[inside], x[inside]]
    return (slice(low[0], high[0]), slice(low[1], high[1])), shown


def _polygon(
    instance: Mask, box: Box, shape: tuple[int, ...], corners: int, rng: np.random.Generator
) -> tuple[Box, Mask]:
    """An instance as the polygon of a few points of its outline, each a little off."""
    path = outline(instance)
    points = path[np.arange(corners) * len(path) // corners] + [s.start for s in box]
    points = points + JITTER * np.array(instance.shape) * rng.uniform(-1, 1, (corners, 2))
    points = np.clip(points, 0, shape)
    low, high = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int)
    y = np.arange(low[0], high[0])[:, None] + 0.5
    x = np.arange(low[1], high[1])[None, :] + 0.5
    shown = np.zeros((high[0] - low[0], high[1] - low[1]), dtype=bool)
    for (y0, x0), (y1, x1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 != y1:
            shown ^= ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return (slice(low[0], high[0]), slice(low[1], high[1])), shown


def outline(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The corners of pixels along the outer border of the first region of a mask, in steps of one pixel side.

    Clockwise from the upper left corner of its first pixel, ``N 2`` (row, column), the start not repeated. Pixels that
    touch at a corner are one region.

    >>> outline(np.array([[True, False], [True, True]])).tolist()
    [[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [2, 1], [2, 0], [1, 0]]
    """
    padded = np.pad(mask, 1)
    steps = ((0, 1), (1, 0), (0, -1), (-1, 0))
    # Seen from a corner in each direction: the pixel at the left of the next side, and that at its right.
    left, right = ((-1, 0), (0, 0), (0, -1), (-1, -1)), ((0, 0), (0, -1), (-1, -1), (-1, 0))
    y, x = start = divmod(int(np.argmax(padded)), padded.shape[1])
    heading, path = 0, list[tuple[int, int]]()
    while not path or (y, x) != start or heading != 0:
        path.append((y - 1, x - 1))
        y, x = y + steps[heading][0], x + steps[heading][1]
        for turned in (heading + 3, heading, heading + 1):
            heading = turned % 4
            (a, b), (c, d) = left[heading], right[heading]
            if padded[y + c, x + d] and not padded[y + a, x + b]:
                break
    return np.array(path, dtype=np.int64)


def _radius_of(value: object) -> tuple[Length | float, Length | float]:
    given = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    radii = [Length.of(r) if isinstance(r, str) else r for r in given]
    lengths = [r for r in radii if isinstance(r, Length)]
    plain = [float(r) for r in radii if isinstance(r, (int, float))]
    if len(radii) != 2 or not (len(lengths) == 2 or len(plain) == 2):
        raise UserError(f"segments: radius {value} must be two shares of the height, or two lengths such as (2px, 4px)")
    low, high = [r.value for r in lengths] or plain
    if not 0 <= low <= high or any(r.unit != "px" for r in lengths) or (plain and high > 1):
        raise UserError(f"segments: radius {value} must rise, in px or from 0 to 1 of the image height")
    return (lengths[0], lengths[1]) if lengths else (plain[0], plain[1])


def _odds_of(value: object) -> tuple[float, ...]:
    if not isinstance(value, (tuple, list)) or len(value) != len(WAYS):
        raise UserError(f"segments: odds {value} must be four numbers, of {', '.join(WAYS)}")
    if not all(isinstance(o, (int, float)) and 0 <= o < math.inf for o in value) or not sum(value):
        raise UserError(f"segments: odds {value} must not be negative, and one of them above 0")
    return tuple(float(o) for o in value)


def _frame_counts(value: object) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(isinstance(n, int) for n in pair) or not 1 <= pair[0] <= pair[1]:
        raise UserError(f"segments: frames {value} must be two whole numbers that rise, such as (3, 6)")
    return pair[0], pair[1]
