"""From label rasters to polygons people can use: instances, tracing into a valid coverage, simplification
that keeps shared borders shared, areas in square metres, and GeoJSON / GeoPackage / GeoParquet files.
"""

from segnoise.vector.areas import metric_areas
from segnoise.vector.export import POLYGON_SUFFIXES, check_suffix, write_polygons
from segnoise.vector.instances import instance_confidence, label_instances
from segnoise.vector.polygonize import polygonize
from segnoise.vector.rfc7946 import check_geojson
from segnoise.vector.simplify import simplify_coverage
from segnoise.vector.trace import trace

__all__ = [
    "POLYGON_SUFFIXES",
    "check_geojson",
    "check_suffix",
    "instance_confidence",
    "label_instances",
    "metric_areas",
    "polygonize",
    "simplify_coverage",
    "trace",
    "write_polygons",
]
