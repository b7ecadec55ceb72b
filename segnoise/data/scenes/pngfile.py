"""Pictures and masks of procedural scenes as PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from segnoise.errors import UserError
from segnoise.windows import atomic_output


def save_pair(
    folder: str | Path, name: str, image: NDArray[np.uint8], mask: NDArray[np.uint8], overwrite: bool = False
) -> tuple[Path, Path]:
    """Writes ``images/NAME.png`` and ``labels/NAME.png`` (class indices), 8-bit grey; folders are made if missing.

    Raises UserError when a file exists and ``overwrite`` is false, or cannot be written.

    >>> import tempfile
    >>> paths = save_pair(tempfile.mkdtemp(), "a", np.zeros((4, 6), np.uint8), np.ones((4, 6), np.uint8))
    >>> [f"{path.parent.name}/{path.name}" for path in paths]
    ['images/a.png', 'labels/a.png']
    """
    if not name or Path(name).name != name:
        raise UserError(f"name {name!r}: give a file name without a folder, such as 'v01'")
    paths = Path(folder) / "images" / f"{name}.png", Path(folder) / "labels" / f"{name}.png"
    for path, values in zip(paths, (image, mask), strict=True):
        write_png(path, values, overwrite)
    return paths


def write_png(path: Path, values: NDArray[np.uint8], overwrite: bool = False) -> None:
    """Writes 8-bit grey ``H W`` or RGB ``H W 3``; the folder is made if missing.

    Raises UserError when the file exists and ``overwrite`` is false, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be made ({error.strerror}); choose another folder") from error
    bands = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    count, height, width = bands.shape
    with atomic_output(path, overwrite) as temporary:
        profile = {"driver": "PNG", "height": height, "width": width, "count": count, "dtype": "uint8"}
        with rasterio.open(temporary, "w", **profile) as file:
            file.write(bands)
