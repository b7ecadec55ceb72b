"""Real label errors: nuclei trained on their masks as first published, and on the corrected ones; tested on the latter.

    python tools/study_nuclei.py ../shared/data/nuclei_dsb2018 -o study_nuclei.jsonl --seeds 3
    python tools/study_nuclei.py --table study_nuclei.jsonl

Steps and window are those of the standard benchmark; a seed deals the images and starts the network. Training and
validation labels are of one kind. One JSON line a seed and training is appended when it is done; what is in the file
already is not repeated. `found` is the AUROC of P(label wrong), from a network trained on the first masks, against where
the corrected masks differ, over all training pixels (`rho` 0.5, the value for review lists).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

METHODS = ("cross_entropy", "kms", "nce_mae")
LABELS = {"first": "labels_original", "corrected": "labels"}


def dealt(folder: Path, seed: int) -> list[tuple[str, str]]:
    """Names of images and their part."""
    from segnoise.draws import generator

    names = sorted(p.stem for p in (folder / "images").glob("*.png"))
    order = [names[k] for k in generator(seed, "study").permutation(len(names))]
    train, val = round(0.4 * len(names)), round(0.55 * len(names))
    return [(name, "train" if k < train else "val" if k < val else "test") for k, name in enumerate(order)]


def one(data: Path, seed: int, kind: str, method: str) -> dict[str, Any]:
    import segnoise
    from segnoise.config import make_config
    from segnoise.evaluation import evaluate
    from segnoise.evaluation.benchmark.pictures import make_grey
    from segnoise.training import train

    parts = dealt(data, seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_grey([data / "images" / f"{name}.png" for name, _ in parts], folder)
        rows = [
            f"{folder}/images/{name}.png,{data}/{LABELS['corrected' if part == 'test' else kind]}/{name}.png,{part}\n"
            for name, part in parts
        ]
        (folder / "table.csv").write_text("image,label,split\n" + "".join(rows))
        config = {
            "name": "nuclei",
            "seed": seed,
            "data": {
                "kind": "images",
                "images": [str(folder / "images" / "*.png")],
                "labels": str(folder / "table.csv"),
                "classes": ["background", "nucleus"],
                "window": 64,
                "samples_per_epoch": 360,
                "split": {"by": "table"},
            },
            "method": method,
            "training": {"epochs": 8, "batch_size": 8, "lr": 3.0e-3},
        }
        run = train(make_config(config), folder / "run", quiet=True)
        row: dict[str, Any] = {"seed": seed, "labels": kind, "method": method}
        row["iou"] = float(evaluate(run, checkpoint="last")["iou"]["mean"])
        if kind == "first":
            row |= errors_found(segnoise.load(run, checkpoint="last"), data, folder, parts)
    return row


def errors_found(model: Any, data: Path, folder: Path, parts: list[tuple[str, str]]) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    from segnoise.data import ImageSource
    from segnoise.inference import error_map_array, predict_array
    from segnoise.noise.labelfile import open_labels

    wrong, scores = [], []
    for name in (n for n, part in parts if part == "train"):
        p, _ = predict_array(model, ImageSource(folder / "images" / f"{name}.png"), 64, 16)
        given, true = (open_labels(data / where / f"{name}.png").labels for where in LABELS.values())
        scores.append(error_map_array(p, given.astype(np.uint8), rho=0.5).ravel())
        wrong.append((given != true).ravel())
    truth = np.concatenate(wrong)
    return {"wrong": float(truth.mean()), "found": float(roc_auc_score(truth, np.concatenate(scores)))}


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| method | seeds | IoU, trained on corrected masks | on the first masks | difference | wrong labels | found (AUROC) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for method in METHODS:
        by = {(r["seed"], r["labels"]): r for r in rows if r["method"] == method}
        seeds = sorted({s for s, _ in by if (s, "first") in by and (s, "corrected") in by})
        if not seeds:
            continue
        corrected, first = (np.array([by[s, kind]["iou"] for s in seeds]) for kind in ("corrected", "first"))
        found = np.mean([by[s, "first"]["found"] for s in seeds])
        share = np.mean([by[s, "first"]["wrong"] for s in seeds])
        lines.append(
            f"| {method} | {len(seeds)} | {corrected.mean():.3f} | {first.mean():.3f} | {_mean_se(first - corrected)} | "
            f"{100 * share:.2f} % | {found:.3f} |"
        )
    return "\n".join(lines)


def _mean_se(values: Any) -> str:
    spread = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{values.mean():+.3f} ± {spread:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="the folder nuclei_dsb2018")
    parser.add_argument("-o", "--out", type=Path, default=Path("study_nuclei.jsonl"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    if args.table is None:
        rows = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.is_file() else []
        done = {(r["seed"], r["labels"], r["method"]) for r in rows}
        for key in [(s, kind, m) for s in range(args.seeds) for kind in LABELS for m in METHODS]:
            if key not in done:
                row = one(args.data.resolve(), *key)
                with args.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    print(table([json.loads(line) for line in (args.table or args.out).read_text().splitlines()]))


if __name__ == "__main__":
    main()
