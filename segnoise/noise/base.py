"""The contract of a corruption: draw parameters, fit the level, apply purely, and keep a record."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.noise.length import spacing_of
from segnoise.noise.measure import noise_card

Params = dict[str, Any]
"""What one corruption needs to act: plain JSON."""


class Corruption(ABC):
    """One way for labels to go wrong, a function in three stages.

    ``draw`` takes randomness and never sees labels; ``fit`` solves the strength that meets the asked level on given
    labels; ``apply`` is pure: the same labels and parameters give the same bytes, every random number being a
    counter-based function of ``params["key"]``. Unknown pixels (255 or negative; with ids: negative) stay as they
    are, do not influence their neighbours, and are not counted.
    """

    name: ClassVar[str]

    @property
    def steps(self) -> tuple[Corruption, ...]:
        """The corruptions that act one after another."""
        return (self,)

    @abstractmethod
    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        """Random parameters for labels of this shape."""

    @abstractmethod
    def fit(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> Params:
        """The parameters with the strength that meets the asked level, or comes nearest; ``met`` says what it is."""

    @abstractmethod
    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        """The corrupted labels, in a new array of the same type."""

    def fit_apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> tuple[NDArray[Any], Params]:
        """:meth:`fit`, then :meth:`apply`; overridden where the two share work."""
        fitted = self.fit(labels, params, instances, spacing, num_classes)
        return self.apply(labels, fitted, instances, spacing), fitted

    def corrupt(
        self,
        labels: NDArray[Any],
        seed: int,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Corrupt labels and say what was done: ``(noisy labels, record)``.

        Args:
            labels: integer array of any number of axes: class indices (255 unknown), or object ids.
            seed: of the draw; equal seeds give equal bytes.
            instances: the array holds object ids (0 background, negative unknown).
            spacing: size of a pixel along each axis, in m or mm; needed for lengths in those units.
            num_classes: number of classes; default: one more than the largest label.

        Returns:
            The noisy labels, and a JSON-able record: ``noise`` (expression), ``seed``, ``params`` (one entry a
            step, with the level met), ``card`` (:func:`noise_card` of the result), ``instances``, ``spacing``,
            ``sha256_in``, ``sha256_out`` and ``version``. :func:`replay` makes the labels again from it.

        Raises:
            UserError: a metric length on a grid of unknown spacing, or classes beyond ``num_classes``.
            ValueError: labels that are not integers.

        >>> from segnoise.noise import parse
        >>> clean = np.zeros((64, 64), dtype=np.uint8)
        >>> noisy, record = parse("kms(0.25)").corrupt(clean, seed=7)
        >>> int(noisy.sum()), record["card"]["flip_rate"]["overall"]
        (1024, 0.25)
        """
        if not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"labels are integers, got {labels.dtype}")
        rng = generator(seed, "noise")
        noisy, params = labels, []
        for step in self.steps:
            noisy, fitted = step.fit_apply(noisy, step.draw(labels.shape, rng), instances, spacing, num_classes)
            params.append(fitted)
        known_spacing = spacing_of(spacing)
        record = {
            "noise": str(self),
            "seed": int(seed),
            "instances": instances,
            "spacing": None if known_spacing is None else list(known_spacing),
            "params": params,
            "card": noise_card(noisy, labels, spacing, instances),
            "sha256_in": sha256_of(labels),
            "sha256_out": sha256_of(noisy),
            "version": version("segnoise"),
        }
        return noisy, record


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
