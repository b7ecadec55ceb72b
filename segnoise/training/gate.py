"""Two continuations from one warm-up, with a method's correction and without: the better one is kept.

Files in ``checkpoints/branches``, all gone when the run is finished: ``start`` and ``start-best`` (where the two part),
``method`` and ``method-best`` (the finished first one).
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segnoise.training.checkpoint import load_checkpoint, save_checkpoint
from segnoise.training.run import Run
from segnoise.windows import atomic_output

TEMPERATURES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
"""What logits are divided by: confident networks are not to lose for their confidence alone."""

RATES = (0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
"""Shares of labels that may be wrong."""


class ForwardCorrected:
    """How well probabilities explain given labels of which an unknown share is wrong.

    ``min over T, r of - mean log[(1 - r) p_T(y) + r (1 - p_T(y)) / (C - 1)]`` with ``p_T = softmax(z / T)``,
    T from 0.25 to 2, r from 0.005 to 0.45. The plain likelihood would punish a network for every wrong label that it
    does not repeat.

    >>> score = ForwardCorrected()
    >>> score.add(torch.tensor([[[8.0, 8.0, 8.0, 8.0], [0.0, 0.0, 0.0, 0.0]]]), torch.tensor([[0, 0, 0, 1]]))
    >>> round(score.value(), 3), round(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), 3)
    (0.563, 0.562)
    """

    def __init__(self) -> None:
        self.sums = torch.zeros(len(TEMPERATURES), len(RATES), dtype=torch.float64)
        self.count = torch.zeros((), dtype=torch.float64)

    def add(self, logits: Float[Tensor, " B C *S"], labels: Int[Tensor, " B *S"]) -> None:
        """Takes in a batch; labels of 255 are unknown."""
        known = labels != 255
        z = logits.movedim(1, -1)[known].double().cpu()
        y = labels[known].long().cpu().unsqueeze(1)
        others = max(logits.shape[1] - 1, 1)
        rates = torch.tensor(RATES, dtype=torch.float64)
        for k, temperature in enumerate(TEMPERATURES):
            right = (z / temperature).softmax(1).gather(1, y)
            self.sums[k] -= ((1 - rates) * right + rates * (1 - right) / others).log().sum(0)
        self.count += len(z)

    def value(self) -> float:
        """The score so far, lower is better; infinite without any label."""
        return float(self.sums.min() / self.count) if self.count else math.inf


class Branches:
    """The files of the two continuations, and which of them is kept."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._folder = run.folder / "checkpoints" / "branches"

    def mark(self, content: dict[str, Any]) -> None:
        """Where the two part."""
        save_checkpoint(self._path("start"), content)
        if self._run.checkpoint("best").is_file():
            _copy(self._run.checkpoint("best"), self._path("start-best"))

    def turn_back(self, content: dict[str, Any]) -> None:
        """The first one is finished: its files are put aside, and the best checkpoint is that of the parting again."""
        best = self._run.checkpoint("best")
        if not self._path("method").is_file():  # else it was put aside just before the process was killed
            if best.is_file():
                _copy(best, self._path("method-best"))
            save_checkpoint(self._path("method"), content)
        if self._path("start-best").is_file():
            _copy(self._path("start-best"), best)
        else:
            best.unlink(missing_ok=True)

    def start(self) -> dict[str, Any]:
        """What to go on from without the method."""
        return load_checkpoint(self._path("start"))

    def first(self) -> dict[str, Any]:
        """What was put aside."""
        return load_checkpoint(self._path("method"))

    def keep_first(self) -> None:
        """The best checkpoint of the first one is the run's."""
        if self._path("method-best").is_file():
            _copy(self._path("method-best"), self._run.checkpoint("best"))

    def tell(self, told: dict[str, Any]) -> None:
        """What was decided, and from what."""
        with atomic_output(self._run.gate, overwrite=True) as temporary:
            temporary.write_text(json.dumps(told, indent=2) + "\n")

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{name}.ckpt"


def _copy(source: Path, target: Path) -> None:
    with atomic_output(target, overwrite=True) as temporary:
        shutil.copyfile(source, temporary)
