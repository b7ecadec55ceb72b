"""The benchmark as one command: plan, train what is missing, and write the tables and the report."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from segnoise.config import make_config
from segnoise.errors import UserError
from segnoise.evaluation.benchmark.cells import Cell, settings_of
from segnoise.evaluation.benchmark.description import Benchmark, load_benchmark
from segnoise.evaluation.benchmark.estimate import estimate
from segnoise.evaluation.benchmark.noisetext import check_noises
from segnoise.evaluation.benchmark.plan import Plan, make_plan
from segnoise.evaluation.benchmark.pool import Pool
from segnoise.evaluation.benchmark.store import Row, Store
from segnoise.evaluation.wording import duration
from segnoise.windows import atomic_output


class Interrupted(Exception):
    """The benchmark was asked to stop; what was finished is on disk."""

    def __init__(self, signum: int, said: str) -> None:
        super().__init__(said)
        self.signum = signum


@dataclass(frozen=True)
class Outcome:
    """How many cells a benchmark has, and how many are finished, failed, and not yet tried; in words.

    ``seconds`` is the estimate for those that are left, with the asked number of jobs, where one can be made.
    """

    cells: int
    finished: int
    failed: int
    seconds: float | None
    said: str


def run_benchmark(
    source: str | Path,
    folder: str | Path,
    *,
    data: str | Path | None = None,
    jobs: int = 1,
    dry_run: bool = False,
    quiet: bool = False,
) -> Outcome:
    """Trains the cells of a benchmark that are not finished, then writes tables and report of all that are.

    Writes into ``folder``: ``cells/<hash>.parquet`` as each cell is finished (or failed, with the reason: those are
    tried again by the next call), ``benchmark.yaml``, ``results.parquet``, ``tables.md`` and ``report.html``.

    Args:
        source: a description (YAML), or the name of a packaged one.
        folder: made if needed; finished cells in it are not trained again.
        data: the folder that the paths of the description are relative to; by default the description's own, or for
            a packaged one the working folder.
        jobs: processes; each trains one cell at a time on one thread.
        dry_run: train and write nothing.
        quiet: no progress bar.

    Raises:
        UserError: a mistake in the description, data that are not there, a folder with cells of other settings or
            in use by another benchmark.
        Interrupted: after SIGINT or SIGTERM.
    """
    benchmark, root = load_benchmark(source)
    store = Store(Path(folder))
    if store.folder.exists() and not store.folder.is_dir():
        raise UserError(f"{store.folder}: is a file; give a folder with -o")
    root = Path(data) if data is not None else root
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder; give the folder of the data with --data")
    work = _Work(benchmark, store, root.resolve(), jobs, quiet)
    if dry_run:
        check_noises(benchmark.noises)
        return work.outcome()
    arguments = [str(source), "-o", str(folder), *(["--data", str(data)] if data is not None else [])]
    command = shlex.join(["segnoise", "benchmark", *arguments, *(["--jobs", str(jobs)] if jobs != 1 else [])])
    with store.locked() as scratch, _stoppable(work):
        work.train(scratch)
        work.report(command)
    return work.outcome()


@dataclass
class _Work:
    """A benchmark on its way from what is in the folder to all that was asked."""

    benchmark: Benchmark
    store: Store
    root: Path
    jobs: int
    quiet: bool
    rows: dict[str, Row] = field(init=False)
    settings: dict[str, dict[str, Any]] = field(init=False)
    tried: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.settings = {name: settings_of(entry) for name, entry in self.benchmark.sets.items()}
        self.rows = self.store.rows()
        self.store.check(self.rows, self.settings)

    @property
    def plan(self) -> Plan:
        return make_plan(self.benchmark, self.rows)

    def left(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that are not finished, each once; those that failed in this call are left alone."""
        wanted = {cell.hash: cell for cell in cells if cell.hash not in self.tried}
        return [cell for address, cell in wanted.items() if self._unfinished(address)]

    def _unfinished(self, address: str) -> bool:
        return address not in self.rows or self.rows[address]["error"] is not None

    def train(self, scratch: Path) -> None:
        """Trials of tuning first, then the results that they decide."""
        if not self.left(self.plan.cells) and not self.plan.waiting:
            return
        with Pool(self.jobs, scratch) as pool, self._bar() as advance:
            data = self._provide(pool)
            for cells in (self.plan.tuning, None):
                todo = self.left(self.plan.results if cells is None else cells)
                requests = [self._request(group, data, scratch / group[0].hash) for group in grouped(todo)]
                by_hash = {cell.hash: cell for cell in todo}
                for request, reply in pool.work(requests):
                    for address, measured, error in _measured(request, reply, self.tried):
                        self.tried.add(address)
                        cell = by_hash[address]
                        row = self.store.write(cell, self.settings[cell.set], measured, error)
                        self.rows[address] = row
                        advance(cell)

    def _provide(self, pool: Pool) -> dict[str, dict[str, Any]]:
        """The data of all sets, found or made by a worker, which also checks the options of networks and methods."""
        first = {(cell.set, cell.method): cell for cell in self.plan.cells}
        entries = self.benchmark.sets
        request = {
            "do": "provide",
            "noises": self.benchmark.noises,
            "sets": {name: entry.model_dump(mode="json") for name, entry in entries.items()},
            "root": str(self.root),
            "folder": str((self.store.folder / "data").resolve()),
            "runs": [cell.run for cell in first.values()],
        }
        ((_, reply),) = pool.work([request])
        if "data" not in reply:
            raise UserError(str(reply.get("refused", reply.get("died"))))
        found: dict[str, dict[str, Any]] = reply["data"]
        return found

    def _request(self, cells: Sequence[Cell], data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """The cells of a job as ordinary runs, with the paths of this machine."""
        runs = [make_config({**cell.run, "data": data[cell.set]}, base=self.root) for cell in cells]
        return {
            "do": "train",
            "folder": str(folder.resolve()),
            "cells": [
                {"hash": cell.hash, "kind": cell.kind, "threads": cell.threads, "run": run.model_dump(mode="json")}
                for cell, run in zip(cells, runs, strict=True)
            ],
        }

    @contextlib.contextmanager
    def _bar(self) -> Iterator[Any]:
        columns = [
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[info]}"),
        ]  # fmt: skip
        plan = self.plan
        left = len(self.left(plan.cells)) + len(plan.waiting)
        total = len({cell.hash for cell in plan.cells}) + len(plan.waiting)
        with Progress(*columns, console=Console(file=sys.stderr), disable=self.quiet) as bar:
            task = bar.add_task(f"benchmark {self.benchmark.name}", total=total, completed=total - left, info="")

            def advance(cell: Cell) -> None:
                failed = sum(self.rows[address]["error"] is not None for address in self.tried)
                info = f"{cell.set} {cell.noise} {cell.method}" + (f"  [red]{failed} failed" if failed else "")
                bar.update(task, advance=1, info=info)

            yield advance

    def report(self, command: str) -> None:
        """Tables and page of all that is finished."""
        from segnoise.evaluation.benchmark.output import write_output

        with atomic_output(self.store.folder / "benchmark.yaml", overwrite=True) as temporary:
            content = self.benchmark.model_dump(mode="json", exclude_defaults=True)
            temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
        write_output(self.benchmark, self.plan, self.rows, self.store.folder, command)

    def outcome(self) -> Outcome:
        plan = self.plan
        wanted = {cell.hash: cell for cell in plan.cells}
        finished = sum(not self._unfinished(address) for address in wanted)
        failed = sum(address in self.rows and self._unfinished(address) for address in wanted)
        cells = len(wanted) + len(plan.waiting)
        todo = [cell for address, cell in wanted.items() if self._unfinished(address)]
        seconds = estimate(todo, plan.waiting, self.rows)
        seconds = None if seconds is None else seconds / self.jobs
        said = f"{cells} cells, {finished} finished" + (f", {failed} failed" if failed else "")
        trials = len({cell.hash for cell in plan.tuning})
        kinds = f" ({trials} of them trials of tuning)" if trials else ""
        left = cells - finished
        if left:
            time = "unknown, for no cell of some set is finished" if seconds is None else f"about {duration(seconds)}"
            processes = "1 job" if self.jobs == 1 else f"{self.jobs} jobs"
            said += f", {left} to do{kinds}; time with {processes}: {time}"
        return Outcome(cells, finished, failed, seconds, said)


