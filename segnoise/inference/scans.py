"""Prediction of whole OCT scans, B-scan by B-scan, on the grid that the scan came in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnoise.config import OctData
from segnoise.data.oct import PlacedScan, read_scan
from segnoise.data.volume import VolumeLabels, write_volume
from segnoise.data.volume.nifti import NIFTI_SUFFIXES
from segnoise.errors import UserError
from segnoise.inference.errormap import WrongLabels, error_map_array
from segnoise.inference.images import decided, windows_of
from segnoise.inference.looking import bscan_source
from segnoise.inference.raster import Progress, predict_array
from segnoise.inference.volumes import VolumePrediction, check_ending
from segnoise.training import Model
from segnoise.windows import Window, refuse_existing


def predict_scan(
    model: Model,
    scan: str | Path,
    out: str | Path,
    *,
    axes: Sequence[str] | None = None,
    window: int | None = None,
    overlap: int | None = None,
    scores: str | Path | None = None,
    labels: str | Path | None = None,
    label_error: str | Path | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> VolumePrediction:
    """Class labels of a whole OCT scan by a run on B-scans, as NIfTI on the scan's own grid.

    Each B-scan is looked at alone, as in training: rows are depth, columns width, values scaled by the B-scan's own
    where the run does so. Label errors are inferred within B-scans too, so what is written of a scan is what would be
    written of its B-scans one by one.

    Args:
        model: a run of kind ``oct``, from ``segnoise.load``.
        scan: a file of any kind that :func:`segnoise.data.oct.read_scan` reads.
        out: ``.nii.gz`` or ``.nii`` to write: class indices, 255 where the scan has no value.
        axes: what the axes of a volume file are, where its spacing does not tell.
        window, overlap: pixels; by default the run's own window and a quarter of it.
        scores: also write the probabilities of all classes, float32, a class along the fourth axis, nan where none.
        labels: a volume of labels that were given for the scan, on its grid: class indices, 255 where unknown.
        label_error: where to write ``P(given label is wrong)`` (:func:`segnoise.error_map` with rho 0.5), float32, nan
            where the label is unknown or the scan has no value.
        overwrite: replace existing outputs.
        progress: called with (B-scans done, in all).

    Returns:
        ``path``, and ``wrong``: how many labels were looked at, and how many are expected to be wrong.

    Raises:
        UserError: an unreadable scan, axes that cannot be known, a run of another kind, labels on another grid or
            beyond the classes, another ending or an existing output.
    """
    data = model.config.data
    if not isinstance(data, OctData):
        raise UserError(f"{model.source}: was trained on data of kind {data.kind}, not on B-scans")
    if (labels is None) != (label_error is None):
        raise UserError("labels and label_error: give both, or neither")
    out = Path(out)
    for path in (out, scores, label_error):
        if path is not None:
            check_ending(refuse_existing(path, overwrite), NIFTI_SUFFIXES)
    side, margin = windows_of(model, window, overlap)
    whole = read_scan(scan, axes)
    given = None
    if labels is not None:
        given = VolumeLabels(labels, len(model.classes), like=whole)
        given.check()
    said = np.full((len(model.classes), *whole.values.shape), np.nan, dtype=np.float32)
    count = said.shape[1]
    for k in range(count):
        if whole.observed[k].any():
            source = bscan_source(data, whole.bscan(k))
            p, seen = predict_array(model, source, side, margin, device=device)
            said[:, k] = np.where(seen, p, np.nan)
        if progress is not None:
            progress(k + 1, count)
    write_volume(out, whole.placed(decided(said)), whole.grid.affine, overwrite=overwrite)
    if scores is not None:
        write_volume(scores, whole.placed(said), whole.grid.affine, overwrite=overwrite)
    if given is None or label_error is None:
        return VolumePrediction(out, None)
    p_wrong = _wrong(whole, said, given)
    write_volume(label_error, whole.placed(p_wrong), whole.grid.affine, overwrite=overwrite)
    return VolumePrediction(out, WrongLabels.counted(p_wrong))


def _wrong(scan: PlacedScan, said: NDArray[np.float32], given: VolumeLabels) -> NDArray[np.float32]:
    """``P(given label is wrong)`` as ``B rows columns``."""
    indices = scan.stacked(given.read(Window((0, 0, 0), scan.grid.shape)))
    return np.stack([error_map_array(said[:, k], labels, rho=0.5) for k, labels in enumerate(indices)])
