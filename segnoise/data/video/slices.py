"""Neighbouring slices of a volume as the frames of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from segnoise.data.pairing import Pair
from segnoise.data.source import Labels, Source
from segnoise.data.video.recording import Frame, Recording
from segnoise.data.volume import CalledAs, SliceLabels, SliceSource, VolumeLabels, VolumeSource, volume_name
from segnoise.data.volume.itkfile import ITK_SUFFIXES
from segnoise.data.volume.nifti import NIFTI_SUFFIXES
from segnoise.errors import UserError

VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES)


def slices_of(
    folder: str,
    path: Path,
    masks: Sequence[Path],
    table: Mapping[Path, Pair] | None = None,
    axis: int = 2,
    num_classes: int | None = None,
) -> Recording:
    """The slices of a volume across ``axis``, in the order of its file, with those of the mask of its name.

    Raises UserError as ``VolumeSource`` and ``VolumeLabels`` do, and for two masks of its name.
    """
    row = None if table is None else table.get(path.resolve())
    called = CalledAs(masks, str(masks[0].parent) if masks else str(path))
    name = volume_name(path)
    mask = row.label if row is not None else called.find(name, path) if name in called else None
    volume = VolumeSource(path)
    labels = None if mask is None else VolumeLabels(mask, num_classes, like=volume)
    if not 0 <= axis < len(volume.shape):
        raise UserError(f"data.axis: {axis} is no axis of {path}; give 0, 1 or 2")

    def open_at(k: int) -> Callable[[], tuple[Source, Labels | None]]:
        return lambda: (SliceSource(volume, axis, k), None if labels is None else SliceLabels(labels, axis, k))

    frames = [Frame(k, f"{path}, slice {k}", open_at(k)) for k in range(volume.shape[axis])]
    where = name if folder == path.parent.name else f"{folder}/{name}"
    return Recording(where, path, frames, split=None if row is None else row.split)
