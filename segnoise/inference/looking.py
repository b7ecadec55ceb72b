"""From a path to what a model looks at: for a run, with the bands and the scaling that it was trained on."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from segnoise.config import Config, RasterData, SceneData, VolumeData
from segnoise.data import ImageSource, RasterSource, Source
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
    """An image for a model: a source as it is, a path as a run on images reads it, else as it is stored."""
    if not isinstance(image, str | Path):
        return image
    config = getattr(model, "config", None)
    if isinstance(config, Config) and not isinstance(config.data, RasterData | SceneData | VolumeData):
        return open_image(config.data, Path(image))
    return ImageSource(image)
