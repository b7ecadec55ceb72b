"""Scores of a run against labels: per class, boundaries, objects, calibration, and label-error detection."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.data import IGNORE_INDEX, Region
from segnoise.data.source import SourceView
from segnoise.errors import UserError
from segnoise.evaluation.averaged import Averaged
from segnoise.evaluation.labelerrors import label_errors
from segnoise.evaluation.patients import Patients
from segnoise.evaluation.sequences import Sequences, sequence_name
from segnoise.inference import predict_array
from segnoise.metrics import (
    BoundaryCounts,
    Calibration,
    DetectionCurve,
    ObjectCounts,
    boundary_counts,
    boundary_f1,
    confusion_matrix,
    object_counts,
    object_scores,
    scores,
)
from segnoise.training import Model, Prepared, Run, load, prepare
from segnoise.training.run import Which
from segnoise.vector import label_instances
from segnoise.windows import Window, atomic_output

Progress = Callable[[int, int], None]

_STRETCH = 16
"""Frames of a sequence that are predicted together, at least where they are small."""

_HELD = 2**26
"""Probabilities of large frames that are held together, at most, unless a clip has more."""


@dataclass(frozen=True)
class RegionSource(SourceView):
    """A box of a source, read as a source of its own."""

    region: Region

    @property
    def shape(self) -> tuple[int, ...]:
        return self.region.window.size

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return self.whole.read(window.shift(self.region.window.start))


def evaluate(
    run: str | Path,
    *,
    split: str = "test",
    checkpoint: Which = "best",
    objects: bool = True,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The metrics of a run on one split of its own data, as written to ``metrics.json``.

    Labels under synthetic noise are compared with their clean originals. A class that is absent from labels and
    predictions is null and left out of the mean; pixels labelled 255 or without data count nowhere. Objects are
    4-connected components of each class but the first (a class named ``boundary`` separates fields and is no
    object); boundaries agree within 2 pixels. Where the clean labels are known (synthetic noise), the detection
    of wrong training labels is scored too. Runs on images and volumes also have ``patients``: scores of each patient
    (or image, where no group is known) with intervals, see :class:`segnoise.evaluation.patients.Patients`; runs on
    sequences of frames have ``sequences``, see :class:`segnoise.evaluation.sequences.Sequences`.

    Raises:
        UserError: no such run, checkpoint or split, or data that moved since training.
    """
    started = time.monotonic()
    model = load(run, checkpoint)
    folder = run_folder(run)
    prepared = prepare(model.config, Run(folder))
    if split not in prepared.regions or not prepared.regions[split]:
        known = [name for name, boxes in prepared.regions.items() if boxes]
        raise UserError(f"--split {split}: the run has no such split or it is empty; known: {', '.join(known)}")
    kind, regions = model.config.data.kind, prepared.regions[split]
    spacings = [_spacing(prepared, region) for region in regions]
    patients = None if kind in ("raster", "scenes") else Patients(model.classes, spacings)
    sequences = Sequences(model.classes) if kind == "video" else None
    metrics = score_regions(model, prepared, regions, objects, device, progress, patients, sequences)
    if patients is not None:
        metrics["patients"] = patients.summary()
    if sequences is not None:
        metrics["sequences"] = sequences.summary()
    if prepared.clean is not None:
        curve = detection(model, prepared, device)
        metrics |= {"label_error_auroc": curve.auroc(), "label_error_ap": curve.average_precision()}
    return {"split": split, "checkpoint": checkpoint, **metrics, "seconds": round(time.monotonic() - started, 3)}


def run_folder(run: str | Path) -> Path:
    """The folder of a run that is named by its folder or by a checkpoint inside it."""
    path = Path(run)
    return path if path.is_dir() else path.resolve().parent.parent


