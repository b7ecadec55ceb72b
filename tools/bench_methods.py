"""What a step of every method costs beside a step of plain cross-entropy: CPU seconds in one process, in turn.

OMP_NUM_THREADS=1 python tools/bench_methods.py --rounds 5
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from timing import compare

from segnoise.methods import Channel, Context, Objective
from segnoise.methods.names import METHODS
from segnoise.networks import build_network
from segnoise.training import System
from segnoise.training.memory import FileMemory

BATCH = 8
VARIANTS: dict[str, dict[str, object]] = {
    "elr, memory": {"name": "elr", "memory": True},
    "elr, every 2": {"name": "elr", "every": 2},
    "kms, teacher": {"name": "kms", "ensemble": 0.0},
    "kms, peers": {"name": "kms", "peers": True},
}

CLIPS = ("ms_tfal",)
"""Methods for clips: timed by bench_video.py."""


def steps(side: int, folder: Path) -> dict[str, Callable[[], object]]:
    network = build_network("BasicUNet", 4, 2)
    batch = {
        "image": torch.randn(BATCH, 4, side, side),
        "mask": torch.randint(0, 2, (BATCH, side, side)),
        "index": torch.arange(BATCH),
        "window": torch.tensor([[0, 0, side, side]] * BATCH),
        "orientation": torch.tensor([[1, 2]] * BATCH),
    }
    fabric = Fabric(accelerator="cpu", devices=1)
    made: dict[str, Callable[[], object]] = {}
    for title, options in ({name: {"name": name} for name in METHODS if name not in CLIPS} | VARIANTS).items():
        objective = Objective([options], num_classes=2)
        objective.calibrate(Channel(0.5, ((0.7, 0.3), (0.3, 0.7)), (0.5, 0.5)))
        system = System([copy.deepcopy(network) for _ in range(objective.needs.networks)], objective)
        optimiser = torch.optim.AdamW(system.parameter_groups(), 1e-3)
        memory = {
            key: FileMemory(folder / f"{title}-{key}", [(side, side)] * BATCH, need.channels, fabric)
            for key, need in objective.needs.memory.items()
        }
        for kept in memory.values():
            kept.open()
        context = Context(progress=1.0, memory=memory)

        def step(
            system: System = system, optimiser: torch.optim.Optimizer = optimiser, context: Context = context
        ) -> None:
            for number in (100, 101):  # two, for what is done in every other one
                optimiser.zero_grad()
                system(batch, replace(context, step=number))["loss"].backward()
                optimiser.step()
                system.update_teacher(number)

        made[title] = step
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    columns = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in args.sides:
            place = Path(folder) / str(side)
            place.mkdir()
            columns[side] = compare(args.rounds, **steps(side, place))
    print(f"| step, times cross-entropy | {' | '.join(f'{BATCH} x {side}²' for side in columns)} |")
    print("| --- |" + " --- |" * len(columns))
    for title in columns[args.sides[0]]:
        ratios = (f"{found[title] / found['cross_entropy']:.2f}" for found in columns.values())
        print(f"| {title} | {' | '.join(ratios)} |")


if __name__ == "__main__":
    main()
