"""Labels beside the image by one vector a scene: is the vector found, and does training on the moved labels gain?

    python tools/study_align.py ../shared/data/naip_fields -o study_align.jsonl --seeds 5
    python tools/study_align.py --table study_align.jsonl

Training scenes get ``misregistration``, each its own vector, or noise that is none, where every vector is to be refused;
test scenes are others, with labels as they are. One JSON line a seed, set and noise is appended when it is done; what is
in the file already is not repeated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

SETS = {
    # drawn scenes of 512², 4 to train on and 3 to test on; aerial scenes of 512², 16 and 12
    "scenes": {"train": 4, "test": 3, "noises": ["misregistration(6px)", "none", "kms(0.4)", "boundary(4px)"]},
    "naip_fields": {"train": 16, "test": 12, "noises": ["misregistration(8px)", "none", "kms(0.4)", "boundary(4px)"]},
}
RADIUS = 12


def make_scenes(name: str, seed: int, data: Path, folder: Path) -> list[tuple[Path, Path]]:
    """Images and their true class rasters, those to train on first."""
    from segnoise.data.scenes import field_scene
    from segnoise.draws import generator

    total = SETS[name]["train"] + SETS[name]["test"]
    if name == "naip_fields":
        images = sorted((data / "images").glob("*.tif"))
        order = generator(seed, "study").permutation(len(images))[:total]
        return [(images[k], data / "labels" / images[k].name) for k in order]
    pairs = []
    for k in range(total):
        place = folder / f"drawn_{k}"
        place.mkdir()
        scene = field_scene(512, 100 * seed + k)
        scene.save(place)
        image = (place / "scene.tif").rename(folder / f"scene_{k}.tif")
        with rasterio.open(image) as src:
            profile = {"crs": src.crs, "transform": src.transform}
        truth = folder / f"truth_{k}.tif"
        with rasterio.open(
            truth, "w", driver="GTiff", width=512, height=512, count=1, dtype="uint8", **profile
        ) as dst:  # fmt: skip
            dst.write((scene.instances > 0).astype(np.uint8), 1)
        pairs.append((image, truth))
    return pairs


def config_of(seed: int, rows: list[tuple[Path, Path, str]], table: Path) -> dict[str, Any]:
    """Training as a table says; samples and steps as in the standard benchmark."""
    table.write_text("image,label,split\n" + "".join(f"{i},{m},{s}\n" for i, m, s in rows))
    return {
        "name": "align",
        "seed": seed,
        "data": {
            "kind": "raster",
            "images": [str(i) for i, _, _ in rows],
            "labels": str(table),
            "window": 64,
            "samples_per_epoch": 400,
            "split": {"by": "table"},
        },
        "training": {"epochs": 8, "batch_size": 8, "lr": 3.0e-3},
    }


def one(name: str, noise: str, seed: int, data: Path) -> dict[str, Any]:
    from segnoise.config import make_config
    from segnoise.evaluation import evaluate
    from segnoise.evaluation.align import align_labels
    from segnoise.noise.files import corrupt_file
    from segnoise.training import train

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pairs = make_scenes(name, seed, data, folder)
        many = SETS[name]["train"]
        given, vectors = folder / "given", []
        given.mkdir()
        for k, (image, truth) in enumerate(pairs[:many]):
            target = given / f"{image.stem}.tif"
            if noise == "none":
                shutil.copyfile(truth, target)
                vectors.append([0.0, 0.0])
                continue
            params = corrupt_file(truth, target, noise, seed=1000 * seed + k)["params"][0]
            shift = float(str(params.get("shift", "0px")).removesuffix("px"))
            vectors.append(np.rint(np.array(params.get("direction", [0.0, 0.0])) * shift).tolist())

        def run(labels: list[Path], title: str) -> float:
            rows = [
                (i, m, "train" if k % 4 else "val")
                for k, (i, m) in enumerate(zip([i for i, _ in pairs], labels, strict=False))
            ]
            rows += [(i, m, "test") for i, m in pairs[many:]]
            made = train(make_config(config_of(seed, rows, folder / f"{title}.csv")), folder / title, quiet=True)
            return float(evaluate(made, checkpoint="last")["iou"]["mean"])

        paths = [given / f"{image.stem}.tif" for image, _ in pairs[:many]]
        raw = config_of(
            seed, [(i, m, "train") for (i, _), m in zip(pairs[:many], paths, strict=True)], folder / "all.csv"
        )
        raw["data"]["split"] = {"by": "block"}
        found = align_labels(make_config(raw), folder / "aligned", radius=RADIUS, quiet=True)
        row: dict[str, Any] = {
            "set": name, "noise": noise, "seed": seed, "vectors": vectors,
            "found": [r.vector for r in found], "accepted": [r.accepted for r in found], "reasons": [r.reason for r in found],
        }  # fmt: skip
        if noise.startswith("misregistration"):
            row["clean"] = run([m for _, m in pairs[:many]], "clean")
            row["plain"] = run(paths, "plain")
            row["aligned"] = run([folder / "aligned" / "labels" / p.name for p in paths], "moved")
    return row


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| set, noise | seeds | scenes moved | error along an axis: mean, 90 % below | clean | given | moved | gap closed, each seed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, entry in SETS.items():
        for noise in entry["noises"]:
            found = [r for r in rows if r["set"] == name and r["noise"] == noise]
            if not found:
                continue
            accepted = [a for r in found for a in r["accepted"]]
            errors = [
                abs(f + v)
                for r in found
                for vector, said, a in zip(r["vectors"], r["found"], r["accepted"], strict=True)
                for v, f in zip(vector, said, strict=True)
                if a
            ]
            told = f"{np.mean(errors):.2f}, {np.quantile(errors, 0.9):.2f} px" if errors else "–"
            scores = ["–"] * 4
            if "clean" in found[0]:
                scores = [mean([r[key] for r in found]) for key in ("clean", "plain", "aligned")]
                scores.append(", ".join(closed(r) for r in sorted(found, key=lambda r: r["seed"])))
            lines.append(
                f"| {name}, {noise} | {len(found)} | {sum(accepted)} of {len(accepted)} | {told} | {' | '.join(scores)} |"
            )
    return "\n".join(lines)


def mean(values: list[float]) -> str:
    return (
        f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"
        if len(values) > 1
        else f"{values[0]:.3f}"
    )


def closed(row: dict[str, Any]) -> str:
    gap = row["clean"] - row["plain"]
    return f"{(row['aligned'] - row['plain']) / gap:.2f}" if gap >= 0.02 else "undefined"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, help="the folder naip_fields")
    parser.add_argument("-o", "--output", type=Path, default=Path("study_align.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    path = args.table or args.output
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    if args.table is None:
        done = {(r["set"], r["noise"], r["seed"]) for r in rows}
        for seed in range(args.seeds):
            for name in args.sets:
                for noise in SETS[name]["noises"]:
                    if (name, noise, seed) not in done:
                        rows.append(one(name, noise, seed, args.data.resolve() if args.data else Path()))
                        with path.open("a") as file:
                            file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
