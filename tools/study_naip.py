"""Crop fields in real aerial images (naip_fields) under synthetic label noise: clean, plain and KMS, several seeds.

    python tools/study_naip.py ../shared/data/naip_fields -o study_naip.jsonl --seeds 3
    python tools/study_naip.py --table study_naip.jsonl

Every run is the whole job: train, evaluate, predict a test scene, vectorise it. One JSON line a run is appended as soon
as the run is done; runs that are in the file already are not repeated. A seed changes split, initialisation, order and
noise together and is shared by all methods.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RUNS = [
    ("clean", None, "cross_entropy"),
    ("plain", "kms(0.4)", "cross_entropy"),
    ("kms", "kms(0.4)", "kms"),
    ("plain", "boundary(4px)", "cross_entropy"),
    ("kms", "boundary(4px)", "kms"),
]


def config_of(data: Path, noise: str | None, method: str, seed: int, epochs: int) -> dict[str, Any]:
    return {
        "name": "naip",
        "seed": seed,
        "data": {
            "kind": "raster",
            "images": [str(data / "images" / "*.tif")],
            "labels": str(data / "polygons"),
            "classes": ["background", "field"],
            "window": 96,
            "samples_per_epoch": 400,
            "split": {"by": "source", "fractions": {"train": 0.6, "val": 0.15, "test": 0.25}},
        },
        "noise": None if noise is None else {"spec": noise, "seed": seed},
        "network": "BasicUNet",
        "method": method,
        "training": {"epochs": epochs, "batch_size": 8, "lr": 3.0e-3},
    }


def one(data: Path, name: str, noise: str | None, method: str, seed: int, epochs: int) -> dict[str, Any]:
    from segnoise.config import make_config
    from segnoise.evaluation import evaluate
    from segnoise.inference import predict_fields, predict_raster
    from segnoise.training import Run, load, train
    from segnoise.training.run import read_prepared

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run = train(make_config(config_of(data, noise, method, seed, epochs)), Path(folder) / "run", quiet=True)
        trained = time.monotonic() - started
        row: dict[str, Any] = {"name": name, "noise": noise, "method": method, "seed": seed, "epochs": epochs}
        for which in ("last", "best"):
            metrics = evaluate(run, checkpoint=which)
            row[which] = {
                "iou": metrics["iou"]["per_class"]["field"],
                "boundary_f1": metrics["boundary_f1"]["per_class"]["field"],
                "object_f1": metrics["object_f1"],
                "ece": metrics["ece"],
                "label_error_auroc": metrics.get("label_error_auroc"),
                "label_error_ap": metrics.get("label_error_ap"),
            }
        prepared = read_prepared(Run(run))
        scene = Path(prepared["sources"][prepared["regions"]["test"][0][0]])
        model = load(run, "last")
        predict_raster(model, scene, Path(folder) / "labels.tif")
        row["fields"] = len(predict_fields(model, scene))
    return {**row, "train_seconds": round(trained, 1), "seconds": round(time.monotonic() - started, 1)}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: per noise and method mean and standard error over seeds, and the share of the gap closed per seed."""
    seeds = sorted({r["seed"] for r in rows})
    get = {(r["name"], r["noise"], r["seed"]): r for r in rows}
    lines = [
        "| noise | run | test IoU, last | test IoU, best on given val. | boundary F1 | object F1 | ECE | label-error AUROC"
        " / AP | gap closed (each seed) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]

    def mean(values: list[float | None]) -> str:
        known = [v for v in values if v is not None]
        if not known:
            return "–"
        error = np.std(known, ddof=1) / np.sqrt(len(known)) if len(known) > 1 else float("nan")
        return f"{np.mean(known):.3f} ± {error:.3f}"

    for name, noise, _ in RUNS:
        found = [get[(name, noise, s)] for s in seeds if (name, noise, s) in get]
        if not found:
            continue
        closed = []
        for r in found if name == "kms" else []:
            clean, plain = get.get(("clean", None, r["seed"])), get.get(("plain", noise, r["seed"]))
            if clean and plain:
                gap = clean["last"]["iou"] - plain["last"]["iou"]
                closed.append(f"{(r['last']['iou'] - plain['last']['iou']) / gap:.2f}" if gap >= 0.02 else "undefined")
        last = [r["last"] for r in found]
        lines.append(
            f"| {noise or 'none'} | {name} | {mean([m['iou'] for m in last])} | "
            f"{mean([r['best']['iou'] for r in found])} | {mean([m['boundary_f1'] for m in last])} | "
            f"{mean([m['object_f1'] for m in last])} | {mean([m['ece'] for m in last])} | "
            f"{mean([m['label_error_auroc'] for m in last])} / {mean([m['label_error_ap'] for m in last])} | "
            f"{', '.join(closed) or '–'} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("study_naip.jsonl"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    if args.table:
        print(table(read(args.table)))
        return
    done = {(r["name"], r["noise"], r["seed"]) for r in read(args.output)}
    for seed in range(args.seeds):
        for name, noise, method in RUNS:
            if (name, noise, seed) not in done:
                row = one(args.data.resolve(), name, noise, method, seed, args.epochs)
                with open(args.output, "a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    print(table(read(args.output)))


if __name__ == "__main__":
    main()
