"""Corrupting label files: polygons stay polygons, rasters rasters and volumes volumes, with the record beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segnoise.length import spacing_of
from segnoise.noise.expression import parse
from segnoise.noise.labelfile import open_labels
from segnoise.noise.like import noise_like_on, read_card
from segnoise.windows import atomic_output, refuse_existing


def corrupt_file(
    labels: str | Path,
    out: str | Path,
    expression: str | None = None,
    *,
    like: str | Path | None = None,
    grid: str | Path | None = None,
    instances: bool = False,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Writes noisy labels, their record (:func:`record_path`) and its page of pictures; returns the record.

    Polygons are rasterised as objects on the grid of a scene, corrupted there (touching parcels are two objects), and
    traced back to polygons that keep the attributes of the polygon they come from. Rasters, masks and volumes hold
    class indices (255 unknown) or, with ``instances``, object ids (0 none). Lengths are in px, or in m on maps and in
    mm in volumes.

    Args:
        labels: vector file, single-band raster or image, or NIfTI volume.
        out: file of the same kind.
        expression: see ``segnoise.noise.parse``.
        like: instead of an expression, the JSON of a noise card whose statistics the noise shall have
            (:func:`segnoise.noise.like.noise_like_on`); the record then holds the expression, and the card as ``like``.
        grid: scene that gives the grid for polygons.
        seed: of the draw.
        overwrite: replace existing outputs.
        progress: called with (done, total) rounds of ``like``.

    Raises:
        UserError: missing or unreadable files, polygons without ``grid``, existing output, bad expression or card, or
            a length in a unit that the labels are not measured in.
    """
    if (expression is None) == (like is None):
        raise ValueError("give either an expression or a card that the noise shall be like")
    out = Path(out)
    corruption = None if expression is None else parse(expression)
    card = None if like is None else read_card(like)
    refuse_existing(record_path(out), overwrite)
    page = refuse_existing(page_path(out), overwrite)
    refuse_existing(out, overwrite)
    source = open_labels(labels, instances=instances, grid=grid)
    source.check(out)
    if corruption is None:
        assert card is not None
        corruption = noise_like_on(card, [source.labels], seed, source.instances, source.spacing, progress)
    if spacing_of(source.spacing) is not None:  # else any length but pixels is refused for that
        corruption.check_unit(source.unit, labels)
    noisy, record = corruption.corrupt(source.labels, seed, source.instances, source.spacing)
    if like is not None:
        record["like"] = {"file": Path(like).name, "card": card}
    source.save(noisy, out, overwrite)
    from segnoise.noise.page import write_page

    write_page(
        record["card"],
        noisy,
        source.labels,
        page,
        instances=source.instances,
        title=str(corruption),
        overwrite=overwrite,
    )
    with atomic_output(record_path(out), overwrite) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
    return record


def record_path(out: str | Path) -> Path:
    """Where the record of a noisy label file lies.

    >>> record_path("labels/noisy.nii.gz").name, record_path("noisy.gpkg").name
    ('noisy.json', 'noisy.json')
    """
    path = Path(out)
    return path.with_name(path.name[:-3]).with_suffix(".json") if path.suffix == ".gz" else path.with_suffix(".json")


def page_path(out: str | Path) -> Path:
    """Where the pictures of the card of a noisy label file lie; the labels themselves may be a .png.

    >>> page_path("noisy.png").name
    'noisy.card.png'
    """
    return record_path(out).with_suffix(".card.png")
