"""Writes small sets of sequences as their authors lay them out: names, formats and values of the specification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SHAPE = (24, 32)
COLOURS_2018 = {
    0: (0, 0, 0), 1: (0, 255, 0), 2: (0, 255, 255), 3: (125, 255, 12), 4: (255, 55, 0), 5: (24, 55, 125),
    6: (187, 155, 25), 7: (0, 255, 125), 8: (255, 255, 125), 9: (123, 15, 175), 10: (124, 155, 5), 11: (12, 255, 141),
}  # fmt: skip


def picture(seed: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(30, 220, (*shape, 3)).astype(np.uint8)


def moving_box(k: int, shape: tuple[int, int] = SHAPE, value: int = 1) -> np.ndarray:
    """A box that moves by a pixel a frame."""
    mask = np.zeros(shape, np.uint8)
    mask[4:16, 2 + k : 14 + k] = value
    return mask


def save(path: Path, array: np.ndarray, palette: Sequence[int] | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette is not None:
        image.putpalette(palette)
    image.save(path, **options)
    return path


def write_frames(root: Path, sequences: dict[str, Sequence[int]], shape: tuple[int, int] = SHAPE) -> None:
    """``images/<seq>/<n>.jpg`` and ``labels/<seq>/<n>.png``: bright boxes in noise, five digits, as in DAVIS."""
    for s, (name, numbers) in enumerate(sequences.items()):
        for n in numbers:
            mask = moving_box(n % 12, shape)
            image = np.clip(picture(100 * s + n, shape) // 3 + 120 * mask[..., None], 0, 255).astype(np.uint8)
            save(root / "images" / name / f"{n:05d}.jpg", image, quality=95)
            save(root / "labels" / name / f"{n:05d}.png", mask)


def write_endovis17(root: Path) -> dict[str, np.ndarray]:
    """Two training sequences of two frames and the test frames that go on from the first; truth by target.

    One instrument lies over another, and an ultrasound probe in ``Other_labels`` has a value of its own.
    """
    shape = (1080, 1920)
    driver, forceps, probe = (np.zeros(shape, np.uint8) for _ in range(3))
    driver[100:200, 400:500], driver[200:260, 400:500], driver[260:300, 400:500] = 10, 20, 30
    forceps[150:250, 450:550] = 10
    probe[600:700, 900:1000] = 40
    for place, number in (
        ("training/instrument_dataset_1", 0), ("training/instrument_dataset_1", 1), ("training/instrument_dataset_2", 0),
        ("training/instrument_dataset_2", 1), ("test/instrument_dataset_1", 225), ("test/instrument_dataset_1", 226),
    ):  # fmt: skip
        folder = root / place
        save(folder / "left_frames" / f"frame{number:03d}.png", np.full((*shape, 3), 40 + number % 2, np.uint8))
        save(folder / "right_frames" / f"frame{number:03d}.png", np.zeros((4, 4, 3), np.uint8))
        for name, mask in (
            ("Large_Needle_Driver_Left_labels", driver), ("Prograsp_Forceps_labels", forceps), ("Other_labels", probe)
        ):  # fmt: skip
            save(folder / "ground_truth" / name / f"frame{number:03d}.png", mask)
    parts = np.where(forceps > 0, 1, driver // 10)[28:1052, 320:1600].astype(np.int64)
    kinds = np.select([probe > 0, forceps > 0, driver > 0], [7, 2, 3], 0)[28:1052, 320:1600].astype(np.int64)
    return {"parts": parts, "types": kinds, "binary": (parts > 0).astype(np.int64)}


def write_endovis18(root: Path) -> np.ndarray:
    """Two sequences of three frames and a test sequence; one release holds RGBA. The truth holds every class."""
    truth = (np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) // 7 % 12).astype(np.int64)
    rgb = np.array(list(COLOURS_2018.values()), np.uint8)[truth]
    half = np.full((*SHAPE, 1), 128, np.uint8)
    half[:4] = 0
    for place, coded in (
        ("miccai_challenge_release_1/seq_2", rgb),
        ("miccai_challenge_release_2/seq_10", np.concatenate([rgb, half], -1)),
        ("test_data/seq_1", rgb),
    ):
        for n in range(3):
            save(root / place / "left_frames" / f"frame{n:03d}.png", picture(n))
            save(root / place / "right_frames" / f"frame{n:03d}.png", picture(n + 50))
            save(root / place / "labels" / f"frame{n:03d}.png", coded)
        (root / place / "labels.json").write_text("[]")
    return truth


def write_polypgen(root: Path) -> None:
    """Two positive sequences, the masks of one called like its frames, and frames without any polyp."""
    for name, ending in (("seq1", "_mask"), ("seq10", "")):
        for n in range(4):
            folder = root / "sequenceData" / "positive" / name
            save(folder / f"images_{name}" / f"{name}_endocv2021_positive_{n + 3}.jpg", picture(n))
            mask = moving_box(n, value=255)
            save(folder / f"masks_{name}" / f"{name}_endocv2021_positive_{n + 3}{ending}.jpg", mask, quality=60)
    for n in range(3):
        save(root / "sequenceData" / "negativeOnly" / "seq2_neg" / f"f{n}.jpg", picture(n))
    save(root / "data_C1" / "images_C1" / "100H0050.jpg", picture(9))
    save(root / "data_C1" / "masks_C1" / "100H0050_mask.jpg", moving_box(0, value=255))


def write_sunseg(root: Path) -> None:
    """Two training cases, one in two clips and also among the seen tests, and a case among the unseen."""
    for place, case in (
        ("TrainDataset", "case3_1"), ("TrainDataset", "case3_2"), ("TestEasyDataset/Seen", "case3_4"),
        ("TestHardDataset/Unseen", "case12_1"), ("TrainDataset", "case5_1"),
    ):  # fmt: skip
        for n in range(1, 4):
            stem = f"case_M_20181001100941_0U62363100354631_1_001_002-1_a2_ayy_image{n:04d}"
            save(root / place / "Frame" / case / f"{stem}.jpg", picture(n))
            save(root / place / "GT" / case / f"{stem}.png", moving_box(n, value=255))
            save(root / place / "Edge" / case / f"{stem}.png", moving_box(n, value=255))


def write_video(path: Path, frames: Sequence[np.ndarray], codec: str = "libx264", pixels: str = "yuv444p") -> Path:
    """Frames ``H W 3`` as a video with a key frame every five."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.gop_size = 5
        for array in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
