"""Volumes in a report: three planes through the place that matters, and the slices side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data import IGNORE_INDEX
from segnoise.evaluation.overlay import overlay_uri, shown_size
from segnoise.evaluation.pictures import stretch_limits, stretched
from segnoise.evaluation.wholes import Looked, Whole, look, wholes
from segnoise.metrics import confusion_matrix, scores
from segnoise.training import Model, Prepared

_LONGEST = 300
_SLICE = 150
_SLICES = 12
_CANDIDATES, _VOXELS = 8, 30_000_000

# By the axis (of left, back, down) that a plane lies across: its name, and the letters left, right, above, below it.
_PLANES = {2: ("axial", "RLAP"), 1: ("coronal", "RLSI"), 0: ("sagittal", "APSI")}


@dataclass(frozen=True)
class Plane:
    """A picture of one slice: what it is called, in words, its size, and the letters left, right, above and below."""

    heading: str
    alt: str
    uri: str
    width: int
    height: int
    letters: str


@dataclass(frozen=True)
class VolumeView:
    """A volume to look at: what it shows in a sentence, the three planes (none where voxels have no known place), and
    its slices side by side.
    """

    name: str
    note: str
    planes: list[Plane]
    slices: list[Plane]


@dataclass(frozen=True)
class VolumeViews:
    """Volumes of the test split that went badly, middling and well, and those of training whose labels look worst."""

    test: list[VolumeView]
    train: list[VolumeView]
    looked: tuple[int, int]
    calibrated: bool


def volume_views(model: Model, prepared: Prepared) -> VolumeViews | None:
    """What the report shows of the volumes of a run; None for a run on photographs or maps.

    Of each split up to eight volumes, evenly spaced, are looked at, fewer where they are large. Shown are the worst,
    the middle and the best of the test split by mean Dice, and the two of training in which the largest share of labels
    is expected to be wrong.
    """
    if model.config.data.kind not in ("volume", "oct"):
        return None
    test = [look(whole, model, prepared, False) for whole in _thinned(wholes(prepared, "test"))]
    train = [look(whole, model, prepared, True) for whole in _thinned(wholes(prepared, "train"))]
    scored = [(dice, seen) for seen in test if (dice := _dice(seen, model)) is not None]
    scored.sort(key=lambda pair: (pair[0], pair[1].name))
    wanted = sorted({0, len(scored) // 2, len(scored) - 1}) if scored else []
    doubted = [(doubt, seen) for seen in train if (doubt := _doubt(seen)) is not None]
    doubted.sort(key=lambda pair: (-pair[0], pair[1].name))
    calibrated = all(seen.calibrated for _, seen in doubted)
    share = "of its labels are expected to be wrong" if calibrated else "is the mean score of its labels"
    return VolumeViews(
        [_view(scored[k][1], f"mean Dice {scored[k][0]:.2f}") for k in wanted],
        [_view(seen, f"{100 * doubt:.1f}\u202f% {share}") for doubt, seen in doubted[:2]],
        (len(scored), len(doubted)),
        calibrated,
    )


def _thinned(found: Sequence[Whole]) -> list[Whole]:
    """Some, evenly spaced, that fit into memory and patience together; one at least."""
    if not found:
        return []
    count = min(_CANDIDATES, max(1, _VOXELS // max(whole.voxels for whole in found)), len(found))
    return [found[k] for k in np.unique(np.linspace(0, len(found) - 1, count).astype(int))]


def _doubt(seen: Looked) -> float | None:
    """How large a share of the given labels looks wrong; None where none is known."""
    known = seen.given != IGNORE_INDEX
    return float(seen.wrong[known].mean()) if seen.wrong is not None and known.any() else None


def _dice(seen: Looked, model: Model) -> float | None:
    """The mean Dice of the classes but the background that are in labels or prediction; None where none is."""
    counts = confusion_matrix(seen.reference, seen.prediction, len(model.classes))
    values = [scores(counts, model.classes)["dice"]["per_class"][name] for name in model.classes[1:]]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _view(seen: Looked, note: str) -> VolumeView:
    limits = stretch_limits([seen.image[None].reshape(1, -1, 1)], [seen.observed.reshape(-1, 1)])
    grey = np.zeros(seen.image.shape, dtype=np.uint8)
    for k in range(len(grey)):
        grey[k] = stretched(seen.image[k][None], seen.observed[k], limits)[..., 0]
    planes: list[Plane] = []
    if seen.affine is not None:
        point = _point(seen)
        x, y, z = (seen.affine @ [*point, 1])[:3]
        note += f"; planes through {_side(x, 'RL')}, {_side(y, 'AP')}, {_side(z, 'SI')} mm"
        lengths = np.array(seen.spacing) * seen.image.shape
        scale = _LONGEST / float(lengths.max())
        planes = [_plane(seen, grey, axis, point[axis], scale, *_PLANES[axis]) for axis in (2, 1, 0)]
    return VolumeView(seen.name, note, planes, _mosaic(seen, grey))


def _side(millimetres: float, letters: str) -> str:
    """A coordinate in RAS+ with the letter of its side; L and P are negative."""
    positive = {"RL": "R", "AP": "A", "SI": "S"}[letters]
    negative = letters.replace(positive, "")
    return f"{positive if millimetres >= 0 else negative}\u202f{abs(millimetres):.1f}"


def _weight(seen: Looked) -> NDArray[np.floating]:
    """Where to look: at labels that look wrong, at wrong predictions, else at objects."""
    if seen.wrong is not None:
        return seen.wrong
    known = seen.reference != IGNORE_INDEX
    wrong = known & (seen.reference != seen.prediction)
    return (wrong if wrong.any() else known & (seen.reference > 0)).astype(np.float32)


def _point(seen: Looked) -> tuple[int, ...]:
    """The slice of each axis that holds the most of that."""
    weight = _weight(seen)
    return tuple(int(weight.sum(tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3))


def _mosaic(seen: Looked, grey: NDArray[np.uint8]) -> list[Plane]:
    """Slices evenly spaced over those that hold anything, along the axis that slices lie across."""
    others = tuple({0, 1, 2} - {seen.axis})
    labels = (seen.reference > 0) & (seen.reference != IGNORE_INDEX)
    said = (seen.prediction > 0) & (seen.prediction != IGNORE_INDEX)
    held = np.flatnonzero((labels | said).any(others))
    first, last = (int(held[0]), int(held[-1])) if len(held) else (0, seen.image.shape[seen.axis] - 1)
    chosen = np.unique(np.linspace(first, last, min(_SLICES, last - first + 1)).round().astype(int))
    name, letters = _PLANES[seen.axis] if seen.oriented else ("", "")
    sides = np.nan_to_num(np.array(seen.spacing), nan=1.0) * seen.image.shape
    scale = _SLICE / float(max(sides[a] for a in others))
    return [_plane(seen, grey, seen.axis, int(k), scale, name, letters) for k in chosen]


def _plane(seen: Looked, grey: NDArray[np.uint8], axis: int, k: int, scale: float, name: str, letters: str) -> Plane:
    """The slice ``k`` across an axis; of oriented volumes the first other axis goes to the right, the second down."""
    others = [a for a in range(3) if a != axis]

    def cut(array: NDArray[Any]) -> NDArray[Any]:
        taken = np.take(array, k, axis)
        return taken.T if seen.oriented else taken

    spacing = (seen.spacing[others[0]], seen.spacing[others[1]])
    if seen.oriented:
        spacing = spacing[::-1]
    image = cut(grey)
    size = shown_size((image.shape[0], image.shape[1]), spacing, scale)
    number = f"slice {seen.numbers[axis][k]}"
    doubted = seen.wrong is not None
    uri = overlay_uri(
        image,
        cut(seen.observed),
        size,
        outline=cut(seen.given if doubted else seen.reference),
        fill=None if doubted else cut(seen.prediction),
        wrong=cut(seen.wrong) if seen.wrong is not None else None,
    )
    heading = f"{name}, {number}" if name else number
    return Plane(heading, f"{heading} of {seen.name}", uri, size[1], size[0], letters)
