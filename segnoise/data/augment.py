"""Augmentation drawn first and applied purely: orientations of the grid, and changes of light in torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segnoise.draws import generator

Array = TypeVar("Array", np.ndarray[Any, Any], Tensor)
Orientation = tuple[int, ...]


def draw_orientation(rng: np.random.Generator, n: int = 2, still: int = 0) -> Orientation:
    """One of the signed permutations of ``n`` axes, evenly; in 2-D the eight flips and quarter turns.

    Axis i of the result shows axis ``|o_i| - 1`` of the source, reversed where ``o_i < 0``. The first ``still`` axes,
    such as time, stay as they are.

    >>> sorted({draw_orientation(generator(seed)) for seed in range(99)})
    [(-2, -1), (-2, 1), (-1, -2), (-1, 2), (1, -2), (1, 2), (2, -1), (2, 1)]
    """
    axes = rng.permutation(n - still) + still + 1
    signs = rng.integers(0, 2, n - still) * 2 - 1
    return (*range(1, still + 1), *(axes * signs).tolist())


def orient(array: Array, orientation: Iterable[int]) -> Array:
    """Turns the last axes of an array or tensor ``... *S`` as the orientation says.

    >>> orient(np.array([[1, 2, 3], [4, 5, 6]]), (2, -1))
    array([[4, 1],
           [5, 2],
           [6, 3]])
    """
    signed: list[int] = [int(o) for o in orientation]
    lead: int = array.ndim - len(signed)
    axes = [*range(lead), *(lead + abs(o) - 1 for o in signed)]
    reverse = [lead + i for i, o in enumerate(signed) if o < 0]
    if isinstance(array, Tensor):
        return array.permute(axes).flip(reverse)
    turned: np.ndarray[Any, Any] = np.flip(array.transpose(axes), tuple(reverse))
    return np.ascontiguousarray(turned)


def unorient(array: Array, orientation: Iterable[int]) -> Array:
    """The inverse: ``unorient(orient(x, o), o)`` is ``x``, which is how per-pixel state is written back.

    >>> unorient(np.array([[4, 1], [5, 2], [6, 3]]), (2, -1))
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    signed = [int(o) for o in orientation]
    inverse = [0] * len(signed)
    for i, o in enumerate(signed):
        inverse[abs(o) - 1] = (i + 1) if o > 0 else -(i + 1)
    return orient(array, inverse)


@dataclass(frozen=True)
class PhotometricDraw:
    """One change of light: what ``apply_photometric`` needs, and all of it."""

    brightness: float
    contrast: float
    gain: tuple[float, ...]
    noise: float
    noise_seed: int


def draw_photometric(rng: np.random.Generator, channels: int, strength: float = 1.0) -> PhotometricDraw:
    """Draws a change of light.

    At strength 1 brightness shifts by up to 0.2 standard deviations of the crop, the contrast changes by a factor
    within e^0.2, each band by one within e^0.1, and white noise has up to 0.1 standard deviations.
    """
    return PhotometricDraw(
        brightness=float(strength * rng.uniform(-0.2, 0.2)),
        contrast=float(np.exp(strength * rng.uniform(-0.2, 0.2))),
        gain=tuple(np.exp(strength * rng.uniform(-0.1, 0.1, channels)).tolist()),
        noise=float(strength * rng.uniform(0, 0.1)),
        noise_seed=int(rng.integers(2**62)),
    )


def apply_photometric(
    image: Float[Tensor, " C *S"], observed: Bool[Tensor, "*S"], draw: PhotometricDraw
) -> Float[Tensor, " C *S"]:
    """Applies a draw to a scaled image; what is not observed stays 0.

    With m_c the mean of band c and d the standard deviation about them, over what is observed::

        x_c -> gain_c (contrast (x_c - m_c) + m_c) + d (brightness + noise * white)

    >>> image, observed = torch.tensor([[[1.0, 3.0, 0.0]]]), torch.tensor([[True, True, False]])
    >>> apply_photometric(image, observed, PhotometricDraw(0.5, 2.0, (1.0,), 0.0, 0))
    tensor([[[0.5000, 4.5000, 0.0000]]])
    """
    seen, values = observed.numpy(), image.numpy()
    if not seen.any():
        return image
    # Computed by numpy on the tensors' memory: torch would split the sums over threads, so that a loader's worker and
    # the main process differed in the last bit, and its threads cost more than they save on a crop.
    pixels = values[:, seen].astype(np.float64)
    means = pixels.mean(axis=1)
    deviation = float(np.sqrt(np.square(pixels - means[:, None]).mean()))
    gain = np.array(draw.gain)
    slope = gain * draw.contrast
    shift = gain * means * (1 - draw.contrast) + deviation * draw.brightness
    bands = (-1,) + (1,) * seen.ndim
    changed = values * slope.astype(np.float32).reshape(bands) + shift.astype(np.float32).reshape(bands)
    if draw.noise:
        white = generator(draw.noise_seed, "white noise").standard_normal(values.shape, dtype=np.float32)
        changed += white * np.float32(deviation * draw.noise)
    changed[:, ~seen] = 0
    return torch.from_numpy(changed)
