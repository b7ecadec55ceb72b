"""Which classes the labels hold, with their shares, and what is strange about them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from segnoise.data import IGNORE_INDEX, Labels
from segnoise.data.tiles import tiles
from segnoise.errors import UserError
from segnoise.training.initial.draft import Choice, Progress
from segnoise.windows import Window

_TILE = 1024
_RARE = 0.01
# Grey values and object ids jump; class indices rarely do.
_MANY, _CROWD = 32, 64


@dataclass(frozen=True)
class ClassesSeen:
    """Class names with the reason, the shares in words, and what to beware of."""

    names: Choice
    fact: str
    warnings: list[str] = field(default_factory=list)


def count_labels(labels: Iterable[Labels], total: int = 0, progress: Progress | None = None) -> NDArray[np.int64]:
    """How many pixels have each label, 0 to 255, over all files; each is read once, a tile at a time."""
    counts = np.zeros(IGNORE_INDEX + 1, dtype=np.int64)
    for done, one in enumerate(labels, 1):
        for tile in tiles(Window((0,) * len(one.shape), one.shape), _TILE):
            counts += np.bincount(one.read(tile).ravel(), minlength=IGNORE_INDEX + 1)
        if progress is not None:
            progress(done, total)
    return counts


def see_classes(
    counts: NDArray[np.int64], where: str, names: Sequence[str] | None = None, source: str = "", grey: str = ""
) -> ClassesSeen:
    """Names for the classes that were counted: those given (from ``source``), else background, class_1, ...

    Raises UserError where fewer than two classes are labelled, and where values look like grey values or object ids;
    ``grey`` says what to do about masks of 0 and 255.

    >>> counts = np.zeros(256, dtype=np.int64)
    >>> counts[[0, 2, 255]] = 90, 10, 25
    >>> seen = see_classes(counts, "masks")
    >>> seen.names.value, seen.fact
    (['background', 'class_1', 'class_2'], 'labels: 0 90 %, 1 0 %, 2 10 %; 20 % of the pixels unknown (255)')
    """
    known = counts[:IGNORE_INDEX]
    present = np.flatnonzero(known)
    if len(present) < 2:
        held = ", ".join(map(str, [*present, *([IGNORE_INDEX] if counts[IGNORE_INDEX] else [])]))
        advice = grey if present.tolist() == [0] and counts[IGNORE_INDEX] and grey else "check the labels"
        raise UserError(
            f"{where}: the labels hold only {held or 'nothing'}, so there is nothing to tell apart; {advice}"
        )
    last = int(present[-1])
    if names is None and last >= _MANY and len(present) < (last + 1) / 2:
        some = ", ".join(map(str, present[:6])) + (", ..." if len(present) > 6 else "")
        raise UserError(
            f"{where}: the label values {some} look like grey values or object ids; write class indices 0, 1, 2, ..."
        )
    if names is not None and last >= len(names):
        raise UserError(f"{where}: the labels hold the value {last}, but {source} names {len(names)} classes")
    chosen = list(names) if names is not None else ["background", *(f"class_{k}" for k in range(1, last + 1))]
    shares = known[: len(chosen)] / known.sum()
    told = ", ".join(f"{k} {_percent(share)}" for k, share in enumerate(shares))
    unknown = counts[IGNORE_INDEX] / counts.sum()
    fact = f"labels: {told}" + (f"; {_percent(unknown)} of the pixels unknown (255)" if unknown else "")
    warnings = []
    rare = [f"{chosen[k]} ({_percent(s)})" for k, s in enumerate(shares) if 0 < s < _RARE]
    if rare:
        warnings.append(f"classes with less than 1 % of the labels: {', '.join(rare)}; they may not be learnt")
    if names is None and len(present) > _CROWD:
        warnings.append(f"{len(present)} different label values: are they object ids or grey values, not classes?")
    absent = [chosen[k] for k, share in enumerate(shares) if not share]
    if absent:
        warnings.append(f"classes that are nowhere in the labels: {', '.join(absent)}; class indices begin with 0")
    if names is not None:
        return ClassesSeen(Choice(chosen, f"names from {source}; {fact}"), fact, warnings)
    return ClassesSeen(Choice(chosen, f"names are a guess, put yours; {fact}"), fact, warnings)


def names_in_raster(path: Path, count: int) -> list[str] | None:
    """Class names that a label raster carries: categories beside it (.aux.xml), or a tag class_names or classes."""
    beside = path.with_name(f"{path.name}.aux.xml")
    found: list[str] = []
    if beside.is_file():
        try:
            root = ElementTree.parse(beside).getroot()
        except ElementTree.ParseError:
            return None
        found = [(category.text or "").strip() for category in root.iter("Category")]
    with rasterio.open(path) as dataset:
        tags = {key.lower(): value for key, value in {**dataset.tags(), **dataset.tags(1)}.items()}
    for key in ("class_names", "classes"):
        if not found and key in tags:
            found = _listed(tags[key])
    usable = len(found) >= max(count, 2) and all(found) and len(set(found)) == len(found)
    return found if usable else None


def _listed(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except ValueError:
        value = re.split(r"[,;]", text.strip().strip("{}[]"))
    return [str(name).strip() for name in value] if isinstance(value, list) else []


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.1 else f"{100 * share:.2g} %"
