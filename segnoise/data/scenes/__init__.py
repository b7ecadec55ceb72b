"""Pictures that never were, with exact truth, for demos, tests and the benchmark: scenes of crop fields with plausible
spectra, texture and sensor; OCT volumes of the retina with fluid; chest films; endoscopic sequences with instruments.
"""

from segnoise.data.scenes.endoscopy import ENDOSCOPY_CLASSES, EndoscopicSequence, endoscopic_sequence
from segnoise.data.scenes.fields import BANDS, COVERS, FieldScene, field_scene
from segnoise.data.scenes.radiograph import CHEST_CLASSES, Radiograph, radiograph
from segnoise.data.scenes.retina import RETINA_CLASSES, RetinaVolume, retina_volume

__all__ = [
    "BANDS",
    "CHEST_CLASSES",
    "COVERS",
    "ENDOSCOPY_CLASSES",
    "RETINA_CLASSES",
    "EndoscopicSequence",
    "FieldScene",
    "Radiograph",
    "RetinaVolume",
    "endoscopic_sequence",
    "field_scene",
    "radiograph",
    "retina_volume",
]
