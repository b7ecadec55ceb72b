"""How good a segmentation is: one confusion-matrix core with one absent-class and one ignore rule, boundary
and object scores, surface distances and volumes with spacing, scores and flicker of video, calibration, how well
label errors are found, and intervals over patients. Counts add up over windows and images.
"""

from segnoise.metrics.bootstrap import Interval, bootstrap_interval, bootstrap_intervals
from segnoise.metrics.boundary import BoundaryCounts, boundary_counts, boundary_f1
from segnoise.metrics.calibration import Calibration, ece
from segnoise.metrics.confusion import Score, confusion_matrix, scores
from segnoise.metrics.detection import DetectionCurve, auroc, average_precision
from segnoise.metrics.flickering import FlickerCounts, flicker, flicker_counts
from segnoise.metrics.objects import ObjectCounts, object_counts, object_scores
from segnoise.metrics.sequences import FrameScores, VideoScores, frame_confusions, frame_scores, video_scores
from segnoise.metrics.surface import SurfaceDistances, surface_distances, surface_scores
from segnoise.metrics.volumes import volume_scores

__all__ = [
    "BoundaryCounts",
    "Calibration",
    "DetectionCurve",
    "FlickerCounts",
    "FrameScores",
    "Interval",
    "ObjectCounts",
    "Score",
    "SurfaceDistances",
    "VideoScores",
    "auroc",
    "average_precision",
    "bootstrap_interval",
    "bootstrap_intervals",
    "boundary_counts",
    "boundary_f1",
    "confusion_matrix",
    "ece",
    "flicker",
    "flicker_counts",
    "frame_confusions",
    "frame_scores",
    "object_counts",
    "object_scores",
    "scores",
    "surface_distances",
    "surface_scores",
    "video_scores",
    "volume_scores",
]
