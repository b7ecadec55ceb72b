"""Several trainings side by side, one process and one thread each: small networks gain nothing from a second thread."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from segnoise.config import Config
from segnoise.errors import UserError
from segnoise.training.run import Run

_TRAIN = """
import sys
from segnoise.config import load_config
from segnoise.errors import UserError
from segnoise.training import train
try:
    train(load_config(sys.argv[1]), sys.argv[2], quiet=True)
except UserError as error:
    sys.exit(str(error))
"""
_ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


def train_side_by_side(runs: Mapping[Path, Config], jobs: int | None = None, quiet: bool = False) -> None:
    """Trains configurations into their folders, as many at a time as there are cores; the first ones start first.

    Each run has a process and a single thread of its own, so its result does not depend on how many cores there are.
    The configuration is written beside the run's folder (``clean.yaml`` for ``clean``), where the process reads it.

    Args:
        runs: folders to write, with what to train into each.
        jobs: how many at a time; by default as many as this process may use cores.
        quiet: no progress bars.

    Raises:
        UserError: a run that fails, with its own message; the others are ended.
    """
    slots = jobs or _cores()
    waiting = list(runs)
    working: dict[Path, subprocess.Popen[str]] = {}
    with _Bars(runs, quiet) as bars:
        try:
            while waiting or working:
                while waiting and len(working) < slots:
                    working[waiting[0]] = _start(waiting[0], runs[waiting[0]])
                    del waiting[0]
                time.sleep(0.2)
                for folder, process in list(working.items()):
                    bars.update(folder)
                    if process.poll() is not None:
                        _finish(folder, working.pop(folder))
        finally:
            for process in working.values():
                process.terminate()
            for process in working.values():
                process.communicate()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on every system; it knows what a container may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start(folder: Path, config: Config) -> subprocess.Popen[str]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    described = folder.with_name(f"{folder.name}.yaml")
    config.write(described)
    return subprocess.Popen(
        [sys.executable, "-c", _TRAIN, str(described), str(folder)],
        stderr=subprocess.PIPE, text=True, env={**os.environ, **_ENVIRONMENT},
    )  # fmt: skip


def _finish(folder: Path, process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    if process.returncode:
        said = errors.strip().splitlines()
        raise UserError(f"{folder}: training failed ({said[-1] if said else f'exit code {process.returncode}'})")


class _Bars:
    """One progress bar a run, read from its log."""

    def __init__(self, runs: Mapping[Path, Config], quiet: bool) -> None:
        columns = [
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"),
            TimeRemainingColumn(), TextColumn("{task.fields[info]}"),
        ]  # fmt: skip
        self._progress = Progress(*columns, console=Console(file=sys.stderr), disable=quiet)
        self._tasks: dict[Path, TaskID] = {
            folder: self._progress.add_task(f"train {folder.name}", total=config.training.epochs, start=False, info="")
            for folder, config in runs.items()
        }

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, folder: Path) -> None:
        task = self._tasks[folder]
        self._progress.start_task(task)
        log = Run(folder).log
        if log.is_file():
            with log.open() as file:
                rows = list(csv.DictReader(file))
            if rows:
                score = f"val IoU {float(rows[-1]['val_iou']):.3f}"
                self._progress.update(task, completed=len(rows), info=score)
