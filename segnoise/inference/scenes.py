"""Prediction of scenes that came with labels: the map, and where the labels look wrong, in bounded memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from segnoise.inference.errormap import WrongLabels, map_label_errors
from segnoise.inference.given import scene_labels
from segnoise.inference.raster import Progress, predict_raster
from segnoise.windows import refuse_existing


@dataclass(frozen=True)
class ScenePrediction:
    """Where the map lies, and what is expected of the labels that were given."""

    path: Path
    wrong: WrongLabels


def predict_labelled_scene(
    model: nn.Module,
    scene: str | Path,
    out: str | Path,
    labels: str | Path,
    label_error: str | Path,
    *,
    window: int | None = None,
    overlap: int | None = None,
    batch_size: int = 4,
    scores: str | Path | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> ScenePrediction:
    """:func:`segnoise.predict_raster`, and :func:`segnoise.inference.map_label_errors` of labels for the same scene.

    The labels are read once before the model looks. Where the probabilities are not asked for, they lie in a hidden
    folder beside ``out`` for as long as this runs.

    Args:
        model: see ``predict_raster``; its ``classes`` say how many there are.
        scene: path of a raster, with a CRS where the labels are polygons.
        out: GeoTIFF to write: class indices, 255 where the scene has no data.
        labels: class indices in a raster on the scene's grid, 255 where unknown; or polygons, read as in training.
        label_error: GeoTIFF to write: ``P(given label is wrong)`` with rho 0.5, float32, nan where the label is unknown
            or the scene has no data.
        window, overlap, batch_size, scores, overwrite, device: of ``predict_raster``.
        progress: called with (windows done, windows in all), first of the prediction and then of the error map.

    Returns:
        ``path``, and ``wrong``: how many labels were looked at, and how many are expected to be wrong.

    Raises:
        UserError: what ``predict_raster`` and ``map_label_errors`` refuse, polygons that do not meet the scene.
    """
    out = refuse_existing(out, overwrite)
    for beside in (scores, label_error):
        if beside is not None:
            refuse_existing(beside, overwrite)
    given = scene_labels(model, labels, scene)
    with _passing(out) if scores is None else contextlib.nullcontext(Path(scores)) as believed:
        predict_raster(
            model, scene, out, window=window, overlap=overlap, batch_size=batch_size, scores=believed,
            overwrite=overwrite, device=device, progress=progress,
        )  # fmt: skip
        wrong = map_label_errors(believed, given, label_error, rho=0.5, overwrite=overwrite, progress=progress)
    return ScenePrediction(out, wrong)


@contextlib.contextmanager
def _passing(out: Path) -> Iterator[Path]:
    """A name for probabilities beside ``out``; what is written there is gone in the end."""
    with tempfile.TemporaryDirectory(prefix=f".{out.stem}.", dir=out.parent, ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "scores.tif"
        try:
            yield path
        finally:
            if path.exists():
                os.truncate(path, 0)  # readers keep files open, which would keep the space they take
