"""One image with its labels, as every reader of a layout on disk gives it, and what must hold for a list of them."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from segnoise.data.source import Labels, Source
from segnoise.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One image with its labels, as a layout on disk names them.

    ``name`` is unique in the data set; the slices of a volume are named ``<volume>/<slice>``. ``group`` is the patient
    or eye, which no split may cut; ``split`` is train, val or test where the data set says so. ``image_labels`` are
    labels of the whole image by name: 1 yes, 0 no, nan unknown (never no).

    >>> from segnoise.data.source import ArraySource
    >>> Item("TRAIN001/007", ArraySource(np.zeros((1, 4, 4))), None, group="TRAIN001").volume
    'TRAIN001'
    """

    name: str
    source: Source
    labels: Labels | None
    group: str | None = None
    split: str | None = None
    image_labels: Mapping[str, float] = field(default_factory=dict)

    @property
    def volume(self) -> str:
        """The volume this slice belongs to: the name up to its last slash (all of it where there is none)."""
        return self.name.rpartition("/")[0] or self.name


def check_disjoint(items_by_split: Mapping[str, Sequence[Item]], allow: bool = False) -> set[str]:
    """The groups (patients) that lie in more than one split; there may be none unless ``allow``.

    An item without a group is a group of its own, by its name. With ``allow`` what is shared is logged as a warning.

    Raises UserError that names the two splits and a patient they share.

    >>> from segnoise.data.source import ArraySource
    >>> a, b = (Item(name, ArraySource(np.zeros((1, 4, 4))), None, group="7") for name in ("7/OD", "7/OS"))
    >>> check_disjoint({"train": [a, b], "test": []})
    set()
    >>> check_disjoint({"train": [a], "test": [b]})
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: train and test share 1 patient (7); split by patient, ...
    """
    home: dict[tuple[bool, str], str] = {}
    shared: dict[str, set[str]] = {}
    for split, items in items_by_split.items():
        for item in items:
            key = (item.group is None, item.name if item.group is None else item.group)
            first = home.setdefault(key, split)
            if first != split:
                shared.setdefault(f"{first} and {split}", set()).add(key[1])
    for splits, groups in shared.items():
        some = ", ".join(sorted(groups)[:3]) + (", ..." if len(groups) > 3 else "")
        what = f"{splits} share {len(groups)} patient{'s' if len(groups) > 1 else ''} ({some})"
        if not allow:
            raise UserError(f"{what}; split by patient, or allow it for a comparison with others' split")
        logger.warning("%s: scores on the second are too good", what)
    return set().union(*shared.values())


def label_entropy(items: Iterable[Item]) -> dict[str, dict[str, float]]:
    """What each image-level label tells, in bits: its entropy over the slices and over the volumes.

    ``H = -p log2 p - (1 - p) log2 (1 - p)`` with p the share of positives among the known. A volume is positive if a
    slice of it is, negative if all are, else unknown. 0 bits: all known ones agree, so nothing can be learnt from
    them; nan: none is known.

    Raises UserError for a label that is neither 0, 1 nor nan.

    >>> from segnoise.data.source import ArraySource
    >>> items = [Item(f"{v}/{k}", ArraySource(np.zeros((1, 4, 4))), None, image_labels={"IRF": float(k == 0)})
    ...          for v in "ab" for k in range(2)]
    >>> label_entropy(items)
    {'IRF': {'slice': 1.0, 'volume': 0.0}}
    """
    volumes: dict[str, dict[str, list[float]]] = {}
    for item in items:
        for name, value in item.image_labels.items():
            if not (value in (0, 1) or math.isnan(value)):
                raise UserError(f"{item.name}: the label {name!r} is {value:g}; entropy is of yes and no (1 and 0)")
            volumes.setdefault(name, {}).setdefault(item.volume, []).append(value)
    return {
        name: {
            "slice": _entropy(np.concatenate([np.array(slices) for slices in by_volume.values()])),
            "volume": _entropy(np.array([_any(slices) for slices in by_volume.values()])),
        }
        for name, by_volume in volumes.items()
    }


def _any(slices: Sequence[float]) -> float:
    """1 if a slice is positive; else the sum, which is nan if one is unknown."""
    return 1.0 if 1 in slices else float(sum(slices))


def _entropy(labels: NDArray[np.float64]) -> float:
    known = labels[~np.isnan(labels)]
    if not known.size:
        return math.nan
    return float(-sum(p * math.log2(p) for p in (known.mean(), 1 - known.mean()) if p > 0)) + 0.0
