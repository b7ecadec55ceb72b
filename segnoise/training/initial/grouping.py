"""Which images belong together, guessed from their names: the slices of a patient, the eyes of a person."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from segnoise.training.initial.draft import Choice

_PATTERNS = (
    r"(?i)^((?:patient|pat|subject|subj|sub|case|person)[_-]?\d+)(?!\d)",
    r"^(.*\d)[_-]?(?:OD|OS|L|R)$",
    r"^([^_-]*\d[^_-]*)[_-]",
    r"^(.*\d.*)[_-][^_-]+$",
)
"""A word for a person with a number; all before the side of an eye; the first part with a number; all but the last."""

LEAST = 3
"""Groups that a split into training, validation and test needs."""


def guess_group(names: Sequence[str], sliced: bool = False) -> Choice | None:
    """An expression for ``data.split.group`` by which the names fall into groups of several; None where none does.

    Each name must match, and there must be at least three groups. ``sliced`` names get ``/<number>`` behind them.

    >>> guess_group(["p01_a", "p01_b", "p02_a", "p03_a"]).value
    '^([^_-]*\\\\d[^_-]*)[_-]'
    >>> guess_group(["image_1", "image_2", "image_3"]) is None
    True
    """
    for pattern in _PATTERNS:
        matches = [re.search(pattern, name) for name in names]
        if any(match is None for match in matches):
            continue
        groups = Counter(match[1] for match in matches if match is not None)
        if LEAST <= len(groups) < len(names):
            name, count = groups.most_common(1)[0]
            value = pattern.removesuffix("$") + r"/\d+$" if sliced and pattern.endswith("$") else pattern
            why = (
                f"a guess: {len(names)} names share {len(groups)} beginnings, such as {name!r} of {count}; "
                "what belongs together is not split. Take it out if it is wrong"
            )
            return Choice(value, why)
    return None
