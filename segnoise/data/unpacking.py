"""Archives from outside unpacked safely: nothing leaves the folder, and what is bad leaves nothing behind."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from segnoise.errors import UserError

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, RuntimeError)
"""What the libraries raise for cut, damaged, encrypted or strangely compressed archives."""


def unpack(archive: str | Path, folder: str | Path) -> int:
    """Unpacks a zip or tar (plain, gzip, bzip2, xz) into a folder that exists; the number of files.

    Everything is first written to a hidden folder beside its place and moved when all of it has come; files of the
    same name are replaced. Raises UserError for an absolute path, one with ``..``, a link, a device, and an archive
    that is damaged, cut short or encrypted; then nothing has been added to the folder.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(folder / "a.zip", "w") as made:
    ...     made.writestr("images/1.png", b"...")
    >>> unpack(folder / "a.zip", folder), (folder / "images" / "1.png").is_file()
    (1, True)
    """
    archive, folder = Path(archive), Path(folder)
    staging = folder / f".{archive.name}.partial"
    shutil.rmtree(staging, ignore_errors=True)  # what a killed run has left
    staging.mkdir()
    try:
        count = 0
        for name, content in _members(archive):
            target = staging / _safe(name, archive)
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
            count += 1
        _move(staging, folder)
    except (OSError, *_DAMAGED) as error:
        reason = getattr(error, "strerror", None)  # gzip and bzip2 raise OSError without it for a damaged file
        if reason is not None:
            raise UserError(f"{archive}: could not be unpacked into {folder} ({reason}); mend that first") from error
        first = next(iter(str(error).splitlines()), "cut short").rstrip(":")
        raise UserError(f"{archive}: cannot be unpacked ({first}); delete it and fetch it again") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return count


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The files of an archive with their content; UserError for what is neither file nor folder."""
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _refused(archive, info.filename, "a link or device")
                if info.is_dir():
                    _safe(info.filename, archive)
                    continue
                with opened.open(info) as content:
                    yield info.filename, content
        return
    with tarfile.open(archive) as opened_tar:
        for member in opened_tar:
            if member.isdir():
                _safe(member.name, archive)
                continue
            extracted = opened_tar.extractfile(member) if member.isreg() else None
            if extracted is None:
                raise _refused(archive, member.name, "a link or device")
            with extracted:
                yield member.name, extracted


def _safe(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or re.match("[A-Za-z]:", name):
        raise _refused(archive, name, "a path that leaves the folder")
    return path


def _refused(archive: Path, name: str, what: str) -> UserError:
    return UserError(f"{archive}: holds {name!r}, {what}; nothing was unpacked, do not trust this archive")


def _move(staging: Path, folder: Path) -> None:
    for path in sorted(staging.rglob("*")):
        target = folder / path.relative_to(staging)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            os.replace(path, target)
