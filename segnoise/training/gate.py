"""Two continuations from one warm-up, with a method's correction and without: the better one is kept.

Files in ``checkpoints/branches``, all gone when the run is finished: ``start`` and ``start-best`` (where the two part),
``method`` and ``method-best`` (the finished first one).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from segnoise.training.checkpoint import load_checkpoint, save_checkpoint
from segnoise.training.run import Run
from segnoise.windows import atomic_output


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
