"""PNG files that end too early: GDAL reads what is missing as 0 and says nothing."""

from __future__ import annotations

import os
from pathlib import Path

from segnoise.errors import UserError

_TAIL = 4096


def check_unbroken(path: Path) -> None:
    """Raises UserError for a PNG that has no end; other formats are left to their readers, which notice it."""
    if path.suffix.lower() != ".png":
        return
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            tail = file.read()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    if b"IEND" not in tail:
        raise UserError(f"{path}: the picture ends too early, the file is truncated; copy it again")
