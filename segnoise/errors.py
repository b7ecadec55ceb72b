"""The one exception that stands for a mistake of the user's, and the hint that names the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Wrong input, said in one line: what was given, where, and what to do next.

    The command line prints the message on stderr and exits with 1; a program may catch it. Anything else
    that is raised is a defect of segnoise.

    >>> raise UserError("labels.tif: no such file; check the path in data.labels")
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: labels.tif: no such file; check the path in data.labels
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that does not exist: the nearest known one, else all of them.

    >>> nearest("cross_entrpy", ["cross_entropy", "gce", "kms"])
    "did you mean 'cross_entropy'?"
    >>> nearest("zzz", ["gce", "kms"])
    'known: gce, kms'
    """
    names = sorted(known)
    match = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if not match:
        folded = {candidate.lower(): candidate for candidate in names}
        match = [folded[m] for m in difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)]
    return f"did you mean {match[0]!r}?" if match else "known: " + ", ".join(names)
