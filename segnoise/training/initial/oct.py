"""A first configuration for optical coherence tomography."""

from __future__ import annotations

from pathlib import Path

from segnoise.data import IGNORE_INDEX
from segnoise.data.item import Item
from segnoise.errors import UserError
from segnoise.training.initial.brightness import look_at
from segnoise.training.initial.dealing import deal
from segnoise.training.initial.draft import Choice, Choices, Draft, Files, Progress
from segnoise.training.initial.effort import box_window, sides
from segnoise.training.initial.labelcount import count_labels, see_classes
from segnoise.training.initial.listed import folder_of, told_of, with_labels
from segnoise.training.initial.together import together

_GREY = "255 means unknown, and a mask of grey values has it for a class: write 1 instead"


def draft_oct(files: Files, progress: Progress | None = None) -> Draft:
    """Looks at the Duke, RETOUCH or OLIVES set, or at images/ with masks/."""
    root = folder_of(files, "oct")
    layout, names, items = _read(root)
    if layout.value == "olives":
        return _findings(files, root, layout, names or [], items)
    items, labels, warnings = with_labels(items, root)
    counts = count_labels(labels, len(labels), progress)
    seen = see_classes(counts, str(root), names, f"the layout {layout.value}", _GREY)
    groups = [item.group for item in items]
    dealt = deal([item.name for item in items], "B-scan", blocks=False, groups=groups)
    shapes = [item.source.shape for item in items]
    brightness = look_at([item.source for item in items])
    facts = [
        f"{len(items)} labelled B-scans of {sides(shapes)} px from {len(set(groups))} volumes or patients, layout "
        f"{layout.value}; {brightness or 'nothing observed'}",
        seen.fact,
    ]
    data: dict[str, Choice | Choices] = {
        "kind": Choice("oct", ""), "folder": Choice(files.written(root), f"{len(items)} B-scans with masks"),
        "layout": layout, "classes": seen.names, "window": box_window(shapes, 256), "split": dealt.split,
        "scaling": {"per": Choice("image", f"devices differ in brightness; {brightness}")},
    }  # fmt: skip
    return together(data, shapes, dealt, facts, [*warnings, *seen.warnings])


def _read(root: Path) -> tuple[Choice, list[str] | None, list[Item]]:
    """The layout, its classes (None where the masks tell), and the B-scans."""
    from segnoise.data import oct as sets

    if next(root.glob("Subject_*.mat"), None) is not None:
        return Choice("duke", "Subject_*.mat, as the Duke DME set has them"), *sets.read_duke(root)
    if next(root.rglob("oct.mhd"), None) is not None:
        return Choice("retouch", "oct.mhd in a folder a case, as RETOUCH has them"), *sets.read_retouch(root)
    findings, clinical = _table(root, "Biomarker_Clinical_Data_Images"), _table(root, "Clinical_Data_Images")
    if findings is not None:
        names, items = sets.read_olives(root, findings, clinical, occurring=True)
        return Choice("olives", f"{findings.name}, as OLIVES has it: findings of whole B-scans"), names, items
    inside = {part for path in root.rglob("*") if path.is_dir() for part in path.relative_to(root).parts}
    if {"images", "masks"} <= inside:
        names, items = sets.read_bscans(root, [str(k) for k in range(IGNORE_INDEX)])
        return Choice("bscans", "folders images and masks"), None, items
    held = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
    raise UserError(
        f"--folder {root}: no Subject_*.mat (Duke), oct.mhd (RETOUCH), Biomarker_Clinical_Data_Images (OLIVES), nor "
        f"folders images and masks; it holds {held}"
    )


def _table(root: Path, stem: str) -> Path | None:
    return next((path for ending in (".csv", ".xlsx") if (path := root / f"{stem}{ending}").is_file()), None)


def _findings(files: Files, root: Path, layout: Choice, names: list[str], items: list[Item]) -> Draft:
    """OLIVES: no pixel is labelled, so crops are whole B-scans and the method learns from labels of images."""
    known = [item for item in items if any(told_of([item], name)[1] for name in names)]
    told = {name: told_of(known, name) for name in names}
    varied = [name for name, (positive, of) in told.items() if 0 < positive < of]
    if not varied:
        raise UserError(f"--folder {root}: no finding is in some B-scans and not in others, so nothing can be learnt")
    groups = [item.group for item in known]
    dealt = deal([item.name for item in known], "B-scan", blocks=False, groups=groups)
    shapes = [item.source.shape for item in known]
    cover = [max(16, -(-max(axis) // 16) * 16) for axis in zip(*shapes, strict=True)]
    shares = ", ".join(f"{name} {told[name][0]} of {told[name][1]}" for name in varied)
    facts = [
        f"{len(known)} B-scans of {sides(shapes)} px with findings, {len(items) - len(known)} without, of "
        f"{len(set(groups))} patients; layout olives",
        f"findings: {shares}",
    ]
    warnings = ["no pixel is labelled: maps of the findings can only be judged by eye, or on masks of your own"]
    data: dict[str, Choice | Choices] = {
        "kind": Choice("oct", ""), "folder": Choice(files.written(root), f"{len(known)} B-scans with findings"),
        "layout": layout, "classes": Choice(["background", *varied], f"findings that vary: {shares}"),
        "window": Choice(cover, f"all of a B-scan ({sides(shapes)} px): what is said of it does not hold for a part"),
        "split": dealt.split, "scaling": {"per": Choice("image", "devices differ in brightness")},
    }  # fmt: skip
    why = "learns pixels from what is said of whole images"
    return together(data, shapes, dealt, facts, warnings, method="image_labels", why_method=why)
