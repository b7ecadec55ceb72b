"""Using a trained model: rasters larger than memory, volumes, plain images, whole OCT scans, sequences of frames, field
polygons in one pass; and what it tells of labels: where they are wrong, and whether they lie beside the image.
"""

from segnoise.inference.alignment import Displacement, find_common_displacement, find_displacement, move_labels
from segnoise.inference.dicomseg import write_dicom_seg
from segnoise.inference.errormap import ObjectErrors, WrongLabels, error_map_array, map_label_errors, object_errors
from segnoise.inference.fields import class_to_vectorise, predict_fields, write_fields
from segnoise.inference.images import ImagePrediction, predict_image
from segnoise.inference.raster import predict_array, predict_raster
from segnoise.inference.scans import predict_scan
from segnoise.inference.scenes import ScenePrediction, predict_labelled_scene
from segnoise.inference.video import VideoPrediction, predict_video
from segnoise.inference.volumes import VolumePrediction, predict_volume

__all__ = [
    "Displacement",
    "ImagePrediction",
    "ObjectErrors",
    "ScenePrediction",
    "VideoPrediction",
    "VolumePrediction",
    "WrongLabels",
    "class_to_vectorise",
    "error_map_array",
    "find_common_displacement",
    "find_displacement",
    "map_label_errors",
    "move_labels",
    "object_errors",
    "predict_array",
    "predict_fields",
    "predict_image",
    "predict_labelled_scene",
    "predict_raster",
    "predict_scan",
    "predict_video",
    "predict_volume",
    "write_dicom_seg",
    "write_fields",
]
