"""A first configuration for photographs of the retina."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segnoise.data import IGNORE_INDEX, ImageSource
from segnoise.data.fieldofview import field_of_view
from segnoise.data.fundus import read_fundus
from segnoise.data.item import Item
from segnoise.data.pairing import RASTER_SUFFIXES, natural_key
from segnoise.data.rasterfile import RasterFile
from segnoise.errors import UserError
from segnoise.training.initial.brightness import look_at
from segnoise.training.initial.dealing import deal
from segnoise.training.initial.draft import Choice, Choices, Draft, Files, Progress
from segnoise.training.initial.effort import block_window, sides, square_window
from segnoise.training.initial.labelcount import count_labels, see_classes
from segnoise.training.initial.listed import folder_of, with_labels
from segnoise.training.initial.together import together
from segnoise.windows import Window

_ANY = [str(k) for k in range(IGNORE_INDEX)]
# A photograph of which less is retina has a black surround.
_ROUND = 0.97


def draft_fundus(files: Files, progress: Progress | None = None) -> Draft:
    """Looks at a folder of a public set, or at images/ with masks/ or labels/."""
    root = folder_of(files, "fundus")
    plain = _is_plain(root)
    values = _grey_values(root) if plain else None
    if plain:
        classes = _ANY if values is None else _named(values)
        _, items = read_fundus(root, "plain", 1, classes, values.value if values is not None else None)
        known = None
        layout = Choice("plain", f"{'masks' if (root / 'masks').is_dir() else 'labels'}/ beside images/")
    else:
        known, items = read_fundus(root)
        layout = _public(known, items)
    items, labels, warnings = with_labels(items, root)
    derive = _derive(root, plain, layout.value, items)
    counts = count_labels(labels, len(labels), progress)
    if plain and values is not None:
        known = _named(values)  # all of them, also one that is only outside the field of view
    seen = see_classes(counts, str(root), known, "data.values, a guess" if plain else f"the layout {layout.value}")
    groups = None if all(item.group is None for item in items) else [item.group for item in items]
    names = [item.source.name for item in items]
    dealt = deal(names, "photograph", blocks=True, given=[item.split for item in items], groups=groups)
    shapes = [item.source.shape for item in items]
    window = block_window(shapes, "photograph") if dealt.by == "block" else square_window(shapes)
    brightness = look_at([item.source for item in items])
    facts = [
        f"{len(items)} photographs of {sides(shapes)} px, layout {layout.value}; {brightness or 'nothing observed'}",
        seen.fact,
    ]
    data: dict[str, Choice | Choices] = {
        "kind": Choice("fundus", ""), "folder": Choice(files.written(root), f"{len(items)} photographs with masks"),
        "layout": layout, "classes": seen.names, "window": window, "split": dealt.split, "derive_fov": derive,
        "scaling": {"per": Choice("set", f"one scaling for all; {brightness}")},
    }  # fmt: skip
    if values is not None:
        data["values"] = values
        warnings = [*warnings, f"masks hold the grey values {', '.join(map(str, values.value))}; see data.values"]
    return together(data, shapes, dealt, facts, [*warnings, *seen.warnings])


def _named(values: Choice) -> list[str]:
    last = max((k for k in values.value.values() if k != IGNORE_INDEX), default=0)
    return ["background", *(f"class_{k}" for k in range(1, max(last, 1) + 1))]


def _is_plain(root: Path) -> bool:
    drive = any((root / part / name).is_dir() for part in ("training", "test") for name in ("1st_manual", "mask"))
    return not drive and (root / "images").is_dir() and any((root / name).is_dir() for name in ("masks", "labels"))


def _public(classes: Sequence[str], items: Sequence[Item]) -> Choice:
    if len(classes) == 3:
        return Choice("refuge", "disc and cup in BMP masks, as REFUGE has them")
    if any(item.group is not None for item in items):
        return Choice("chase", "two eyes of each child, as CHASE_DB1 names them")
    return Choice("drive", "training/ and test/ with 1st_manual/, as DRIVE has them")


def _grey_values(root: Path) -> Choice | None:
    """Which grey value is which class, where masks do not hold class indices; None where they do."""
    folder = root / ("masks" if (root / "masks").is_dir() else "labels")
    paths = sorted(
        (p for p in folder.iterdir() if p.suffix.lower() in (*RASTER_SUFFIXES, ".gif")),
        key=lambda p: natural_key(p.name),
    )
    if not paths:
        raise UserError(f"{folder}: no mask here; add them under their images' names")
    found: set[int] = set()
    coloured = False
    for path in paths:
        file = RasterFile(path)
        if file.info.palette is not None:
            return None
        bands, _ = file.read(file.info.bands, Window((0, 0), file.info.shape))
        if not (bands == bands[0]).all():
            raise UserError(f"{path}: a mask in colours; write class indices 0, 1, 2, ... in one band")
        coloured |= len(bands) > 1
        found |= set(np.unique(bands[0]).astype(int).tolist())
    order = sorted(found)
    indices = [value for value in order if value != IGNORE_INDEX]
    # 0 and 255 alone are a mask of grey values; class indices lie close together.
    grey = order == [0, IGNORE_INDEX] or (len(order) <= 16 and indices[-1:] > [2 * len(order)])
    if not grey and not coloured:
        return None
    table = {value: k for k, value in enumerate(order)} if grey else {v: v for v in order}
    return Choice(table, "a guess: the grey values of the masks in rising order; 255 is unknown if it is a class here")


def _derive(root: Path, plain: bool, layout: str, items: Sequence[Item]) -> Choice:
    """Whether the round field of view is to be found in the image: where no file tells it and corners are black."""
    if layout == "drive" or (plain and (root / "fov").is_dir()):
        return Choice(False, "files tell the field of view")
    shares = []
    for item in items[:4]:
        image = ImageSource(Path(getattr(item.source, "path", item.name)))
        shares.append(float(field_of_view(image.read(Window((0, 0), image.shape))[0]).mean()))
    share = sum(shares) / len(shares)
    seen = f"a guess: {100 * share:.0f} % of the first photographs is one bright piece"
    return Choice(share < _ROUND, f"{seen}, the rest black" if share < _ROUND else seen)
