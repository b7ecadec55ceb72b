"""What methods for clips cost: a step of each as a ratio to a plain step on the same clips, and its parts alone.

    OMP_NUM_THREADS=1 python tools/bench_video.py --rounds 3

A clip has 4 frames. A plain step is forward, backward and update with cross-entropy, frame by frame. `affinity` and
`vote` are one call each on the features of those clips, between every frame and the one before. `second forward` is
what the published code adds: the clip shifted by one frame, without gradient.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from timing import compare

from segnoise.methods import Context, Objective
from segnoise.methods.frames import Frames
from segnoise.networks import PerFrame, build_network, with_features
from segnoise.training.system import System

FRAMES, CLASSES = 4, 5
METHODS = {
    "plain": ["cross_entropy"],
    "ms_tfal, no clip relabelled": ["ms_tfal"],
    "ms_tfal, every clip relabelled by the network": [{"name": "ms_tfal", "relabel": "self", "worst": 1.0}],
    "ms_tfal, every clip relabelled by the teacher": [{"name": "ms_tfal", "worst": 1.0}],
    "disbelief, every clip relabelled": [{"name": "disbelief", "worst": 1.0}],
    "disbelief with a vote, every clip relabelled": [{"name": "disbelief", "vote": 0.3, "worst": 1.0}],
}


@dataclass(frozen=True)
class Case:
    """A network on clips of a size."""

    title: str
    network: str
    encoder: str | None
    size: tuple[int, int]
    clips: int


CASES = (
    Case("BasicUNet, 96 x 128", "BasicUNet", None, (96, 128), 2),
    Case("DeepLabV3Plus with resnet18, 128 x 160", "DeepLabV3Plus", "resnet18", (128, 160), 1),
)


def functions(case: Case) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    network = PerFrame(build_network(case.network, 3, CLASSES, encoder=case.encoder))
    mask = torch.randint(0, CLASSES, (case.clips, 1, 6, 8)).repeat_interleave(FRAMES, 1)
    mask = mask.repeat_interleave(case.size[0] // 6 + 1, 2).repeat_interleave(case.size[1] // 8, 3)[
        :, :, : case.size[0], : case.size[1]
    ]
    batch = {
        "image": torch.randn(case.clips, 3, FRAMES, *case.size),
        "mask": mask,
        "index": torch.arange(case.clips),
    }
    made: dict[str, Callable[[], object]] = {}
    for title, methods in METHODS.items():
        objective = Objective(methods, num_classes=CLASSES)
        objective.begin(case.clips)
        system = System(copy.deepcopy(network), objective)
        optimiser = torch.optim.AdamW(system.parameter_groups(), 1e-4)

        def step(system: System = system, optimiser: torch.optim.Optimizer = optimiser) -> None:
            optimiser.zero_grad()
            system(batch, Context(progress=1.0, step=100))["loss"].backward()
            optimiser.step()
            system.update_teacher(100)

        made[title] = step
    still = copy.deepcopy(network).eval()
    with torch.no_grad():
        features = with_features(still, batch["image"], CLASSES)[1]

    def affinity() -> None:
        frames = Frames.of(features, mask, 0, 8, "bench")
        frames.affinity(frames.references("previous", 1, 0)[0], CLASSES)

    def vote() -> None:
        frames = Frames.of(features, mask, 0, 8, "bench")
        frames.vote(frames.references("previous", 1, 0)[0], CLASSES, 0.05)

    @torch.no_grad()
    def second() -> None:
        still(batch["image"])

    return {**made, "affinity": affinity, "vote": vote, "second forward": second}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    columns = {case.title: compare(args.rounds, **functions(case)) for case in CASES}
    print(f"| times a plain step | {' | '.join(columns)} |")
    print("| --- |" + " --- |" * len(columns))
    for title in next(iter(columns.values())):
        ratios = (f"{found[title] / found['plain']:.3f}" for found in columns.values())
        print(f"| {title} | {' | '.join(ratios)} |")


if __name__ == "__main__":
    main()
