"""Fundus photographs as public sets lay them out: DRIVE, CHASE_DB1, REFUGE, or plain folders."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from segnoise.data.fieldofview import (
    BLACK_AND_WHITE,
    FoundFieldOfView,
    GivenFieldOfView,
    MaskFile,
    SeenImage,
    SeenLabels,
)
from segnoise.data.image import ImageLabels, ImageSource
from segnoise.data.item import Item
from segnoise.data.pairing import RASTER_SUFFIXES, SPLITS, natural_key
from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.source import Labels, Source
from segnoise.errors import UserError, nearest
from segnoise.windows import Window

_SUFFIXES = (*RASTER_SUFFIXES, ".gif")

_CLASSES = {
    "drive": ("background", "vessel"),
    "chase": ("background", "vessel"),
    "refuge": ("background", "rim", "cup"),
    "plain": ("background", "vessel"),
}
_REFUGE_VALUES = {255: 0, 128: 1, 0: 2}


def read_fundus(
    folder: str | Path,
    layout: str = "auto",
    observer: int = 1,
    classes: Sequence[str] | None = None,
    values: Mapping[int, int] | None = None,
    derive_fov: bool = False,
) -> tuple[list[str], list[Item]]:
    """The images of a fundus set with their masks: names of the classes, and the items in natural order.

    - ``drive``: ``{training,test}/{images,1st_manual,2nd_manual,mask}``; vessels, no labels where a manual folder
      lacks.
    - ``chase``: ``Image_01L.jpg``, ``Image_01L_1stHO.png``, ``Image_01L_2ndHO.png``; vessels, the group is the child.
    - ``refuge``: JPEG images and BMP masks of one name at any depth, split by their folders' names (train, val, test);
      background 255, rim 128, cup 0, by a table and not by thresholds.
    - ``plain``: ``images/``, with ``masks/`` or ``labels/`` and perhaps ``fov/`` of the same names; class indices
      unless ``values`` says which grey value is which class.
    - ``auto``: the one of these that the folder is.

    Outside the field of view the image is not observed and labels are unknown (255): by DRIVE's ``mask/`` or ``fov/``,
    or with ``derive_fov``, where there is no file, by ``field_of_view``. ``observer`` 1 or 2 chooses who drew the
    vessels (DRIVE, CHASE_DB1). ``classes`` (default background, vessel) and ``values`` are for plain folders.

    Data: Staal et al., IEEE TMI 23 (2004); Fraz et al., IEEE TBME 59 (2012); Orlando et al., Medical Image Analysis 59
    (2020).

    Raises UserError that says what was seen where no layout fits, for an image whose mask or field of view is missing
    among others, for sizes that differ and, when reading, for a value that is no class.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{folder}: no such folder; check the path")
    found = _detect(root) if layout == "auto" else layout
    if found not in _CLASSES:
        raise UserError(f"layout {layout!r}: not known; {nearest(layout, [*_CLASSES, 'auto'])}")
    observers = (1, 2) if found in ("drive", "chase") else (1,)
    if observer not in observers:
        raise UserError(f"observer {observer}: this is a {found} folder; choose from {observers}")
    if found != "plain" and (classes is not None or values is not None):
        raise UserError(f"classes and values are fixed for a {found} folder; leave them out, or use layout plain")
    names = list(_CLASSES[found] if classes is None else classes)
    if found == "drive":
        items = _drive(root, observer, derive_fov)
    elif found == "chase":
        items = _chase(root, observer, derive_fov)
    elif found == "refuge":
        items = _refuge(root, derive_fov)
    else:
        items = _plain(root, derive_fov, len(names), values)
    if not items:
        raise UserError(f"{folder}: no image where a {found} folder has them; it holds {_seen(root)}")
    if all(item.labels is None for item in items):
        raise UserError(f"{folder}: none of the {len(items)} images has a mask (observer {observer}); add them")
    return names, items


def _drive(root: Path, observer: int, derive_fov: bool) -> list[Item]:
    items = []
    for folder, split in (("training", "train"), ("test", "test")):
        manual = _Folder(root / folder / ("1st_manual" if observer == 1 else "2nd_manual"))
        fov = _Folder(root / folder / "mask")
        for stem, path in _Folder(root / folder / "images").files.items():
            mask = manual.get(f"{stem.split('_')[0]}_manual{observer}", path)
            view = fov.get(f"{stem}_mask", path)
            items.append(_item(path, mask, view, BLACK_AND_WHITE, derive_fov, split=split))
    return items


def _chase(root: Path, observer: int, derive_fov: bool) -> list[Item]:
    everything = _Folder(root)
    items = []
    for stem, path in everything.files.items():
        if match := re.fullmatch(r"Image_(\d+)[LR]", stem):
            mask = everything.get(f"{stem}_{'1st' if observer == 1 else '2nd'}HO", path)
            items.append(_item(path, mask, None, BLACK_AND_WHITE, derive_fov, group=match[1]))
    return items


