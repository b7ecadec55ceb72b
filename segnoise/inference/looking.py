"""From a path to what a model looks at: for a run, with the bands and the scaling that it was trained on."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from segnoise.config import Config, OctData, RasterData, SceneData, VolumeData
from segnoise.data import ImageSource, PerImage, RasterSource, Source
from segnoise.data.oct import BScanFile
from segnoise.training.opening import open_image


def map_source(model: nn.Module, scene: str | Path | Source) -> Source:
    """A scene for a model: a source as it is, a path as a run on maps reads it, else with all its bands."""
    if not isinstance(scene, str | Path):
        return scene
    config = getattr(model, "config", None)
    if isinstance(config, Config) and isinstance(config.data, RasterData | SceneData):
        return open_image(config.data, Path(scene))
    return RasterSource(scene)


def image_source(model: nn.Module, image: str | Path | Source) -> Source:
    """An image for a model: a source as it is, a path as a run on images reads it, else as it is stored.

    Of a B-scan in colours a run on OCT sees the mean of the channels, as in training.
    """
    if not isinstance(image, str | Path):
        return image
    config = getattr(model, "config", None)
    if not isinstance(config, Config) or isinstance(config.data, RasterData | SceneData | VolumeData):
        return ImageSource(image)
    if isinstance(config.data, OctData):
        return bscan_source(config.data, BScanFile(image))
    return open_image(config.data, Path(image))


def bscan_source(data: OctData, bscan: Source) -> Source:
    """A B-scan with the scaling of a run on OCT."""
    return bscan if data.scaling.per == "set" else PerImage(bscan, data.scaling.kind, data.scaling.divide)
