"""Public data sets downloaded as their manifests say, checked before use, and looked over once they are there."""

from __future__ import annotations

import fnmatch
import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from segnoise.data.manifest import DataFile, Manifest
from segnoise.data.unpacking import unpack
from segnoise.errors import UserError
from segnoise.windows import atomic_output

Progress = Callable[[int, int], None]

LOCK = "manifest.lock.yaml"
"""What was fetched into a folder, with the checksums seen."""

ARCHIVES = "archives"
"""Subfolder of the archives as they came; it may be deleted once they are unpacked."""


class _Fetched(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    checksum: str
    published: bool


class _Lock(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    files: dict[str, _Fetched] = {}


def fetch(
    manifest: Manifest,
    folder: str | Path,
    trust: bool = False,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Path]:
    """Downloads a data set into a folder of its own and unpacks its archives; the paths of the files that came.

    Each file is written under a temporary name and held against its published checksum before it gets its own name or
    is unpacked. One without a published checksum is refused unless ``trust``; the SHA-256 seen is then recorded in
    ``manifest.lock.yaml`` and asked for from then on. ``only`` are patterns of file names, for a part of a set. What
    is there already is not fetched again. ``progress`` is told bytes done and all of each file in turn.

    Raises UserError that says what to do for a set that needs a registration or has no direct address, a folder that
    holds other things, an address that cannot be reached or answers an error, a file that is not the published one,
    and an archive that is damaged or whose paths leave the folder. Needs pooch.
    """
    folder = Path(folder)
    chosen = _chosen(manifest, only)
    lock = _read_lock(manifest, folder)
    known = {_key(file): file.checksum or _seen(lock, file) for file in chosen}
    unknown = [key for key, checksum in known.items() if checksum is None]
    if unknown and not trust:
        raise UserError(
            f"{manifest.name}: nobody publishes a checksum of {_some(unknown)}; look at {manifest.home or 'its page'} "
            "and add --trust if you trust it: what is seen then is recorded"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    _write_lock(lock, folder)
    paths = []
    for file in chosen:
        path = _place(file, folder)
        paths.append(path)
        checksum = known[_key(file)]
        if checksum is not None and _seen(lock, file) == checksum and (file.is_archive or path.is_file()):
            continue
        _download(file, path, checksum, progress)
        if file.is_archive:
            into = folder / file.into
            into.mkdir(parents=True, exist_ok=True)
            unpack(path, into)
        seen = _Fetched(
            url=file.url, checksum=checksum or checksum_of(path, "sha256"), published=file.checksum is not None
        )
        lock = _Lock(name=lock.name, files={**lock.files, _key(file): seen})
        _write_lock(lock, folder)
    return paths


@dataclass(frozen=True)
class Check:
    """One thing that was looked for in a folder: what, what was found, and whether that is right."""

    what: str
    found: str
    ok: bool


def verify(manifest: Manifest, folder: str | Path) -> list[Check]:
    """Looks a copy of a data set over, however it was had: the files expected, and checksums where they are known.

    Hidden files do not count. An archive is held against its published checksum, else that of ``manifest.lock.yaml``,
    if it lies in the folder or in its ``archives``; once unpacked it may be missing.

    Raises UserError for a folder that is not there, and where the manifest says nothing that could be checked.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the one that holds {manifest.title}")
    checks = []
    for expected in manifest.expected:
        count = sum(_counts(path.relative_to(folder)) for path in folder.glob(expected.glob) if path.is_file())
        wanted = "at least 1" if expected.count is None else str(expected.count)
        ok = count > 0 if expected.count is None else count == expected.count
        checks.append(Check(expected.glob, f"{count} of {wanted}", ok))
    fetched = folder.joinpath(LOCK).is_file()
    lock = _read_lock(manifest, folder) if fetched else _Lock(name=manifest.name)
    for file in manifest.files:
        path = _place(file, folder)
        if not path.is_file():
            path = folder / file.name
        checksum = file.checksum or _seen(lock, file)
        if path.is_file() and checksum is not None:
            same = checksum_of(path, checksum.partition(":")[0]) == checksum
            checks.append(Check(_key(file), "its checksum" if same else f"not {checksum}", same))
        elif _key(file) in lock.files and not file.is_archive:
            checks.append(Check(_key(file), "0 of 1", False))
    if not checks:
        raise UserError(f"{manifest.name}: its manifest knows neither files nor checksums to look for; nothing checked")
    return checks


def checksum_of(path: Path, algorithm: str) -> str:
    """``algorithm:hexdigits`` of a file.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a"
    >>> _ = path.write_bytes(b"")
    >>> checksum_of(path, "md5")
    'md5:d41d8cd98f00b204e9800998ecf8427e'
    """
    try:
        with open(path, "rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); copy it again") from error


def _chosen(manifest: Manifest, only: Sequence[str]) -> list[DataFile]:
    then = f"then look it over: `segnoise data verify {manifest.name} FOLDER`"
    if manifest.registration.kind != "none":
        raise UserError(f"{manifest.name}: {manifest.registration.how} ({manifest.home}); {then}")
    if not manifest.files:
        page = ", ".join(part for part in (manifest.home, manifest.where) if part)
        raise UserError(f"{manifest.name}: has no direct address; get it by hand ({page}); {then}")
    chosen = [f for f in manifest.files if not only or any(fnmatch.fnmatch(f.name, pattern) for pattern in only)]
    if not chosen:
        known = _some([file.name for file in manifest.files])
        raise UserError(f"{manifest.name}: no file matches {', '.join(only)}; its files: {known}")
    return chosen


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _key(file: DataFile) -> str:
    return f"{file.into}/{file.name}" if file.into else file.name


def _place(file: DataFile, folder: Path) -> Path:
    return (folder / ARCHIVES if file.is_archive else folder) / _key(file)


def _seen(lock: _Lock, file: DataFile) -> str | None:
    entry = lock.files.get(_key(file))
    return entry.checksum if entry is not None and entry.url == file.url else None


def _counts(path: Path) -> bool:
    return path.parts[0] != ARCHIVES and not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _read_lock(manifest: Manifest, folder: Path) -> _Lock:
    path = folder / LOCK
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give a folder")
    if not path.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder}: holds other things; give a new folder for {manifest.name}")
        return _Lock(name=manifest.name)
    try:
        lock = _Lock.model_validate(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not what data fetch has written; give a new folder for {manifest.name}") from error
    if lock.name != manifest.name:
        raise UserError(f"{folder}: holds {lock.name}; give another folder for {manifest.name}")
    return lock


def _write_lock(lock: _Lock, folder: Path) -> None:
    with atomic_output(folder / LOCK, overwrite=True) as temporary:
        temporary.write_text(
            "# Written by segnoise data fetch: what was downloaded, with the checksum published or seen.\n"
            + yaml.safe_dump(lock.model_dump(), sort_keys=False, allow_unicode=True)
        )


def _download(file: DataFile, path: Path, checksum: str | None, progress: Progress | None) -> None:
    """The file under its own name, after its checksum has been compared."""
    with _pooch() as pooch:
        from requests.exceptions import HTTPError, RequestException

        downloader: Any = _copy
        if not file.url.startswith("file:"):
            # Compression on the way would change the bytes that the checksum is of.
            headers = {"Accept-Encoding": "identity"}
            shown = _Shown(progress) if progress is not None else False
            downloader = pooch.HTTPDownloader(progressbar=shown, chunk_size=1 << 20, headers=headers)
        try:
            pooch.retrieve(file.url, checksum, fname=path.name, path=path.parent, downloader=downloader)
        except HTTPError as error:
            answer = getattr(error.response, "status_code", "an error")
            raise UserError(f"{file.url}: answers {answer}; the file may have moved, look at the set's page") from error
        except RequestException as error:
            raise UserError(f"{file.url}: cannot be reached or broke off; are you offline? try again") from error
        except ValueError as error:
            raise UserError(
                f"{file.url}: is not the file that was published or seen before (expected {checksum}); nothing was "
                "kept, look at the set's page"
            ) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"{file.url}: could not be brought to {path} ({reason}); mend that first") from error


@contextmanager
def _pooch() -> Iterator[Any]:
    """The library, silent: it tells every download on stderr."""
    try:
        import pooch
    except ImportError as error:
        raise UserError("data fetch: needs pooch; pip install pooch") from error
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield pooch
    finally:
        logger.setLevel(level)


def _copy(url: str, output_file: str, _: Any) -> None:
    """The downloader of ``file://`` addresses: a mirror on a disk."""
    shutil.copyfile(unquote(urlsplit(url).path), output_file)


class _Shown:
    """What pooch asks of a progress bar, told to a callback."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self.total, self._done = progress, 0, 0

    def update(self, step: int) -> None:
        self._done += step
        self._progress(min(self._done, self.total) if self.total else self._done, self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass
