"""The Duke DME set: MATLAB files of one volume a subject, with fluid and layers drawn by two people."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.item import Item
from segnoise.data.oct.layers import heights_to_mask
from segnoise.data.oct.scan import Scan
from segnoise.data.pairing import natural_key
from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.source import ArrayLabels, ArraySource
from segnoise.errors import UserError, nearest

_TARGETS = {
    "fluid": ["background", "fluid"],
    "layers": ["vitreous", "NFL", "GCL-IPL", "INL", "OPL", "ONL-ISM", "ISE", "OS-RPE", "choroid"],
}

_SPACING = (0.00387, 0.01133)
"""Depth and width of a pixel in mm; the width is the mean of the subjects'."""


def read_duke(folder: str | Path, target: str = "fluid", observer: int = 1) -> tuple[list[str], list[Item]]:
    """The B-scans that a person has labelled in ``Subject_XX.mat``; the group is the subject.

    ``target`` is fluid (background, fluid) or layers (vitreous, seven layers, choroid); ``observer`` 1 or 2. A B-scan
    counts as labelled where the observer's layers are finite and not 0. Columns without any layer were not graded: they
    are unknown, but for fluid drawn there. Images are ``rows columns`` with (depth, width) in mm; only labelled B-scans
    are kept in memory.

    Data: Chiu et al., "Kernel regression based segmentation of optical coherence tomography images with diabetic
    macular edema", Biomedical Optics Express 6 (2015).

    Raises UserError where there is no such file, a file is not a MATLAB file, lacks a variable or has one of another
    shape, and where nothing is labelled.
    """
    if target not in _TARGETS:
        raise UserError(f"target {target!r}: no such labels; {nearest(target, _TARGETS)}")
    if observer not in (1, 2):
        raise UserError(f"observer {observer}: two people drew this set; choose 1 or 2")
    paths = sorted(Path(folder).glob("Subject_*.mat"), key=natural_key)
    if not paths:
        raise UserError(f"{folder}: no Subject_*.mat here; give the folder of the Duke DME files")
    items = [item for path in paths for item in _subject(path, target, observer)]
    if not items:
        raise UserError(f"{folder}: no B-scan has finite manualLayers{observer}; choose the other observer")
    return list(_TARGETS[target]), items


def read_duke_scan(path: Path) -> Scan:
    """All B-scans of one ``Subject_XX.mat``, labelled or not, without heights; the distance between them is not said.

    Raises UserError where it is not a MATLAB file of the set.
    """
    images = _load(path, ["images"])["images"]
    return Scan(path.stem, images.transpose(2, 0, 1), _SPACING, {})


def _subject(path: Path, target: str, observer: int) -> list[Item]:
    layers_name, fluid_name = f"manualLayers{observer}", f"manualFluid{observer}"
    wanted = ["images", layers_name, *([fluid_name] if target == "fluid" else [])]
    variables = _load(path, wanted)
    images, layers = variables["images"], variables[layers_name]
    rows, columns, scans = images.shape
    _check(path, layers_name, layers, (len(_TARGETS["layers"]) - 1, columns, scans))
    if target == "fluid":
        _check(path, fluid_name, variables[fluid_name], images.shape)
    layers = np.where(layers > 0, layers, np.nan)
    graded = np.isfinite(layers).any(axis=0)
    items = []
    for k in np.flatnonzero(graded.any(axis=0)):
        if target == "fluid":
            mask = _fluid(variables[fluid_name][:, :, k], graded[:, k])
        else:
            mask = heights_to_mask(layers[:, :, k], rows)
        name = f"{path.stem}/{k:02d}"
        source = ArraySource(images[None, :, :, k], _SPACING, name)
        items.append(Item(name, source, ArrayLabels(mask), group=path.stem))
    return items


def _fluid(instances: NDArray[Any], graded: NDArray[np.bool_]) -> NDArray[np.uint8]:
    with np.errstate(invalid="ignore"):
        fluid = (instances > 0).astype(np.uint8)
    unknown = ~np.isfinite(instances) | (~graded & (fluid == 0))
    return np.where(unknown, np.uint8(IGNORE_INDEX), fluid)


def _load(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    from scipy.io import loadmat, matlab

    try:
        variables = loadmat(path, variable_names=names)
    except NotImplementedError as error:
        raise UserError(f"{path}: a MATLAB 7.3 file; the set is published as version 5, copy it again") from error
    except (OSError, EOFError, ValueError, TypeError, struct.error, zlib.error, matlab.MatReadError) as error:
        raise UserError(f"{path}: not a MATLAB file that can be read, or cut short; copy it again") from error
    for name in names:
        if name not in variables:
            raise UserError(f"{path}: has no variable {name!r}; give the Duke DME files as published")
    if variables["images"].ndim != 3:
        raise UserError(f"{path}: images of shape {variables['images'].shape}; expected rows x columns x B-scans")
    return variables


def _check(path: Path, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise UserError(f"{path}: {name} has shape {array.shape}; with these images it should be {shape}")
