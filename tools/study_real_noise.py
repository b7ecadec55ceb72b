"""Noise cards of real pairs of labels, and of synthetic noise drawn to be like them.

    python tools/study_real_noise.py --data ../shared/data --every 4

Prints a Markdown table per pair: each statistic of the real labels, of noise drawn with `--like` for the seed that its
levels were corrected on, and the mean and range over three other seeds. Of the raters' answers every fourth is taken.

- nuclei: masks as first published against the corrected ones.
- crowd, experts: single answers against the majority of the experts.
- footprints: there is no corrected version, so the reference is the footprints moved, all together, to where the image
  is steepest along their outlines. It is an estimate.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.data import RasterSource
from segnoise.noise import noise_card_of
from segnoise.noise.labelfile import open_labels
from segnoise.noise.like import noise_like_on
from segnoise.windows import Window

Pairs = list[tuple[NDArray[Any], NDArray[Any]]]


def read(path: Path, instances: bool = False) -> NDArray[Any]:
    return open_labels(path, instances=instances).labels.astype(np.int32)


def nuclei(data: Path, every: int) -> Pairs:
    folder = data / "nuclei_dsb2018"
    names = sorted(path.name for path in (folder / "labels").glob("*.png"))
    return [(read(folder / "labels_original" / name), read(folder / "labels" / name)) for name in names]


def raters(prefix: str) -> Callable[[Path, int], Pairs]:
    def pairs(data: Path, every: int) -> Pairs:
        folder = data / "cells_multirater"
        found = sorted(folder.glob(f"annotations/{prefix}*/*.png"))[::every]
        return [(read(path), read(folder / "labels" / path.name)) for path in found]

    return pairs


def footprints(data: Path, every: int) -> Pairs:
    folder = data / "scenes_vhr_landsat" / "atlanta_buildings"
    given = read(folder / "instances.tif", instances=True)
    scene = RasterSource(folder / "scene.tif")
    image = scene.read(Window((0, 0), scene.shape))[0][0].astype(np.float64)
    steep = ndimage.gaussian_gradient_magnitude(image, 1.0)
    steep = np.minimum(steep, np.quantile(steep, 0.98))
    outline = np.zeros(given.shape, dtype=bool)
    for axis in (0, 1):
        edge = np.diff(given, axis=axis) != 0
        outline |= np.pad(edge, [(0, int(a == axis)) for a in (0, 1)])
    reach = 25
    inside = outline.copy()
    inside[:reach] = inside[-reach:] = inside[:, :reach] = inside[:, -reach:] = False
    rows, columns = np.nonzero(inside)
    moves = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    scores = np.array([steep[rows + dy, columns + dx].mean() for dy, dx in moves])
    best = moves[int(scores.argmax())]
    unmoved = scores[moves.index((0, 0))]
    spread = scores.std()
    print(
        f"The footprints fit the image best when moved by {best} px: {(scores.max() - scores.mean()) / spread:.1f} "
        f"standard deviations of all moves above their mean, {(unmoved - scores.mean()) / spread:.1f} where they are.\n"
    )
    moved = np.full(given.shape, -1, dtype=np.int32)
    to = tuple(slice(max(b, 0), n + min(b, 0)) for b, n in zip(best, given.shape, strict=True))
    of = tuple(slice(max(-b, 0), n - max(b, 0)) for b, n in zip(best, given.shape, strict=True))
    moved[to] = given[of]
    return [(given, moved)]


SETS: dict[str, tuple[Callable[[Path, int], Pairs], bool]] = {
    "nuclei": (nuclei, False),
    "crowd": (raters("crowd"), False),
    "experts": (raters("expert"), False),
    "footprints": (footprints, True),
}


def rows(card: dict[str, Any]) -> dict[str, float | None]:
    """The statistics of the table."""
    spread, objects, boundary = card["spread"], card["objects"], card["causes"]["boundary"]
    named = list(card["flip_rate"]["per_class"].items())[:2]
    latent = card["latent"]
    known = [] if latent is None else [r for r in latent["rho"] if r is not None]
    return {
        "flip rate": card["flip_rate"]["overall"],
        **{f"flip rate of {('background', 'object')[k]}": rate for k, (_, rate) in enumerate(named)},
        "Dice of object": list(card["dice"].values())[1],
        "flip rate of images, 5 %": spread["quantiles"]["0.05"],
        "flip rate of images, median": spread["quantiles"]["0.5"],
        "flip rate of images, 95 %": spread["quantiles"]["0.95"],
        "over-dispersion": spread["overdispersion"],
        "errors within 2 px of a boundary": card["near_boundary"]["2px"],
        "errors within 8 px of a boundary": card["near_boundary"]["8px"],
        "latent rho, mean of axes": float(np.mean(known)) if known else None,
        "changed area / boundary length, px": card["displacement"]["changed_per_length"],
        "boundary displacement, px": boundary["displacement_px"],
        "boundary bias, px": boundary["bias_px"],
        "rho along boundaries": boundary["rho"],
        "mean absolute displacement of faces, px": card["displacement"]["mean_absolute"],
        "objects missed": objects["missed_share"],
        "objects extra": objects["extra_share"],
        "objects merged": objects["merged_share"],
        "objects split": objects["split_share"],
        "slope of missing on size": None if objects["size_slope"] is None else objects["size_slope"]["slope"],
        "shift of maps, px": card["shift"]["length_px"],
        "changes left when moved back": card["shift"]["errors_left"],
    }


def say(value: float | None) -> str:
    return "–" if value is None else f"{value + 0.0:.3g}"


def say_range(values: list[float | None]) -> str:
    told = [v for v in values if v is not None]
    return f"{say(float(np.mean(told)))} ({say(min(told))} … {say(max(told))})" if told else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nuclei_dsb2018 and the others")
    parser.add_argument("--every", type=int, default=1, help="take every n-th answer of the raters")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options = parser.parse_args()
    for name in options.sets:
        pairs_of, instances = SETS[name]
        pairs = pairs_of(options.data, options.every)
        truth = [true for _, true in pairs]
        real = noise_card_of(pairs, instances=instances)
        noise = noise_like_on(real, truth, seed=0, instances=instances)
        drawn = []
        for seed in range(4):
            given = [labels for labels, _ in noise.noisy_all(truth, seed, instances)]
            drawn.append(rows(noise_card_of(zip(given, truth, strict=True), instances=instances)))
        print(f"### {name}: {len(pairs)} pairs, {real['pixels']:,} pixels\n\nLike it: `{noise}`\n")
        print("| statistic | real | like, seed of the levels | like, three other seeds |\n| --- | --- | --- | --- |")
        for statistic, value in rows(real).items():
            others = [draw[statistic] for draw in drawn[1:]]
            print(f"| {statistic} | {say(value)} | {say(drawn[0][statistic])} | {say_range(others)} |")
        print(flush=True)


if __name__ == "__main__":
    main()
