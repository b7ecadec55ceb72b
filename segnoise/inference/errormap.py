"""Where labels of any size are wrong, from any model's probabilities: the error map by windows with halos."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray

from segnoise.data import IGNORE_INDEX, ArrayLabels, ArraySource, RasterLabels, RasterSource, geotiff
from segnoise.data.source import Labels, Source
from segnoise.errors import UserError
from segnoise.kms import correlation_length, error_map
from segnoise.kms.operator import per_axis
from segnoise.noise.geometry import known_labels
from segnoise.noise.objects import number_objects
from segnoise.windows import Window, atomic_output, plan, refuse_existing

HALO = 3.0
"""Correlation lengths around a window that its errors are inferred from; beyond, a neighbour's say is below 5 %."""


@dataclass(frozen=True)
class WrongLabels:
    """How many labels there are, and how many of them are expected to be wrong: the sum of their probabilities."""

    labels: int
    expected: float

    @classmethod
    def counted(cls, p_wrong: NDArray[np.floating[Any]]) -> WrongLabels:
        """What a map tells; where it is nan there is no label."""
        return cls(int((~np.isnan(p_wrong)).sum()), float(np.nansum(p_wrong, dtype=np.float64)))


def map_label_errors(
    probabilities: str | Path,
    labels: str | Path | Labels,
    out: str | Path,
    *,
    rho: float | Sequence[float] = 0.5,
    mu: float = -2.0,
    sigma: float = 1.3133,
    window: int = 512,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> WrongLabels:
    """``P(label is wrong)`` of every pixel of a label raster (:func:`segnoise.kms.error_map`), by windows.

    Every window is inferred with a halo of three correlation lengths around it, and only its core is kept; memory does
    not grow with the raster.

    Args:
        probabilities: GeoTIFF, one band a class, as ``predict_raster(…, scores=…)`` writes it, or of any other model;
            nan or no data where there are none.
        labels: GeoTIFF on the same grid: class indices, 255 where there is no label; or labels of the same shape.
        out: GeoTIFF to write: float32, nan where there is no label or no probability.
        rho, mu, sigma: of the error field. 0.5 ranks for review whatever the errors are; 0.9 suits coherent patches.
        window: pixels of a core along each axis.
        overwrite: replace an existing output.
        progress: called with (windows done, windows in all).

    Returns:
        How many labels were looked at, and how many of them are expected to be wrong.

    Raises:
        UserError: an unreadable file, another grid, labels beyond the classes, values that are no probabilities,
            an existing or unwritable output.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> place = {"driver": "GTiff", "width": 40, "height": 30, "crs": "EPSG:32736",
    ...          "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    >>> p = np.full((2, 30, 40), 0.1, np.float32)
    >>> p[1] = 0.9
    >>> given = np.ones((30, 40), np.uint8)
    >>> given[5:15, 5:15] = 0
    >>> with rasterio.open(folder / "p.tif", "w", count=2, dtype="float32", **place) as dst:
    ...     dst.write(p)
    >>> with rasterio.open(folder / "y.tif", "w", count=1, dtype="uint8", **place) as dst:
    ...     dst.write(given, 1)
    >>> found = map_label_errors(folder / "p.tif", folder / "y.tif", folder / "wrong.tif", rho=0.9)
    >>> found.labels, 80 < found.expected < 140
    (1200, True)
    """
    scores = RasterSource(probabilities)
    if scores.channels < 2:
        raise UserError(f"{probabilities}: has 1 band; give probabilities, one band a class (predict_raster's scores)")
    given = RasterLabels(labels, scores.channels, like=scores) if isinstance(labels, str | Path) else labels
    if given.shape != scores.shape:
        raise UserError(
            f"{probabilities}: is {scores.shape}, but the labels are {given.shape}; give those of this scene"
        )
    out = refuse_existing(out, overwrite)
    place: dict[str, Any] = {}
    if scores.geobox is not None:
        place = {"crs": scores.geobox.crs.to_wkt(), "transform": scores.geobox.affine}
    total, expected = 0, 0.0
    with (
        atomic_output(out, overwrite) as temporary,
        geotiff(
            temporary, height=scores.shape[0], width=scores.shape[1], count=1, dtype="float32",
            blockxsize=256, blockysize=256, nodata=float("nan"), predictor=3, **place,
        ) as dst,
    ):  # fmt: skip
        for core, p_wrong in error_windows(scores, given, rho, mu, sigma, window, progress):
            box = rasterio.windows.Window(core.start[1], core.start[0], core.size[1], core.size[0])
            dst.write(p_wrong, 1, window=box)
            part = WrongLabels.counted(p_wrong)
            total, expected = total + part.labels, expected + part.expected
    return WrongLabels(total, expected)


def error_map_array(
    probabilities: NDArray[Any],
    labels: NDArray[Any],
    *,
    rho: float | Sequence[float] = 0.5,
    mu: float = -2.0,
    sigma: float = 1.3133,
    window: int = 512,
) -> NDArray[np.float32]:
    """The same of arrays: probabilities ``C *S`` and labels ``*S`` of an image or a volume that fits in memory.

    Raises:
        UserError: shapes that differ, labels beyond the classes, values that are no probabilities.

    >>> p = np.stack([np.full((4, 6, 6), 0.1), np.full((4, 6, 6), 0.9)])
    >>> error_map_array(p, np.ones((4, 6, 6), int)).shape
    (4, 6, 6)
    """
    if probabilities.shape[1:] != labels.shape:
        raise UserError(f"probabilities {probabilities.shape} do not fit labels {labels.shape}; give C *S and *S")
    result = np.full(labels.shape, np.nan, dtype=np.float32)
    source, given = ArraySource(probabilities.astype(np.float32)), ArrayLabels(labels)
    for core, p_wrong in error_windows(source, given, rho, mu, sigma, window):
        result[core.slices] = p_wrong
    return result


@dataclass(frozen=True)
class ObjectErrors:
    """Objects of given labels, largest expectation first: one entry an object in each array.

    ``first`` is the index of an object's first pixel in raster order, ``label`` its class or id, ``pixels`` those with
    an error probability, ``expected`` the sum of these: how many of its pixels are expected to be wrong.
    """

    first: NDArray[np.int64]
    label: NDArray[np.int64]
    pixels: NDArray[np.int64]
    expected: NDArray[np.float64]


def object_errors(p_wrong: NDArray[Any], labels: NDArray[Any], instances: bool = False) -> ObjectErrors:
    """How many pixels of each object are expected to be wrong, by an error map ``*S`` of its labels ``*S``.

    An object is a region of one class above 0 connected by faces, or with ``instances`` the pixels of one id. Pixels
    where the map is nan do not count. The background is no object: what is missing there shows in the map alone.

    Raises:
        UserError: shapes that differ.

    >>> labels = np.array([[1, 1, 0, 2], [0, 0, 0, 2]])
    >>> found = object_errors(np.array([[0.1, 0.1, 0.5, 0.9], [0.5, 0.5, 0.5, 0.8]]), labels)
    >>> found.label.tolist(), found.expected.round(2).tolist(), found.first.tolist()
    ([2, 1], [1.7, 0.2], [[0, 3], [0, 0]])
    """
    if p_wrong.shape != labels.shape:
        raise UserError(f"an error map {p_wrong.shape} does not fit labels {labels.shape}; both are *S")
    numbers, first = number_objects(labels, known_labels(labels, instances), instances)
    told = (numbers > 0) & ~np.isnan(p_wrong)
    index = numbers[told] - 1
    expected = np.bincount(index, p_wrong[told], minlength=len(first)).astype(np.float64)
    pixels = np.bincount(index, minlength=len(first))
    order = np.argsort(-expected, kind="stable")
    places = np.stack(np.unravel_index(first[order], labels.shape), axis=-1)
    return ObjectErrors(places, labels.ravel()[first[order]].astype(np.int64), pixels[order], expected[order])


def error_windows(
    probabilities: Source,
    labels: Labels,
    rho: float | Sequence[float],
    mu: float,
    sigma: float,
    window: int,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    """The cores of the windows, which tile the grid, with their error maps."""
    shape = probabilities.shape
    rhos = per_axis(rho, len(shape))
    halo = tuple(math.ceil(HALO * correlation_length(abs(r))) for r in rhos)
    cores = [core.clip(shape) for core in _tiles(shape, window)]
    for done, core in enumerate(cores, start=1):
        around = Window(
            tuple(a - h for a, h in zip(core.start, halo, strict=True)),
            tuple(n + 2 * h for n, h in zip(core.size, halo, strict=True)),
        ).clip(shape)
        p, seen = probabilities.read(around)
        given = labels.read(around)
        p_wrong = _infer(p, seen, given, rhos, mu, sigma, f"window at {around.start}")
        yield core, p_wrong[core.within(around)]
        if progress is not None:
            progress(done, len(cores))


def _tiles(shape: Sequence[int], window: int) -> list[Window]:
    if window < 1:
        raise UserError(f"window {window}: must be at least 1")
    padded = [math.ceil(n / window) * window for n in shape]
    return plan(padded, (window,) * len(shape))


def _infer(
    p: NDArray[np.float32],
    seen: NDArray[np.bool_],
    given: NDArray[np.int64],
    rhos: tuple[float, ...],
    mu: float,
    sigma: float,
    where: str,
) -> NDArray[np.float32]:
    known = (given != IGNORE_INDEX) & seen & np.isfinite(p).all(0)
    labels = torch.from_numpy(np.where(known, given, IGNORE_INDEX))[None]
    probs = torch.from_numpy(np.where(known, p, 1 / len(p)).astype(np.float32))[None]
    try:
        p_wrong = error_map(probs, labels, rhos, mu, sigma, ignore_index=IGNORE_INDEX)[0].numpy()
    except ValueError as error:
        raise UserError(f"{where}: {str(error).removeprefix('image 0: ')}") from error
    return np.where(known, p_wrong, np.nan).astype(np.float32)