def grouped(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells that go to one worker together: a pair of networks follows the run that trains its first network."""
    groups: list[list[Cell]] = []
    for cell in cells:
        before = groups[-1] if groups else []
        if cell.kind == "two_networks" and len(before) == 1 and before[0].kind == "run" and before[0].run == cell.run:
            before.append(cell)
        else:
            groups.append([cell])
    return groups


def _measured(
    request: Mapping[str, Any], reply: Mapping[str, Any], done: set[str]
) -> Iterator[tuple[str, dict[str, Any], str | None]]:
    """(hash, what was measured, error) of the cells that a worker's answer is about."""
    if "died" in reply:
        for cell in request["cells"]:
            if cell["hash"] not in done:
                yield cell["hash"], {}, str(reply["died"])
        return
    measured = {key: value for key, value in reply.items() if key not in ("hash", "error")}
    yield str(reply["hash"]), measured, reply.get("error")


@contextlib.contextmanager
def _stoppable(work: _Work) -> Iterator[None]:
    """SIGINT and SIGTERM end the benchmark with a line that says what is kept."""

    def stop(signum: int, _frame: Any) -> NoReturn:
        raise Interrupted(signum, "")

    try:
        old = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: signals are someone else's business
        yield
        return
    try:
        yield
    except Interrupted as stopped:
        outcome = work.outcome()
        said = f"stopped; {outcome.finished} of {outcome.cells} cells are finished; the same command goes on from there"
        raise Interrupted(stopped.signum, said) from None
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)
