"""The noise of published studies on the JSRT chest radiographs: some images dilated, eroded or moved by much."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.errors import UserError
from segnoise.length import spacing_of
from segnoise.noise.base import Corruption, Params, check_share
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import MISSED
from segnoise.noise.share import Share

WAYS = ("dilate", "erode", "affine")


@dataclass(frozen=True)
class Jsrt(Corruption):
    """A share alpha of the images is dilated, eroded or moved, at equal odds, until beta of the foreground changed.

    The foreground is every label above 0. Dilation lets it grow over the background and erosion lets the background
    grow over it, a face-neighbour a step, and the step is kept whose change is nearest to beta; neither fills the
    image or empties the foreground. A moved image is rotated about its centre by U(-angle, angle) degrees (in the
    plane of two random axes; the angle is halved while this alone is too much) and then shifted by whole pixels in one
    of the eight directions (26 in a volume), found by bisection, until the pixels that differ are beta of the
    foreground. What comes from outside the image or from unknown pixels changes nothing.

    Args:
        alpha: share of the images.
        beta: changed pixels over foreground pixels, met in each of them as nearly as whole steps allow.
        angle: of the rotation, in degrees; published: 15 for lungs and hearts, 2 for clavicles.

    Raises:
        UserError: a value outside its range.

    Published levels (alpha, beta): (0.3, 0.5), (0.5, 0.7), (0.7, 0.7). Repository gaozhitong/SP_guided_Noisy_Label_Seg.

    >>> labels = np.pad(np.ones((8, 8), dtype=np.uint8), 8)
    >>> noisy, record = Jsrt(1, 0.5).corrupt(labels, seed=2)
    >>> record["params"][0]["part"]["part"]["way"], int((noisy != labels).sum()) / 64
    ('dilate', 0.5)
    """

    alpha: float
    beta: float
    angle: float = 15.0
    name: ClassVar[str] = "jsrt"

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", check_share(self.name, "alpha", self.alpha))
        object.__setattr__(self, "beta", check_share(self.name, "beta", self.beta))
        if not isinstance(self.angle, (int, float)) or not 0 <= self.angle <= 180:
            raise UserError(f"jsrt: angle {self.angle} must be a number of degrees from 0 to 180")
        object.__setattr__(self, "angle", float(self.angle))

    def __str__(self) -> str:
        angle = f", angle={self.angle!r}" if self.angle != 15 else ""
        return f"jsrt({self.alpha!r}, {self.beta!r}{angle})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "part": self._images().draw(shape, generator)}

    def fit(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[Params]:
        parts = self._images().fit(images, [p["part"] for p in params], instances, spacing, num_classes)
        changed = [p["part"]["met"] for p in parts if p["chosen"]]
        common: Params = {"met": float(np.mean(changed)) if changed and self.alpha else 0.0}
        far = [c for c in changed if abs(c - self.beta) > MISSED * self.beta]
        reasons = [parts[0]["why"]] if parts and "why" in parts[0] else []
        if far:
            reasons.append(
                f"whole steps come no nearer in {len(far)} of {len(changed)} images ({min(far):.2g} to {max(far):.2g})"
            )
        if reasons:
            common["why"] = "; ".join(reasons)
        return [{**p, **common, "part": part} for p, part in zip(params, parts, strict=True)]

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        return self._images().apply(labels, params["part"], instances, spacing)

    def _images(self) -> Share:
        return Share(self.alpha, _Deform(self.beta, self.angle))


@dataclass(frozen=True)
class _Deform(Corruption):
    """One image dilated, eroded or moved; its level is met by itself."""

    beta: float
    angle: float
    name: ClassVar[str] = "deform"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        axes = len(shape)
        # Drawn whatever the way, so that the next step of a composed noise draws the same.
        way, degrees = WAYS[int(generator.integers(3))], float(generator.uniform(-self.angle, self.angle))
        plane = sorted(generator.permutation(axes)[:2].tolist())
        code = int(generator.integers(3**axes - 1))
        # The middle one of all the combinations of -1, 0 and 1 is no direction.
        code += code >= (3**axes - 1) // 2
        direction = [code // 3**a % 3 - 1 for a in range(axes)]
        return {"name": self.name, "way": way, "degrees": degrees, "plane": plane, "direction": direction}

    def fit(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[Params]:
        return [self._fit_one(x, p, instances, spacing) for x, p in zip(images, params, strict=True)]

    def _fit_one(self, labels: NDArray[Any], drawn: Params, instances: bool, spacing: Sequence[float] | None) -> Params:
        known = known_labels(labels, instances)
        area = int(np.count_nonzero(known & (labels > 0)))
        if area == 0 or self.beta == 0:
            return {**drawn, "step": None, "met": 0.0}
        if drawn["way"] == "affine":
            turned = _rotated(labels, known, drawn, spacing)

            def measure(step: int) -> float:
                return np.count_nonzero(_shifted(labels, known, turned, drawn["direction"], step) != labels) / area

            while measure(0) > self.beta:
                drawn = {**drawn, "degrees": drawn["degrees"] / 2}
                turned = _rotated(labels, known, drawn, spacing)
            step, met = _reach(measure, self.beta, max(labels.shape))
        else:
            when = _when(labels, known, drawn["way"])
            changed = np.cumsum(np.bincount(when.ravel())[1:], dtype=np.float64) / area
            # The last step would leave no background, or no foreground. Of two steps as near, the later one.
            levels = np.concatenate([[0.0], changed[:-1]])[::-1]
            nearest = int(np.argmin(np.abs(levels - self.beta)))
            step, met = len(levels) - 1 - nearest, float(levels[nearest])
        return {**drawn, "step": step, "met": met}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        if params["step"] is None:
            return labels.copy()
        known = known_labels(labels, instances)
        if params["way"] == "affine":
            turned = _rotated(labels, known, params, spacing)
            return _shifted(labels, known, turned, params["direction"], params["step"])
        when = _when(labels, known, params["way"])
        change = (when > 0) & (when <= params["step"])
        noisy = labels.copy()
        if params["way"] == "erode":
            noisy[change] = 0
        else:
            nearest = ndimage.distance_transform_cdt(
                ~(known & (labels > 0)), "taxicab", return_distances=False, return_indices=True
            )
            noisy[change] = labels[tuple(axis[change] for axis in nearest)]
        return noisy


def _when(labels: NDArray[Any], known: NDArray[np.bool_], way: str) -> NDArray[np.int32]:
    """The step at which a pixel changes: its taxicab distance to the other side; 0 where it never does."""
    inner, outer = known & (labels > 0), known & (labels == 0)
    source, target = (inner, outer) if way == "dilate" else (outer, inner)
    if not source.any():
        return np.zeros(labels.shape, dtype=np.int32)
    return np.where(target, ndimage.distance_transform_cdt(~source, "taxicab"), 0)


def _rotated(
    labels: NDArray[Any], known: NDArray[np.bool_], drawn: Params, spacing: Sequence[float] | None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The labels rotated about the centre of the image, and where something known came from."""
    if labels.ndim < 2:
        return labels, known
    matrix = np.eye(labels.ndim)
    a, b = drawn["plane"]
    cosine, sine = math.cos(math.radians(drawn["degrees"])), math.sin(math.radians(drawn["degrees"]))
    matrix[[a, a, b, b], [a, b, a, b]] = cosine, -sine, sine, cosine
    side = np.array(spacing_of(spacing) or (1.0,) * labels.ndim)
    matrix = matrix * side / side[:, None]
    centre = (np.array(labels.shape) - 1) / 2
    moved = [
        ndimage.affine_transform(array, matrix, centre - matrix @ centre, order=0, cval=0)
        for array in (labels, known.astype(np.uint8))
    ]
    return moved[0], moved[1] > 0


