"""Crops of cached volumes and sliding windows, beside MONAI's: CPU seconds in one process, in turn, and peak memory.

OMP_NUM_THREADS=1 python tools/bench_medical.py --rounds 5

- crops: a training sample of a NIfTI volume (scaled by its own mean and deviation, in RAS, flipped; anywhere, or half
  of them around the foreground) from segnoise's data set, and from `CacheDataset` with MONAI's transforms for the same.
- windows: prediction of a volume with the same network and windows, and `sliding_window_inference`, Gaussian weights.
- memory: what a process of its own needed at most beyond what it had before it read the volume, for both.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset
from monai.inferers import sliding_window_inference
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandSpatialCropd,
)
from timing import compare

from segnoise.data import PerImage, Scaling, WindowDataset
from segnoise.data.source import ArraySource
from segnoise.data.splits import Region
from segnoise.data.volume import Standard, VolumeLabels, VolumeSource, write_volume
from segnoise.inference import predict_array
from segnoise.networks import build_network
from segnoise.windows import Window, plan

SHAPE, CROP, CLASSES = (96, 112, 80), (48, 64, 32), 3
RAS = Standard("RAS", None)


def draw(folder: Path, count: int) -> list[dict[str, str]]:
    """Volumes of noise with two balls, stored as LPS."""
    rng = np.random.default_rng(0)
    at = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
    files = []
    for k in range(count):
        mask = np.zeros(SHAPE, dtype=np.uint8)
        for label in (1, 2):
            centre = np.array([rng.integers(12, n - 12) for n in SHAPE]).reshape(3, 1, 1, 1)
            mask[((at - centre) ** 2).sum(0) < 100] = label
        scan = rng.normal(100, 20, SHAPE).astype(np.float32) + 30 * mask
        affine = np.diag([-1.0, -1.0, 2.0, 1.0])
        pair = {"image": folder / f"scan{k}.nii.gz", "label": folder / f"mask{k}.nii.gz"}
        write_volume(pair["image"], scan, affine)
        write_volume(pair["label"], mask, affine)
        files.append({key: str(path) for key, path in pair.items()})
    return files


def crops(files: list[dict[str, str]], foreground: float) -> dict[str, Callable[[], object]]:
    """An epoch of one crop a volume, from both; the first has filled the caches."""
    sources = [PerImage(VolumeSource(f["image"], standard=RAS)) for f in files]
    labels = [VolumeLabels(f["label"], CLASSES, standard=RAS) for f in files]
    regions = [Region(k, Window((0, 0, 0), s.shape)) for k, s in enumerate(sources)]
    ours = WindowDataset(
        sources, labels, regions, CROP, Scaling((0.0,), (1.0,)), seed=0, augment=True, foreground=foreground,
        samples_per_epoch=len(files),
    )  # fmt: skip
    both = ["image", "label"]
    crop = (
        RandCropByPosNegLabeld(both, label_key="label", spatial_size=CROP, pos=1, neg=1, num_samples=1)
        if foreground
        else RandSpatialCropd(both, CROP, random_size=False)
    )
    steps = [LoadImaged(both), EnsureChannelFirstd(both), Orientationd(both, "RAS", labels=None)]
    flips = [RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)]
    theirs = CacheDataset(
        files, Compose([*steps, NormalizeIntensityd("image"), crop, *flips]), num_workers=0, progress=False
    )
    epochs = iter(range(10**9))

    def our_epoch() -> None:
        epoch = next(epochs)
        for k in range(len(ours)):
            ours[epoch, k]

    def their_epoch() -> None:
        for k in range(len(theirs)):
            theirs[k]

    return {"ours": our_epoch, "theirs": their_epoch}


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network("BasicUNet", 1, CLASSES, spatial_dims=3, features=(8, 8, 16, 32, 32, 8)).eval()


def inferred(net: torch.nn.Module, scan: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, Callable[[], object]]:
    side, overlap = (64, 64, 64), 0.25

    def ours() -> object:
        return predict_array(net, ArraySource(scan), side, [int(s * overlap) for s in side])

    @torch.inference_mode()
    def theirs() -> object:
        logits = sliding_window_inference(
            torch.from_numpy(scan)[None], side, 4, net, overlap=overlap, mode="gaussian", padding_mode="constant"
        )
        return logits.softmax(1).numpy()

    return {"ours": ours, "theirs": theirs}


def _peak(which: str, shape: tuple[int, ...], answer: Any) -> None:
    torch.set_num_threads(1)
    net, scan = network(), np.ones((1, *shape), dtype=np.float32)
    inferred(net, scan[:, :64, :64, :64])[which]()  # what libraries set aside once
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    inferred(net, scan)[which]()
    answer.put((_memory("VmHWM") - before) / 2**20)


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def peak(which: str, shape: tuple[int, ...]) -> float:
    """Most memory in use beyond that before, MiB."""
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    child = context.Process(target=_peak, args=(which, shape, answer))
    child.start()
    child.join()
    return float(answer.get())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--volumes", type=int, default=16)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        files = draw(Path(folder), args.volumes)
        print(
            f"| {args.volumes} crops of {CROP} from {SHAPE} | segnoise, ms | MONAI, ms | speed / MONAI's |\n| --- | --- | --- | --- |"
        )
        for title, foreground in (("anywhere", 0.0), ("half around the foreground", 0.5)):
            t = compare(args.rounds, **crops(files, foreground))
            print(
                f"| {title} | {1e3 * t['ours']:.1f} | {1e3 * t['theirs']:.1f} | {t['theirs'] / t['ours']:.2f} |",
                flush=True,
            )
    print(
        "\n| prediction, windows of 64^3, overlap a quarter | windows | segnoise / MONAI's time |\n| --- | --- | --- |"
    )
    rng = np.random.default_rng(0)
    for shape in ((160, 160, 112), (112, 112, 112)):
        scan = rng.normal(size=(1, *shape)).astype(np.float32)
        t = compare(max(1, args.rounds // 2), **inferred(network(), scan))
        print(f"| {shape} | {len(plan(shape, (64,) * 3, (16,) * 3))} | {t['ours'] / t['theirs']:.2f} |", flush=True)
    print("\n| peak memory, MiB | volume as float32 | segnoise | MONAI |\n| --- | --- | --- | --- |")
    for shape in ((160, 160, 112), (256, 256, 160)):
        size = np.prod(shape) * 4 / 2**20
        print(f"| {shape} | {size:.0f} | {peak('ours', shape):.0f} | {peak('theirs', shape):.0f} |", flush=True)


if __name__ == "__main__":
    main()
