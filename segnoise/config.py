"""One typed description of a run: read from YAML, overridden by ``section.key=value``, written back resolved.

Imports no torch: a mistake in a configuration is reported at once. Options of a network or a method are checked
when they are built, because they belong to it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from segnoise.errors import UserError, nearest
from segnoise.methods.names import check_method_name
from segnoise.networks.names import check_network_name, names_a_file


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Split(Section):
    """How samples are divided into training, validation and test."""

    by: Literal["block", "source", "table"] = Field(
        "block",
        description="block: squares of each scene; source: whole scenes or images; table: the column `split` of the "
        "labels table",
    )
    fractions: dict[Literal["train", "val", "test"], float] = Field(
        {"train": 0.7, "val": 0.15, "test": 0.15}, description="Shares of the blocks or sources; they sum to 1"
    )
    group: str | None = Field(
        None,
        description="With source: a regular expression on the images' names without suffix; images for which its first "
        "bracket (or all of it) matches the same text stay together, such as the slices of a patient",
    )
    seed: int | None = Field(None, ge=0, description="Seed of the deal; by default the run's own")
    fold: str | None = Field(
        None,
        pattern=r"^[0-9]+/[0-9]+$",
        description="PART/PARTS, such as 1/3: the test part is this part of all, for each of the parts in turn; "
        "training and validation share the rest as their fractions say",
    )

    @field_validator("group")
    @classmethod
    def _expression(cls, group: str | None) -> str | None:
        try:
            re.compile(group or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return group

    @model_validator(mode="after")
    def _group_of_sources(self) -> Split:
        if self.group is not None and self.by != "source":
            raise ValueError(f"group goes with by: source, not by: {self.by}")
        return self

    @model_validator(mode="after")
    def _fold_of_what_is_dealt(self) -> Split:
        if self.fold is not None and self.by == "table":
            raise ValueError("fold goes with by: block or by: source; a table says what is what already")
        return self

    @model_validator(mode="after")
    def _sum_to_one(self) -> Split:
        if abs(sum(self.fractions.values()) - 1) > 1e-6 or min(self.fractions.values()) < 0:
            raise ValueError(f"fractions {self.fractions} must not be negative and must sum to 1")
        if self.fractions.get("train", 0) == 0 or self.fractions.get("val", 0) == 0:
            raise ValueError("fractions: train and val must be above 0")
        return self


class Scaling(Section):
    """How raw pixel values become network inputs."""

    kind: Literal["standardise", "percentile", "divide"] = Field(
        "standardise",
        description="standardise: mean 0, deviation 1 per band; percentile: the 2nd to the 98th become 0 to 1; divide",
    )
    divide: float | None = Field(None, gt=0, description="The divisor of kind divide")

    @model_validator(mode="after")
    def _divisor(self) -> Scaling:
        if (self.kind == "divide") != (self.divide is not None):
            raise ValueError("divide is needed by kind divide, and only there")
        return self


class _Windows(Section):
    classes: list[str] = Field(min_length=2, max_length=255, description="Class names; label k is the k-th, from 0")
    window: int = Field(256, ge=16, le=4096, description="Side of the training crops in pixels")
    split: Split = Field(Split(), description="Training, validation and test parts, see below")
    scaling: Scaling = Field(Scaling(), description="From raw values to inputs, see below")
    augment: bool = Field(True, description="Flips and quarter turns")
    photometric: float = Field(0.1, ge=0, le=1, description="Strength of brightness, contrast and noise changes")
    samples_per_epoch: int | None = Field(
        None, ge=1, description="Crops in an epoch; by default as many as there are non-overlapping windows"
    )

    @field_validator("classes")
    @classmethod
    def _unique(cls, classes: list[str]) -> list[str]:
        if len(set(classes)) != len(classes):
            raise ValueError("class names must differ")
        return classes


class RasterData(_Windows):
    """Georeferenced scenes with labels as polygons or as rasters on the same grid."""

    kind: Literal["raster"] = Field(description="Georeferenced scenes")
    images: list[str] = Field(min_length=1, description="Paths or globs of GeoTIFF, COG or VRT files")
    labels: str | list[str] = Field(
        description="A vector file for all scenes, a folder, glob or list with one file a scene, or a CSV table with "
        "the columns image, label and optionally split"
    )
    classes: list[str] = Field(
        ["background", "field"],
        min_length=2,
        max_length=255,
        description="Class names; label k is the k-th, from 0",
    )
    bands: list[int] | None = Field(None, min_length=1, description="Bands to use, from 1; all by default")
    edge_px: Literal[1, 2] = Field(1, description="Width of the boundary class made from polygons")


class ImageData(_Windows):
    """Images without coordinates (PNG, JPEG, TIFF) and masks of class indices."""

    kind: Literal["images"] = Field(description="Plain images")
    images: list[str] = Field(min_length=1, description="Paths or globs")
    labels: str | list[str] = Field(description="Folder, glob or list of masks with the same stems, or a CSV table")
    split: Split = Field(Split(by="source"), description="Training, validation and test parts, see below")


class SceneData(_Windows):
    """Procedural field landscapes with exact truth; written into the run's folder as GeoTIFF and GeoPackage."""

    kind: Literal["scenes"] = Field(description="Procedural landscapes")
    count: int = Field(1, ge=1, description="Number of scenes")
    size: int = Field(1024, ge=128, le=16384, description="Side of a scene in pixels")
    seed: int = Field(0, ge=0, description="Seed of the first scene")
    classes: list[str] = Field(
        ["background", "field"], min_length=2, max_length=3, description="Class names; a third is the boundary"
    )
    window: int = Field(128, ge=16, le=4096, description="Side of the training crops in pixels")
    edge_px: Literal[1, 2] = Field(1, description="Width of the boundary class made from polygons")


