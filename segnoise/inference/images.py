"""Prediction of plain images: masks of class indices with the image's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from torch import nn

from segnoise.data import IGNORE_INDEX, Source
from segnoise.errors import UserError
from segnoise.inference.looking import image_source
from segnoise.inference.raster import predict_array
from segnoise.windows import atomic_output


def predict_image(
    model: nn.Module,
    image: str | Path | Source,
    out: str | Path,
    *,
    window: int | None = None,
    overlap: int | None = None,
    overwrite: bool = False,
    device: str = "cpu",
) -> Path:
    """The mask of one image as an 8-bit PNG or TIFF of class indices, 255 where the image is transparent.

    Raises UserError for an unreadable image, a band count that the model was not trained on, a suffix that is not
    .png, .tif or .tiff, or an existing output.
    """
    out = Path(out)
    drivers = {".png": "PNG", ".tif": "GTiff", ".tiff": "GTiff"}
    if out.suffix.lower() not in drivers:
        raise UserError(f"{out}: a mask is written as .png or .tif, not {out.suffix or 'without a suffix'}")
    source = image_source(model, image)
    channels = getattr(model, "channels", source.channels)
    if channels != source.channels:
        raise UserError(f"{source.name}: has {source.channels} bands, but the model was trained on {channels}")
    side = int(getattr(model, "window", 256)) if window is None else window
    with atomic_output(out, overwrite) as temporary:
        probabilities, observed = predict_array(
            model, source, side, side // 4 if overlap is None else overlap, device=device
        )
        labels = np.where(observed, probabilities.argmax(0), IGNORE_INDEX).astype(np.uint8)
        driver = drivers[out.suffix.lower()]
        with rasterio.open(
            temporary, "w", driver=driver, height=labels.shape[0], width=labels.shape[1], count=1, dtype="uint8"
        ) as dst:
            dst.write(labels, 1)
        # Errors on closing go unheard, so what was written is read again.
        with rasterio.open(temporary) as src:
            if not np.array_equal(src.read(1), labels):
                raise OSError("the file is not whole after closing, the disk may be full")
    return out
