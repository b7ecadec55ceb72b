"""Prediction of plain images: masks, probabilities and label errors with the image's size."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from torch import nn

from segnoise.data import IGNORE_INDEX, Source
from segnoise.errors import UserError
from segnoise.inference.errormap import WrongLabels, error_map_array
from segnoise.inference.given import image_labels
from segnoise.inference.looking import image_source
from segnoise.inference.raster import predict_array, tiff_like
from segnoise.windows import Window, atomic_output, refuse_existing

_DRIVERS = {".png": "PNG", ".tif": "GTiff", ".tiff": "GTiff"}


@dataclass(frozen=True)
class ImagePrediction:
    """Where the mask lies, and what is expected of the given labels where there are any."""

    path: Path
    wrong: WrongLabels | None


def predict_image(
    model: nn.Module,
    image: str | Path | Source,
    out: str | Path,
    *,
    window: int | None = None,
    overlap: int | None = None,
    scores: str | Path | None = None,
    labels: str | Path | None = None,
    label_error: str | Path | None = None,
    overwrite: bool = False,
    device: str = "cpu",
) -> ImagePrediction:
    """The mask of one image, and beside it how sure the model is and where given labels look wrong.

    Args:
        model: raw pixel values ``B C H W`` to logits ``B K H W``; a run's model from ``segnoise.load`` or your own.
        image: path of an image, which a run's model reads as in training; or a Source.
        out: 8-bit ``.png`` or ``.tif`` to write: class indices, 255 where nothing was observed: where the image is
            transparent, or outside the field of view.
        window, overlap: pixels; by default the model's own window (else 256) and a quarter of it.
        scores: ``.tif`` to write the probabilities of all classes to, float32, a band a class, nan where nothing was
            observed.
        labels: a mask that was given for the image, of its size: class indices, 255 where unknown.
        label_error: ``.tif`` to write ``P(given label is wrong)`` to (:func:`segnoise.error_map` with rho 0.5),
            float32, nan where the label is unknown or nothing was observed.
        overwrite: replace existing outputs.

    Returns:
        ``path``, and ``wrong``: how many labels were looked at, and how many are expected to be wrong.

    Raises:
        UserError: an unreadable image, a band count that the model was not trained on, labels of another size or
            beyond the classes, another ending, an existing output.
    """
    if (labels is None) != (label_error is None):
        raise UserError("labels and label_error: give both, or neither")
    out = Path(out)
    if out.suffix.lower() not in _DRIVERS:
        raise UserError(f"{out}: a mask is written as .png or .tif, not {out.suffix or 'without a suffix'}")
    refuse_existing(out, overwrite)
    for beside in (scores, label_error):
        if beside is not None and refuse_existing(beside, overwrite).suffix.lower() not in (".tif", ".tiff"):
            raise UserError(f"{beside}: maps of numbers beside a mask are written as .tif; give such a name")
    source = image_source(model, image)
    channels = getattr(model, "channels", source.channels)
    if channels != source.channels:
        raise UserError(f"{source.name}: has {source.channels} bands, but the model was trained on {channels}")
    given = None if labels is None else image_labels(model, labels, source)
    side, margin = windows_of(model, window, overlap)
    probabilities, observed = predict_array(model, source, side, margin, device=device)
    probabilities[:, ~observed] = np.nan
    mask = decided(probabilities)
    wrong = None
    with contextlib.ExitStack() as stack:
        write_mask(stack.enter_context(atomic_output(out, overwrite)), mask, _DRIVERS[out.suffix.lower()])
        if scores is not None:
            write_map(stack.enter_context(atomic_output(scores, overwrite)), probabilities, source, model)
        if given is not None and label_error is not None:
            p_wrong = error_map_array(probabilities, given.read(Window((0, 0), source.shape)), rho=0.5)
            write_map(stack.enter_context(atomic_output(label_error, overwrite)), p_wrong[None], source, model)
            wrong = WrongLabels.counted(p_wrong)
    return ImagePrediction(out, wrong)


def windows_of(
    model: nn.Module, window: int | None, overlap: int | None
) -> tuple[int | Sequence[int], int | Sequence[int]]:
    """Window and overlap in pixels, along both axes or along each: as asked, else the model's own and a quarter.

    Raises UserError for an overlap that leaves no stride.
    """
    side: int | Sequence[int] = getattr(model, "sides", getattr(model, "window", 256)) if window is None else window
    smallest = side if isinstance(side, int) else min(side)
    if overlap is None:
        return side, side // 4 if isinstance(side, int) else tuple(s // 4 for s in side)
    if not 0 <= overlap < smallest:
        raise UserError(f"overlap {overlap}: must be at least 0 and below the window {smallest}")
    return side, overlap


def decided(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The class of the highest probability ``*S`` in ``K *S``, 255 where they are nan."""
    unknown = np.isnan(probabilities).any(0)
    return np.where(unknown, IGNORE_INDEX, np.nan_to_num(probabilities).argmax(0)).astype(np.uint8)


def write_mask(path: Path, mask: NDArray[np.uint8], driver: str) -> None:
    """An 8-bit mask by a driver of GDAL; raises OSError where it did not all reach the disk."""
    with rasterio.open(
        path, "w", driver=driver, height=mask.shape[0], width=mask.shape[1], count=1, dtype="uint8"
    ) as dst:
        dst.write(mask, 1)
    # Errors on closing go unheard, so what was written is read again.
    with rasterio.open(path) as src:
        if not np.array_equal(src.read(1), mask):
            raise OSError("the file is not whole after closing, the disk may be full")


def write_map(path: Path, bands: NDArray[np.float32], source: Source, model: nn.Module) -> None:
    """Numbers ``C H W`` as a float32 TIFF."""
    with tiff_like(path, source, "float32", len(bands), model) as dst:
        dst.write(bands)
