"""Prediction of medical volumes: labels and probabilities on the grid that the volume came in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnoise.config import VolumeData
from segnoise.data import IGNORE_INDEX, Source
from segnoise.data.volume import SliceSource, Volume, VolumeSource, like, write_volume
from segnoise.errors import UserError
from segnoise.inference.raster import predict_array
from segnoise.training import Model
from segnoise.training.volumes import open_volume_source, standard_of
from segnoise.windows import refuse_existing

Progress = Callable[[int, int], None]


def predict_volume(
    model: Model,
    image: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    overlap: Sequence[int] | None = None,
    scores: str | Path | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Path:
    """Class labels of a volume of any format that is read, as NIfTI with the volume's own shape and affine.

    The network looks at the volume in the orientation and spacing it was trained in, by overlapping windows whose
    probabilities are blended, or slice by slice where it was trained on slices. What it says is brought back: moved
    where only the axes differ, interpolated linearly where the spacing does, and then decided.

    Args:
        model: a run of kind ``volume``, from ``segnoise.load``.
        image: file or folder; a list gives channels.
        out: ``.nii.gz`` or ``.nii`` to write: class indices, 255 where the volume has no value or was not looked at.
        overlap: voxels along each axis; a quarter of the window by default.
        scores: also write the probabilities of all classes, float32, a class along the fourth axis, nan where none.
        overwrite: replace existing outputs.
        progress: called with (windows or slices done, in all).

    Raises:
        UserError: an unreadable volume, another number of channels than the model was trained on, a run of another
            kind, another ending or an existing output.
    """
    data = model.config.data
    if not isinstance(data, VolumeData):
        raise UserError(f"{model.source}: was trained on data of kind {data.kind}, not on volumes")
    out = refuse_existing(out, overwrite)
    paths = [Path(p) for p in ([image] if isinstance(image, str | Path) else image)]
    stored = VolumeSource(paths)
    seen = VolumeSource(paths, standard=standard_of(data))
    source = open_volume_source(data, paths)
    expected = model.channels if data.slices is None else model.channels // (2 * data.slices.neighbours + 1)
    if source.channels != expected:
        raise UserError(f"{paths[0]}: has {source.channels} channels, but the model was trained on {expected}")
    said, observed = _beliefs(model, data, source, overlap, device, progress)
    said[:, ~observed] = np.nan
    there = like(Volume(said, seen.affine, seen.path, seen.grid.measured), stored, order=1).values
    labels = np.where(np.isnan(there).any(0), IGNORE_INDEX, np.nan_to_num(there).argmax(0)).astype(np.uint8)
    write_volume(out, labels, stored.affine, overwrite=overwrite)
    if scores is not None:
        write_volume(scores, there.astype(np.float32), stored.affine, overwrite=overwrite)
    return out


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
