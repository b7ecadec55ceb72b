"""Boundaries that walk, pixel by pixel, mostly outwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.draws import uniforms
from segnoise.errors import UserError
from segnoise.noise.base import Corruption, Params, check_share, key_of
from segnoise.noise.geometry import face_pairs, known_labels

_BLUR = np.array([39, 57, 64, 57, 39])
"""A Gaussian of standard deviation 2 px on five taps, in whole numbers so that ties are ties everywhere."""


@dataclass(frozen=True, init=False)
class Markov(Corruption):
    """Markov boundary walk: steps of random growth or shrinkage, then random flips and a blur.

    In each step the image grows with probability ``grow``, else it shrinks. Growing, a pixel with a face-neighbour of
    a larger label takes the largest one with probability ``flip``; shrinking, a pixel with a smaller one takes the
    smallest. With two classes that is the published walk; label values are priorities as for ``boundary``. At last
    each pixel votes with probability ``speckle`` for another class, each alike, and each takes the class with most
    votes around it, weighted by a Gaussian (5 taps an axis, standard deviation 2 px). Among instances the classes are
    background and object: a pixel that is gained goes to the nearest object within the 5 taps, none is made.

    Args:
        steps: T; with 0 steps nothing is done at all.
        grow: theta 1.
        flip: theta 2.
        speckle: theta 3.

    Raises:
        UserError: a value outside its range.

    Published for JSRT: 180 steps, 0.8, 0.05, 0.2 (lungs and hearts); 100 steps, 0.8, 0.02, 0.2 (clavicles).
    Repository michaelofsbu/SpatialCorrection.

    >>> labels = np.pad(np.ones((20, 20), dtype=np.uint8), 20)
    >>> noisy, record = Markov(60).corrupt(labels, seed=1)
    >>> int(labels.sum()), int(noisy.sum())
    (400, 645)
    """

    length: int
    grow: float
    flip: float
    speckle: float
    name: ClassVar[str] = "markov"

    def __init__(self, steps: int, grow: float = 0.8, flip: float = 0.05, speckle: float = 0.2) -> None:
        if not isinstance(steps, (int, float)) or steps != int(steps) or steps < 0:
            raise UserError(f"markov: steps {steps} must be a whole number that is not negative")
        object.__setattr__(self, "length", int(steps))
        for option, value in (("grow", grow), ("flip", flip), ("speckle", speckle)):
            object.__setattr__(self, option, check_share(self.name, option, value))

    def __str__(self) -> str:
        return f"markov({self.length}, grow={self.grow!r}, flip={self.flip!r}, speckle={self.speckle!r})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        chances = {"grow": self.grow, "flip": self.flip, "speckle": self.speckle}
        return {"name": self.name, "steps": self.length, **chances, "key": key_of(generator)}

    def fit(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[Params]:
        shown = 1 + max((int(x[known_labels(x, instances)].max(initial=0)) for x in images), default=0)
        classes = 2 if instances else num_classes or max(shown, 2)
        if not instances and shown > classes:
            raise UserError(f"markov: the labels hold class {shown - 1}, but there are {classes} classes")
        return [{**p, "classes": classes, "met": self.length} for p in params]

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        if params["steps"] == 0:
            return labels.copy()
        known = known_labels(labels, instances)
        walked = _walk(np.where(known, labels.astype(np.int64), -1), params)
        kind = np.minimum(walked, 1) if instances else walked
        voted = _vote(kind, known, params)
        noisy = labels.copy()
        if instances:
            voted = np.where(voted > 0, _nearest_object(walked), 0)
        noisy[known] = voted[known].astype(labels.dtype)
        return noisy


def _walk(labels: NDArray[np.int64], params: Params) -> NDArray[np.int64]:
    """The labels after the steps; unknown is -1. Only the pixels at a boundary are looked at."""
    padded = np.pad(labels, 1, constant_values=-1)
    board = padded.ravel()
    strides = np.array(padded.strides) // padded.itemsize
    around = np.concatenate([-strides, strides])
    at_edge = np.zeros(board.size, dtype=bool)
    for pair in face_pairs(padded, padded >= 0):
        at_edge[np.concatenate(pair)] = True
    growing = uniforms(np.arange(params["steps"]), params["key"], "grow") < params["grow"]
    for step, grows in enumerate(growing.tolist()):
        front = np.flatnonzero(at_edge)
        front = front[uniforms(front, params["key"], "flip", step) < params["flip"]]
        own, beside = board[front], [board[front + offset] for offset in around]
        if grows:
            new = np.max(beside, axis=0)
            open_ = new > own
        else:
            new = np.min([np.where(one < 0, own, one) for one in beside], axis=0)
            open_ = new < own
        changed = front[open_]
        board[changed] = new[open_]
        # Only where something changed can a pixel have come to or left an edge.
        near = np.concatenate([changed, *(changed + offset for offset in around)])
        near = near[board[near] >= 0]
        beside = [board[near + offset] for offset in around]
        at_edge[near] = np.any([(one >= 0) & (one != board[near]) for one in beside], axis=0)
    return padded[(slice(1, -1),) * labels.ndim]


def _vote(kind: NDArray[np.int64], known: NDArray[np.bool_], params: Params) -> NDArray[np.int64]:
    """The class with most votes around each pixel, of votes that are in part for another class."""
    index = np.arange(kind.size).reshape(kind.shape)
    astray = known & (uniforms(index, params["key"], "speckle") < params["speckle"])
    votes, classes = kind.copy(), params["classes"]
    shift = 1 + (uniforms(index[astray], params["key"], "target") * (classes - 1)).astype(np.int64)
    votes[astray] = (kind[astray] + shift) % classes
    most, winner = np.zeros(kind.shape, dtype=np.int64), np.zeros(kind.shape, dtype=np.int64)
    for value in range(classes):
        score = ((votes == value) & known).astype(np.int64)
        for axis in range(kind.ndim):
            score = ndimage.correlate1d(score, _BLUR, axis, mode="mirror")
        ahead = score > most
        most[ahead], winner[ahead] = score[ahead], value
    return winner


def _nearest_object(walked: NDArray[np.int64]) -> NDArray[np.int64]:
    """The object of each pixel, or the nearest one within the blur's taps; 0 where there is none."""
    if not (walked > 0).any():
        return np.zeros_like(walked)
    distance, nearest = ndimage.distance_transform_cdt(walked <= 0, "chessboard", return_indices=True)
    return np.where(distance <= len(_BLUR) // 2, walked[tuple(nearest)], 0)
