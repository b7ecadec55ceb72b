"""Writes docs/configuration.md from the configuration's own field descriptions.

python tools/document_config.py
"""

from __future__ import annotations

import json
import types
import typing
from pathlib import Path
from typing import Any

import segnoise.config as c

SECTIONS = [
    ("", "The run", c.Config),
    ("data", "data, kind raster", c.RasterData),
    ("data", "data, kind images", c.ImageData),
    ("data", "data, kind volume", c.VolumeData),
    ("data", "data, kind fundus", c.FundusData),
    ("data", "data, kind oct", c.OctData),
    ("data", "data, kind video", c.VideoData),
    ("data", "data, kind scenes", c.SceneData),
    ("data.split", "data.split", c.Split),
    ("data.scaling", "data.scaling", c.Scaling),
    ("data.slices", "data.slices, of volumes", c.Slices),
    ("noise", "noise", c.NoiseConfig),
    ("network", "network", c.Network),
    ("method", "method", c.MethodConfig),
    ("training", "training", c.Training),
]
SUBSECTIONS = {"data", "noise", "network", "method", "training", "split", "scaling", "slices"}


def kind_of(annotation: Any) -> str:
    """A type as a reader of YAML thinks of it."""
    origin = typing.get_origin(annotation)
    args = typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{a}`" for a in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(kind_of(a) for a in args)
    if origin is typing.Annotated:
        return kind_of(args[0])
    if origin is list:
        return f"list of {kind_of(args[0])}"
    if origin is dict:
        return "mapping"
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "NoneType": "null"}
    return names.get(getattr(annotation, "__name__", ""), "section")


def default_of(field: Any) -> str:
    if field.is_required():
        return "needed"
    value = field.default
    if isinstance(value, list) and value and hasattr(value[0], "model_dump"):
        value = value[0].name
    if hasattr(value, "model_dump"):
        return "see below"
    return f"`{json.dumps(value)}`"


def page() -> str:
    lines = [
        "# Configuration",
        "",
        "A run is described by one YAML file. Keys can be changed on the command line:",
        "`segnoise train fields.yaml training.lr=3e-4 method=kms`. Paths in the file are relative to the file. An",
        "unknown key is an error that names the nearest known one. This page is made from the descriptions in",
        "`segnoise/config/` by `tools/document_config.py`.",
        "",
    ]
    for prefix, title, model in SECTIONS:
        doc = " ".join((model.__doc__ or "").split())
        lines += [f"## {title}", "", doc, "", "| key | value | default | meaning |", "| --- | --- | --- | --- |"]
        for name, field in model.model_fields.items():
            key = f"{prefix}.{name}" if prefix else name
            meaning = field.description or ("see below" if name in SUBSECTIONS else "")
            lines.append(f"| `{key}` | {kind_of(field.annotation)} | {default_of(field)} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    path = Path(__file__).parents[1] / "docs" / "configuration.md"
    path.write_text(page())
    print(path)
