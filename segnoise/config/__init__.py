"""One typed description of a run: read from YAML, overridden by ``section.key=value``, written back resolved.

Imports no torch: a mistake in a configuration is reported at once. Options of a network or a method are checked
when they are built, because they belong to it.
"""

from segnoise.config.data import (
    KINDS,
    DataSection,
    FundusData,
    ImageData,
    OctData,
    RasterData,
    Scaling,
    SceneData,
    Slices,
    Split,
    VideoData,
    VolumeData,
)
from segnoise.config.loading import load_config, make_config
from segnoise.config.run import Config, MethodConfig, Network, NoiseConfig, Training
from segnoise.config.section import Section

__all__ = [
    "KINDS",
    "Config",
    "DataSection",
    "FundusData",
    "ImageData",
    "MethodConfig",
    "Network",
    "NoiseConfig",
    "OctData",
    "RasterData",
    "Scaling",
    "SceneData",
    "Section",
    "Slices",
    "Split",
    "Training",
    "VideoData",
    "VolumeData",
    "load_config",
    "make_config",
]
