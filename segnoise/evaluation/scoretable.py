"""The content of metrics.json as tables, with a dash for what is not known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DASH = "–"

_PER_CLASS = {
    "iou": "IoU",
    "dice": "Dice",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "boundary_f1": "Boundary F1",
}
_WHOLE = {
    "accuracy": "Accuracy",
    "object_precision": "Object precision",
    "object_recall": "Object recall",
    "object_f1": "Object F1",
    "ece": "ECE",
    "label_error_auroc": "Label-error AUROC",
    "label_error_ap": "Label-error AP",
}


@dataclass(frozen=True)
class Row:
    """A line of a table: what it is about (and its run, where several are compared), then its cells."""

    name: str
    run: int | None
    cells: list[str]


@dataclass(frozen=True)
class Group:
    """Lines under a common heading; the heading is empty where there is one run only."""

    heading: str
    rows: list[Row]


@dataclass(frozen=True)
class Table:
    columns: list[str]
    groups: list[Group]


def number(value: Any, digits: int = 3) -> str:
    """A score as text; a dash for what is missing or not a number.

    >>> number(0.83333), number(None), number(float("nan"))
    ('0.833', '–', '–')
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}"


def class_table(runs: Sequence[tuple[str, dict[str, Any] | None]]) -> Table:
    """Per-class scores: classes as lines for one run, runs under each class for several."""
    classes = list(dict.fromkeys(name for _, m in runs if m for name in m.get("iou", {}).get("per_class", {})))
    kinds = [*classes, None]
    if len(runs) == 1:
        metrics = runs[0][1]
        return Table(list(_PER_CLASS.values()), [Group("", [_class_row(k or "mean", None, metrics, k) for k in kinds])])
    groups = [
        Group(k or "mean over classes", [_class_row(name, i, m, k) for i, (name, m) in enumerate(runs)]) for k in kinds
    ]
    return Table(list(_PER_CLASS.values()), groups)


def whole_table(runs: Sequence[tuple[str, dict[str, Any] | None]]) -> Table:
    """Scores that have no class: one line a run."""
    several = len(runs) > 1
    rows = []
    for i, (name, metrics) in enumerate(runs):
        known = dict(metrics or {})
        known["accuracy"] = (known.get("accuracy") or {}).get("mean")
        rows.append(Row(name, i if several else None, [number(known.get(key)) for key in _WHOLE]))
    return Table(list(_WHOLE.values()), [Group("", rows)])


def patient_table(runs: Sequence[tuple[str, dict[str, Any] | None]]) -> Table | None:
    """Means over patients with their intervals: a line a class and run; None where no run has them."""
    known = [(name, m["patients"]) for name, m in runs if m and m.get("patients", {}).get("n")]
    if not known:
        return None
    several = len(runs) > 1
    unit, axes = known[0][1]["unit"], known[0][1]["axes"]
    amount = {"mm": {2: "mm²", 3: "mm³"}.get(axes, "mm"), "px": "px"}[unit]
    headings = {
        "dice": "Dice", "iou": "IoU", "nsd": f"Surface Dice at {known[0][1]['tolerance']:.3g} {unit}",
        "hd95": f"HD95, {unit}", "assd": f"Average distance, {unit}",
        "volume_difference": f"Volume difference, {amount}",
    }  # fmt: skip
    classes = [*known[0][1]["dice"]["per_class"], None]
    groups = []
    for kind in classes:
        rows = []
        for i, (name, found) in enumerate(known):
            cells = [
                _interval(found[key]["per_class"].get(kind) if kind else found[key]["mean"], key) for key in headings
            ]
            rows.append(Row(name if several else kind or "mean", i if several else None, cells))
        groups.append(Group((kind or "mean over classes") if several else "", rows))
    if not several:
        groups = [Group("", [row for group in groups for row in group.rows])]
    return Table(list(headings.values()), groups)


def sequence_table(runs: Sequence[tuple[str, dict[str, Any] | None]]) -> Table | None:
    """Scores of sequences in both conventions and their flicker: a line a sequence and run; None where no run has them.

    Frames are those that show any foreground, which are the ones that the scores of frames are means over.
    """
    known = [(name, m["sequences"]) for name, m in runs if m and m.get("sequences", {}).get("n")]
    if not known:
        return None
    several = len(runs) > 1
    sequences = list(dict.fromkeys(name for _, found in known for name in found["pooled_per_sequence"]))
    groups = []
    for sequence in [*sequences, None]:
        rows = []
        for i, (name, found) in enumerate(known):
            cells = _sequence_cells(found, sequence)
            rows.append(Row(name if several else sequence or "all", i if several else None, cells))
        groups.append(Group((sequence or "all sequences") if several else "", rows))
    if not several:
        groups = [Group("", [row for group in groups for row in group.rows])]
    return Table(["IoU of frames", "Dice of frames", "IoU, pooled", "Dice, pooled", "Flicker", "Frames"], groups)


def _sequence_cells(found: dict[str, Any], sequence: str | None) -> list[str]:
    """The cells of one sequence, or of all of them (None)."""
    challenge, pooled, flicker = found["challenge"], found["pooled"], found["flicker"]
    if sequence is not None:
        challenge, pooled, flicker = (
            found[f"{key}_per_sequence"].get(sequence) for key in ("challenge", "pooled", "flicker")
        )
    scores = [((kind or {}).get(key) or {}).get("mean") for kind in (challenge, pooled) for key in ("iou", "dice")]
    return [*(number(score) for score in scores), number(flicker, 4), str((challenge or {}).get("frames", DASH))]


def _interval(found: dict[str, Any] | None, key: str) -> str:
    if found is None or found["value"] is None:
        return DASH
    digits = 3 if key in ("dice", "iou", "nsd") else (1 if found["value"] >= 10 else 2)
    ends = (
        ""
        if found["low"] is None or found["high"] is None
        else (f" ({number(found['low'], digits)} to {number(found['high'], digits)})")
    )
    return f"{number(found['value'], digits)}{ends}"


def mean_iou(metrics: dict[str, Any] | None) -> float | None:
    value = ((metrics or {}).get("iou") or {}).get("mean")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _class_row(name: str, run: int | None, metrics: dict[str, Any] | None, kind: str | None) -> Row:
    """The line of one class, or of the means (``kind`` None)."""
    cells = []
    for key in _PER_CLASS:
        score = (metrics or {}).get(key) or {}
        cells.append(number(score.get("mean") if kind is None else score.get("per_class", {}).get(kind)))
    return Row(name, run, cells)
