"""Draws docs/assets/noise/*.png, every noise at three levels on one label map, and writes docs/noise-gallery.md.

python tools/draw_noise_gallery.py [NAME ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segnoise.data.scenes import field_scene
from segnoise.noise import NOISES, parse
from segnoise.noise.geometry import known_labels

DOCS = Path(__file__).parents[1] / "docs"
SIZE, SCENE, SEED = 144, 2, 4
ZOOM = 2


class Entry(NamedTuple):
    """One noise of the gallery."""

    levels: tuple[str, str, str]
    models: str
    level: str
    objects: bool = True  # corrupted as objects, not as classes


GALLERY = {
    "Pixels": {
        "symmetric": Entry(
            ("symmetric(0.05)", "symmetric(0.2)", "symmetric(0.4)"),
            "Pixels that have nothing to do with each other are wrong: what most of the literature assumes, and no"
            " labeller does.",
            "share of the pixels that flip, met exactly; without unit",
            objects=False,
        ),
        "pair": Entry(
            ("pair(0.1, classes=(1, 2, 3))", "pair(0.25, classes=(1, 2, 3))", "pair(0.5, classes=(1, 2, 3))"),
            "One class is taken for another: similar crops, tissues or stages; `T=` takes a whole transition matrix.",
            "share of each class that flips to the next, met exactly; without unit",
            objects=False,
        ),
        "kms": Entry(
            ("kms(0.1)", "kms(0.2)", "kms(0.4)"),
            "Patches of any place are wrong, as after clouds, shadows or a hasty annotator; `rho` sets their size.",
            "share of the pixels that flip, met exactly; without unit",
            objects=False,
        ),
        "coarse": Entry(
            ("coarse(4px)", "coarse(8px)", "coarse(16px)"),
            "Labels come from a coarser product, or from a brush with square strokes.",
            "side of a block; px, m or mm",
            objects=False,
        ),
    },
    "Outlines": {
        "boundary": Entry(
            ("boundary(1px)", "boundary(2px)", "boundary(4px)"),
            "A hand follows the outline more or less, and errs alike along a stretch of it.",
            "mean absolute displacement of the boundaries, met exactly without `bias`; px, m or mm",
        ),
        "dilate": Entry(
            ("dilate(1px)", "dilate(2px)", "dilate(4px)"),
            "Everybody draws a little too large, so that nothing is missed.",
            "how far objects grow; px, m or mm",
        ),
        "erode": Entry(
            ("erode(1px)", "erode(2px)", "erode(4px)"),
            "Everybody stays inside the object to be on the safe side.",
            "how far objects shrink; px, m or mm",
        ),
        "polygonise": Entry(
            ("polygonise(3px)", "polygonise(7px)", "polygonise(14px)"),
            "Outlines are clicked with few vertices.",
            "the square root of the smallest triangle that a vertex may span; px, m or mm",
        ),
        "markov": Entry(
            ("markov(40)", "markov(100)", "markov(180)"),
            "Outlines creep outwards pixel by pixel: the published Markov walk, followed by random flips and a blur.",
            "number of steps of the walk; `grow`, `flip` and `speckle` are probabilities",
        ),
    },
    "Objects": {
        "omission": Entry(
            ("omission(0.1)", "omission(0.3)", "omission(0.6)"),
            "Objects were overlooked or came after the map; `size_slope` makes small ones go first.",
            "missing objects over true ones, the nearest possible; without unit",
        ),
        "commission": Entry(
            ("commission(0.1)", "commission(0.3)", "commission(0.5)"),
            "Objects stand where there are none: fields given up, artefacts taken for lesions.",
            "extra objects over true ones, as far as there is room; without unit",
        ),
        "merge": Entry(
            ("merge(0.2)", "merge(0.5)", "merge(0.9)"),
            "Neighbours are drawn as one, the gap between them filled; `gap` says how wide it may be.",
            "share of the objects involved, the nearest possible; `gap` in px, m or mm",
        ),
        "split": Entry(
            ("split(0.2)", "split(0.5)", "split(0.9)"),
            "One object is drawn as two, as tile borders, paths and shadows make it look.",
            "share of the objects cut, the nearest possible; `width` in px, m or mm",
        ),
        "affine": Entry(
            ("affine(loss=0.15)", "affine(loss=0.3)", "affine(loss=0.5)"),
            "Each object is a little out of place, size and direction, as in copied footprints.",
            "with `loss`, the mean loss of IoU of an object, within 5 %; `shift` in px, m or mm",
        ),
    },
    "Images": {
        "misregistration": Entry(
            ("misregistration(2px)", "misregistration(5px)", "misregistration(10px)"),
            "Labels and image were not taken from the same place: old maps, slanted views, moved patients.",
            "length of the shift; px, m or mm; `rotation` in degrees",
        ),
        "jsrt": Entry(
            ("jsrt(1, 0.2)", "jsrt(1, 0.5)", "jsrt(1, 0.7)"),
            "Some images are very wrong: dilated, eroded or moved, as in the JSRT studies (here: moved).",
            "alpha is the share of the images, beta the changed pixels of each over its foreground; without unit",
        ),
        "whu": Entry(
            ("whu(1)", "whu(2)", "whu(3)"),
            "Objects removed, with false margins and added at once, as in the WHU building studies.",
            "1, 2, 3 as published, or the shares `remove`, `add` and `margin`; without unit",
        ),
        "segments": Entry(
            ("segments(1, odds=(1, 1, 0, 0))", "segments(1, odds=(0, 0, 1, 0))", "segments(1, odds=(0, 0, 0, 1))"),
            "Frames of a video were labelled in batches, each class alike for a few frames: grown or shrunk, moved, or"
            " clicked with few corners. Here one frame is shown, and each way alone.",
            "share of the sequences; `radius` in px or as a share of the image height, `odds` of the four ways",
        ),
    },
}

BACKGROUND, UNKNOWN, LINE = "#f3efe4", "#4d4d4d", "#7c7765"
FILLS = ("#c8d9a3", "#e5d693", "#a9cdb4", "#d8bf9b", "#b9d3d6", "#d2e0b8")
WRONG, OTHER = "#d3372b", "#f0962e"


def entries() -> dict[str, Entry]:
    """Every noise of the gallery by its name, in the order of the page."""
    return {name: entry for group in GALLERY.values() for name, entry in group.items()}


def label_map(objects: bool) -> NDArray[Any]:
    """The map that all are drawn on: fields as objects, or as three classes of crop on a background."""
    scene = field_scene(SIZE, seed=SCENE)
    if objects:
        return scene.instances
    _, crop = np.unique(scene.polygons.crop, return_inverse=True)
    return np.concatenate([[0], 1 + crop % 3])[scene.instances].astype(np.uint8)


def picture(labels: NDArray[Any], clean: NDArray[Any], objects: bool) -> NDArray[np.float64]:
    """The labels as a picture: wrong between object and background in one colour, between objects in another."""
    fills = matplotlib.colors.to_rgba_array(FILLS)[:, :3]
    known = known_labels(labels, objects)
    colours = fills[labels % len(fills)]
    colours[labels == 0] = matplotlib.colors.to_rgb(BACKGROUND)
    differs = known & (labels != clean)
    for where, tint in ((differs, OTHER), (differs & ((labels == 0) | (clean == 0)), WRONG)):
        colours[where] = 0.25 * colours[where] + 0.75 * np.array(matplotlib.colors.to_rgb(tint))
    colours[~known] = matplotlib.colors.to_rgb(UNKNOWN)
    large = colours.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    ids = labels.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    # Lines between labels, but not around wrong pixels, which would drown in them.
    right = ~differs.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    edge = np.zeros(ids.shape, dtype=bool)
    edge[1:] |= (ids[1:] != ids[:-1]) & right[1:] & right[:-1]
    edge[:, 1:] |= (ids[:, 1:] != ids[:, :-1]) & right[:, 1:] & right[:, :-1]
    large[edge] = 0.45 * large[edge] + 0.55 * np.array(matplotlib.colors.to_rgb(LINE))
    return large


def draw(name: str, entry: Entry, output: Path) -> None:
    """The strip of a noise: the clean map and three levels."""
    clean = label_map(entry.objects)
    panels = [("clean", picture(clean, clean, entry.objects))]
    for expression in entry.levels:
        noisy, _ = parse(expression).corrupt(clean, SEED, instances=entry.objects)
        panels.append((expression, picture(noisy, clean, entry.objects)))
    side, gap, top = SIZE * ZOOM, 12, 22
    width, height = 4 * side + 3 * gap, side + top
    figure = plt.figure(figsize=(width / 100, height / 100), dpi=100)
    for number, (title, pixels) in enumerate(panels):
        left = number * (side + gap)
        axis = figure.add_axes((left / width, 0, side / width, side / height))
        axis.imshow(pixels, interpolation="nearest")
        axis.set_axis_off()
        figure.text((left + side / 2) / width, 1 - 8 / height, title, ha="center", va="center", fontsize=8.5)
    figure.savefig(output, dpi=100)
    plt.close(figure)
    # A palette keeps the picture small enough for the documentation.
    Image.open(output).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(output, optimize=True)


def page() -> str:
    """docs/noise-gallery.md."""
    text = (DOCS / "noise-gallery.md").read_text()
    start, end = (text.index(mark) for mark in ("<!-- gallery -->", "<!-- end of gallery -->"))
    lines = ["<!-- gallery -->"]
    for group, members in GALLERY.items():
        lines += ["", f"## {group}"]
        for name, entry in members.items():
            lines += ["", f"### `{name}`", "", entry.models, f"Level: {entry.level}.", ""]
            shown = ", ".join(f"`{level}`" for level in entry.levels)
            lines.append(f"![clean, then {shown.replace('`', '')}](assets/noise/{name}.png)")
    return text[:start] + "\n".join(lines) + "\n\n" + text[end:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these pictures; default: all")
    arguments = parser.parse_args()
    known = entries()
    if unknown := [name for name in [*arguments.names, *NOISES] if name not in known]:
        parser.error(f"not in the gallery: {', '.join(unknown)}; add an entry to tools/draw_noise_gallery.py")
    for name in arguments.names or known:
        draw(name, known[name], DOCS / "assets" / "noise" / f"{name}.png")
    (DOCS / "noise-gallery.md").write_text(page())


if __name__ == "__main__":
    main()
