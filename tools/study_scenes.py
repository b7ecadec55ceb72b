"""How hard the procedural scenes are, and what the demo gives, over several seeds.

    python tools/study_scenes.py --seeds 3            # 300 steps of the default network on true and on noisy labels
    python tools/study_scenes.py --demo --seeds 3     # `segnoise demo fields` for each seed
    python tools/study_scenes.py --demo oct --seeds 3 # another demo
    python tools/study_scenes.py --demo --first 10 --seeds 3 data.augment=true    # its three runs with another setting

A seed draws the scene, the split, the noise and the initialisation.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from segnoise.config import make_config
from segnoise.data.scenes import field_scene
from segnoise.demos import DEMOS, RUNS, SCENE_SIZE, packaged_config, run_demo, summarise
from segnoise.evaluation import evaluate
from segnoise.training import train, train_side_by_side

SHOWN = ("clean", "plain", "robust", "gap_closed", "label_error_auroc", "seconds")


def difficulty(seed: int) -> dict[str, Any]:
    """Test IoU of fields after 300 steps of 16 crops of 96², true labels and kms(0.4), last checkpoint."""
    row: dict[str, Any] = {"seed": seed}
    for name, noise in (("clean", None), ("plain", {"spec": "kms(0.4)", "seed": seed})):
        raw = {
            "seed": seed,
            "data": {
                "kind": "scenes",
                "seed": seed,
                "window": 96,
                "samples_per_epoch": 800,
                "split": {"fractions": {"train": 0.65, "val": 0.1, "test": 0.25}},
            },
            "noise": noise,
            "training": {"epochs": 6, "batch_size": 16, "lr": 3e-3},
        }
        with tempfile.TemporaryDirectory() as folder:
            run = train(make_config(raw), Path(folder) / "run", quiet=True)
            row[name] = evaluate(run, checkpoint="last", objects=False)["iou"]["per_class"]["field"]
    return row


def demo(name: str, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        summary = run_demo(name, Path(folder) / "demo", seed=seed, quiet=True)
    return {"seed": seed} | {k: summary[k] for k in SHOWN}


def changed_demo(seed: int, overrides: list[str]) -> dict[str, Any]:
    """The three runs of the demo with a changed configuration, without polygons and report."""
    raw = packaged_config("demo-fields")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        field_scene(SCENE_SIZE, seed).save(folder / "drawn")
        runs = {}
        for run, changes in RUNS.items():
            noise = changes.get("noise", {"spec": raw["noise"], "seed": seed})
            content = {**raw, **changes, "name": run, "seed": seed, "noise": noise}
            runs[folder / run] = make_config(content, overrides, base=folder)
        train_side_by_side(dict(reversed(runs.items())), quiet=True)
        metrics = {run.name: evaluate(run, checkpoint="last", objects=False) for run in runs}
    summary = summarise("fields", raw["noise"], metrics, ["field"]) | {"seconds": time.monotonic() - started}
    return {"seed": seed} | {k: summary[k] for k in SHOWN}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--demo", nargs="?", const="fields", choices=DEMOS, help="which demo [fields]")
    parser.add_argument("overrides", nargs="*", help="with --demo fields: section.key=value for all three runs")
    args = parser.parse_args()
    if args.overrides and args.demo != "fields":
        parser.error("overrides go with --demo fields")
    rows: list[dict[str, Any]] = []
    for seed in range(args.first, args.first + args.seeds):
        if args.overrides:
            rows.append(changed_demo(seed, args.overrides))
        else:
            rows.append(demo(args.demo, seed) if args.demo else difficulty(seed))
        if len(rows) == 1:
            print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]), flush=True)
        print(line([str(seed), *list(rows[-1].values())[1:]]), flush=True)
    columns = [[r[k] for r in rows if r[k] is not None] for k in list(rows[0])[1:]]
    print(line(["mean", *[float(np.mean(c)) if c else None for c in columns]]))


def line(values: list[Any]) -> str:
    shown = ["–" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v) for v in values]
    return "| " + " | ".join(shown) + " |"


if __name__ == "__main__":
    main()
