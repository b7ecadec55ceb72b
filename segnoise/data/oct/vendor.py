"""Files as OCT devices write them: Heidelberg .vol and .e2e (through eyepy), Topcon .fda, Zeiss .img."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from segnoise.data.item import Item
from segnoise.data.oct.cirrus import read_cirrus
from segnoise.data.oct.scan import Scan, scan_items
from segnoise.data.oct.topcon import read_topcon
from segnoise.errors import UserError

VENDOR_SUFFIXES = (".vol", ".e2e", ".fda", ".img")

_EMPTY = {".vol": 3e38, ".e2e": 1.99}
"""Reflectivity lies between 0 and 1; from here on it stands for no measurement."""


def read_vendor(path: str | Path) -> tuple[list[str], list[Item]]:
    """The B-scans of one device file, labelled with the layers the device found; the group is the scan.

    Classes lie between the boundaries in the file, named after them, from top to bottom; pixels are unknown where a
    boundary is missing (3.4e38). A file without boundaries gives no classes and no labels. B-scans are ``rows
    columns`` with (depth, width) in mm. Of an .e2e file with several volumes the first is read; its grey values and
    those of a .vol are the ones Heidelberg's viewer shows (0 to 255).

    These formats are reverse engineered: compare a scan of each device with its viewer before relying on it.

    Raises UserError for another suffix, a missing, foreign or damaged file, and for .vol and .e2e without eyepy.
    """
    return scan_items(read_vendor_scan(path))


def read_vendor_scan(path: str | Path) -> Scan:
    """The same file as one scan; raises UserError as :func:`read_vendor` does."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in VENDOR_SUFFIXES:
        raise UserError(f"{path}: no device file that can be read; give one of {', '.join(VENDOR_SUFFIXES)}")
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    if suffix == ".img":
        return read_cirrus(path)
    if suffix == ".fda":
        return read_topcon(path)
    return _heidelberg(path, suffix)


def _heidelberg(path: Path, suffix: str) -> Scan:
    try:
        eyepy: Any = importlib.import_module("eyepy")
    except ImportError as error:
        raise UserError(f"{path}: {suffix} files need eyepy; pip install segnoise[oct]") from error
    try:
        volume = eyepy.import_heyex_vol(path) if suffix == ".vol" else eyepy.import_heyex_e2e(path)
        shown = np.where(volume.raw_data < _EMPTY[suffix], volume.data, np.float32("nan"))
        heights = {name: layer.data for name, layer in volume.layers.items()}
        spacing = (float(volume.scale_y), float(volume.scale_x))
    except Exception as error:  # what its parsers raise on a foreign file is not a list one could write down
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path}: eyepy cannot read it ({reason}); copy it again, or export it as .vol") from error
    return Scan(path.stem, shown, spacing, heights)
