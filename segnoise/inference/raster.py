"""Prediction by overlapped windows, blended: in memory for images and volumes, streamed to a GeoTIFF for rasters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from torch import nn

from segnoise.data import IGNORE_INDEX, Source, geotiff
from segnoise.errors import UserError
from segnoise.inference.looking import map_source
from segnoise.windows import Blend, Window, atomic_output, plan, refuse_existing, sides

Progress = Callable[[int, int], None]


def predict_raster(
    model: nn.Module,
    scene: str | Path | Source,
    out: str | Path,
    *,
    window: int | None = None,
    overlap: int | None = None,
    batch_size: int = 4,
    scores: str | Path | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Path:
    """Class labels of a whole raster from any torch module, written on the raster's own grid.

    Windows overlap and their probabilities are blended with raised-cosine weights that sum to 1 at each pixel; rows
    are written as soon as no later window touches them, so memory grows with the width of the scene and the size
    of the window, not with the scene's height.

    Args:
        model: raw pixel values ``B C H W`` to logits ``B K H W``; a run's model from ``segnoise.load`` or your own.
            An attribute ``fill`` (a raw value per band) says what to put where a pixel is not observed; 0 otherwise.
        scene: path of a raster, of which a run's model takes the bands it was trained on; or a Source.
        out: GeoTIFF to write: uint8 class indices, 255 where the scene has no data.
        window, overlap: pixels; by default the model's own window (else 256) and a quarter of it.
        scores: also write the probabilities of all classes, float32, one band a class, nan where no data.
        overwrite: replace existing outputs.
        progress: called with (windows done, windows in all).

    Returns:
        The path of ``out``.

    Raises:
        UserError: unreadable scene, a band count that the model was not trained on, existing or unwritable output,
            a window that leaves no stride.

    >>> import tempfile, torch
    >>> folder = Path(tempfile.mkdtemp())
    >>> with rasterio.open(folder / "s.tif", "w", driver="GTiff", width=40, height=30, count=1, dtype="uint8",
    ...                    crs="EPSG:32736", transform=rasterio.Affine(10, 0, 0, 0, -10, 0)) as dst:
    ...     dst.write(np.arange(1200).reshape(1, 30, 40) % 200)
    >>> class Threshold(nn.Module):
    ...     def forward(self, x):
    ...         return torch.cat([100.5 - x, x - 100.5], 1)
    >>> path = predict_raster(Threshold(), folder / "s.tif", folder / "labels.tif", window=16, overlap=4)
    >>> with rasterio.open(path) as src:
    ...     bool((src.read(1) == (np.arange(1200).reshape(30, 40) % 200 > 100)).all())
    True
    """
    source = map_source(model, scene)
    side = int(getattr(model, "window", 256)) if window is None else window
    margin = side // 4 if overlap is None else overlap
    if not 0 <= margin < side:
        raise UserError(f"overlap {margin}: must be at least 0 and below the window {side}")
    channels = getattr(model, "channels", source.channels)
    if channels != source.channels:
        raise UserError(f"{source.name}: has {source.channels} bands, but the model was trained on {channels}")
    out = refuse_existing(out, overwrite)
    with contextlib.ExitStack() as stack:
        labels_path = stack.enter_context(atomic_output(out, overwrite))
        writers = [stack.enter_context(tiff_like(labels_path, source, "uint8", 1, model))]
        if scores is not None:
            scores_path = stack.enter_context(atomic_output(scores, overwrite))
        for rows, probabilities, observed in _slabs(
            model, source, (side, side), (margin, margin), batch_size, device, progress
        ):
            if scores is not None and len(writers) == 1:
                writers.append(
                    stack.enter_context(tiff_like(scores_path, source, "float32", len(probabilities), model))
                )
            labels = probabilities.argmax(0).astype(np.uint8)
            labels[~observed] = IGNORE_INDEX
            box = rasterio.windows.Window(0, rows.start, labels.shape[1], labels.shape[0])
            writers[0].write(labels, 1, window=box)
            if scores is not None:
                writers[1].write(np.where(observed, probabilities, np.nan).astype(np.float32), window=box)
    return out


def predict_array(
    model: nn.Module,
    source: Source,
    window: int | Sequence[int],
    overlap: int | Sequence[int],
    batch_size: int = 4,
    device: str = "cpu",
    progress: Progress | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Blended probabilities ``K *S`` and ``observed`` ``*S`` of an image or volume that fits in memory.

    ``window`` and ``overlap`` are pixels along every axis, or along each.
    """
    axes = len(source.shape)
    slabs = list(_slabs(model, source, sides(window, axes), sides(overlap, axes), batch_size, device, progress))
    return np.concatenate([p for _, p, _ in slabs], axis=1), np.concatenate([o for _, _, o in slabs], axis=0)


