"""How counts, ranges and lists of files are said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path


def counted(values: Iterable[str]) -> str:
    """Each value once, with its number where there are several.

    >>> counted(["RAS", "LPS", "RAS"]), counted(["RAS"])
    ('RAS (2), LPS (1)', 'RAS')
    """
    counts = Counter(values)
    return next(iter(counts)) if len(counts) == 1 else ", ".join(f"{value} ({n})" for value, n in counts.most_common(5))


def span(values: Iterable[float]) -> str:
    """The range of numbers.

    >>> span([1, 1.5]), span([3, 3])
    ('1 to 1.5', '3')
    """
    known = list(values)
    low, high = f"{min(known):.3g}", f"{max(known):.3g}"
    return low if low == high else f"{low} to {high}"


def some(paths: Sequence[Path]) -> str:
    """The first five names."""
    return ", ".join(path.name for path in paths[:5]) + (", ..." if len(paths) > 5 else "")
