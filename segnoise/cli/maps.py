"""Commands that use a run or its maps: predict, fields, polygons."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segnoise.cli.console import bar, say
from segnoise.cli.inputs import check_device, check_inputs, open_scene, targets_of
from segnoise.cli.options import Debug, Device, MinArea, Overlap, Overwrite, Quiet, Tolerance, Which, WindowSize
from segnoise.errors import UserError

if TYPE_CHECKING:
    from segnoise.inference import WrongLabels
    from segnoise.training import Model


def predict(
    run: Annotated[Path, typer.Argument(help="A run's folder or a checkpoint file.")],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Rasters, images, OCT scans or volumes (files, DICOM folders, FOLDER#SERIES_UID); CASE_0000, "
            "CASE_0001, ... are the channels of a volume for a run on several. Of sequences: a folder of frames or of "
            "such folders, a video, or frames of one sequence."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="A file (.dcm: DICOM segmentation of a series); a folder for several, and for sequences.",
        ),
    ],
    scores: Annotated[
        bool, typer.Option("--scores", help="Also write probabilities (NAME_scores.tif, of volumes .nii.gz).")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Labels that were given: also write where they look wrong (NAME_wrong.tif, of volumes .nii.gz). A "
            "file; a folder, pattern or CSV table for several."
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(help="Axes of an OCT volume file whose spacing does not tell them, such as width,depth,bscan."),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Of sequences: also a video with the classes drawn (NAME_overlay.mp4).")
    ] = False,
    smooth: Annotated[
        int, typer.Option(min=0, help="Of sequences: average over so many frames before and after each.")
    ] = 0,
    fps: Annotated[
        float | None, typer.Option(min=0.001, max=1000, help="Frames a second of the overlay [the video's own, or 10].")
    ] = None,
    window: WindowSize = None,
    overlap: Overlap = None,
    checkpoint: Which = "best",
    device: Device = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Predict whole rasters, wall to wall, in bounded memory; images; sequences frame by frame; OCT scans and volumes,
    in their own geometry.

    Example: `segnoise predict runs/fields scene.tif -o labels.tif`, `segnoise predict runs/mr t1.nii.gz -o seg.nii.gz`,
    `segnoise predict runs/endo frames/ -o masks/ --overlay`
    """
    from segnoise.data.oct import is_scan
    from segnoise.training import load

    device = check_device(device)
    check_inputs(inputs)
    model = load(run, checkpoint)
    kind = model.config.data.kind
    asked = _Asked(model, inputs, output, scores, labels, window, overlap, overwrite, device, quiet)
    scans = [path for path in inputs if kind == "oct" and is_scan(path)]
    if axes is not None and not scans:
        raise UserError(f"--axes: is for whole scans and runs on OCT; this run is on {kind}, and no input is a scan")
    if kind != "video" and (overlay or smooth or fps is not None):
        raise UserError(f"--overlay, --smooth, --fps: are for sequences of frames; this run is on {kind}")
    if fps is not None and not overlay:
        raise UserError("--fps: is for the overlay; give --overlay too")
    if scans and len(scans) < len(inputs):
        other = next(path for path in inputs if path not in scans)
        raise UserError(f"{scans[0]}: is a whole scan and {other} is not; predict them in two calls")
    if kind == "volume":
        if window is not None or overlap is not None:
            raise UserError("--window, --overlap: are for maps and images; volumes go by the windows of the run")
        _predict_volumes(asked)
    elif scans:
        _predict_scans(asked, None if axes is None else [name.strip() for name in axes.split(",")])
    elif kind == "video":
        _predict_sequences(asked, overlay, smooth, fps)
    elif kind in ("images", "fundus", "oct"):
        _predict_images(asked)
    else:
        _predict_scenes(asked)


@dataclass(frozen=True)
class _Asked:
    """What is asked of predict, whatever the data are."""

    model: Model
    inputs: list[Path]
    output: Path
    with_scores: bool
    labels: str | None
    window: int | None
    overlap: int | None
    overwrite: bool
    device: str
    quiet: bool

    def scores(self, target: Path, name: str, suffix: str) -> Path | None:
        """Where probabilities go, beside the target."""
        return target.with_name(f"{name}_scores{suffix}") if self.with_scores else None

    def told(self, target: Path, label_error: Path | None, wrong: WrongLabels | None, file: Path | str | None) -> None:
        say(self.quiet, f"{target}: written")
        if wrong is not None:
            what = "voxels" if label_error is not None and label_error.name.endswith(".nii.gz") else "pixels"
            say(
                self.quiet,
                f"{label_error}: {wrong.expected:.0f} of {wrong.labels} {what} of {file} are expected to be wrong",
            )


