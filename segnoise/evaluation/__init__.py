"""What came of a run: scores against labels, the detection of wrong labels, the report, one HTML file that opens
anywhere; and the benchmark under synthetic noise. Names load when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segnoise.evaluation.report import write_report
    from segnoise.evaluation.scoring import (
        RegionSource,
        detection,
        evaluate,
        run_folder,
        score_regions,
        write_metrics,
    )

__all__ = [
    "RegionSource",
    "detection",
    "evaluate",
    "run_folder",
    "score_regions",
    "write_metrics",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'segnoise.evaluation' has no attribute {name!r}")
    home = "report" if name == "write_report" else "scoring"
    return getattr(importlib.import_module(f"segnoise.evaluation.{home}"), name)
