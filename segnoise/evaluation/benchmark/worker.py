"""A process that trains: requests come as lines of JSON on its input, answers go as lines of JSON to its output."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segnoise.errors import UserError


def answer(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """``{"do": "provide", …}`` finds the data and checks every option; ``{"do": "train", …}`` yields each cell.

    A user's mistake in the first comes back as ``refused``; whatever goes wrong in the second ends the cell that it
    happened in, as ``error``, and the cells after it.
    """
    if request["do"] == "provide":
        try:
            yield {"data": _provide(request)}
        except UserError as error:
            yield {"refused": str(error)}
        return
    from segnoise.evaluation.benchmark.trial import Job, run_job

    left = [cell["hash"] for cell in request["cells"]]
    try:
        for measured in run_job(Job(request["cells"], request["folder"])):
            left.remove(measured["hash"])
            yield measured
    except Exception as error:  # a cell that fails is a result: it is recorded, and the others go on
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        message = " ".join(said.replace(request["folder"], "the run").split())
        for address in left:
            yield {"hash": address, "error": message}


def _provide(request: dict[str, Any]) -> dict[str, Any]:
    from segnoise.evaluation.benchmark.description import SetEntry
    from segnoise.evaluation.benchmark.noisetext import check_noises
    from segnoise.evaluation.benchmark.provide import provide

    check_noises(request["noises"])
    found = {
        name: provide(name, SetEntry.model_validate(entry), Path(request["root"]), Path(request["folder"]))
        for name, entry in request["sets"].items()
    }
    for run in request["runs"]:
        _check_options(run)
    return found


def _check_options(run: dict[str, Any]) -> None:
    """Builds network and method once, so that a wrong option is one line and not a failure of every cell."""
    from segnoise.config import make_config
    from segnoise.training import build_system

    build_system(make_config(run), in_channels=3, weights=False)


def _end_with(parent: int) -> None:
    """Ends this process when the benchmark is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main() -> None:
    """Serves requests until the input ends. What libraries print goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    for line in sys.stdin:
        for reply in answer(json.loads(line)):
            answers.write(json.dumps(reply) + "\n")
            answers.flush()
        answers.write('{"done": true}\n')
        answers.flush()


if __name__ == "__main__":
    main()
