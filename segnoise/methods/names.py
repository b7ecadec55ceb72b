"""The methods by name: known without importing torch, so that a typing mistake costs nothing."""

from __future__ import annotations

from segnoise.errors import UserError, nearest

METHODS: dict[str, str] = {
    "cross_entropy": "segnoise.methods.cross_entropy:CrossEntropy",
    "gce": "segnoise.methods.gce:GCE",
    "kms": "segnoise.methods.kms:KMS",
}
"""Name of each method and where its class lives (``module:class``)."""


def check_method_name(name: str) -> None:
    """Raises UserError with the nearest name if there is no such method.

    >>> check_method_name("kms")
    """
    if name not in METHODS:
        raise UserError(f"method.name: there is no method {name!r}; {nearest(name, METHODS)}")
