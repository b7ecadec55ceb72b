"""A length with its unit, as people write it: ``3px``, ``5m``, ``0.2mm``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from segnoise.errors import UserError

UNITS = ("px", "m", "mm")


@dataclass(frozen=True)
class Length:
    """A distance on the label grid, in pixels or in the unit of the grid's spacing (m on maps, mm in volumes).

    >>> str(Length(3, "px")), Length.of("2.5m")
    ('3px', Length(value=2.5, unit='m'))
    """

    value: float
    unit: str

    @classmethod
    def of(cls, text: str) -> Length:
        """From text such as ``3px``.

        Raises:
            UserError: no number, or no unit out of px, m, mm.
        """
        match = re.fullmatch(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-z]+)\s*", text)
        if match is None or match[2] not in UNITS:
            raise UserError(f"{text!r} is not a length; write a number with its unit, such as 3px, 5m or 0.2mm")
        return cls(float(match[1]), match[2])

    def __str__(self) -> str:
        return f"{float(self.value)!r}".removesuffix(".0") + self.unit

    def pixel(self, spacing: Sequence[float] | None, axes: int) -> tuple[float, ...]:
        """The size of a pixel along each axis in this length's unit.

        Raises:
            UserError: a metric length on a grid whose spacing is unknown.

        >>> Length(3, "px").pixel(None, 2), Length(3, "m").pixel((10.0, 10.0), 2)
        ((1.0, 1.0), (10.0, 10.0))
        """
        if self.unit == "px":
            return (1.0,) * axes
        known = spacing_of(spacing)
        if known is None or len(known) != axes:
            raise UserError(f"length {self}: the size of the labels' pixels is unknown; give it in px")
        return known


def length_of(name: str, what: str, value: Length | str | float) -> Length:
    """A length that is not negative, as it was given to a corruption; 0 needs no unit.

    Raises:
        UserError: it has no unit or is negative, with the option's name.

    >>> length_of("dilate", "distance", 2)
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: dilate: distance 2 needs a unit, such as 2px or 2m
    """
    if isinstance(value, (int, float)) and value != 0:
        raise UserError(f"{name}: {what} {value} needs a unit, such as {value}px or {value}m")
    if not isinstance(value, (Length, str, int, float)):
        raise UserError(f"{name}: {what} {value} must be a length, such as 3px or 5m")
    length = value if isinstance(value, Length) else Length.of(value if isinstance(value, str) else "0px")
    if length.value < 0 or not math.isfinite(length.value):
        raise UserError(f"{name}: {what} {length} must not be negative")
    return length


def spacing_of(spacing: Sequence[float] | None) -> tuple[float, ...] | None:
    """The spacing as plain numbers, or None where it is unknown (absent, nan or not positive).

    >>> spacing_of((10, 10)), spacing_of((float("nan"), 10.0))
    ((10.0, 10.0), None)
    """
    if spacing is None:
        return None
    values = tuple(abs(float(s)) for s in spacing)
    return values if values and all(math.isfinite(v) and v > 0 for v in values) else None
