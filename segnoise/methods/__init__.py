"""How to learn anyway: one file per method, one interface (``base``), composition (``objective``).
``names`` lists the methods without importing torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segnoise.methods.base import Channel, Context, Memory, Method, Needs, Output, Supervision, Teacher
    from segnoise.methods.cross_entropy import CrossEntropy
    from segnoise.methods.gce import GCE
    from segnoise.methods.kms import KMS
    from segnoise.methods.objective import Objective, Result, build_method

__all__ = [
    "GCE",
    "KMS",
    "Channel",
    "Context",
    "CrossEntropy",
    "Memory",
    "Method",
    "Needs",
    "Objective",
    "Output",
    "Result",
    "Supervision",
    "Teacher",
    "build_method",
]

_HOME = {
    "GCE": "gce",
    "KMS": "kms",
    "CrossEntropy": "cross_entropy",
    "Objective": "objective",
    "Result": "objective",
    "build_method": "objective",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"segnoise.methods.{_HOME.get(name, 'base')}"), name)