def _shifted(
    labels: NDArray[Any],
    known: NDArray[np.bool_],
    turned: tuple[NDArray[Any], NDArray[np.bool_]],
    direction: Sequence[int],
    step: int,
) -> NDArray[Any]:
    """The labels with those of the turned image moved ``step`` pixels onto them, where both are known."""
    moves = [d * step for d in direction]
    there = tuple(slice(max(m, 0), max(n + min(m, 0), 0)) for m, n in zip(moves, labels.shape, strict=True))
    here = tuple(slice(max(-m, 0), max(n - max(m, 0), 0)) for m, n in zip(moves, labels.shape, strict=True))
    noisy = labels.copy()
    came = known[there] & turned[1][here]
    noisy[there][came] = turned[0][here][came]
    return noisy


def _reach(measure: Callable[[int], float], asked: float, most: int) -> tuple[int, float]:
    """The whole step whose level is nearest to the asked one, and that level: doubled until past it, then halved."""
    seen = {0: measure(0)}
    low, high = 0, 1
    while seen[low] < asked and high <= most:
        seen[high] = measure(high)
        if seen[high] >= asked:
            break
        low, high = high, 2 * high
    while seen[low] < asked and high - low > 1 and high <= most:
        middle = (low + high) // 2
        seen[middle] = measure(middle)
        low, high = (middle, high) if seen[middle] < asked else (low, middle)
    return min(seen.items(), key=lambda step: (abs(step[1] - asked), step[0]))
