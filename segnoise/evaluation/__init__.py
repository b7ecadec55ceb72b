"""What came of a run: scores against labels, the detection of wrong labels, and the report, one HTML file that
opens anywhere.
"""

from segnoise.evaluation.evaluate import (
    RegionSource,
    detection,
    evaluate,
    run_folder,
    score_regions,
    write_metrics,
)
from segnoise.evaluation.report import write_report

__all__ = [
    "RegionSource",
    "detection",
    "evaluate",
    "run_folder",
    "score_regions",
    "write_metrics",
    "write_report",
]
