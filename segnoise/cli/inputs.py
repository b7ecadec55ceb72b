"""What is asked of arguments before any work is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segnoise.errors import UserError


def check_device(device: str) -> str:
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device}: is not available here; use cpu") from error
    return device


def check_inputs(paths: list[Path]) -> None:
    for path in paths:
        folder, mark, _ = path.name.rpartition("#")  # FOLDER#SERIES_UID is one of several DICOM series
        if not path.exists() and not (mark and path.with_name(folder).is_dir()):
            raise UserError(f"{path}: no such file")


def open_scene(path: Path) -> Any:
    from segnoise.data import RasterSource

    scene = RasterSource(path)
    scene.require_crs()
    return scene


def targets_of(names: list[str], output: Path, suffix: str) -> list[Path]:
    """One output per input: the file itself for one, files called as the inputs are in a folder for several."""
    if len(names) == 1 and not output.is_dir():
        return [output]
    if output.suffix and not output.is_dir():
        raise UserError(f"{output}: {len(names)} inputs need a folder as output, not a file")
    if len(set(names)) < len(names):
        raise UserError("inputs: two of them have the same name; predict them into different folders")
    output.mkdir(parents=True, exist_ok=True)
    return [output / f"{name}{suffix}" for name in names]
