"""Data sets in the folder layout of nnU-Net (version 2): ``dataset.json``, ``imagesTr``, ``labelsTr``, ``imagesTs``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segnoise.data.pairing import natural_key
from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.volume.itkfile import ITK_SUFFIXES
from segnoise.data.volume.nifti import NIFTI_SUFFIXES
from segnoise.data.volume.stack import TIFF_SUFFIXES
from segnoise.errors import UserError


@dataclass(frozen=True)
class NnunetCase:
    """One case: the file of each channel, in order, and its labels (None for test cases without)."""

    name: str
    images: tuple[Path, ...]
    label: Path | None


@dataclass(frozen=True)
class NnunetDataset:
    """What ``dataset.json`` says, and the cases.

    ``classes`` are the names of the indices 0, 1, ...; ``ignore`` is the index that stands for unknown in the label
    files, to be given to ``VolumeLabels``, which makes it 255.
    """

    folder: Path
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    ignore: int | None
    training: tuple[NnunetCase, ...]
    test: tuple[NnunetCase, ...]


def read_nnunet(folder: str | Path) -> NnunetDataset:
    """An nnU-Net data set folder (``Dataset001_Name``); no image is opened.

    Cases come from ``imagesTr`` and ``imagesTs`` (``CASE_0000.nii.gz`` is the first channel of CASE), or from the
    key ``dataset`` of ``dataset.json``, in natural order. Training cases have ``labelsTr/CASE.nii.gz``; test cases
    ``labelsTs/CASE.nii.gz`` where that exists.

    Raises UserError for a missing or malformed ``dataset.json``, the format of version 1, region-based labels, class
    indices with gaps, and a case without one of its files, naming it. Layout: Isensee et al., nnU-Net (2021).

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> described = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}
    >>> _ = (folder / "dataset.json").write_text(json.dumps(described))
    >>> for name in ["imagesTr/c1_0000.nii.gz", "labelsTr/c1.nii.gz"]:
    ...     (folder / name).parent.mkdir()
    ...     (folder / name).touch()
    >>> dataset = read_nnunet(folder)
    >>> dataset.classes, [case.name for case in dataset.training]
    (('background', 'liver'), ['c1'])
    """
    folder = Path(folder)
    path = folder / "dataset.json"
    described = _described(path)
    channels = _channels(described, path)
    classes, ignore = _classes(described, path)
    ending = described.get("file_ending")
    known = (*NIFTI_SUFFIXES, *ITK_SUFFIXES, *TIFF_SUFFIXES)
    if ending not in known:
        raise UserError(f"{path}: file_ending {ending!r} is no volume that is read; known: {', '.join(known)}")
    if "dataset" in described:
        training = _listed(described["dataset"], folder, channels, path)
    else:
        training = _cases(folder / "imagesTr", folder / "labelsTr", channels, ending, needed=True)
    if not training:
        raise UserError(f"{folder}: has no case in imagesTr; a file is called CASE_0000{ending}")
    test = _cases(folder / "imagesTs", folder / "labelsTs", channels, ending, needed=False)
    return NnunetDataset(folder, channels, classes, ignore, training, test)


def _described(path: Path) -> dict[str, Any]:
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: no such file; give an nnU-Net folder such as nnUNet_raw/Dataset001_Name") from error
    except ValueError as error:
        raise UserError(f"{path}: is no JSON ({error}); repair it") from error
    if not isinstance(described, dict) or not isinstance(described.get("labels"), dict):
        raise UserError(f"{path}: has no object 'labels' (name to index); add it")
    if "channel_names" not in described:
        old = ", the format of nnU-Net 1; run nnUNetv2_convert_old_nnUNet_dataset" if "modality" in described else ""
        raise UserError(f"{path}: has no 'channel_names'{old or '; add them, by number'}")
    return described


def _channels(described: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = described["channel_names"]
    if not isinstance(names, dict) or sorted(names) != sorted(str(i) for i in range(len(names))) or not names:
        raise UserError(f'{path}: channel_names must number the channels from "0", such as {{"0": "CT"}}')
    return tuple(str(names[str(i)]) for i in range(len(names)))


def _classes(described: dict[str, Any], path: Path) -> tuple[tuple[str, ...], int | None]:
    indices: dict[str, int] = {}
    for name, index in described["labels"].items():
        if isinstance(index, list):
            raise UserError(f"{path}: label {name!r} is a region {index}; give one index a class, regions are not read")
        if isinstance(index, bool) or not isinstance(index, int):
            raise UserError(f"{path}: label {name!r} has the index {index!r}; give a whole number")
        indices[name] = index
    ignore = indices.pop("ignore", None)
    if sorted(indices.values()) != list(range(len(indices))) or ignore in indices.values():
        listed = ", ".join(f"{name} {index}" for name, index in described["labels"].items())
        raise UserError(f"{path}: class indices must run from 0 without gaps, each once ({listed})")
    if len(indices) > IGNORE_INDEX:
        raise UserError(f"{path}: has {len(indices)} classes; at most {IGNORE_INDEX} are possible")
    return tuple(sorted(indices, key=lambda name: indices[name])), ignore


def _cases(images: Path, labels: Path, channels: tuple[str, ...], ending: str, needed: bool) -> tuple[NnunetCase, ...]:
    files = {path.name for path in images.glob(f"*{ending}")} if images.is_dir() else set()
    names = {name[: -len(ending)].rpartition("_")[0] for name in files}
    cases = []
    for name in sorted(filter(None, names), key=natural_key):
        paths = [images / f"{name}_{channel:04d}{ending}" for channel in range(len(channels))]
        for path, channel in zip(paths, channels, strict=True):
            if path.name not in files:
                raise UserError(f"{path}: no such file, channel {channel!r} of the case {name}; add it")
        label = labels / f"{name}{ending}"
        if needed and not label.exists():
            raise UserError(f"{label}: no such file, the labels of the case {name}; add them")
        cases.append(NnunetCase(name, tuple(paths), label if label.exists() else None))
    return tuple(cases)


def _listed(cases: Any, folder: Path, channels: tuple[str, ...], path: Path) -> tuple[NnunetCase, ...]:
    """The key ``dataset``: case to images and label, as paths relative to the folder."""
    found = []
    for name in sorted(cases if isinstance(cases, dict) else {}, key=natural_key):
        case = cases[name]
        if not isinstance(case, dict) or not isinstance(case.get("images"), list) or "label" not in case:
            raise UserError(f"{path}: the case {name} in 'dataset' needs 'images' (a list) and 'label'")
        if len(case["images"]) != len(channels):
            raise UserError(f"{path}: the case {name} has {len(case['images'])} images for {len(channels)} channels")
        paths = [folder / str(file) for file in (*case["images"], case["label"])]
        for file in paths:
            if not file.exists():
                raise UserError(f"{file}: no such file, named by {path} for the case {name}; add it")
        found.append(NnunetCase(name, tuple(paths[:-1]), paths[-1]))
    return tuple(found)
