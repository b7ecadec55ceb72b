"""What a benchmark costs over its bare runs: CPU seconds of all its processes, beside those of its runs alone.

python tools/bench_benchmark.py            # the cells of `smoke`

The bare runs are `train`, the evaluation of both checkpoints and of the training labels, one after another in one
process. Every cell counts its own CPU seconds, from the same processes as the whole, so that a busy machine does not
blur the difference; to these comes one process that starts and imports what a run needs. What is left are the other
processes, planning, making the data, and writing cells, tables and report.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
START = """
from segnoise.config import make_config
from segnoise.evaluation.benchmark.trial import run_job
from segnoise.training import build_system
build_system(make_config({"data": {"kind": "scenes"}, "network": "BasicUNet"}), in_channels=3)
"""


def cpu_of(command: list[str]) -> float:
    """CPU seconds of a command and all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-W", "ignore", *command], check=True, env={**os.environ, **ENVIRONMENT})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", default="smoke")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    from segnoise.evaluation.benchmark.store import Store

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "out"
        command = ["-m", "segnoise", "benchmark", args.benchmark, "-o", str(folder), "--jobs", str(args.jobs)]
        whole = cpu_of([*command, "--quiet"])
        rows = Store(folder).rows().values()
    start = cpu_of(["-c", START])
    bare = start + sum(row["cpu_seconds"] for row in rows)
    print(
        f"{args.benchmark}, {len(rows)} cells with {args.jobs} jobs: {whole:.1f} CPU-seconds; bare runs {bare:.1f} "
        f"({start:.1f} of them to start); {100 * (whole / bare - 1):+.1f} %"
    )


if __name__ == "__main__":
    main()