class Network(BaseModel):
    """The network; further keys are its own options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = Field("BasicUNet", description="An smp architecture or a MONAI network")
    encoder: str | None = Field(None, description="Encoder of an smp architecture")
    weights: str | None = Field(None, description="imagenet, or a path to weights; random by default")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        check_network_name(name)
        return name

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class MethodConfig(BaseModel):
    """A method by name; further keys are its own options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = Field(description="A method, such as kms")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        check_method_name(name)
        return name


class NoiseConfig(Section):
    """Synthetic label noise on the training and validation labels (different draws); test labels stay as given."""

    spec: str = Field(description="An expression such as kms(0.4) or boundary(3px)+omission(0.2)")
    seed: int = Field(0, ge=0, description="Seed of the draws")


class Training(Section):
    """The optimisation."""

    epochs: int = Field(50, ge=1, description="Passes over the training windows")
    batch_size: int = Field(16, ge=1, description="Crops per step and device")
    lr: float = Field(1e-3, gt=0, description="Learning rate of AdamW")
    weight_decay: float = Field(0.0, ge=0, description="Of AdamW")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="Of the learning rate over all steps")
    early_stopping: int | None = Field(
        None, ge=1, description="Stop after this many epochs without a better score on the given validation labels"
    )
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true"] = Field(
        "32-true", description="Of the network; losses are always computed in 32 bits"
    )
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = Field("auto", description="Where to train")
    devices: int | Literal["auto"] = Field("auto", description="How many; more than one trains data-parallel")
    workers: int = Field(0, ge=0, description="Processes that read samples")


