"""Writes small OCT sets as published and files as devices write them: names, types, values and byte layouts."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.io import savemat

DUKE = (40, 24, 9)
"""Rows, columns and B-scans of the small Duke subjects."""

MISSING = np.float32(3.4028235e38)


def boundaries(n: int, columns: int, first: float = 4, gap: float = 4) -> np.ndarray:
    """n parallel boundaries ``n columns`` with a slope."""
    return first + gap * np.arange(n)[:, None] + np.linspace(0, 3, columns)[None]


def write_duke(folder: Path, subjects: tuple[int, ...] = (1, 2, 10), labelled: tuple[int, ...] = (2, 6)) -> dict:
    """``Subject_XX.mat`` (version 5): B-scans without labels are NaN in the layers and 0 in the fluid; instances 1, 2.

    Columns 0 to 2 are not graded. Observer 2 draws a boundary 1 lower and no second instance, and grades scan 6 only.
    """
    _, columns, scans = DUKE
    variables = {}
    for subject in subjects:
        layers = np.full((8, columns, scans), np.nan)
        fluid = np.zeros(DUKE)
        for k in labelled:
            layers[:, 3:, k] = boundaries(8, columns)[:, 3:]
            fluid[10:12, 8:12, k] = 1
            fluid[14:16, 15:18, k] = 2
        layers2, fluid2 = layers + 1, np.where(fluid == 2, 0, fluid)
        layers2[:, :, labelled[0]] = np.nan
        images = np.random.default_rng(subject).integers(0, 256, DUKE).astype(float)
        variables = {
            "images": images, "manualLayers1": layers, "manualLayers2": layers2, "manualFluid1": fluid,
            "manualFluid2": fluid2, "automaticFluidDME": fluid, "automaticLayersDME": layers,
            "automaticLayersNormal": layers,
        }  # fmt: skip
        savemat(folder / f"Subject_{subject:02d}.mat", variables)
    return variables


def write_retouch(
    root: Path, vendor: str, case: str, shape: tuple[int, int, int], dtype: str, reference: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """One case ``oct.mhd`` + ``.raw`` of ``B-scans rows columns`` with its reference."""
    import SimpleITK

    rng = np.random.default_rng(shape[1])
    values = rng.integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)
    labels = rng.integers(0, 4, shape).astype(np.uint8)
    folder = root / vendor / case
    folder.mkdir(parents=True)
    for name, array in (("oct", values), *([("reference", labels)] if reference else [])):
        image = SimpleITK.GetImageFromArray(array)
        image.SetSpacing((0.0117, 0.0039, 0.12))
        SimpleITK.WriteImage(image, str(folder / f"{name}.mhd"), useCompression=False)
    return values, labels


def write_image(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


FINDINGS = [
    "Atrophy / thinning of retinal layers", "Disruption of EZ", "DRIL", "IR hemorrhages", "IR HRF",
    "Partially attached vitreous face", "Fully attached vitreous face", "Preretinal tissue/hemorrhage",
    "Vitreous debris", "VMT", "DRT/ME", "Fluid (IRF)", "Fluid (SRF)", "Disruption of RPE", "Drusen (sub-RPE)",
    "Drusen (RPD)", "GA/MA areas", "PED (serous)", "PED (fibrovascular)", "SHRM",
]  # fmt: skip
PATH = "Path (Trial/Arm/Folder/Visit/Eye/Image Name)"
VISITS = {
    "Prime_FULL/02-010/W0/OD": ("57", "{}.tif"),
    "Prime_FULL/02-010/W36/OD": ("57", "{}.tif"),
    "TREX DME/GILA/0201GOD/V1/OD": ("1", "TREXJ_{:06d}.tif"),
}
SLICES = 12


def write_olives(root: Path, shuffle: int = 0) -> tuple[Path, Path]:
    """Images of three labelled visits and one unlabelled, table A (26 columns) and table B (5), rows in disorder.

    IR HRF is in every volume but not in every slice; the cell of the vitreous debris of slice 3 is empty everywhere.
    As in the published tables Patient_ID is a float in A and an integer in B, and a .tif is called .png once.
    """
    a, b = [], []
    for visit, (patient, name) in VISITS.items():
        for k in range(SLICES):
            path = f"/{visit}/{name.format(k)}"
            write_image(root / path[1:], np.full((6, 8), k, dtype=np.uint8))
            findings = dict.fromkeys(FINDINGS, "0")
            findings |= {"IR HRF": str(int(k < 8)), "Fluid (IRF)": str(int(patient == "57" and k % 2))}
            findings["Vitreous debris"] = "" if k == 3 else "0"
            clinical = {"BCVA": "88", "CST": "307", "Eye_ID": patient, "Patient_ID": f"{patient}.0"}
            stated = path.replace(".tif", ".png") if k == 5 else path
            a.append({PATH: stated, "Scan (n/49)": str(k + 1), **findings, **clinical})
            b.append({"File_Path": path, **clinical, "Patient_ID": patient})
    for k in range(SLICES):
        path = f"/Prime_FULL/02-044/W4/OS/{k}.tif"
        write_image(root / path[1:], np.full((6, 8), k, dtype=np.uint8))
        b.append({"File_Path": path, "BCVA": "70", "CST": "", "Eye_ID": "80", "Patient_ID": "80"})
    tables = []
    for name, rows in (("Biomarker_Clinical_Data_Images.csv", a), ("Clinical_Data_Images.csv", b)):
        frame = pd.DataFrame(rows).sample(frac=1, random_state=shuffle)
        frame.to_csv(root / name, index=False)
        tables.append(root / name)
    return tables[0], tables[1]


_VOL_HEADER = struct.Struct("<12sIIIdddIIddId4sQiI16s16sI24sdI24sdIIII34s1790x")
_VOL_SCAN = struct.Struct("<12sIddddIIfI6f168x")


def write_vol(path: Path, values: np.ndarray, heights: np.ndarray) -> Path:
    """A Heidelberg .vol: header of 2048 bytes, localiser, then a header, heights and float32 pixels for each B-scan.

    ``values`` is ``B-scans rows columns``, ``heights`` ``boundaries B-scans columns``; 5.7 x 3.9 µm pixels.
    """
    scans, rows, columns = values.shape
    size = 256 + len(heights) * 4 * columns
    content = _VOL_HEADER.pack(
        b"HSF-OCT-103\0", columns, scans, rows, 0.0057, 0.12, 0.0039, 16, 16, 0.0114, 0.0114, 30, 0.0, b"OD\0\0",
        126227808000000000, 3, size, b"1", b"", 1, b"p1", 3652.0, 1, b"v1", 3652.0, 0, 0, 0, 0, b"",
    ) + bytes(16 * 16)  # fmt: skip
    assert _VOL_HEADER.size == 2048
    assert _VOL_SCAN.size == 256
    for k in range(scans):
        at = 2.0 - 0.12 * k
        content += _VOL_SCAN.pack(b"HSF-BS-103\0", size, 0.0, at, 1.0, at, len(heights), 256, 30.0, 0, *[0.0] * 6)
        content += heights[:, k].astype("<f4").tobytes() + values[k].astype("<f4").tobytes()
    path.write_bytes(content)
    return path


def write_fda(path: Path, values: np.ndarray, from_top: dict[str, np.ndarray]) -> Path:
    """A Topcon .fda: lossless JPEG 2000 B-scans, 6 mm wide, 2.6 µm deep; heights counted from the bottom, last first."""
    scans, rows, columns = values.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        return bytes([len(name)]) + name + struct.pack("<I", len(content)) + content

    images = struct.pack("<B6I", 2, 0, 0, columns, rows, scans, 0)
    for scan in values:
        buffer = io.BytesIO()
        Image.fromarray(scan).save(buffer, format="JPEG2000")
        images += struct.pack("<i", len(buffer.getvalue())) + buffer.getvalue()
    content = b"FOCT" + b"FDA" + struct.pack("<II", 1, 1000)
    content += chunk(b"@PATIENT_INFO_02", bytes(64))
    content += chunk(b"@IMG_JPEG", images)
    content += chunk(b"@PARAM_SCAN_04", struct.pack("<IIIdddddBB", 0, 0, 0, 6.0, 6.0, 2.6, 0, 0, 0, 0))
    for name, heights in from_top.items():
        body = (rows - heights)[::-1].astype("<u2").tobytes()
        header = struct.pack("<20sBBIII", name.encode(), 0, 0, columns, scans, len(body))
        content += chunk(b"@CONTOUR_INFO", header + body)
    path.write_bytes(content + b"\0")
    return path
