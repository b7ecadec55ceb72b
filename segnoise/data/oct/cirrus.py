"""Zeiss Cirrus cubes (.img): bare bytes, whose shape is in the file's name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from segnoise.data.oct.scan import Scan
from segnoise.errors import UserError

_CUBE_MM = (6.0, 2.0)
"""Width and depth of the macular and optic disc cubes."""


def read_cirrus(path: Path) -> Scan:
    """A macular or optic disc cube, ``P..._Macular Cube 512x128_..._cube_z.img``: uint8, no heights.

    The bytes run along the width, then the depth (bottom up), then the B-scans; each B-scan is stored turned by half a
    turn. The cube is 6 mm wide and 2 mm deep.

    Raises UserError when the name does not say ``<columns>x<B-scans>`` or the size does not fit it.
    """
    shape = re.search(r"(\d+)x(\d+)", path.stem)
    if shape is None:
        raise UserError(f"{path}: the name does not say the cube's size; keep the device's name, ...Cube 512x128_...")
    columns, scans = int(shape[1]), int(shape[2])
    data = np.fromfile(path, dtype=np.uint8)
    rows, rest = divmod(data.size, columns * scans)
    if rest or rows < 2:
        raise UserError(f"{path}: {data.size} bytes are no {columns} x {scans} A-scans; it is cut short or renamed")
    values = data.reshape(scans, rows, columns)[:, ::-1, ::-1]
    spacing = (_CUBE_MM[1] / (rows - 1), _CUBE_MM[0] / (columns - 1))
    return Scan(path.stem, values, spacing, {})