def _predict_volumes(asked: _Asked) -> None:
    from segnoise.data.volume import volume_name
    from segnoise.inference import predict_volume
    from segnoise.inference.cases import cases_of, labels_of

    cases = cases_of(asked.model, asked.inputs)
    given = [None] * len(cases) if asked.labels is None else labels_of(cases, asked.labels)
    targets = targets_of([case.name for case in cases], asked.output, ".nii.gz")
    for case, target, file in zip(cases, targets, given, strict=True):
        name = volume_name(target)
        wrong = None if file is None else target.with_name(f"{name}_wrong.nii.gz")
        with bar(f"predict {case.name}", asked.quiet) as progress:
            made = predict_volume(
                asked.model, case.files, target, scores=asked.scores(target, name, ".nii.gz"), labels=file,
                label_error=wrong, overwrite=asked.overwrite, device=asked.device, progress=progress,
            )  # fmt: skip
        asked.told(target, wrong, made.wrong, file)


def _predict_scans(asked: _Asked, axes: list[str] | None) -> None:
    from segnoise.data.oct import scan_name
    from segnoise.data.volume import volume_name
    from segnoise.inference import predict_scan
    from segnoise.inference.cases import Case, labels_of

    cases = [Case(scan_name(path), (path,)) for path in asked.inputs]
    given = [None] * len(cases) if asked.labels is None else labels_of(cases, asked.labels)
    targets = targets_of([case.name for case in cases], asked.output, ".nii.gz")
    for case, target, file in zip(cases, targets, given, strict=True):
        name = volume_name(target)
        wrong = None if file is None else target.with_name(f"{name}_wrong.nii.gz")
        with bar(f"predict {case.name}", asked.quiet) as progress:
            made = predict_scan(
                asked.model, case.files[0], target, axes=axes, window=asked.window, overlap=asked.overlap,
                scores=asked.scores(target, name, ".nii.gz"), labels=file, label_error=wrong,
                overwrite=asked.overwrite, device=asked.device, progress=progress,
            )  # fmt: skip
        asked.told(target, wrong, made.wrong, file)


def _predict_sequences(asked: _Asked, overlay: bool, smooth: int, fps: float | None) -> None:
    from segnoise.inference import predict_video

    with bar(f"predict {asked.inputs[0].name}", asked.quiet) as progress:
        made = predict_video(
            asked.model, asked.inputs, asked.output, labels=asked.labels, scores=asked.with_scores, overlay=overlay,
            smooth=smooth, fps=fps, window=asked.window, overlap=asked.overlap, overwrite=asked.overwrite,
            device=asked.device, progress=progress,
        )  # fmt: skip
    for one in made:
        asked.told(one.folder, one.folder / "*_wrong.tif", one.wrong, asked.labels)
        if one.overlay is not None:
            say(asked.quiet, f"{one.overlay}: written")


def _predict_images(asked: _Asked) -> None:
    from segnoise.inference import predict_image
    from segnoise.inference.given import label_files

    given = [None] * len(asked.inputs) if asked.labels is None else label_files(asked.inputs, asked.labels)
    targets = targets_of([path.stem for path in asked.inputs], asked.output, ".png")
    for path, target, file in zip(asked.inputs, targets, given, strict=True):
        wrong = None if file is None else target.with_name(f"{target.stem}_wrong.tif")
        made = predict_image(
            asked.model, path, target, window=asked.window, overlap=asked.overlap,
            scores=asked.scores(target, target.stem, ".tif"), labels=file, label_error=wrong,
            overwrite=asked.overwrite, device=asked.device,
        )  # fmt: skip
        asked.told(target, wrong, made.wrong, file)


def _predict_scenes(asked: _Asked) -> None:
    from segnoise.inference import predict_labelled_scene, predict_raster
    from segnoise.inference.given import label_files

    given = [None] * len(asked.inputs) if asked.labels is None else label_files(asked.inputs, asked.labels)
    targets = targets_of([path.stem for path in asked.inputs], asked.output, ".tif")
    for path, target, file in zip(asked.inputs, targets, given, strict=True):
        open_scene(path)
        scores = asked.scores(target, target.stem, ".tif")
        with bar(f"predict {path.name}", asked.quiet) as progress:
            if file is None:
                predict_raster(
                    asked.model, path, target, window=asked.window, overlap=asked.overlap, scores=scores,
                    overwrite=asked.overwrite, device=asked.device, progress=progress,
                )  # fmt: skip
                wrong, expected = None, None
            else:
                wrong = target.with_name(f"{target.stem}_wrong.tif")
                expected = predict_labelled_scene(
                    asked.model, path, target, file, wrong, window=asked.window, overlap=asked.overlap, scores=scores,
                    overwrite=asked.overwrite, device=asked.device, progress=progress,
                ).wrong  # fmt: skip
        asked.told(target, wrong, expected, file)


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
