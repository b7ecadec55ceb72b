"""Procedural OCT volumes of the macula: B-scans, the heights of the layers, and the fluid in and under the retina."""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segnoise.data.scenes.pngfile import save_pair
from segnoise.data.scenes.retina_layers import FLUIDS, LAYERS, Macula, Plane, draw_macula
from segnoise.data.scenes.retina_scan import scan
from segnoise.draws import generator
from segnoise.errors import UserError, nearest
from segnoise.windows import atomic_output

RETINA_CLASSES = ("background", *FLUIDS)
"""The names of the values of ``RetinaVolume.mask``: fluid in the retina, under it, and under the pigment epithelium."""

WIDTH_MM = 6.0
DEPTH_MM = 1.0
BETWEEN_MM = 0.24
_KINDS = ({"IRF"}, {"IRF", "SRF"}, {"SRF"}, {"SRF", "PED"}, {"IRF", "SRF", "PED"}, {"PED"})
_SHARES = (0.28, 0.2, 0.16, 0.16, 0.12, 0.08)


@dataclass(frozen=True)
class RetinaVolume:
    """A macular OCT volume and its truth.

    ``image`` holds the B-scans, uint8 ``S H W``; ``mask`` ``S H W`` indexes ``RETINA_CLASSES``. ``layers`` ``S 10 W``
    are the heights of ``BOUNDARIES`` in rows from the top edge, so that the centre of row ``r`` lies at ``r + 0.5``.
    ``slice_labels`` ``S 3`` says for each slice which of ``FLUIDS`` it shows. ``spacing`` is mm per pixel in depth and
    along a slice, and mm from slice to slice.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    layers: NDArray[np.float32]
    slice_labels: NDArray[np.bool_]
    spacing: tuple[float, float, float]

    @property
    def layer_mask(self) -> NDArray[np.uint8]:
        """The layer of every pixel, ``S H W``, indexing ``LAYERS``: how many boundaries lie above its centre.

        Intraretinal fluid counts to the layer that holds it.
        """
        return _layer_mask(self.layers, self.image.shape[1])

    def save(
        self,
        folder: str | Path,
        name: str = "volume",
        *,
        target: Literal["fluid", "layers"] = "fluid",
        overwrite: bool = False,
    ) -> Path:
        """Writes ``images/NAME_SLICE.png`` and ``labels/NAME_SLICE.png`` and enters them in ``index.csv``.

        The table has the columns ``image, label, volume, slice, IRF, SRF, PED``: paths from the folder, the slice from
        0, and 1 where a slice shows the fluid. It serves as ``data.labels``, and volumes saved to one folder share it.
        ``target`` is what labels hold: indices of ``RETINA_CLASSES`` or of ``LAYERS``. Returns the path of the table.

        Raises UserError when a file exists and ``overwrite`` is false, or cannot be written.
        """
        folder = Path(folder)
        masks = self.mask if target == "fluid" else self.layer_mask
        digits = max(2, len(str(len(self.image) - 1)))
        rows = []
        for s, (image, mask, shown) in enumerate(zip(self.image, masks, self.slice_labels, strict=True)):
            number = f"{s:0{digits}d}"
            paths = save_pair(folder, f"{name}_{number}", image, mask, overwrite)
            files = [path.relative_to(folder).as_posix() for path in paths]
            rows.append([*files, name, number, *(str(int(fluid)) for fluid in shown)])
        return _enter(folder / "index.csv", name, rows)


def retina_volume(
    size: tuple[int, int] = (192, 256), slices: int = 8, seed: int = 0, *, fluids: Collection[str] | None = None
) -> RetinaVolume:
    """Draws a macula as an OCT scanner sees it, with exact truth; equal arguments give equal bytes.

    Layers are Gaussian curves around a foveal pit, correlated from slice to slice. Fluid lies where it lies in eyes
    and displaces what is above it: cysts in the inner and outer nuclear layer, domes under the photoreceptors (SRF) and
    under the pigment epithelium (PED), in about half of the slices. The outer nuclear layer, the shadows of
    vessels, lumens in the choroid and the vitreous are as dark: place and shape tell fluid, no threshold does.

    Args:
        size: rows and columns, at least 64 each; they sample 1 mm of depth and 6 mm of retina.
        slices: B-scans around the fovea, 0.24 mm apart or, when they are many, over 6 mm.
        seed: of every draw.
        fluids: which of ``FLUIDS`` the eye has; by default about half of the eyes have none, the others one to three.

    Raises:
        UserError: the size is too small, there is no slice, or a fluid is unknown.

    >>> volume = retina_volume((96, 128), slices=3, seed=1, fluids=["SRF"])
    >>> volume.image.shape, volume.layers.shape, volume.spacing
    ((3, 96, 128), (3, 10, 128), (0.010416666666666666, 0.046875, 0.24))
    >>> np.unique(volume.mask).tolist(), volume.slice_labels.any(axis=0).tolist()
    ([0, 2], [False, True, False])
    """
    rows, columns = size
    if min(size) < 64:
        raise UserError(f"size {size}: a B-scan has at least 64 pixels a side")
    if slices < 1:
        raise UserError(f"slices {slices}: give at least 1")
    rng = generator(seed, "retina", "shape")
    drawn = _draw_fluids(rng)
    chosen = drawn if fluids is None else _known(fluids)
    spacing = (DEPTH_MM / rows, WIDTH_MM / columns, min(BETWEEN_MM, WIDTH_MM / slices))
    x, y = (np.arange(n, dtype=np.float64) - (n - 1) / 2 for n in (columns, slices))
    plane = Plane(x * spacing[1], y * spacing[2], WIDTH_MM)
    macula = _framed(draw_macula(plane, chosen, rng), rng)
    image = scan(macula, plane, rows, spacing[0], bool(chosen), generator(seed, "retina", "light"))
    layers = (macula.heights / spacing[0]).astype(np.float32).transpose(1, 0, 2)
    mask = _fluid_mask(layers, macula.cysts / spacing[0], rows)
    shown = np.stack([(mask == RETINA_CLASSES.index(fluid)).any(axis=(1, 2)) for fluid in FLUIDS], axis=1)
    return RetinaVolume(image, mask, layers, shown, spacing)


def _draw_fluids(rng: np.random.Generator) -> frozenset[str]:
    ill, which = rng.random(), rng.choice(len(_KINDS), p=_SHARES)
    return frozenset(_KINDS[which]) if ill < 0.5 else frozenset()


def _known(fluids: Collection[str]) -> frozenset[str]:
    for fluid in [fluids] if isinstance(fluids, str) else fluids:
        if fluid not in FLUIDS:
            raise UserError(f"fluids: there is no fluid {fluid!r}; {nearest(fluid, FLUIDS)}")
    return frozenset([fluids] if isinstance(fluids, str) else fluids)


def _framed(macula: Macula, rng: np.random.Generator) -> Macula:
    """The macula in the picture: vitreous above it, choroid below; shrunk where it would not fit."""
    heights = macula.heights
    shrink = min(1.0, 0.74 * DEPTH_MM / float(np.ptp(heights)))
    top, bottom = shrink * float(heights[0].min()), shrink * float(heights[-1].max())
    lowest, highest = 0.05 * DEPTH_MM - top, 0.82 * DEPTH_MM - bottom
    middle = shrink * float(heights[[0, -1]].mean())
    shift = np.clip(DEPTH_MM * rng.uniform(0.38, 0.52) - middle, lowest, max(highest, lowest))
    return replace(macula, heights=shrink * heights + shift, cysts=shrink * macula.cysts + shift)


def _layer_mask(layers: NDArray[np.float32], rows: int) -> NDArray[np.uint8]:
    centre = np.arange(rows, dtype=np.float32)[:, None] + 0.5
    slices, boundaries, columns = layers.shape
    mask = np.zeros((slices, rows, columns), dtype=np.uint8)
    for boundary in range(boundaries):
        mask += centre > layers[:, boundary, None, :]
    return mask


def _fluid_mask(layers: NDArray[np.float32], cysts: NDArray[np.float64], rows: int) -> NDArray[np.uint8]:
    layer = _layer_mask(layers, rows)
    mask = np.zeros(layer.shape, dtype=np.uint8)
    centre = np.arange(rows)[:, None] + 0.5
    for top, bottom in cysts:
        for s in np.flatnonzero((bottom > top).any(axis=1)):
            mask[s, (centre > top[s]) & (centre < bottom[s])] = RETINA_CLASSES.index("IRF")
    for fluid in ("SRF", "PED"):
        mask[layer == LAYERS.index(fluid)] = RETINA_CLASSES.index(fluid)
    return mask


def _enter(path: Path, name: str, rows: list[list[str]]) -> Path:
    """Puts a volume's rows into the table, in place of those it had, in the order of the volumes' names."""
    header = ["image", "label", "volume", "slice", *FLUIDS]
    kept: list[list[str]] = []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            first, *others = list(csv.reader(file)) or [[]]
        if first != header:
            raise UserError(f"{path}: is not a table of volumes ({', '.join(header)}); choose another folder")
        kept = [row for row in others if row[2] != name]
    with atomic_output(path, overwrite=True) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *sorted(kept + rows)])
    return path
