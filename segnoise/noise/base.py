"""The contract of a corruption: draw parameters, fit the level, apply purely, and keep a record."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.length import Length, spacing_of
from segnoise.noise.measure import noise_card

Params = dict[str, Any]
"""What one corruption needs to act: plain JSON."""


class Corruption(ABC):
    """One way for labels to go wrong, a function in three stages.

    ``draw`` takes randomness and never sees labels; ``fit`` solves the strength that meets the asked level over a set
    of label images together; ``apply`` is pure: the same labels and parameters give the same bytes, every random
    number being a counter-based function of ``params["key"]``. Unknown pixels (255 or negative; with ids: negative)
    stay as they are, do not influence their neighbours, and are not counted.
    """

    name: ClassVar[str]

    @property
    def steps(self) -> tuple[Corruption, ...]:
        """The corruptions that act one after another."""
        return (self,)

    @property
    def lengths(self) -> tuple[Length, ...]:
        """The lengths among its options, those of its parts included."""
        found: list[Length] = []
        for step in self.steps:
            for value in vars(step).values():
                found += [value] if isinstance(value, Length) else []
                found += value.lengths if isinstance(value, Corruption) else []
        return tuple(found)

    def check_unit(self, unit: str, where: str | Path) -> None:
        """UserError for a length that is neither in pixels nor in the unit that labels are measured in."""
        for length in self.lengths:
            if length.unit not in ("px", unit):
                raise UserError(f"{where}: is measured in {unit}; give {length} in {unit} or px")

    @abstractmethod
    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        """Random parameters for one image of this shape."""

    def fit(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[Params]:
        """The parameters of each image with the one strength that meets the asked level over all of them, or comes
        nearest; ``met`` says what it is over all, and ``why`` what stands against a level missed by more than 5 %.

        A corruption defines this, or :meth:`fit_apply` where finding the strength has the labels at hand already.
        """
        return [fitted for _, fitted in self.fit_apply(images, params, instances, spacing, num_classes)]

    @abstractmethod
    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        """The corrupted labels of one image, in a new array of the same type."""

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        """:meth:`fit`, then :meth:`apply` to each image."""
        fitted = self.fit(images, params, instances, spacing, num_classes)
        return [(self.apply(x, p, instances, spacing), p) for x, p in zip(images, fitted, strict=True)]

    def corrupt(
        self,
        labels: NDArray[Any],
        seed: int,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Corrupt one label image and say what was done: :meth:`corrupt_all` of a set of one.

        >>> from segnoise.noise import parse
        >>> clean = np.zeros((64, 64), dtype=np.uint8)
        >>> noisy, record = parse("kms(0.25)").corrupt(clean, seed=7)
        >>> int(noisy.sum()), record["card"]["flip_rate"]["overall"]
        (1024, 0.25)
        """
        return self.corrupt_all([labels], seed, instances, spacing, num_classes)[0]

    def corrupt_all(
        self,
        images: Sequence[NDArray[Any]],
        seed: int,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], dict[str, Any]]]:
        """Corrupt label images so that the level is met over all of them: ``(noisy labels, record)`` of each.

        Objects are few in one image: 30 % of three objects cannot be omitted, 30 % of three hundred in a hundred
        images can.

        Args:
            images: integer arrays of any shapes with equally many axes: class indices (255 unknown), or object ids.
            seed: of the draw; equal seeds give equal bytes, image k being drawn from (seed, k).
            instances: the arrays hold object ids (0 background, negative unknown).
            spacing: size of a pixel along each axis, in m or mm, common to all; needed for lengths in those units.
            num_classes: number of classes; default: one more than the largest label of all images.

        Returns:
            For each image the noisy labels and a JSON-able record: ``noise`` (expression), ``seed``, ``image`` and
            ``images`` (which of how many), ``params`` (one entry a step, with the level met over all images),
            ``card`` (:func:`noise_card` of this image's result), ``instances``, ``spacing``, ``sha256_in``,
            ``sha256_out`` and ``version``. :func:`replay` makes the labels again from it.

        Raises:
            UserError: a metric length on a grid of unknown spacing, or classes beyond ``num_classes``.
            ValueError: labels that are not integers.

        >>> from segnoise.noise import parse
        >>> clean = [np.eye(3, dtype=np.uint8), np.zeros((3, 3), dtype=np.uint8)]
        >>> noisy = [labels for labels, record in parse("omission(0.7)").corrupt_all(clean, seed=7)]
        >>> [int(labels.sum()) for labels in noisy]
        [1, 0]
        """
        noisy = self.noisy_all(images, seed, instances, spacing, num_classes)
        known_spacing = spacing_of(spacing)
        done = []
        for k, (clean, (given, params)) in enumerate(zip(images, noisy, strict=True)):
            record = {
                "noise": str(self),
                "seed": int(seed),
                "image": k,
                "images": len(images),
                "instances": instances,
                "spacing": None if known_spacing is None else list(known_spacing),
                "params": params,
                "card": noise_card(given, clean, spacing, instances),
                "sha256_in": sha256_of(clean),
                "sha256_out": sha256_of(given),
                "version": version("segnoise"),
            }
            done.append((given, record))
        return done

    def noisy_all(
        self,
        images: Sequence[NDArray[Any]],
        seed: int,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], list[Params]]]:
        """What :meth:`corrupt_all` makes, without measuring it: the noisy labels and the fitted parameters of each."""
        for labels in images:
            if not np.issubdtype(labels.dtype, np.integer):
                raise ValueError(f"labels are integers, got {labels.dtype}")
        drawn = []
        for k, labels in enumerate(images):
            rng = generator(seed, "noise", k)
            drawn.append([step.draw(labels.shape, rng) for step in self.steps])
        return in_turn(self.steps, images, drawn, instances, spacing, num_classes)


