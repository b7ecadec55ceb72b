"""Plain pictures made once for a benchmark: slices of volumes, grey versions of mixed images, smaller ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from segnoise.data import IGNORE_INDEX, ImageLabels, ImageSource
from segnoise.errors import UserError
from segnoise.windows import Window

_LOW, _HIGH = 0.5, 99.5


def cut_slices(images: Sequence[Path], labels: Sequence[Path], axis: int, every: int, folder: Path) -> None:
    """Slices of NIfTI volumes as ``images/NAME_003.png`` and of their labels as ``labels/NAME_003.png``.

    The 0.5th to the 99.5th percentile of each *volume* become 0 … 255, for intensities differ between scanners.

    Raises UserError for a file that is no volume with three axes, or labels of another shape.
    """
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for image, label in zip(images, labels, strict=True):
        volume, truth = _volume(image), _volume(label)
        if volume.shape != truth.shape:
            raise UserError(f"{label}: has the shape {truth.shape} but its image {image} has {volume.shape}")
        grey = scale_grey(volume)
        for k in range(0, volume.shape[axis], every):
            name = f"{image.name.split('.')[0]}_{k:03d}.png"
            _write(folder / "images" / name, np.take(grey, [k], axis).squeeze(axis))
            _write(folder / "labels" / name, np.take(truth, [k], axis).squeeze(axis).astype(np.uint8))


def make_grey(images: Sequence[Path], folder: Path) -> None:
    """Each image as ``images/NAME.png``: the mean of its bands, its own 0.5th to 99.5th percentile as 0 … 255."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for path in images:
        source = ImageSource(path)
        values, _ = source.read(Window((0, 0), (source.shape[0], source.shape[1])))
        _write(folder / "images" / f"{path.stem}.png", scale_grey(values.mean(axis=0)))


def reduce_pictures(images: Sequence[Path], labels: Sequence[Path], factor: int, folder: Path) -> None:
    """8-bit pictures and their labels, each block of ``factor`` × ``factor`` pixels made one, under their names as PNG.

    Raises UserError for pictures of another type, labels of another size, or pictures smaller than a block.
    """
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for image, label in zip(images, labels, strict=True):
        source = ImageSource(image)
        height, width = source.shape
        if source.dtype != "uint8":
            raise UserError(f"{image}: holds {source.dtype}; prepare: reduced takes 8-bit pictures")
        if min(height, width) < factor:
            raise UserError(f"{image}: {height} x {width} pixels, less than a block of {factor}; take a smaller factor")
        truth = ImageLabels(label, IGNORE_INDEX, like=source)
        whole = Window((0, 0), (height, width))
        values, _ = source.read(whole)
        _write(folder / "images" / f"{image.stem}.png", np.rint(_blocks(values, factor).mean(axis=-1)))
        _write(folder / "labels" / f"{image.stem}.png", most_frequent(truth.read(whole), factor))


def most_frequent(labels: NDArray[np.integer[Any]], factor: int) -> NDArray[np.uint8]:
    """The label that most known pixels of each block have, the lowest of several; 255 where most are unknown.

    >>> most_frequent(np.array([[0, 1, 2, 255], [1, 1, 255, 255]]), 2).tolist()
    [[1, 255]]
    """
    blocks = _blocks(labels[None], factor)[0]
    classes = np.unique(blocks[blocks != IGNORE_INDEX])
    if not len(classes):
        return np.full(blocks.shape[:-1], IGNORE_INDEX, dtype=np.uint8)
    winner = classes[np.stack([(blocks == k).sum(-1) for k in classes]).argmax(0)]
    unknown = (blocks == IGNORE_INDEX).sum(-1) > factor**2 / 2
    return np.where(unknown, IGNORE_INDEX, winner).astype(np.uint8)


def _blocks(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """``C H W`` as ``C H/factor W/factor`` blocks, the pixels of each along the last axis."""
    count, rows, columns = len(values), values.shape[1] // factor, values.shape[2] // factor
    cut = values[:, : rows * factor, : columns * factor].reshape(count, rows, factor, columns, factor)
    return cut.swapaxes(2, 3).reshape(count, rows, columns, -1)


def scale_grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values as 0 … 255 between two percentiles; a constant image is 0.

    >>> scale_grey(np.array([[0.0, 1e6], [2e6, 4e6]])).tolist()
    [[0, 64], [128, 255]]
    """
    known = np.nan_to_num(values.astype(np.float64))
    low, high = np.percentile(known, (_LOW, _HIGH))
    return np.clip(np.rint(255 * (known - low) / max(high - low, 1e-12)), 0, 255).astype(np.uint8)


def _volume(path: Path) -> NDArray[Any]:
    import nibabel as nib

    try:
        values = np.asanyarray(nib.load(path).dataobj)
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: is not a readable NIfTI volume ({error})") from error
    if values.ndim != 3:
        raise UserError(f"{path}: has {values.ndim} axes; slices are cut from volumes with three")
    return values


def _write(path: Path, values: NDArray[Any]) -> None:
    """``H W`` or ``C H W`` as an 8-bit PNG."""
    bands = values.reshape(-1, *values.shape[-2:]).astype(np.uint8)
    count, height, width = bands.shape
    with rasterio.open(path, "w", driver="PNG", height=height, width=width, count=count, dtype="uint8") as dst:
        dst.write(bands)
