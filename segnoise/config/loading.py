"""Configurations from YAML and overrides; a mistake is told in one line, with the key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from segnoise.config.data import KINDS, Scaling, Slices, Split
from segnoise.config.run import Config, Network, NoiseConfig, Training
from segnoise.errors import UserError, nearest
from segnoise.networks.names import names_a_file
from segnoise.yamlfile import read_mapping


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a YAML file and applies ``section.key=value`` overrides.

    Paths in the file are relative to the file, paths in overrides to the working folder. Raises UserError with
    one line for a missing file, YAML that does not parse or is not a mapping, an unknown key (names the nearest),
    or a value of the wrong type or range.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a configuration (YAML)")
    raw = read_mapping(path.read_bytes(), path, "name, data, network, …")
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


_PATHS = (
    ("data", "images"), ("data", "labels"), ("data", "slice_labels"), ("data", "folder"), ("network", "weights")
)  # fmt: skip


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
    children: dict[str, type[BaseModel]] = {
        "slices": Slices, "split": Split, "scaling": Scaling,
        "noise": NoiseConfig, "network": Network, "training": Training,
    }  # fmt: skip
    yield Config
    for part in loc:
        if part in KINDS:
            yield KINDS[str(part)]
        elif part in children:
            yield children[str(part)]


def _explain(error: ValidationError, content: Mapping[str, Any]) -> str:
    """The first error as one line: the key, what is wrong, and what would be right."""
    details = error.errors(include_url=False)
    first = details[0]
    loc = list(first["loc"])
    if len(first["loc"]) > 1 and first["loc"][0] == "data" and first["loc"][1] in KINDS:
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
        return f"{key}.kind: this key is needed; known: {', '.join(KINDS)}"
    if first["type"] == "union_tag_invalid":
        given = str(content.get("data", {}).get("kind"))
        return f"{key}.kind: there is no kind {given!r}; {nearest(given, list(KINDS))}"
    given = repr(first.get("input"))
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {message[:1].lower() + message[1:]}" + (f" (given: {given})" if len(given) < 60 else "")