def in_turn(
    steps: Sequence[Corruption],
    images: Sequence[NDArray[Any]],
    drawn: Sequence[Sequence[Params]],
    instances: bool,
    spacing: Sequence[float] | None,
    num_classes: int | None,
) -> list[tuple[NDArray[Any], list[Params]]]:
    """Each step fitted and applied to what the one before made of all images: noisy labels and fitted parameters."""
    noisy = list(images)
    fitted: list[list[Params]] = [[] for _ in images]
    for number, step in enumerate(steps):
        params = [one[number] for one in drawn]
        for k, (labels, done) in enumerate(step.fit_apply(noisy, params, instances, spacing, num_classes)):
            noisy[k] = labels
            fitted[k].append(done)
    return list(zip(noisy, fitted, strict=True))


def sha256_of(labels: NDArray[Any]) -> str:
    """SHA-256 of an array's values as little-endian int64 in raster order, so that it does not depend on its type.

    >>> sha256_of(np.zeros((2, 2), np.uint8)) == sha256_of(np.zeros((2, 2), np.int32))
    True
    """
    digest = hashlib.sha256(repr(tuple(labels.shape)).encode())
    for row in np.atleast_1d(labels):
        digest.update(np.ascontiguousarray(row, dtype="<i8").tobytes())
    return digest.hexdigest()


def key_of(generator: np.random.Generator) -> int:
    """A fresh key for a corruption's counter-based draws."""
    return int(generator.integers(2**53))  # exact in any JSON reader


def check_share(name: str, what: str, value: object) -> float:
    """A number in [0, 1], else a UserError that says which option is wrong."""
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UserError(f"{name}: {what} {value} must be a number from 0 to 1")
    return float(value)


def check_rho(name: str, rho: object) -> float | tuple[float, ...]:
    """A correlation in [0, 1), or one per axis."""
    values = rho if isinstance(rho, (tuple, list)) else (rho,)
    if not values or not all(isinstance(r, (int, float)) and 0 <= r < 1 for r in values):
        raise UserError(f"{name}: rho {rho} must be a number from 0 to below 1, or one per axis: rho=(0.9, 0.8)")
    return tuple(float(r) for r in values) if isinstance(rho, (tuple, list)) else float(values[0])


def rho_per_axis(name: str, rho: float | tuple[float, ...], axes: int) -> list[float]:
    """One correlation per axis of the labels."""
    values = [rho] * axes if isinstance(rho, float) else list(rho)
    if len(values) != axes:
        raise UserError(f"{name}: rho has {len(values)} values, the labels have {axes} axes")
    return values


def write_rho(rho: float | tuple[float, ...]) -> str:
    """A correlation as it is written in an expression."""
    return f"{rho:g}" if isinstance(rho, float) else "(" + ", ".join(f"{r:g}" for r in rho) + ")"
