"""Medical volumes: NIfTI, NRRD, MetaImage, DICOM series and stacks of slices, read with their place in the patient,
in the order of the affine's columns; their windows and labels, orientation, spacing, and NIfTI written back.
"""

from segnoise.data.volume.finding import CalledAs, find_volumes, label_volumes
from segnoise.data.volume.grid import VolumeGrid, describe_volume_grid, same_volume_grid
from segnoise.data.volume.labels import VolumeLabels
from segnoise.data.volume.nifti import write_volume
from segnoise.data.volume.nnunet import NnunetCase, NnunetDataset, read_nnunet
from segnoise.data.volume.orientation import reorient
from segnoise.data.volume.reading import open_volume, read_volume
from segnoise.data.volume.resample import like, resample
from segnoise.data.volume.slicing import SliceLabels, SliceSource, slice_name
from segnoise.data.volume.source import VolumeSource
from segnoise.data.volume.standard import Standard
from segnoise.data.volume.volume import Volume, VolumeFile, volume_name, volume_of

__all__ = [
    "CalledAs",
    "NnunetCase",
    "NnunetDataset",
    "SliceLabels",
    "SliceSource",
    "Standard",
    "Volume",
    "VolumeFile",
    "VolumeGrid",
    "VolumeLabels",
    "VolumeSource",
    "describe_volume_grid",
    "find_volumes",
    "label_volumes",
    "like",
    "open_volume",
    "read_nnunet",
    "read_volume",
    "reorient",
    "resample",
    "same_volume_grid",
    "slice_name",
    "volume_name",
    "volume_of",
    "write_volume",
]
