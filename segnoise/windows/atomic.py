"""Outputs that exist whole or not at all: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from segnoise.errors import UserError


def refuse_existing(path: str | Path, overwrite: bool = False) -> Path:
    """Checks, before any work, that ``path`` can be written; returns it.

    Raises UserError if it exists (and ``overwrite`` is false), or if its folder is missing or not writable.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give a file name to write to")
    if path.exists() and not overwrite:
        raise UserError(f"{path}: already exists; give another name or --overwrite")
    folder = path.parent
    if not folder.is_dir():
        raise UserError(f"{path}: the folder {folder} does not exist; create it first")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{path}: the folder {folder} is not writable")
    return path


@contextlib.contextmanager
def atomic_output(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yields a temporary path in the same folder; on success it is synced and renamed to ``path``.

    On any error the temporary file is removed and an existing file under the final name stays as it was.
    The temporary name keeps the suffix, so that format drivers recognise it. Raises UserError when the
    output exists, cannot be written, or the disk is full.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_output(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> (folder / "a.txt").read_text(), len(list(folder.iterdir()))
    ('whole', 1)
    """
    path = refuse_existing(path, overwrite)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{path}: could not be written ({reason}); free space or choose another folder") from error
    finally:
        for leftover in path.parent.glob(f"{glob.escape(temporary.name)}*"):
            leftover.unlink(missing_ok=True)
