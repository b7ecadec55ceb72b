"""Landscapes that never were: procedural scenes of crop fields with plausible spectra, texture and sensor, and exact
vector truth, for demos, tests and the benchmark.
"""

from segnoise.data.scenes.fields import BANDS, COVERS, FieldScene, field_scene

__all__ = ["BANDS", "COVERS", "FieldScene", "field_scene"]
