"""What a benchmark costs over its bare runs: CPU seconds of both, of all their processes.

python tools/bench_benchmark.py            # the cells of `smoke`, then the same runs in one process

The bare runs are `train`, the evaluation of both checkpoints and of the training labels, one after another in one
process with the data already made; the benchmark also plans, makes the data, talks to its workers, and writes cells,
tables and report. With --rounds the two alternate and the least of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

BARE = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import torch
from segnoise.evaluation.benchmark.trial import Job, run_job
torch.set_num_threads(1)
for cells in json.loads(Path(sys.argv[1]).read_text()):
    for measured in run_job(Job(cells, sys.argv[2])):
        pass
"""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of(command: list[str]) -> float:
    """CPU seconds of a command and all its processes."""
    before = cpu_of_children()
    subprocess.run([sys.executable, "-W", "ignore", *command], check=True, env={**os.environ, **ENVIRONMENT})
    return cpu_of_children() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", default="smoke")
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    from segnoise.evaluation.benchmark import load_benchmark
    from segnoise.evaluation.benchmark.command import grouped
    from segnoise.evaluation.benchmark.plan import make_plan
    from segnoise.evaluation.benchmark.provide import provide
    from segnoise.evaluation.benchmark.store import Store

    ours, bare = [], []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "out"
            ours.append(cpu_of(["-m", "segnoise", "benchmark", args.benchmark, "-o", str(folder), "--quiet"]))
            benchmark, root = load_benchmark(args.benchmark)
            plan = make_plan(benchmark, Store(folder).rows())
            data = {name: provide(name, entry, root, folder / "data") for name, entry in benchmark.sets.items()}
            jobs = [
                [{"hash": c.hash, "kind": c.kind, "threads": c.threads, "run": full(c.run, data[c.set])} for c in group]
                for group in grouped(plan.cells)
            ]
            (Path(place) / "jobs.json").write_text(json.dumps(jobs))
            bare.append(cpu_of(["-c", BARE, str(Path(place) / "jobs.json"), str(Path(place) / "run")]))
    ratio = min(ours) / min(bare) - 1
    print(f"benchmark {min(ours):.1f} CPU-seconds, bare runs {min(bare):.1f}: {100 * ratio:+.1f} %")


def full(run: dict[str, object], data: dict[str, object]) -> dict[str, object]:
    from segnoise.config import make_config

    return make_config({**run, "data": data}).model_dump(mode="json")


if __name__ == "__main__":
    main()
