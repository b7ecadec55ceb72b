"""The benchmark under synthetic noise: methods × noises × seeds × data sets, each cell an ordinary run with a small
file of its own, so that a study survives any interruption; then tables, statistics and a report.
"""

from __future__ import annotations

from segnoise.evaluation.benchmark.command import Interrupted, Outcome, run_benchmark
from segnoise.evaluation.benchmark.description import Benchmark, load_benchmark

__all__ = ["Benchmark", "Interrupted", "Outcome", "load_benchmark", "run_benchmark"]
