"""Draws docs/assets/scene_preview.png: one procedural landscape in true colour, false colour and with its truth.

python tools/preview_scenes.py [--size 640] [--seed 1] [--output docs/assets/scene_preview.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from numpy.typing import NDArray
from PIL import Image

from segnoise.data.scenes import BANDS, FieldScene, field_scene


def composite(scene: FieldScene, bands: tuple[str, str, str], top: tuple[float, float, float]) -> NDArray[np.float64]:
    """Three bands as a picture that is white at the reflectances ``top``."""
    layers = np.stack([scene.image[BANDS.index(band)] for band in bands], -1) / 10000
    return np.clip((layers - 0.02) / (np.array(top) - 0.02), 0, 1) ** 0.75


def draw(scene: FieldScene, output: Path) -> None:
    true_colour = composite(scene, ("red", "green", "blue"), (0.26, 0.21, 0.165))
    false_colour = composite(scene, ("nir", "red", "green"), (0.45, 0.27, 0.23))
    height, width = scene.instances.shape
    inverse = ~scene.geobox.affine
    rings = [
        np.stack(inverse @ tuple(np.asarray(ring.coords).T), 1)
        for polygon in scene.polygons.geometry
        for ring in (polygon.exterior, *polygon.interiors)
    ]
    panels = (
        ("true colour", true_colour),
        ("near infrared, red, green", false_colour),
        ("fields (truth)", true_colour),
    )
    figure, axes = plt.subplots(1, 3, figsize=(15, 5.3 * height / width), layout="constrained")
    for axis, (title, picture) in zip(axes, panels, strict=True):
        axis.imshow(picture, extent=(0, width, height, 0), interpolation="antialiased")
        axis.set(title=title, xticks=[], yticks=[])
    axes[2].add_collection(LineCollection(rings, colors="#ffe600", linewidths=0.7))
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=100)
    plt.close(figure)
    # A palette keeps the picture small enough for the documentation.
    Image.open(output).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(output, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("docs/assets/scene_preview.png"))
    arguments = parser.parse_args()
    draw(field_scene(arguments.size, arguments.seed), arguments.output)


if __name__ == "__main__":
    main()
