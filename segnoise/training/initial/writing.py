"""A configuration as commented YAML: what was chosen with its reason, every other key with its default and meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from segnoise.config import KINDS, Config, MethodConfig, Network, Scaling, Slices, Split, Training
from segnoise.training.initial.draft import Choice, Choices

_SECTIONS: dict[str, type[BaseModel]] = {
    "split": Split, "scaling": Scaling, "slices": Slices, "network": Network, "method": MethodConfig,
    "training": Training,
}  # fmt: skip
# A list longer than this is written an entry a line.
_WIDTH = 100
_FIRST = ("kind", "images", "labels", "folder", "layout")


def commented_yaml(choices: Choices, preface: Sequence[str]) -> str:
    """The text of a configuration; ``preface`` is its first comment, a line each.

    Below the preface a line that begins with ``#`` is a key with its default: without the ``#`` it means the same.

    >>> text = commented_yaml({"name": Choice("a", "b"), "data": {"kind": Choice("scenes", "c")}}, ["Written by me."])
    >>> text.splitlines()[2:4]
    ['name: a   # b', '# seed: 0   # Seed of initialisation, order, crops and augmentation']
    """
    lines = [f"# {line}".rstrip() for line in preface]
    return "\n".join([*lines, "", *_section(Config, choices, "")]) + "\n"


def values_of(choices: Choices) -> dict[str, Any]:
    """The choices alone, as a mapping that ``make_config`` takes."""
    return {key: value.value if isinstance(value, Choice) else values_of(value) for key, value in choices.items()}


def _section(model: type[BaseModel], choices: Choices, indent: str) -> list[str]:
    lines: list[str] = []
    for key in sorted(model.model_fields, key=lambda key: _FIRST.index(key) if key in _FIRST else len(_FIRST)):
        field = model.model_fields[key]
        choice = choices.get(key)
        if isinstance(choice, Mapping):
            lines += [f"{indent}{key}:", *_section(_model(key, choice), choice, indent + "  ")]
        elif choice is not None:
            lines += _entry(key, choice, indent)
        else:
            meaning = (field.description or "").removesuffix("see below").rstrip(",; ").replace(", see below", "")
            lines.append(f"{indent}# {key}: {_flow(_plain(field.get_default()))}   # {meaning}")
    return lines


def _model(key: str, choices: Choices) -> type[BaseModel]:
    if key in _SECTIONS:
        return _SECTIONS[key]
    kind = choices["kind"]
    assert isinstance(kind, Choice)
    return KINDS[kind.value]


def _entry(key: str, choice: Choice, indent: str) -> list[str]:
    why = f"   # {choice.why}" if choice.why else ""
    text = _flow(choice.value)
    if isinstance(choice.value, list) and len(text) > _WIDTH:
        return [f"{indent}{key}:{why}", *(f"{indent}  - {_flow(value)}" for value in choice.value)]
    return [f"{indent}{key}: {text}{why}"]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _flow(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
