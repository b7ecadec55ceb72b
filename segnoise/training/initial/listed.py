"""Folders that a reader of public layouts lists: which of its images have labels, and what goes with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from segnoise.data import Labels
from segnoise.data.item import Item
from segnoise.errors import UserError
from segnoise.training.initial.draft import Files


def folder_of(files: Files, kind: str) -> Path:
    """The folder that the user gave; UserError where it is missing, and for images and labels beside it."""
    if files.images or files.labels is not None:
        raise UserError(f"--images, --labels: a {kind} set is given as its folder; use --folder")
    if files.folder is None:
        raise UserError(f"--folder: is missing; give the folder of the {kind} set")
    if not Path(files.folder).is_dir():
        raise UserError(f"--folder {files.folder}: no such folder; check the path")
    return Path(files.folder)


def with_labels(items: Sequence[Item], folder: Path) -> tuple[list[Item], list[Labels], list[str]]:
    """The items that have masks, their masks, and a warning of those that have none."""
    kept = [item for item in items if item.labels is not None]
    labels = [item.labels for item in kept if item.labels is not None]
    if not kept:
        raise UserError(f"--folder {folder}: none of its {len(items)} images has a mask")
    without = len(items) - len(kept)
    return kept, labels, [f"{without} images without labels are left out"] if without else []


def told_of(items: Sequence[Item], name: str) -> tuple[int, int]:
    """How many whole images are said to have a class, and of how many that is known."""
    values = [item.image_labels.get(name, math.nan) for item in items]
    return sum(value == 1 for value in values), sum(not math.isnan(value) for value in values)
