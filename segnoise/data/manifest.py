"""Public data sets described: where each is, on what terms, how it lies on disk, and what to mind when splitting it."""

from __future__ import annotations

import functools
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from segnoise.errors import UserError, nearest
from segnoise.yamlfile import read_mapping

Domain = Literal[
    "land", "marine", "fundus", "oct", "endoscopy", "microscopy", "dermoscopy", "radiograph", "ultrasound", "volume",
    "video",
]  # fmt: skip

LAYOUTS = {
    "fundus/chase": "segnoise.data.fundus:read_fundus",
    "fundus/drive": "segnoise.data.fundus:read_fundus",
    "fundus/refuge": "segnoise.data.fundus:read_fundus",
    "oct/duke": "segnoise.data.oct:read_duke",
    "oct/olives": "segnoise.data.oct:read_olives",
    "oct/retouch": "segnoise.data.oct:read_retouch",
    "raster": "segnoise.data.raster:RasterSource",
    "volume": "segnoise.data.volume:open_volume",
}
"""What ``layout`` may name: the kind of data, after a slash which layout of it; and the reader."""

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _inside(path: str) -> str:
    """A relative path that stays in its folder, whatever the machine."""
    if "\\" in path or ":" in path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} does not stay inside the data set's folder")
    return path


class DataFile(_Part):
    """A file that can be downloaded without asking anybody."""

    url: str = Field(pattern=r"^(https?|file)://\S+$", description="Address of the file itself")
    name: str = Field("", description="Name on disk; by default the end of the address")
    size: str | None = Field(None, description="As its page states it")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    md5: str | None = Field(None, pattern="^[0-9a-f]{32}$")
    checksum_from: str | None = Field(None, description="Who published the checksum")
    unpack: bool = Field(True, description="An archive is unpacked")
    into: str = Field("", description="Subfolder that it is unpacked or put into")

    _stays = field_validator("into")(_inside)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("name"):
            path = urlsplit(str(values.get("url", ""))).path
            return {**values, "name": unquote(PurePosixPath(path).name)}
        return values

    @field_validator("name")
    @classmethod
    def _one_name(cls, name: str) -> str:
        if not name or name.startswith(".") or "/" in _inside(name):
            raise ValueError(f"{name!r} is no file name")
        return name

    @model_validator(mode="after")
    def _source_of_checksum(self) -> DataFile:
        if (self.checksum is None) != (self.checksum_from is None):
            raise ValueError("checksum_from goes with sha256 or md5")
        return self

    @property
    def checksum(self) -> str | None:
        """``sha256:…`` or ``md5:…`` as published; None where nobody publishes one."""
        if self.sha256 is not None:
            return f"sha256:{self.sha256}"
        return f"md5:{self.md5}" if self.md5 is not None else None

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked after it has come."""
        return self.unpack and self.name.lower().endswith(ARCHIVE_SUFFIXES)


class Expected(_Part):
    """Files that a complete copy has."""

    glob: str = Field(description="Pattern below the data set's folder")
    count: int | None = Field(None, ge=1, description="How many; at least one where the number is not sure")

    _stays = field_validator("glob")(_inside)


class Registration(_Part):
    """What a person must do before the data can be had."""

    kind: Literal["none", "form", "request"] = "none"
    how: str = Field("", description="What to do")

    @model_validator(mode="after")
    def _said(self) -> Registration:
        if self.kind != "none" and not self.how:
            raise ValueError(f"registration {self.kind} needs to say how")
        return self


class Manifest(_Part):
    """One public data set.

    What is not known is null or says so: no address, licence or number here is guessed. ``verified_on_real_files`` is
    true only where ``layout``'s reader has been tested on files of the set itself; else it was tested on trees
    written from the set's description.
    """

    name: str = Field(pattern="^[a-z0-9_]+$")
    title: str = Field(min_length=1)
    domain: Domain
    home: str | None = Field(pattern=r"^https://[^\s/]+\.[^\s/]+\S*$", description="The data set's own page")
    where: str = Field("", description="Where to look or click, beyond the page")
    registration: Registration = Registration()
    licence: str = Field(min_length=1, description="In short; 'unknown, ask' where nothing was found")
    terms: str = Field("", description="What else the owner asks")
    citation: str = Field(min_length=1)
    layout: str | None = Field(description="The reader of segnoise that reads it, of LAYOUTS; null for none yet")
    reading: str = Field("", description="What to know when reading it")
    contents: str = Field(min_length=1, description="How much of what")
    classes: list[str] = Field(description="Label 0 first; empty for labels of whole images or none")
    split: str = Field(min_length=1, description="The owner's split, and its traps")
    group: str = Field(min_length=1, description="What must not be divided between training and test")
    label_quality: str = Field(min_length=1)
    verified_on_real_files: bool = False
    files: list[DataFile] = []
    expected: list[Expected] = []

    @field_validator("layout")
    @classmethod
    def _known(cls, layout: str | None) -> str | None:
        if layout is not None and layout not in LAYOUTS:
            raise ValueError(f"there is no layout {layout!r}; {nearest(layout, LAYOUTS)}")
        return layout

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if self.home is None and not self.where:
            raise ValueError("without a home, where must say where to look")
        if self.files and self.registration.kind != "none":
            raise ValueError("files are for sets that need no registration")
        if len({(file.into, file.name) for file in self.files}) < len(self.files):
            raise ValueError("two files have the same name")
        if self.verified_on_real_files and self.layout is None:
            raise ValueError("verified_on_real_files needs a layout, which names the reader")
        return self

    @property
    def access(self) -> str:
        """How it is had, in a word: direct, direct with --trust, by hand, form or request."""
        if self.registration.kind != "none":
            return self.registration.kind
        if not self.files:
            return "by hand"
        return "direct" if all(file.checksum for file in self.files) else "direct, --trust"


def manifests() -> dict[str, Manifest]:
    """Every packaged manifest by its name, in alphabetical order.

    >>> manifests()["chase_db1"].classes
    ['background', 'vessel']
    """
    return dict(_packaged())


def find_manifest(name: str) -> Manifest:
    """The packaged manifest of that name, or the one in a file ``NAME.yaml`` of one's own.

    Raises UserError for an unknown name, naming the nearest, and for a file that is no manifest.

    >>> find_manifest("drive").domain
    'fundus'
    >>> find_manifest("refug")
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: 'refug': there is no such data set; did you mean 'refuge'?
    """
    if name.lower().endswith((".yaml", ".yml")):
        return read_manifest(Path(name))
    known = _packaged()
    if name not in known:
        hint = nearest(name, known)
        hint = hint if hint.startswith("did") else "see `segnoise data list`"
        raise UserError(f"{name!r}: there is no such data set; {hint}")
    return known[name]


def read_manifest(path: Traversable) -> Manifest:
    """A manifest from a YAML file; UserError with one line for anything that is wrong with it."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a manifest (YAML), or a name of `segnoise data list`")
    raw = read_mapping(path.read_bytes(), path, "name, title, domain, home, …")
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """The first mistake in one line: the key, what is wrong, and what would be right."""
    first = error.errors(include_url=False)[0]
    loc = first["loc"]
    key = ".".join(str(part) for part in loc) or "it"
    if first["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {"files": DataFile, "expected": Expected, "registration": Registration}
        known = parts[str(loc[0])] if len(loc) > 1 else Manifest
        return f"{key}: unknown key; {nearest(str(loc[-1]), known.model_fields)}"
    if first["type"] == "missing":
        return f"{key}: this key is needed"
    message = first["msg"].removeprefix("Value error, ")
    given = repr(first.get("input"))
    return f"{key}: {message[:1].lower() + message[1:]}" + (f" (given: {given})" if len(given) < 60 else "")


@functools.cache
def _packaged() -> dict[str, Manifest]:
    folder = resources.files("segnoise") / "data_manifests"
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".yaml")), key=lambda path: path.name)
    return {path.name.removesuffix(".yaml"): read_manifest(path) for path in paths}