def score_regions(
    model: Model | Averaged,
    prepared: Prepared,
    regions: Sequence[Region],
    objects: bool = True,
    device: str = "cpu",
    progress: Progress | None = None,
    patients: Patients | None = None,
    sequences: Sequences | None = None,
) -> dict[str, Any]:
    """The metrics of a model over some regions, pooled over all their pixels and objects.

    ``patients`` is told each image, and ``sequences`` the frames of each sequence.

    Boundaries, objects and surfaces of a sequence are those of its frames, each an image of its own.
    """
    classes = model.classes
    truth_of = prepared.clean or prepared.given
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    boundary = {k: BoundaryCounts(0, 0, 0, 0) for k in range(1, len(classes))}
    found = ObjectCounts(0, 0, 0)
    calibration = Calibration()
    images = 0
    for done, region in enumerate(regions, 1):
        group = prepared.groups[region.index] if prepared.groups else None
        numbers = _numbers(prepared, region)
        for part in [region] if numbers is None else _stretches(region, model.sides[0], len(classes)):
            source = RegionSource(prepared.sources[region.index], part)
            probabilities, observed = predict_array(model, source, model.sides, model.overlap, device=device)
            truth = np.where(observed, truth_of[region.index].read(part.window), IGNORE_INDEX)
            valid = truth != IGNORE_INDEX
            prediction = probabilities.argmax(0)
            confusion += confusion_matrix(truth, prediction, len(classes))
            calibration.add(probabilities.max(0), prediction == truth, valid)
            frames = [(truth, prediction)] if numbers is None else list(zip(truth, prediction, strict=True))
            images += 1 if numbers is None else sum(bool(seen.any()) for seen in observed)
            if sequences is not None and numbers is not None:
                sequences.add(sequence_name(source.name, numbers), region.index, truth, prediction)
            for true, said in frames:
                for k in boundary:
                    boundary[k] += boundary_counts(true, said, k)
                if objects:
                    found += _objects(true, said, classes)
                if patients is not None:
                    patients.add(group or source.name, true, said, _spacing(prepared, region))
        if progress is not None:
            progress(done, len(regions))
    per_boundary = {classes[k]: boundary_f1(counts) for k, counts in boundary.items()}
    known = [value for value in per_boundary.values() if value is not None]
    result: dict[str, Any] = dict(scores(confusion, classes))
    result["boundary_f1"] = {"mean": float(np.mean(known)) if known else None, "per_class": per_boundary}
    if objects:
        result |= object_scores(found)
    return {**result, "ece": calibration.ece(), "n_images": images}


def _numbers(prepared: Prepared, region: Region) -> tuple[int, ...] | None:
    """Those of the frames of a sequence; None for anything else."""
    return None if prepared.numbers is None else prepared.numbers[region.index]


def _spacing(prepared: Prepared, region: Region) -> tuple[float, ...]:
    """Of the pixels of an image, or of the frames of a sequence."""
    spacing = tuple(prepared.sources[region.index].spacing)
    return spacing if _numbers(prepared, region) is None else spacing[1:]


def _stretches(region: Region, clip: int, num_classes: int) -> list[Region]:
    """A sequence in stretches of frames, none shorter than a clip, so that what is predicted of one fits in memory."""
    (length, *sides), (begin, *corner) = region.window.size, region.window.start
    together = max(clip, min(_STRETCH, _HELD // (num_classes * math.prod(sides))))
    parts = max(1, length // together)
    ends = [begin + length * k // parts for k in range(parts + 1)]
    return [Region(region.index, Window((a, *corner), (b - a, *sides))) for a, b in itertools.pairwise(ends)]


def _objects(truth: NDArray[np.integer[Any]], prediction: NDArray[np.integer[Any]], classes: list[str]) -> ObjectCounts:
    """Objects of every class but the background, matched within their class."""
    total = ObjectCounts(0, 0, 0)
    valid = truth != IGNORE_INDEX
    boundary = classes.index("boundary") if "boundary" in classes else None
    if truth.ndim != 2:
        seen = np.where(valid, prediction, IGNORE_INDEX)
        for k in range(1, len(classes)):
            total += object_counts(ndimage.label(truth == k)[0], ndimage.label(seen == k)[0], valid)
        return total
    for k in range(1, len(classes)):
        if k != boundary:
            a = label_instances(truth.astype(np.uint8), field=k, boundary=boundary)
            b = label_instances(np.where(valid, prediction, IGNORE_INDEX).astype(np.uint8), field=k, boundary=boundary)
            total += object_counts(a, b, valid)
    return total


def detection(model: Model, prepared: Prepared, device: str = "cpu", split: str = "train") -> DetectionCurve:
    """How well the run's label-error map finds the wrong labels of a split whose clean labels are known."""
    return label_errors([model], prepared, device, split).curve


def write_metrics(metrics: dict[str, Any], path: Path, overwrite: bool = True) -> None:
    """Writes metrics as JSON, atomically."""
    with atomic_output(path, overwrite) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n")
