"""Windows of sources as samples: which window, orientation and light a sample gets is a function of its key."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from segnoise.data.augment import (
    Orientation,
    PhotometricDraw,
    apply_photometric,
    draw_orientation,
    draw_photometric,
    orient,
)
from segnoise.data.sample import IGNORE_INDEX, Meta, Sample
from segnoise.data.scaling import Scaling
from segnoise.data.source import Labels, Source, cut
from segnoise.data.splits import Region
from segnoise.draws import generator
from segnoise.windows import Window
from segnoise.windows.plan import starts

_PLACES = 1000

Key = tuple[int, int]
"""(epoch, position in the epoch)."""


@dataclass(frozen=True)
class _Reader:
    """The files behind the samples, and how one window of them becomes a sample."""

    sources: Sequence[Source]
    labels: Sequence[Labels]
    clean: Sequence[Labels] | None
    scaling: Scaling
    image_labels: Sequence[Sequence[float] | None] | None = None
    slice_labels: Sequence[NDArray[np.float32] | None] | None = None
    groups: Sequence[int] | None = None
    numbers: Sequence[Sequence[int] | None] | None = None

    def __post_init__(self) -> None:
        for known in (self.labels, self.clean or self.labels):
            if len(known) != len(self.sources):
                raise ValueError(f"{len(known)} label sets for {len(self.sources)} sources")
            for source, labels in zip(self.sources, known, strict=True):
                if tuple(source.shape) != tuple(labels.shape):
                    raise ValueError(f"{source.name}: labels of shape {labels.shape} for an image of {source.shape}")

    def sample(
        self,
        index: int,
        window: Window,
        orientation: Orientation,
        photometric: PhotometricDraw | None = None,
        fresh: tuple[int, ...] | None = None,
    ) -> Sample:
        """``fresh`` is where, along each axis, the labels begin to count; those before are unknown."""
        source = self.sources[index]
        raw, seen = source.read(window)
        image = torch.from_numpy(orient(self.scaling.apply(raw, seen), orientation))
        observed = torch.from_numpy(orient(seen, orientation))
        if photometric is not None:
            image = apply_photometric(image, observed, photometric)
        counts = seen
        if fresh is not None and any(fresh):
            counts = np.zeros_like(seen)
            inner = tuple(slice(f, None) for f in fresh)
            counts[inner] = seen[inner]
        spacing = [source.spacing[abs(o) - 1] for o in orientation]
        sample: Sample = {
            "image": image,
            "observed": observed,
            "mask": self._label(self.labels[index], window, counts, orientation),
            "index": torch.tensor(index),
            "window": torch.tensor([*window.start, *window.size]),
            "orientation": torch.tensor(orientation),
            "spacing": torch.tensor(spacing, dtype=torch.float32),
            "meta": Meta(source=source.name),
        }
        told = None if self.image_labels is None else self.image_labels[index]
        if told is not None:
            sample["labels"] = self._of_image(told, window, source.shape)
        if (slices := self._slices_of(index)) is not None:
            sample["slice_labels"] = self._of_slices(slices, window, source.shape, orientation)
        if self.clean is not None:
            sample["clean"] = self._label(self.clean[index], window, counts, orientation)
        if self.groups is not None:
            sample["group"] = torch.tensor(self.groups[index])
        if self.numbers is not None and (numbers := self.numbers[index]) is not None:
            # Time is the first axis and never turned.
            along = Window(window.start[:1], window.size[:1])
            sample["frame"] = torch.from_numpy(cut(np.asarray(numbers, dtype=np.int64), along, -1))
        return sample

    def may_turn(self, index: int, orientation: Orientation) -> bool:
        """Whether slices of which something is known still lie across the last axis."""
        return self._slices_of(index) is None or abs(orientation[-1]) == len(orientation)

    def _slices_of(self, index: int) -> NDArray[np.float32] | None:
        return None if self.slice_labels is None else self.slice_labels[index]

    @staticmethod
    def _of_image(told: Sequence[float], window: Window, shape: tuple[int, ...]) -> torch.Tensor:
        """What labels of the whole image say of a window: what is nowhere is not here, what is somewhere may be."""
        values = torch.tensor(told, dtype=torch.float32)
        return values if _holds(window, shape, len(shape)) else torch.where(values > 0, torch.nan, values)

    @staticmethod
    def _of_slices(
        told: NDArray[np.float32], window: Window, shape: tuple[int, ...], turn: Orientation
    ) -> torch.Tensor:
        """The same of slices: each by what is known of it, those beyond the volume by nothing."""
        values = torch.from_numpy(cut(told, Window(window.start[-1:], window.size[-1:]), math.nan))
        if not _holds(window, shape, len(shape) - 1):
            values[values > 0] = math.nan
        return values.flip(-1) if turn[-1] < 0 else values

    @staticmethod
    def _label(
        labels: Labels, window: Window, counts: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], turn: Orientation
    ) -> torch.Tensor:
        return torch.from_numpy(orient(np.where(counts, labels.read(window), np.int64(IGNORE_INDEX)), turn))


def _holds(window: Window, shape: tuple[int, ...], axes: int) -> bool:
    """Whether a window holds all of an image along its first axes."""
    box = window.start[:axes], window.stop[:axes], shape[:axes]
    return all(a <= 0 and b >= n for a, b, n in zip(*box, strict=True))


class WindowDataset(Dataset[Sample]):
    """Samples by key (epoch, position), each a pure function of (seed, epoch, position) and the files.

    An epoch visits, in an order of its own, as many windows as lie side by side in the regions; where
    ``samples_per_epoch`` asks for more, it goes round again in another order. A region with k windows along an axis
    has its possible starts cut into k equal stretches, one a window, and the start is drawn evenly in its stretch:
    over epochs every place in the region is as likely. With ``augment`` the window is also turned (a window that is
    not square is only flipped); with ``photometric`` > 0 its light is changed by that strength. With ``foreground``
    that share of the windows holds, where their region has any, a pixel labelled other than 0, of a class drawn evenly.

    ``labels`` and ``clean`` (true labels, where known) go with ``sources`` row by row; ``regions`` name those rows.
    Labels of unobserved pixels are 255. ``image_labels`` say of whole sources which classes are in them (1, 0, nan): as
    ``labels`` of a sample, where a 1 is unknown unless the window holds the whole source. ``slice_labels``, ``C Z`` of
    a source, say it of slices across the last axis: as ``slice_labels`` of a sample, where a 1 is unknown unless the
    window holds the whole slice, and a slice beyond the source is unknown; such a source is only flipped where a turn
    would lay its slices across another axis. ``groups`` are the numbers of what sources belong to, such as a patient,
    ``numbers`` those of the frames along the first axis of sequences: ``group`` and ``frame`` of a sample. The first
    ``still`` axes are neither flipped nor turned. Keys of a sample: ``image``, ``observed``, ``mask``, ``index``,
    ``window`` (start and size before turning), ``orientation``, ``spacing`` (turned), ``meta``, and ``clean``,
    ``labels``, ``slice_labels``, ``group`` and ``frame`` where given.

    >>> from segnoise.data.source import ArrayLabels, ArraySource
    >>> image, mask = np.arange(64.0).reshape(1, 8, 8), np.zeros((8, 8), dtype=np.uint8)
    >>> region = Region(0, Window((0, 0), (8, 8)))
    >>> data = WindowDataset(
    ...     [ArraySource(image)], [ArrayLabels(mask)], [region], (4, 4), Scaling((0.0,), (1.0,)), seed=0
    ... )
    >>> len(data), data[3, 1]["image"].shape, torch.equal(data[3, 1]["image"], data[3, 1]["image"])
    (4, torch.Size([1, 4, 4]), True)
    """

    def __init__(
        self,
        sources: Sequence[Source],
        labels: Sequence[Labels],
        regions: Sequence[Region],
        window: Sequence[int],
        scaling: Scaling,
        *,
        seed: int,
        clean: Sequence[Labels] | None = None,
        augment: bool = False,
        photometric: float = 0.0,
        foreground: float = 0.0,
        image_labels: Sequence[Sequence[float] | None] | None = None,
        slice_labels: Sequence[NDArray[np.float32] | None] | None = None,
        groups: Sequence[int] | None = None,
        numbers: Sequence[Sequence[int] | None] | None = None,
        still: int = 0,
        samples_per_epoch: int | None = None,
    ) -> None:
        self._reader = _Reader(sources, labels, clean, scaling, image_labels, slice_labels, groups, numbers)
        self._regions = list(regions)
        self._window = tuple(window)
        self._seed = seed
        self._augment = augment
        self._photometric = photometric
        self._foreground = foreground
        self._still = still
        self._places: dict[Region, list[NDArray[np.int64]]] = {}
        # (region, which window along each axis, how many along each axis)
        self._cells: list[tuple[Region, tuple[int, ...], tuple[int, ...]]] = []
        for region in self._regions:
            many = tuple(max(1, n // w) for n, w in zip(region.window.size, self._window, strict=True))
            self._cells += [(region, cell, many) for cell in itertools.product(*map(range, many))]
        if not self._cells:
            raise ValueError("a data set needs at least one region")
        self._length = samples_per_epoch or len(self._cells)
        self._order: tuple[Key, list[int]] | None = None

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: Key) -> Sample:
        epoch, position = key
        if not 0 <= position < self._length:
            raise IndexError(f"position {position} is not in an epoch of {self._length}")
        lap, place = divmod(position, len(self._cells))
        region, cell, many = self._cells[self._permutation(epoch, lap)[place]]
        rng = generator(self._seed, "sample", epoch, position)
        start = []
        for corner, size, w, i, k in zip(
            region.window.start, region.window.size, self._window, cell, many, strict=True
        ):
            slack = max(0, size - w) + 1
            start.append(corner + min(slack - 1, int((i + rng.random()) / k * slack)))
        if self._foreground and rng.random() < self._foreground and (places := self._places_of(region)):
            start = self._around(places[rng.integers(len(places))], region, rng)
        n = len(self._window)
        orientation: Orientation = tuple(range(1, n + 1))
        if self._augment:
            drawn = draw_orientation(rng, n, self._still)
            turned = [self._window[abs(o) - 1] for o in drawn]
            keeps = turned == list(self._window) and self._reader.may_turn(region.index, drawn)
            orientation = drawn if keeps else tuple((i + 1) * (1 if o > 0 else -1) for i, o in enumerate(drawn))
        light = None
        if self._photometric:
            light = draw_photometric(rng, self._reader.sources[region.index].channels, self._photometric)
        return self._reader.sample(region.index, Window(tuple(start), self._window), orientation, light)

    def _places_of(self, region: Region) -> list[NDArray[np.int64]]:
        """By class but the first, places in a region that are labelled so: all, or a thousand of them."""
        if region not in self._places:
            labels = self._reader.labels[region.index].read(region.window)
            rng = generator(self._seed, "foreground", region.index, *region.window.start)
            found = []
            for k in np.unique(labels[(labels != 0) & (labels != IGNORE_INDEX)]):
                places = np.argwhere(labels == k)
                found.append(rng.permutation(places)[:_PLACES] + np.array(region.window.start))
            self._places[region] = found
        return self._places[region]

    def _around(self, places: NDArray[np.int64], region: Region, rng: np.random.Generator) -> list[int]:
        """Where a window starts that holds one of the places, anywhere in it, and does not leave the region."""
        place = places[rng.integers(len(places))]
        start = []
        for at, corner, size, w in zip(place, region.window.start, region.window.size, self._window, strict=True):
            first, last = max(corner, int(at) - w + 1), min(int(at), corner + max(0, size - w))
            start.append(int(rng.integers(first, last + 1)))
        return start

    def _permutation(self, epoch: int, lap: int) -> list[int]:
        # Remembered only because drawing it anew for every sample would cost as much as the reading.
        if self._order is None or self._order[0] != (epoch, lap):
            order = generator(self._seed, "order", epoch, lap).permutation(len(self._cells))
            self._order = ((epoch, lap), order.tolist())
        return self._order[1]

    def fixed_windows(self) -> FixedWindows:
        """The same regions for evaluation: no jitter, no augmentation, every pixel's label once."""
        return FixedWindows(self._reader, self._regions, self._window)


class FixedWindows(Dataset[Sample]):
    """The windows that cover the regions, in order, by number; a label that an earlier window held is 255.

    Windows lie side by side; the last along an axis is moved inward to end at the region's edge, and where it
    covers pixels again their labels are unknown there, so that counts over all windows count each pixel once.
    """

    def __init__(self, reader: _Reader, regions: Sequence[Region], window: tuple[int, ...]) -> None:
        self._reader = reader
        self._plan: list[tuple[Region, tuple[int, ...]]] = []
        for region in regions:
            axes = []
            for size, w in zip(region.window.size, window, strict=True):
                begin = starts(size, w, 0)
                fresh = [0, *(a + w - b for a, b in itertools.pairwise(begin))]
                axes.append(list(zip(begin, fresh, strict=True)))
            for cell in itertools.product(*axes):
                at = Window(tuple(a for a, _ in cell), window).shift(region.window.start)
                self._plan.append((Region(region.index, at), tuple(f for _, f in cell)))

    @property
    def windows(self) -> list[Region]:
        return [region for region, _ in self._plan]

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, number: int) -> Sample:
        region, fresh = self._plan[number]
        identity = tuple(range(1, len(fresh) + 1))
        return self._reader.sample(region.index, region.window, identity, fresh=fresh)
