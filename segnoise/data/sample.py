"""The sample: one dictionary for every domain, and the collation that fills what a sample lacks.

``*S`` is the image's grid (``H W``, ``T H W`` or the three axes of a volume), ``*L`` the label grid, which is
``*S`` unless the domain says otherwise. A label is *valid* where ``mask != IGNORE_INDEX``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

IGNORE_INDEX = 255
"""The label of a pixel whose class is unknown. It changes no loss, metric, weight, verdict or export."""

Sample = dict[str, Any]


@dataclass(frozen=True)
class Meta:
    """What writers need and methods never read: where a sample came from."""

    source: str


def collate(samples: Sequence[Sample]) -> Sample:
    """Stacks samples into a batch; a key that some samples lack is filled with its unknown value.

    Tensors become ``B ...``; ``meta`` becomes a tuple. Keys and unknown values: ``observed`` true, ``mask`` and
    ``clean`` 255, ``index``, ``group`` and ``frame`` -1, ``labels``, ``slice_labels`` and ``spacing`` nan. Every batch
    has ``image``, ``observed``, ``mask``, ``clean``, ``index``, ``window``, ``orientation``, ``group``, ``frame`` and
    ``spacing``.

    >>> batch = collate([{"image": torch.zeros(3, 4, 5)}, {"image": torch.ones(3, 4, 5), "index": torch.tensor(2)}])
    >>> batch["mask"].shape, batch["index"].tolist(), bool(batch["observed"].all())
    (torch.Size([2, 4, 5]), [-1, 2], True)
    """
    first = samples[0]["image"]
    grid = tuple(first.shape[1:])
    n = len(grid)
    unknown: dict[str, torch.Tensor] = {
        "observed": torch.ones(grid, dtype=torch.bool),
        "mask": torch.full(grid, IGNORE_INDEX, dtype=torch.int64),
        "clean": torch.full(grid, IGNORE_INDEX, dtype=torch.int64),
        "index": torch.tensor(-1),
        "window": torch.cat([torch.zeros(n, dtype=torch.int64), torch.tensor(grid, dtype=torch.int64)]),
        "orientation": torch.arange(1, n + 1),
        "group": torch.tensor(-1),
        "frame": torch.tensor(-1),
        "spacing": torch.full((n,), float("nan")),
    }
    keys = dict.fromkeys(["image", *unknown, *(key for sample in samples for key in sample if key != "meta")])
    batch: Sample = {}
    for key in keys:
        known = next((sample[key] for sample in samples if key in sample), None)
        fill: Any = unknown.get(key)
        if fill is None and known is not None:
            fill = torch.full_like(known, float("nan")) if known.is_floating_point() else torch.full_like(known, -1)
        batch[key] = torch.stack([sample.get(key, fill) for sample in samples])
    batch["meta"] = tuple(sample.get("meta") for sample in samples)
    return batch
