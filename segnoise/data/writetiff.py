"""Writing a GeoTIFF so that a full disk is noticed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError


@contextlib.contextmanager
def geotiff(path: str | Path, **profile: Any) -> Iterator[Any]:
    """A new rasterio dataset to write to, tiled and deflated unless the profile says otherwise, checked once closed.

    GDAL writes the last blocks and the directory when it closes a file, and errors there go unheard. So the closed
    file is opened again, and each of its blocks must lie inside it.

    Raises OSError when the file is not whole, which ``atomic_output`` turns into a message.

    >>> import tempfile, numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "a.tif"
    >>> with geotiff(path, count=1, height=16, width=16, dtype="uint8", blockxsize=16, blockysize=16) as dataset:
    ...     dataset.write(np.ones((1, 16, 16), dtype=np.uint8))
    >>> rasterio.open(path).profile["compress"]
    'deflate'
    """
    settings = {"driver": "GTiff", "tiled": True, "compress": "deflate", "BIGTIFF": "IF_SAFER", **profile}
    with rasterio.open(path, "w", **settings) as dataset:
        yield dataset
    length = Path(path).stat().st_size
    try:
        with rasterio.open(path) as dataset:
            ends = [end for band in dataset.indexes for end in _block_ends(dataset, band)]
    except RasterioError as error:
        raise OSError("the file is not whole after closing, the disk may be full") from error
    if max(ends, default=0) > length:
        raise OSError("the file is shorter than its contents, the disk may be full")


def _block_ends(dataset: Any, band: int) -> Iterator[int]:
    for (row, column), _ in dataset.block_windows(band):
        offset, size = (
            dataset.get_tag_item(f"BLOCK_{k}_{column}_{row}", "TIFF", bidx=band) for k in ("OFFSET", "SIZE")
        )
        # A block that was never written has no place: GDAL fills it in when reading.
        if offset is not None and size is not None:
            yield int(offset) + int(size)
