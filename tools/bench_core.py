"""What the main parts cost, as ratios inside one process: CPU seconds, alternating, the minimum of several rounds.

python tools/bench_core.py --rounds 7
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.features
import shapely.geometry
import torch
from lightning_fabric import Fabric
from odc.geo.geobox import GeoBox
from timing import compare

from segnoise.data import ArraySource
from segnoise.inference import predict_array
from segnoise.kms import kms_posterior
from segnoise.methods import Context, Objective
from segnoise.networks import build_network
from segnoise.training import System
from segnoise.training.memory import FileMemory
from segnoise.vector import polygonize, write_polygons


def bare_step(network: torch.nn.Module, batch: dict[str, torch.Tensor]) -> Callable[[], object]:
    """One optimiser step as anyone writes it, with tensors in the order in memory that they come in."""
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(batch["image"]), batch["mask"], ignore_index=255).backward()
        optimiser.step()

    return step


def training(rounds: int, side: int) -> list[tuple[str, float]]:
    network = build_network("BasicUNet", 4, 2)
    batch = {"image": torch.randn(8, 4, side, side), "mask": torch.randint(0, 2, (8, side, side))} | {
        "index": torch.arange(8), "window": torch.tensor([[0, 0, side, side]] * 8), "orientation": torch.ones(8, 2).long(),
    }  # fmt: skip
    batch["orientation"][:, 1] = 2
    steps: dict[str, Callable[[], object]] = {"bare": bare_step(copy.deepcopy(network), batch)}
    methods: dict[str, dict[str, object]] = {
        "cross_entropy": {"name": "cross_entropy"},
        "gce": {"name": "gce"},
        "kms": {"name": "kms"},
        "teacher": {"name": "kms", "ensemble": 0},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, method in methods.items():
            system = System(copy.deepcopy(network), Objective([method], num_classes=2))
            optimiser = torch.optim.AdamW([p for p in system.parameters() if p.requires_grad], 1e-3)
            memory = {
                key: FileMemory(
                    Path(folder) / key, [(side, side)] * 8, need.channels, Fabric(accelerator="cpu", devices=1)
                )
                for key, need in system.objective.needs.memory.items()
            }
            for kept in memory.values():
                kept.open()
            context = Context(progress=1.0, memory=memory)

            def step(
                system: System = system, optimiser: torch.optim.Optimizer = optimiser, context: Context = context
            ) -> None:
                optimiser.zero_grad()
                system(batch, context)["loss"].backward()
                optimiser.step()
                system.update_teacher(100)

            steps[name] = step
        found = compare(rounds, **steps)
    evidence = torch.randn(8, side, side)
    logits = torch.randn(8, 2, side, side, requires_grad=True)
    alone = compare(
        rounds,
        loss=lambda: torch.nn.functional.cross_entropy(logits, batch["mask"]).backward(),
        posterior=lambda: kms_posterior(evidence),
    )
    return [
        (f"cross-entropy step / the same in a bare loop, 8 x {side}²", found["cross_entropy"] / found["bare"]),
        (f"gce step / cross-entropy step, 8 x {side}²", found["gce"] / found["cross_entropy"]),
        (f"kms step at full strength / cross-entropy step, 8 x {side}²", found["kms"] / found["cross_entropy"]),
        (f"the same with a teacher's evidence (ensemble 0), 8 x {side}²", found["teacher"] / found["cross_entropy"]),
        (
            f"kms posterior (6 ascents) / cross-entropy forward and backward, 8 x {side}²",
            alone["posterior"] / alone["loss"],
        ),
    ]


def inference(rounds: int) -> list[tuple[str, float]]:
    network = build_network("BasicUNet", 4, 2).eval()
    image = np.random.default_rng(0).normal(size=(4, 768, 768)).astype(np.float32)
    windows = torch.randn(4, 4, 256, 256)

    @torch.inference_mode()
    def bare() -> None:
        for _ in range(3):  # 12 windows; the ratios below are per window
            network(windows).softmax(1)

    source = ArraySource(image)
    found = compare(
        rounds, bare=bare, plain=lambda: predict_array(network, source, 256, 0),
        blended=lambda: predict_array(network, source, 256, 64),
    )  # fmt: skip
    per_window = found["bare"] / 12
    return [
        ("windowed inference without overlap / bare model on the same windows", found["plain"] / (9 * per_window)),
        ("windowed, blended inference / bare model on the same windows", found["blended"] / (16 * per_window)),
    ]


def polygons(rounds: int, folder: Path) -> list[tuple[str, float]]:
    rng = np.random.default_rng(0)
    seeds = rng.uniform(0, 2048, (4000, 2))
    from scipy.spatial import cKDTree

    grid = np.stack(np.meshgrid(np.arange(2048), np.arange(2048), indexing="ij"), -1).reshape(-1, 2)
    ids = (cKDTree(seeds).query(grid)[1].reshape(2048, 2048) + 1).astype(np.int32)
    ids[np.isin(ids, rng.choice(4000, 800, replace=False))] = 0
    geobox = GeoBox((2048, 2048), rasterio.Affine(10, 0, 5e5, 0, -10, 9e6), "EPSG:32736")

    def peer() -> gpd.GeoDataFrame:
        shapes = rasterio.features.shapes(ids, mask=ids > 0, transform=geobox.affine)
        rows = [(shapely.geometry.shape(geometry), int(value)) for geometry, value in shapes]
        return gpd.GeoDataFrame({"label": [v for _, v in rows]}, geometry=[g for g, _ in rows], crs=32736)

    def peer_file() -> None:
        peer().to_crs(4326).to_file(folder / "peer.geojson", driver="GeoJSON")

    def ours_file() -> None:
        write_polygons(polygonize(ids, geobox), folder / "ours.geojson", overwrite=True)

    found = compare(
        rounds, peer=peer, ours=lambda: polygonize(ids, geobox), simplified=lambda: polygonize(ids, geobox, tolerance_m=15),
        peer_file=peer_file, ours_file=ours_file,
    )  # fmt: skip
    return [
        (
            "polygonize (valid coverage, areas) / rasterio + shapely + geopandas (no coverage, no areas), 2048², 3,200 fields",
            found["ours"] / found["peer"],
        ),
        (
            "polygonize with shared edges simplified at 15 m / the same peer without simplification",
            found["simplified"] / found["peer"],
        ),
        ("labels to RFC 7946 file / the same peer to GeoJSON in EPSG:4326", found["ours_file"] / found["peer_file"]),
    ]


def table(rows: Sequence[tuple[str, float]]) -> str:
    return "\n".join(["| ratio | value |", "| --- | --- |", *(f"| {name} | {value:.2f} |" for name, value in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = [*training(args.rounds, 64), *training(args.rounds, 128), *inference(args.rounds)]
        rows += polygons(min(args.rounds, 3), Path(folder))
    print(table(rows))


if __name__ == "__main__":
    main()
