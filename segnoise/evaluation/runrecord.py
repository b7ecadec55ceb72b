"""What a run's folder tells without opening any data: configuration, log, scores, and how its labels were made."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segnoise.config import Config, load_config
from segnoise.errors import UserError
from segnoise.training import Run


@dataclass(frozen=True)
class RunRecord:
    """A run as its files describe it; what is not there yet is empty or None.

    ``log`` has one mapping per finished epoch, ``metrics`` is the content of metrics.json, ``prepared`` that of
    prepared.json, ``gate`` that of gate.json.
    """

    folder: Path
    config: Config
    log: list[dict[str, float]]
    metrics: dict[str, Any] | None
    prepared: dict[str, Any] | None
    gate: dict[str, Any] | None = None

    @property
    def steps(self) -> int:
        return int(self.log[-1]["step"]) if self.log else 0

    @property
    def seconds(self) -> float:
        return self.log[-1].get("seconds", 0.0) if self.log else 0.0

    @property
    def best_epoch(self) -> dict[str, float] | None:
        """The epoch whose weights are the checkpoint ``best``: the first with the highest validation IoU."""
        scored = [row for row in self.log if math.isfinite(row.get("val_iou", math.nan))]
        return max(scored, key=lambda row: row["val_iou"]) if scored else None

    @property
    def bands(self) -> int | None:
        return len(self.prepared["scaling"]["offset"]) if self.prepared else None

    @property
    def sources(self) -> list[str]:
        return [Path(path).name for path in self.prepared["sources"]] if self.prepared else []


def read_run(folder: Path) -> RunRecord:
    """Reads a run's folder.

    Raises UserError if it holds no configuration, or if one of its files is damaged.
    """
    run = Run(folder)
    if not run.config.is_file():
        raise UserError(f"{folder}: is not a run (no {run.config.name}); train it first with `segnoise train`")
    contents = (_json(path) for path in (run.metrics, run.prepared, run.gate))
    return RunRecord(folder, load_config(run.config), _log(run.log), *contents)


def _log(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    with open(path, newline="") as file:
        try:
            return [{key: float(text) for key, text in row.items() if text} for row in csv.DictReader(file)]
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: is damaged ({error}); `segnoise train --resume` writes it anew") from error


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: is damaged ({error}); delete it and let segnoise write it anew") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: is damaged (not a mapping); delete it and let segnoise write it anew")
    return content
