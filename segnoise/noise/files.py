"""Corrupting label files: polygons stay polygons, rasters rasters and volumes volumes, with the record beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segnoise.noise.expression import parse
from segnoise.noise.labelfile import open_labels
from segnoise.windows import atomic_output, refuse_existing


def corrupt_file(
    labels: str | Path,
    out: str | Path,
    expression: str,
    *,
    grid: str | Path | None = None,
    instances: bool = False,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes noisy labels and their record (:func:`record_path`); returns the record.

    Polygons are rasterised as objects on the grid of a scene, corrupted there (touching parcels are two objects), and
    traced back to polygons that keep the attributes of the polygon they come from. Rasters, masks and volumes hold
    class indices (255 unknown) or, with ``instances``, object ids (0 none). Lengths are in px, or in m on maps and in
    mm in volumes.

    Args:
        labels: vector file, single-band raster or image, or NIfTI volume.
        out: file of the same kind.
        expression: see ``segnoise.noise.parse``.
        grid: scene that gives the grid for polygons.
        seed: of the draw.

    Raises:
        UserError: missing or unreadable files, polygons without ``grid``, existing output, bad expression, or a
            length in a unit that the labels are not measured in.
    """
    out = Path(out)
    corruption = parse(expression)
    refuse_existing(record_path(out), overwrite)
    refuse_existing(out, overwrite)
    source = open_labels(labels, instances=instances, grid=grid)
    source.check(out)
    corruption.check_unit(source.unit, labels)
    noisy, record = corruption.corrupt(source.labels, seed, source.instances, source.spacing)
    source.save(noisy, out, overwrite)
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