class Config(Section):
    """A run."""

    name: str = Field("run", pattern=r"^[\w.-]+$", description="The run's folder is runs/<name>")
    seed: int = Field(0, ge=0, description="Seed of initialisation, order, crops and augmentation")
    data: Annotated[RasterData | ImageData | SceneData, Field(discriminator="kind", description="See below")]
    noise: NoiseConfig | None = Field(
        None, description="Synthetic noise such as kms(0.4), or {name: kms, level: 0.4, seed: 1}; see below"
    )
    network: Network = Field(Network(), description="A name, or a section; see below")
    method: list[MethodConfig] = Field(
        [MethodConfig(name="cross_entropy")], description="A name, a section, or a list of them to be composed"
    )
    training: Training = Field(Training(), description="See below")

    @field_validator("noise", mode="before")
    @classmethod
    def _noise(cls, value: Any) -> Any:
        """``kms(0.4)`` or ``{name: kms, level: 0.4, rho: 0.9, seed: 1}`` or ``{spec: …, seed: …}``."""
        if isinstance(value, str):
            return {"spec": value}
        if isinstance(value, Mapping) and "name" in value:
            rest = dict(value)
            name, level, seed = rest.pop("name"), rest.pop("level", None), rest.pop("seed", 0)
            arguments = ([] if level is None else [str(level)]) + [f"{k}={v}" for k, v in rest.items()]
            return {"spec": f"{name}({', '.join(arguments)})", "seed": seed}
        return value

    @field_validator("method", mode="before")
    @classmethod
    def _method(cls, value: Any) -> Any:
        values = value if isinstance(value, list) else [value]
        return [{"name": v} if isinstance(v, str) else v for v in values]

    @field_validator("network", mode="before")
    @classmethod
    def _network(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def methods(self) -> list[dict[str, Any]]:
        """Name and options of each method, in order."""
        return [m.model_dump() for m in self.method]

    def fingerprint(self) -> str:
        """A hash of everything that decides the result (not of the run's name, devices or workers)."""
        content = self.model_dump(mode="json", exclude={"name": True})
        for key in ("devices", "accelerator", "workers"):
            content["training"].pop(key)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def write(self, path: Path) -> None:
        path.write_text(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a YAML file and applies ``section.key=value`` overrides.

    Paths in the file are relative to the file, paths in overrides to the working folder. Raises UserError with
    one line for a missing file, YAML that does not parse or is not a mapping, an unknown key (names the nearest),
    or a value of the wrong type or range.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a configuration (YAML)")
    try:
        raw = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise UserError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path}: holds a {type(raw).__name__}, not a mapping of sections (name, data, network, …)")
    return make_config(raw, overrides, base=path.resolve().parent, where=str(path))


def make_config(
    raw: Mapping[str, Any], overrides: Sequence[str] = (), base: Path | None = None, where: str = "configuration"
) -> Config:
    """A validated configuration from a mapping; see load_config.

    >>> make_config({"data": {"kind": "scenes"}}, ["training.epochs=3", "method=kms"]).training.epochs
    3
    >>> make_config({"data": {"kind": "scenes", "windw": 64}})
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: configuration: data.windw: unknown key; did you mean 'window'?
    """
    content = _absolute(dict(raw), base or Path.cwd())
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise UserError(f"{override}: an override is written section.key=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"{override}: the value is not valid YAML") from error
        content = _merge(content, key.split("."), value)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(error, content)}") from error


_PATHS = (("data", "images"), ("data", "labels"), ("network", "weights"))


def _absolute(content: dict[str, Any], base: Path) -> dict[str, Any]:
    """Relative paths made absolute; published weights go by a name that is no path."""

    def resolve(value: Any) -> Any:
        if isinstance(value, list):
            return [resolve(v) for v in value]
        if isinstance(value, str):
            return str(base / Path(value).expanduser())
        return value

    for section, key in _PATHS:
        if isinstance(content.get(section), dict) and key in content[section]:
            value = content[section][key]
            if key == "weights" and not (isinstance(value, str) and names_a_file(value)):
                continue
            as_list = [value] if key == "images" and isinstance(value, str) else value
            content[section] = {**content[section], key: resolve(as_list)}
    return content


def _merge(content: dict[str, Any], keys: list[str], value: Any) -> dict[str, Any]:
    """The mapping with one nested key replaced; a section given as a bare name keeps it as ``name``."""
    nested: Any = value
    for key in reversed(keys[1:]):
        nested = {key: nested}
    if len(keys) > 1:
        (section,) = _absolute({keys[0]: nested}, Path.cwd()).values()
        old = content.get(keys[0]) or {}
        return {**content, keys[0]: _deep({"name": old} if isinstance(old, str) else old, section, keys[0])}
    return {**content, keys[0]: nested}


def _deep(old: Any, new: Any, where: str) -> Any:
    if not isinstance(new, dict):
        return new
    if not isinstance(old, dict):
        raise UserError(f"{where}.{next(iter(new))}: {where} is not a mapping that can be overridden by key")
    return {**old, **{k: _deep(old.get(k, {}), v, f"{where}.{k}") for k, v in new.items()}}


def _models(loc: Sequence[str | int]) -> Iterator[Any]:
    """The chain of models along an error's location."""
    kinds = {"raster": RasterData, "images": ImageData, "scenes": SceneData}
    children: dict[str, type[BaseModel]] = {
        "noise": NoiseConfig, "network": Network, "training": Training, "split": Split, "scaling": Scaling,
    }  # fmt: skip
    yield Config
    for part in loc:
        if part in kinds:
            yield kinds[str(part)]
        elif part in children:
            yield children[str(part)]


def _explain(error: ValidationError, content: Mapping[str, Any]) -> str:
    """The first error as one line: the key, what is wrong, and what would be right."""
    details = error.errors(include_url=False)
    first = details[0]
    loc = list(first["loc"])
    if len(first["loc"]) > 1 and first["loc"][0] == "data" and first["loc"][1] in ("raster", "images", "scenes"):
        loc = ["data", *first["loc"][2:]]
    key = ".".join(str(part) for part in loc)
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, UserError):
        return str(cause)
    if first["type"] == "extra_forbidden":
        *_, model = _models(first["loc"][:-1])
        return f"{key}: unknown key; {nearest(str(first['loc'][-1]), model.model_fields)}"
    if first["type"] == "missing":
        return f"{key}: this key is needed"
    if first["type"] == "union_tag_not_found":
        return f"{key}.kind: this key is needed; known: raster, images, scenes"
    if first["type"] == "union_tag_invalid":
        given = str(content.get("data", {}).get("kind"))
        return f"{key}.kind: there is no kind {given!r}; {nearest(given, ['raster', 'images', 'scenes'])}"
    given = repr(first.get("input"))
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message[:1].lower() + message[1:]}" + (f" (given: {given})" if len(given) < 60 else "")
