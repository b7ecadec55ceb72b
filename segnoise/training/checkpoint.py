"""Checkpoints: plain tensors and containers, written atomically, loadable with ``weights_only=True``."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from segnoise.errors import UserError
from segnoise.windows import atomic_output

FORMAT = 1


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes ``content`` under ``path``, replacing an older file only when the new one is whole.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "last.ckpt"
    >>> save_checkpoint(path, {"step": 3, "weight": torch.ones(2)})
    >>> load_checkpoint(path)["step"]
    3
    """
    with atomic_output(path, overwrite=True) as temporary:
        torch.save({"format": FORMAT, **content}, temporary)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint without running any code from it.

    Raises UserError if the file is missing, truncated, or not a checkpoint of segnoise.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; train first, or check the run's folder")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: is not a readable checkpoint (truncated or of another program)") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: is not a checkpoint of this version of segnoise (format {FORMAT} expected)")
    return content
