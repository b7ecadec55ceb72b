"""YAML that a user wrote, as a mapping; a mistake is told in one line, with the place."""

from __future__ import annotations

from typing import Any

import yaml

from segnoise.errors import UserError

_FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_mapping(text: str | bytes, where: object, keys: str) -> dict[str, Any]:
    """The mapping in a text; ``keys`` says what it should hold.

    >>> read_mapping("a: 1", "x.yaml", "a, b")
    {'a': 1}
    >>> read_mapping("- 1", "x.yaml", "a, b")
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: x.yaml: holds a list, not a mapping (a, b)
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        try:
            raw = yaml.load(text, Loader=_FAST)
        except yaml.YAMLError:
            raw = yaml.safe_load(text)  # fails as well, and tells the place better
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: not valid YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(raw, dict):
        raise UserError(f"{where}: holds a {type(raw).__name__}, not a mapping ({keys})")
    return raw
