"""How good a segmentation is: one confusion-matrix core with one absent-class and one ignore rule, boundary
and object scores, calibration, and how well label errors are found. Counts add up over windows and images.
"""

from segnoise.metrics.boundary import BoundaryCounts, boundary_counts, boundary_f1
from segnoise.metrics.calibration import Calibration, ece
from segnoise.metrics.confusion import Score, confusion_matrix, scores
from segnoise.metrics.detection import DetectionCurve, auroc, average_precision
from segnoise.metrics.objects import ObjectCounts, object_counts, object_scores

__all__ = [
    "BoundaryCounts",
    "Calibration",
    "DetectionCurve",
    "ObjectCounts",
    "Score",
    "auroc",
    "average_precision",
    "boundary_counts",
    "boundary_f1",
    "confusion_matrix",
    "ece",
    "object_counts",
    "object_scores",
    "scores",
]
