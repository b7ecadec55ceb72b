"""Worker processes, one thread each: work goes out, answers come back, and a worker that dies takes only its cell."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONWARNINGS": "ignore"}
"""Waiting threads must not spin where processes share the cores, as they do when one cell has two threads."""


class _Worker:
    """A process and the request it is at."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._errors = log.open("w")
        # A session of its own: Ctrl-C at the terminal reaches the benchmark alone, which then ends its workers.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "segnoise.evaluation.benchmark.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env={**os.environ, **_ENVIRONMENT},
            start_new_session=True,
        )  # fmt: skip
        self.request: dict[str, Any] | None = None
        self._rest = b""

    def fileno(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def send(self, request: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.request = request
        with contextlib.suppress(BrokenPipeError):  # it died: its output ends, and that is where it is noticed
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()

    def receive(self) -> list[dict[str, Any]] | None:
        """The answers that have come; None when the process is gone."""
        data = os.read(self.fileno(), 1 << 20)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def last_words(self) -> str:
        """Why the process ended, as far as is known."""
        code = self.process.wait()
        lines = self.log.read_text(errors="replace").strip().splitlines()
        said = f"; it said: {lines[-1][:200]}" if lines else ""
        if code < 0:
            memory = ", which often means that memory ran out" if code == -9 else ""
            return f"the process was ended by signal {-code}{memory}{said}"
        return f"the process ended with code {code}{said}"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._errors.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class Pool:
    """Up to ``jobs`` workers, started when there is work for them and ended with the block."""

    def __init__(self, jobs: int, folder: Path) -> None:
        self._jobs, self._folder = jobs, folder
        self._workers: list[_Worker] = []
        self._started = 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()

    def work(self, requests: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yields (request, answer) as answers come; ``{"died": why}`` for a request whose worker is gone."""
        todo = deque(requests)
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker, selectors.EVENT_READ, worker)
            while True:
                busy = sum(worker.request is not None for worker in self._workers)
                while len(self._workers) < min(self._jobs, len(todo) + busy):
                    selector.register(worker := self._start(), selectors.EVENT_READ, worker)
                for worker in self._workers:
                    if worker.request is None and todo:
                        worker.send(todo.popleft())
                if not any(worker.request for worker in self._workers):
                    return
                for key, _ in selector.select():
                    worker = key.data
                    request = worker.request
                    answers = worker.receive()
                    if answers is None:
                        selector.unregister(worker)
                        self._workers.remove(worker)
                        if request is not None:
                            yield request, {"died": worker.last_words()}
                        worker.end()
                        continue
                    # Before anything is yielded, for the caller may have heard enough and not come back.
                    if answers and answers[-1].get("done"):
                        worker.request = None
                    for reply in answers:
                        if request is not None and not reply.get("done"):
                            yield request, reply

    def _start(self) -> _Worker:
        self._started += 1
        worker = _Worker(self._folder / f"worker-{self._started}.log")
        self._workers.append(worker)
        return worker
