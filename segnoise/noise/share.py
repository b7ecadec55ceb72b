"""A corruption that only some of the images get."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segnoise.noise.base import Corruption, Params, check_share
from segnoise.noise.level import verdict


@dataclass(frozen=True)
class Share(Corruption):
    """``part`` on k of n images, those with the smallest of one uniform number each; written ``0.3*name(...)``.

    k is ``floor(share n)`` or one more, with expectation ``share n``: ``k = floor(share n + v)``, v the uniform number
    of the set's first image. The level of ``part`` is met over the k images.

    Args:
        share: share of the images, from 0 to 1.
        part: what they get.

    Raises:
        UserError: a share outside its range.

    >>> from segnoise.noise import Omission
    >>> clean = [np.eye(2, dtype=np.uint8)] * 10
    >>> noisy = [labels for labels, record in Share(0.3, Omission(1)).corrupt_all(clean, seed=1)]
    >>> sum(not labels.any() for labels in noisy)
    3
    """

    share: float
    part: Corruption
    name: ClassVar[str] = "share"

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", check_share(self.name, "factor", self.share))

    def __str__(self) -> str:
        return f"{self.share:g}*{self.part}"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        rank, rounding = generator.random(2)
        part = self.part.draw(shape, generator)
        return {"name": self.name, "share": self.share, "rank": float(rank), "rounding": float(rounding), "part": part}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        return self.part.apply(labels, params["part"], instances, spacing) if params["chosen"] else labels.copy()

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        count = math.floor(self.share * len(images) + params[0]["rounding"]) if params else 0
        chosen = np.argsort([p["rank"] for p in params], kind="stable")[:count].tolist()
        common = verdict(self.share, count / max(len(images), 1), f"of {len(images)} images no nearer share can be had")
        done = [(x.copy(), {**p, **common, "chosen": False, "part": None}) for x, p in zip(images, params, strict=True)]
        parts = [params[k]["part"] for k in chosen]
        fitted = self.part.fit_apply([images[k] for k in chosen], parts, instances, spacing, num_classes)
        for k, (labels, part) in zip(chosen, fitted, strict=True):
            done[k] = labels, {**params[k], **common, "chosen": True, "part": part}
        return done