def _slabs(
    model: nn.Module,
    source: Source,
    side: tuple[int, ...],
    overlap: tuple[int, ...],
    batch_size: int,
    device: str,
    progress: Progress | None,
) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.bool_]]]:
    """What is finished along the first axis, in order: its slice, probabilities ``K n ...`` and which are observed."""
    shape = source.shape
    windows = plan(shape, side, overlap)
    blend = Blend(shape, side, overlap)
    begins = sorted({w.start[0] for w in windows})
    buffer: NDArray[np.float32] | None = None
    observed = np.zeros((side[0], *shape[1:]), dtype=bool)
    done = 0
    model = model.to(device).eval()
    for k, begin in enumerate(begins):
        row = [w for w in windows if w.start[0] == begin]
        for w, p, seen in _infer(model, source, row, batch_size, device):
            if buffer is None:
                buffer = np.zeros((len(p), side[0], *shape[1:]), dtype=np.float32)
            inside = w.clip(shape)
            place = (slice(None), *inside.slices[1:])  # along the first axis the buffer is as long as the window
            part = (slice(None), *inside.within(w)[1:])
            buffer[(slice(None), *place)] += (p * blend.weight(w))[(slice(None), *part)]
            observed[place] |= seen[part]
            done += 1
            if progress is not None:
                progress(done, len(windows))
        assert buffer is not None
        end = begins[k + 1] if k + 1 < len(begins) else shape[0]
        finished = end - begin
        yield slice(begin, end), buffer[:, :finished].copy(), observed[:finished].copy()
        buffer = _advance(buffer, finished, axis=1)
        observed = _advance(observed, finished, axis=0)


def _advance(array: NDArray[Any], steps: int, axis: int) -> NDArray[Any]:
    """The array moved by some steps towards the start of an axis, with zeros after it."""
    moved = np.zeros_like(array)
    keep = array.shape[axis] - steps
    if keep > 0:
        index: list[slice] = [slice(None)] * array.ndim
        target, origin = list(index), list(index)
        target[axis], origin[axis] = slice(0, keep), slice(steps, None)
        moved[tuple(target)] = array[tuple(origin)]
    return moved


@torch.inference_mode()
def _infer(
    model: nn.Module, source: Source, windows: Sequence[Window], batch_size: int, device: str
) -> Iterator[tuple[Window, NDArray[np.float32], NDArray[np.bool_]]]:
    """Probabilities of each window; the next batch is read while the model works on this one."""
    fill = np.asarray(getattr(model, "fill", (0.0,) * source.channels), dtype=np.float32)
    fill = fill.reshape(-1, *(1 for _ in source.shape))
    batches = [windows[i : i + batch_size] for i in range(0, len(windows), batch_size)]

    def read(batch: Sequence[Window]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        pairs = [source.read(w) for w in batch]
        images = np.stack([np.where(seen, image, fill) for image, seen in pairs])
        return images.astype(np.float32), np.stack([seen for _, seen in pairs])

    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, batches[0])
        for k, batch in enumerate(batches):
            images, seen = ahead.result()
            if k + 1 < len(batches):
                ahead = reader.submit(read, batches[k + 1])
            logits = model(torch.from_numpy(images).to(device))
            probabilities = logits.float().softmax(1).cpu().numpy()
            yield from zip(batch, probabilities, seen, strict=True)


@contextlib.contextmanager
def tiff_like(path: Path, source: Source, dtype: str, count: int, model: nn.Module) -> Iterator[Any]:
    """A tiled, compressed TIFF of the source's size and, where it has one, on its grid on the Earth."""
    geobox = getattr(source, "geobox", None)
    place = {} if geobox is None else {"crs": geobox.crs.to_wkt(), "transform": geobox.affine}
    classes = getattr(model, "classes", None)
    with geotiff(
        path, height=source.shape[0], width=source.shape[1], count=count, dtype=dtype, blockxsize=256, blockysize=256,
        nodata=IGNORE_INDEX if dtype == "uint8" else float("nan"), predictor=2 if dtype == "uint8" else 3, **place,
    ) as dst:  # fmt: skip
        if classes:
            dst.update_tags(classes=", ".join(f"{k} {name}" for k, name in enumerate(classes)))
        yield dst
