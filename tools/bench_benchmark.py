"""What a benchmark costs over its bare runs: CPU seconds of both, of all their processes.

python tools/bench_benchmark.py            # the cells of `smoke`, then the same runs in one process

The bare runs are `train`, the evaluation of both checkpoints and of the training labels, one after another in a
process that has its libraries loaded and its data made; the benchmark also starts its workers, makes the data, writes
cells, tables and report.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import torch
from segnoise.config import Config
from segnoise.evaluation.benchmark.trial import Job, run_job
torch.set_num_threads(1)
jobs = json.loads(Path(sys.argv[1]).read_text())
started = time.process_time()
for cells in jobs:
    for measured in run_job(Job(cells, sys.argv[2])):
        pass
print("bare:", time.process_time() - started)
"""


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", default="smoke")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    from segnoise.evaluation.benchmark import load_benchmark
    from segnoise.evaluation.benchmark.command import grouped
    from segnoise.evaluation.benchmark.plan import make_plan
    from segnoise.evaluation.benchmark.provide import provide
    from segnoise.evaluation.benchmark.store import Store

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "out"
        before, started = cpu_of_children(), time.monotonic()
        command = ["benchmark", args.benchmark, "-o", str(folder), "--jobs", str(args.jobs), "--quiet"]
        subprocess.run([sys.executable, "-W", "ignore", "-m", "segnoise", *command], check=True)
        ours, wall = cpu_of_children() - before, time.monotonic() - started
        benchmark, root = load_benchmark(args.benchmark)
        plan = make_plan(benchmark, Store(folder).rows())
        data = {name: provide(name, entry, root, folder / "data") for name, entry in benchmark.sets.items()}
        jobs = [
            [{"hash": c.hash, "kind": c.kind, "threads": c.threads, "run": full(c.run, data[c.set])} for c in group]
            for group in grouped(plan.cells)
        ]
        (Path(place) / "jobs.json").write_text(json.dumps(jobs))
        arguments = [sys.executable, "-c", BARE, str(Path(place) / "jobs.json"), str(Path(place) / "run")]
        said = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
        bare = float(said.rpartition("bare:")[2])
    print(f"benchmark {ours:.1f} CPU-seconds ({wall:.0f} s), bare runs {bare:.1f}: {100 * (ours / bare - 1):+.1f} %")


def full(run: dict[str, object], data: dict[str, object]) -> dict[str, object]:
    from segnoise.config import make_config

    return make_config({**run, "data": data}).model_dump(mode="json")


if __name__ == "__main__":
    main()
