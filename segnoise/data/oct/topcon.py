"""Topcon volumes (.fda): named chunks, of which one holds the B-scans as JPEG or JPEG 2000 and some the layers."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.oct.scan import Scan
from segnoise.errors import UserError

_MAGIC, _HEADER_BYTES = b"FOCT", 15
_IMAGES = struct.Struct("<B6I")
"""Scan mode, two unknown, width, height, B-scans, unknown; then each B-scan's length and bytes."""

_CONTOUR = struct.Struct("<20sBBIII")
"""Name, method, format, columns, B-scans, bytes; then uint16 heights from the bottom, the last B-scan first."""

_PARAMETERS = {b"@PARAM_SCAN_04": struct.Struct("<12xddd"), b"@PARAM_SCAN_02": struct.Struct("<21xddd")}
"""Width and height of the scanned field in mm and the depth of a pixel in micrometres."""

_BOUNDARIES = {
    "MULTILAYERS_1": "ILM", "MULTILAYERS_2": "RNFL/GCL", "MULTILAYERS_3": "GCL/IPL", "MULTILAYERS_4": "IPL/INL",
    "MULTILAYERS_5": "MZ/EZ", "MULTILAYERS_6": "IZ/RPE", "MULTILAYERS_7": "BM", "MULTILAYERS_8": "INL/OPL",
    "MULTILAYERS_9": "ELM", "MULTILAYERS_10": "CSI",
}  # fmt: skip


def read_topcon(path: Path) -> Scan:
    """The B-scans of an .fda file and the boundaries the device drew.

    Raises UserError when the file is no .fda, is cut short, or holds its B-scans in another form than ``@IMG_JPEG``.
    """
    content = path.read_bytes()
    try:
        chunks = _chunks(content)
        if b"@IMG_JPEG" not in chunks:
            raise UserError(f"{path}: no B-scans as @IMG_JPEG; export the scan as images and read the folder")
        images = _images(chunks[b"@IMG_JPEG"][0])
        scans, rows, columns = images.shape
        heights = dict(_contour(chunk, rows) for chunk in chunks.get(b"@CONTOUR_INFO", []))
    except (struct.error, ValueError, OSError, IndexError) as error:
        raise UserError(f"{path}: not a Topcon .fda file that can be read, or cut short; copy it again") from error
    spacing = (float("nan"), float("nan"))
    for chunk, parameters in _PARAMETERS.items():
        if chunk in chunks and len(chunks[chunk][0]) >= parameters.size:
            width, _, depth = parameters.unpack_from(chunks[chunk][0])
            spacing = (depth / 1000, width / columns)
            break
    for name, height in heights.items():
        if height.shape != (scans, columns):
            raise UserError(f"{path}: {name} has heights {height.shape} for {scans} B-scans of {columns} columns")
    return Scan(path.stem, images, spacing, heights)


def _chunks(content: bytes) -> dict[bytes, list[bytes]]:
    """After the header: the length of a name, the name, the length of the content and the content, until a 0."""
    if not content.startswith(_MAGIC):
        raise ValueError("no FOCT header")
    chunks: dict[bytes, list[bytes]] = {}
    at = _HEADER_BYTES
    while content[at]:
        name = content[at + 1 : at + 1 + content[at]]
        (size,) = struct.unpack_from("<I", content, at + 1 + content[at])
        start = at + 5 + content[at]
        if start + size > len(content):
            raise ValueError("cut short")
        chunks.setdefault(name, []).append(content[start : start + size])
        at = start + size
    return chunks


def _images(chunk: bytes) -> NDArray[Any]:
    from PIL import Image

    scans = _IMAGES.unpack_from(chunk)[5]
    at = _IMAGES.size
    images = []
    for _ in range(scans):
        (size,) = struct.unpack_from("<i", chunk, at)
        with Image.open(io.BytesIO(chunk[at + 4 : at + 4 + size])) as image:
            images.append(np.asarray(image))
        at += 4 + size
    return np.stack(images)


def _contour(chunk: bytes, rows: int) -> tuple[str, NDArray[np.float64]]:
    name, _, _, columns, scans, _ = _CONTOUR.unpack_from(chunk)
    label = name.split(b"\0")[0].decode("ascii", errors="replace")
    from_bottom = np.frombuffer(chunk, np.dtype("<u2"), count=scans * columns, offset=_CONTOUR.size)
    heights = rows - from_bottom.reshape(scans, columns)[::-1].astype(np.float64)
    return _BOUNDARIES.get(label, label), heights
