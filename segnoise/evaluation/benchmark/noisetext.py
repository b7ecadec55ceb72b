"""What the text of a noise expression says: its family, its level, and the line of a plot it belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from segnoise.evaluation.benchmark.description import CLEAN

_NAME = re.compile(r"([A-Za-z_]\w*)\(")
_LEVEL = re.compile(r"^([A-Za-z_]\w*\()([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([A-Za-z%]*)(.*)$")


@dataclass(frozen=True)
class NoiseText:
    """``family`` joins the names; ``series`` is the text without its level; a level is the first number of a
    single noise, with its unit, and 0 where there is no noise.

    >>> noise_text("boundary(4px,rho=0.9)")
    NoiseText(text='boundary(4px,rho=0.9)', family='boundary', series='boundary(…,rho=0.9)', level=4.0, unit='px')
    >>> noise_text("kms(0.2)+omission(0.3)").level is None
    True
    """

    text: str
    family: str
    series: str
    level: float | None
    unit: str


def noise_text(text: str) -> NoiseText:
    if text == CLEAN:
        return NoiseText(text, CLEAN, CLEAN, 0.0, "")
    names = _NAME.findall(text)
    match = _LEVEL.match(text)
    if match is None or len(names) > 1:
        return NoiseText(text, "+".join(names), text, None, "")
    return NoiseText(text, names[0], f"{match[1]}…{match[4]}", float(match[2]), match[3])


def check_noises(texts: Iterable[str]) -> None:
    """Raises UserError, pointing at the character, for a noise that does not parse."""
    from segnoise import noise

    for text in texts:
        if text != CLEAN:
            noise.parse(text)
