"""Prediction of medical volumes: labels, probabilities and label errors on the grid that the volume came in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnoise.config import VolumeData
from segnoise.data import IGNORE_INDEX, Source
from segnoise.data.volume import SliceSource, Volume, VolumeLabels, VolumeSource, like, write_volume
from segnoise.data.volume.nifti import NIFTI_SUFFIXES
from segnoise.errors import UserError
from segnoise.inference.cases import channels_of, unknown_index
from segnoise.inference.dicomseg import dicom_series, write_dicom_seg
from segnoise.inference.errormap import WrongLabels, error_map_array
from segnoise.inference.raster import predict_array
from segnoise.training import Model
from segnoise.training.volumes import open_volume_source, standard_of
from segnoise.windows import Window, refuse_existing

Progress = Callable[[int, int], None]

_ERROR_WINDOW = 128
"""Voxels along an axis whose label errors are inferred together, some 130 bytes each."""


@dataclass(frozen=True)
class VolumePrediction:
    """Where the segmentation lies, and what is expected of the given labels where there are any."""

    path: Path
    wrong: WrongLabels | None


def predict_volume(
    model: Model,
    image: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    overlap: Sequence[int] | None = None,
    scores: str | Path | None = None,
    labels: str | Path | None = None,
    label_error: str | Path | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> VolumePrediction:
    """Class labels of a volume of any format that is read, as NIfTI with the volume's own shape and affine.

    The network looks at the volume in the orientation and spacing it was trained in, by overlapping windows whose
    probabilities are blended, or slice by slice where it was trained on slices. What it says is brought back: moved
    where only the axes differ, interpolated linearly where the spacing does, and then decided.

    Args:
        model: a run of kind ``volume``, from ``segnoise.load``.
        image: file or folder; a list gives channels.
        out: ``.nii.gz`` or ``.nii`` to write: class indices, 255 where the volume has no value or was not looked at.
            From a DICOM series also ``.dcm`` (:func:`segnoise.inference.dicomseg.write_dicom_seg`).
        overlap: voxels along each axis; a quarter of the window by default.
        scores: also write the probabilities of all classes, float32, a class along the fourth axis, nan where none.
        labels: labels that were given for the volume, on its grid: class indices, 255 where unknown.
        label_error: where to write ``P(given label is wrong)`` (:func:`segnoise.error_map` with rho 0.5), float32, nan
            where the label is unknown or the volume was not looked at.
        overwrite: replace existing outputs.
        progress: called with (windows or slices done, in all).

    Returns:
        ``path``, and ``wrong``: how many labels were looked at, and how many are expected to be wrong.

    Raises:
        UserError: an unreadable volume, another number of channels than the model was trained on, a run of another
            kind, labels on another grid or beyond the classes, another ending or an existing output.
    """
    data = model.config.data
    if not isinstance(data, VolumeData):
        raise UserError(f"{model.source}: was trained on data of kind {data.kind}, not on volumes")
    if (labels is None) != (label_error is None):
        raise UserError("labels and label_error: give both, or neither")
    out = check_ending(refuse_existing(out, overwrite), (*NIFTI_SUFFIXES, ".dcm"))
    for beside in (scores, label_error):
        if beside is not None:
            check_ending(refuse_existing(beside, overwrite), NIFTI_SUFFIXES)
    paths = [Path(p) for p in ([image] if isinstance(image, str | Path) else image)]
    stored = VolumeSource(paths)
    series = dicom_series(paths[0], out) if out.suffix.lower() == ".dcm" else None
    given = None
    if labels is not None:
        given = VolumeLabels(labels, len(model.classes), like=stored, ignore=unknown_index(model))
        given.check()
    seen = VolumeSource(paths, standard=standard_of(data))
    source = open_volume_source(data, paths)
    _check_channels(paths, source.channels, channels_of(model))
    said, observed = _beliefs(model, data, source, overlap, device, progress)
    said[:, ~observed] = np.nan
    there = like(Volume(said, seen.affine, seen.path, seen.grid.measured), stored, order=1).values
    there = there.astype(np.float32, copy=False)
    decided = np.where(np.isnan(there).any(0), IGNORE_INDEX, np.nan_to_num(there).argmax(0)).astype(np.uint8)
    if series is None:
        write_volume(out, decided, stored.affine, overwrite=overwrite)
    else:
        write_dicom_seg(out, decided, series, model.classes, algorithm=model.config.name, overwrite=overwrite)
    if scores is not None:
        write_volume(scores, there, stored.affine, overwrite=overwrite)
    wrong = None
    if given is not None and label_error is not None:
        indices = given.read(Window((0, 0, 0), stored.shape))
        p_wrong = error_map_array(there, indices, rho=0.5, window=_ERROR_WINDOW)
        write_volume(label_error, p_wrong, stored.affine, overwrite=overwrite)
        wrong = WrongLabels.counted(p_wrong)
    return VolumePrediction(out, wrong)


def check_ending(path: Path, endings: tuple[str, ...]) -> Path:
    """The path, if volumes are written under such a name; UserError for another ending."""
    if not path.name.lower().endswith(endings):
        dicom = ", or .dcm from a DICOM series" if ".dcm" in endings else ""
        raise UserError(f"{path}: volumes are written as .nii.gz or .nii{dicom}; give such a name")
    return path


def _check_channels(paths: Sequence[Path], channels: int, needed: int) -> None:
    if channels == needed:
        return
    several = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    if channels < needed:
        hint = "give a file for each, CASE_0000, CASE_0001, ... in the order of training, or one file of them all"
    else:
        hint = f"give {needed} alone, as in training"
    raise UserError(f"{paths[0]}{several}: has {channels} channels, but the model was trained on {needed}; {hint}")


def _beliefs(
    model: Model,
    data: VolumeData,
    source: Source,
    overlap: Sequence[int] | None,
    device: str,
    progress: Progress | None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Probabilities ``K X Y Z`` and ``observed`` as the network sees the volume."""
    margin = model.overlap if overlap is None else tuple(overlap)
    if data.slices is None:
        return predict_array(model, source, model.sides, margin, device=device, progress=progress)
    axis, parts = data.slices.axis, []
    count = source.shape[axis]
    for k in range(count):
        cut = SliceSource(source, axis, k, data.slices.neighbours)
        parts.append(predict_array(model, cut, model.sides, margin, device=device))
        if progress is not None:
            progress(k + 1, count)
    said = np.stack([p for p, _ in parts], axis=1 + axis)
    return said, np.stack([seen for _, seen in parts], axis=axis)
