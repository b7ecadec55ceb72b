"""Scores of patients and how sure their mean is: overlap, surface distances and volumes, with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.metrics import Interval, bootstrap_intervals, confusion_matrix, scores, surface_scores, volume_scores

_TOLERANCE = 2.0
"""Of the surface Dice, in the smallest side of a pixel of the first image."""

_SEED = 0

_Values = dict[str, dict[str, dict[str, Any]]]
"""By score, by class (the mean is ""), by patient: the values of its images."""


@dataclass
class Patients:
    """What every image adds to the scores of its patient.

    Overlap (Dice, IoU) and volumes come from the confusion counts of all images of a patient together; surfaces are
    those of each volume, or of each 2-D image, and count with their mean over the patient's. Lengths are millimetres
    where every image says how large its pixels are, else pixels. The background is no organ: means are over the other
    classes. Where the sizes of pixels of all images to come are given, as ``spacings``, each is measured when it comes
    and not kept.
    """

    classes: Sequence[str]
    spacings: Sequence[Sequence[float]] | None = None
    _counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    _images: list[tuple[str, NDArray[Any], NDArray[Any], tuple[float, ...]]] = field(default_factory=list)
    _surfaces: _Values = field(default_factory=dict)
    _side: dict[str, tuple[float, ...] | None] = field(default_factory=dict)

    def add(self, patient: str, truth: NDArray[Any], prediction: NDArray[Any], spacing: Sequence[float]) -> None:
        """One image: true and predicted class indices ``*S``, 255 where unknown."""
        counts = confusion_matrix(truth, prediction, len(self.classes))
        self._counts[patient] = self._counts.get(patient, 0) + counts
        image = (patient, truth.astype(np.uint8), prediction.astype(np.uint8), tuple(spacing))
        if self.spacings is None:
            self._images.append(image)
        else:
            self._measure(*image)

    def summary(self) -> dict[str, Any]:
        """Number of patients, unit and tolerance, and for each score its mean over patients with a 95 % interval.

        A score is ``{"mean": interval, "per_class": {name: interval}}`` and an interval ``{"value", "low", "high",
        "n"}``; null where it is not defined, as a distance to something that is not there.
        """
        if self.spacings is None:
            self.spacings = [spacing for *_, spacing in self._images]
            for image in self._images:
                self._measure(*image)
        measured, tolerance = self._lengths
        values = dict(self._surfaces)
        for patient, counts in self._counts.items():
            self._take(values, patient, scores(counts, self.classes), ("dice", "iou"))
            volumes = volume_scores(counts, self.classes, self._side[patient])
            self._take(values, patient, volumes, ("volume_difference",))
        axes = len(self.spacings[0]) if self.spacings else 0
        table = {}
        for name, kinds in values.items():
            intervals = bootstrap_intervals(kinds, seed=_SEED)
            mean = _plain(intervals.pop(""))
            table[name] = {"mean": mean, "per_class": {kind: _plain(found) for kind, found in intervals.items()}}
        unit = "mm" if measured else "px"
        return {"n": len(self._counts), "unit": unit, "axes": axes, "tolerance": tolerance, **table}

    @cached_property
    def _lengths(self) -> tuple[bool, float]:
        """Whether lengths are measured, and the tolerance in that unit."""
        spacings = self.spacings or ()
        measured = all(math.isfinite(side) for spacing in spacings for side in spacing)
        finest = min(spacings[0]) if measured and spacings else 1.0
        return measured, _TOLERANCE * finest

    def _measure(self, patient: str, truth: NDArray[Any], prediction: NDArray[Any], spacing: tuple[float, ...]) -> None:
        measured, tolerance = self._lengths
        self._side[patient] = spacing if measured else None
        organs = dict(enumerate(self.classes[1:], 1))
        found = surface_scores(truth, prediction, organs, tolerance, self._side[patient])
        self._take(self._surfaces, patient, found, ("hd95", "assd", "nsd"))

    def _take(self, values: _Values, patient: str, found: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in names:
            per_class = {k: found[name]["per_class"][k] for k in self.classes[1:]}
            known = [v for v in per_class.values() if v is not None]
            mean = float(np.mean(known)) if known else None
            for kind, value in [("", mean), *per_class.items()]:
                values.setdefault(name, {}).setdefault(kind, {}).setdefault(patient, []).append(value)


def _plain(interval: Interval) -> dict[str, Any]:
    ends = {"value": interval.value, "low": interval.low, "high": interval.high}
    known = {key: value if value is not None and math.isfinite(value) else None for key, value in ends.items()}
    return {**known, "n": interval.n}