def _refuge(root: Path, derive_fov: bool) -> list[Item]:
    files = [path for path in root.rglob("*") if path.is_file()]
    images = _by_stem(path for path in files if path.suffix.lower() in (".jpg", ".jpeg"))
    masks = _by_stem(path for path in files if path.suffix.lower() == ".bmp")
    split = {stem: _split_of(path.relative_to(root)) for stem, path in images.items()}
    labelled = {split[stem] for stem in masks if stem in split}
    for stem, path in images.items():
        if stem not in masks and split[stem] in labelled:
            raise UserError(f"{path}: no {stem}.bmp, though others of its split have masks; add it or take it out")
    return [
        _item(path, masks.get(stem), None, _REFUGE_VALUES, derive_fov, split=split[stem])
        for stem, path in images.items()
    ]


def _plain(root: Path, derive_fov: bool, num_classes: int, values: Mapping[int, int] | None) -> list[Item]:
    known = {*range(num_classes), IGNORE_INDEX}
    if values is not None and not all(0 <= v <= 255 and k in known for v, k in values.items()):
        raise UserError(f"values {dict(values)}: give grey values (0 to 255) with classes 0 to {num_classes - 1}")
    masks = _Folder(root / ("masks" if (root / "masks").is_dir() else "labels"))
    fov = _Folder(root / "fov")
    items: list[Item] = []
    for stem, path in _Folder(root / "images").files.items():
        mask = masks.get(stem, path)
        if not items and mask is not None and values is None:
            _refuse_black_and_white(mask)
        items.append(_item(path, mask, fov.get(stem, path), values, derive_fov, num_classes))
    return items


def _item(
    path: Path,
    mask: Path | None,
    fov: Path | None,
    values: Mapping[int, int] | None,
    derive_fov: bool,
    num_classes: int | None = None,
    group: str | None = None,
    split: str | None = None,
) -> Item:
    image = ImageSource(path)
    given: MaskFile | ImageLabels | None = None
    if mask is not None:
        given = MaskFile(mask, values, image) if values is not None else ImageLabels(mask, num_classes, image)
    source: Source = image
    labels: Labels | None = given
    if fov is not None or derive_fov:
        view = GivenFieldOfView(fov, image) if fov is not None else FoundFieldOfView(image)
        source = SeenImage(image, view)
        labels = SeenLabels(given, view) if given is not None else None
    return Item(path.stem, source, labels, group=group, split=split)


class _Folder:
    """The images in a folder by stem, in natural order; none where the folder does not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.exists = path.is_dir()
        entries = path.iterdir() if self.exists else iter(())
        self.files = _by_stem(p for p in entries if p.suffix.lower() in _SUFFIXES)

    def get(self, stem: str, image: Path) -> Path | None:
        """None where there is no such folder; a mistake where only this file is missing."""
        if self.exists and stem not in self.files:
            raise UserError(f"{self.path}: no {stem}.* for the image {image}; add it or take the image out")
        return self.files.get(stem)


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(paths, key=lambda p: natural_key(p.name)):
        if path.stem in found:
            raise UserError(f"{path}: has the name of {found[path.stem]}; keep one of the two")
        found[path.stem] = path
    return found


def _detect(root: Path) -> str:
    drive = [root / split / name for split in ("training", "test") for name in ("1st_manual", "mask")]
    if any(folder.is_dir() for folder in drive):
        return "drive"
    if (root / "images").is_dir() and any((root / name).is_dir() for name in ("masks", "labels")):
        return "plain"
    if any(root.glob("Image_*_1stHO.*")):
        return "chase"
    if next(root.rglob("*.[bB][mM][pP]"), None) is not None:
        return "refuge"
    raise UserError(
        f"{root}: neither DRIVE (training/images), CHASE_DB1 (Image_01L_1stHO.png) nor REFUGE (BMP masks), and no "
        f"images/ with masks/ or labels/; it holds {_seen(root)}"
    )


def _seen(root: Path) -> str:
    entries = sorted(root.iterdir(), key=natural_key)
    folders = [path.name + "/" for path in entries if path.is_dir()]
    files = Counter(path.suffix.lower() or path.name for path in entries if path.is_file())
    return ", ".join(folders[:8] + [f"{n} {suffix}" for suffix, n in files.most_common(8)]) or "nothing"


def _split_of(path: Path) -> str | None:
    return next((split for part in path.parts[:-1] for split in SPLITS if split in part.lower()), None)


def _refuse_black_and_white(mask: Path) -> None:
    labels = ImageLabels(mask)
    if np.unique(labels.read(Window((0, 0), labels.shape))).tolist() == [0, IGNORE_INDEX]:
        raise UserError(f"{mask}: holds only 0 and 255, and 255 means unknown; say values={{0: 0, 255: 1}}")
