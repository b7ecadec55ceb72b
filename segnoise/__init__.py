"""Train image segmenters when the labels are wrong, weak or disputed, and see where the labels are wrong.

Names load when they are first used, so importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segnoise import kms, metrics, noise
    from segnoise.errors import UserError
    from segnoise.inference import predict_fields, predict_raster
    from segnoise.kms import error_map
    from segnoise.methods import Objective, Output
    from segnoise.training import load
    from segnoise.vector import polygonize

__all__ = [
    "Objective",
    "Output",
    "UserError",
    "error_map",
    "kms",
    "load",
    "methods",
    "metrics",
    "noise",
    "polygonize",
    "predict_fields",
    "predict_raster",
]

_HOME = {
    "Objective": "methods",
    "Output": "methods",
    "UserError": "errors",
    "error_map": "kms",
    "load": "training",
    "polygonize": "vector",
    "predict_fields": "inference",
    "predict_raster": "inference",
}


def __getattr__(name: str) -> Any:
    if name in ("kms", "methods", "metrics", "noise"):
        return importlib.import_module(f"segnoise.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'segnoise' has no attribute {name!r}")
    return getattr(importlib.import_module(f"segnoise.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
