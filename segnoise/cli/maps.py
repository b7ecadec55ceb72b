"""Commands that use a run or its maps: predict, fields, polygons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segnoise.cli.console import bar, say
from segnoise.cli.inputs import check_device, check_inputs, open_scene, targets_of
from segnoise.cli.options import Debug, Device, MinArea, Overlap, Overwrite, Quiet, Tolerance, Which, WindowSize
from segnoise.errors import UserError

if TYPE_CHECKING:
    from segnoise.training import Model


def predict(
    run: Annotated[Path, typer.Argument(help="A run's folder or a checkpoint file.")],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Rasters, images or volumes (files, DICOM folders, FOLDER#SERIES_UID); CASE_0000, CASE_0001, ... are "
            "the channels of a volume for a run on several."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="A file (.dcm: DICOM segmentation of a series); a folder for several."),
    ],
    scores: Annotated[bool, typer.Option("--scores", help="Also write probabilities (NAME_scores.tif).")] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Labels that were given for volumes: also write where they look wrong (NAME_wrong.nii.gz). A file; a "
            "folder, pattern or CSV table for several."
        ),
    ] = None,
    window: WindowSize = None,
    overlap: Overlap = None,
    checkpoint: Which = "best",
    device: Device = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Predict whole rasters, wall to wall, in bounded memory; images; volumes, in their own geometry.

    Example: `segnoise predict runs/fields scene.tif -o labels.tif`, `segnoise predict runs/mr t1.nii.gz -o seg.nii.gz`
    """
    from segnoise.inference import predict_image, predict_raster
    from segnoise.training import load

    device = check_device(device)
    check_inputs(inputs)
    model = load(run, checkpoint)
    kind = model.config.data.kind
    plain = kind in ("images", "fundus", "oct")
    if plain and scores:
        raise UserError("--scores: is for rasters and volumes; a run on plain images writes masks only")
    if kind == "volume":
        if window is not None or overlap is not None:
            raise UserError("--window, --overlap: are for maps and images; volumes go by the windows of the run")
        _predict_volumes(model, inputs, output, scores, labels, overwrite, device, quiet)
        return
    if labels is not None:
        how = "" if plain else "; write --scores, and give them to segnoise.inference.map_label_errors"
        raise UserError(f"--labels: is for runs on volumes, this one is on {kind}{how}")
    targets = targets_of([path.stem for path in inputs], output, ".png" if plain else ".tif")
    for path, target in zip(inputs, targets, strict=True):
        if plain:
            predict_image(
                model, path, target, window=window, overlap=overlap, overwrite=overwrite, device=device
            )  # fmt: skip
        else:
            open_scene(path)
            beside = target.with_name(f"{target.stem}_scores.tif") if scores else None
            with bar(f"predict {path.name}", quiet) as progress:
                predict_raster(
                    model, path, target, window=window, overlap=overlap, scores=beside, overwrite=overwrite,
                    device=device, progress=progress,
                )  # fmt: skip
        say(quiet, f"{target}: written")


def _predict_volumes(
    model: Model,
    inputs: list[Path],
    output: Path,
    scores: bool,
    labels: str | None,
    overwrite: bool,
    device: str,
    quiet: bool,
) -> None:
    from segnoise.data.volume import volume_name
    from segnoise.inference import predict_volume
    from segnoise.inference.cases import cases_of, labels_of

    cases = cases_of(model, inputs)
    given = [None] * len(cases) if labels is None else labels_of(cases, labels)
    for case, target, file in zip(cases, targets_of([c.name for c in cases], output, ".nii.gz"), given, strict=True):
        name = volume_name(target)
        wrong = None if file is None else target.with_name(f"{name}_wrong.nii.gz")
        with bar(f"predict {case.name}", quiet) as progress:
            made = predict_volume(
                model, case.files, target, scores=target.with_name(f"{name}_scores.nii.gz") if scores else None,
                labels=file, label_error=wrong, overwrite=overwrite, device=device, progress=progress,
            )  # fmt: skip
        say(quiet, f"{target}: written")
        if made.wrong is not None:
            say(
                quiet,
                f"{wrong}: {made.wrong.expected:.0f} of {made.wrong.labels} voxels of {file} are expected to be wrong",
            )


def fields(
    run: Annotated[Path, typer.Argument(help="A run's folder or a checkpoint file.")],
    scenes: Annotated[list[Path], typer.Argument(help="Rasters with a CRS.")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".geojson, .gpkg or .parquet")],
    tolerance: Tolerance = None,
    min_area: MinArea = None,
    of: Annotated[str | None, typer.Option("--class", help="The class to vectorise [field].")] = None,
    window: WindowSize = None,
    overlap: Overlap = None,
    checkpoint: Which = "best",
    device: Device = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Predict scenes and write their fields as polygons: id, area_ha, perimeter_m, confidence.

    Example: `segnoise fields runs/fields scene.tif -o fields.geojson`
    """
    from segnoise.inference import class_to_vectorise, predict_fields, write_fields
    from segnoise.training import load
    from segnoise.vector import check_suffix
    from segnoise.windows import refuse_existing

    device = check_device(device)
    check_inputs(scenes)
    check_suffix(refuse_existing(output, overwrite))
    model = load(run, checkpoint)
    class_to_vectorise(model.classes, of)
    frames = []
    for path in scenes:
        with bar(f"fields {path.name}", quiet) as progress:
            frames.append(
                predict_fields(
                    model, path, tolerance_m=tolerance, min_area_m2=min_area, of=of, window=window,
                    overlap=overlap, device=device, progress=progress,
                )
            )  # fmt: skip
    count = write_fields(frames, [path.stem for path in scenes], output, overwrite)
    say(quiet, f"{output}: {count} fields")


def polygons(
    labels: Annotated[Path, typer.Argument(help="A label raster with a CRS, from any source.")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".geojson, .gpkg or .parquet")],
    tolerance: Annotated[float, typer.Option(min=0, help="Simplification in metres; 0 keeps pixel edges.")] = 0.0,
    min_area: Annotated[float, typer.Option(min=0, help="Leave out polygons below this area in m².")] = 0.0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Vectorise a label raster: one polygon per connected region of one class, edges shared exactly.

    Example: `segnoise polygons labels.tif -o labels.geojson --tolerance 5`
    """
    from segnoise.vector import check_suffix, polygonize, write_polygons
    from segnoise.windows import refuse_existing

    check_suffix(refuse_existing(output, overwrite))
    frame = polygonize(labels, tolerance_m=tolerance, min_area_m2=min_area)
    write_polygons(frame, output, overwrite=overwrite)
    say(quiet, f"{output}: {len(frame)} polygons")
