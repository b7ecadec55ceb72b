"""Using a trained model: rasters larger than memory, plain images, and field polygons in one pass."""

from segnoise.inference.fields import class_to_vectorise, predict_fields, write_fields
from segnoise.inference.images import predict_image
from segnoise.inference.raster import predict_array, predict_raster

__all__ = [
    "class_to_vectorise",
    "predict_array",
    "predict_fields",
    "predict_image",
    "predict_raster",
    "write_fields",
]
