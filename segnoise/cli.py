"""The command line: thin commands over the rooms. Heavy imports happen inside the commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from segnoise.errors import UserError

if TYPE_CHECKING:
    from segnoise.inference.raster import Progress

app = typer.Typer(
    name="segnoise",
    help="Train image segmenters when the labels are wrong, weak or disputed, and see where the labels are wrong.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars and no summary.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Which = Annotated[Literal["best", "last"], typer.Option("--checkpoint", help="Which checkpoint of the run.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")]
WindowSize = Annotated[int | None, typer.Option("--window", min=16, help="Side of the windows [run's own].")]
Overlap = Annotated[int | None, typer.Option("--overlap", min=0, help="Overlap of windows [a quarter].")]
Tolerance = Annotated[
    float | None,
    typer.Option("--tolerance", min=0, help="Simplification in metres [one pixel]; 0 keeps pixel edges."),
]
MinArea = Annotated[
    float | None, typer.Option("--min-area", min=0, help="Leave out polygons below this area in m² [16 pixels].")
]


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"segnoise {version('segnoise')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="The run's description (YAML).")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[section.key=value]...", help="Changes to it.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The run's folder [runs/<name>].")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an existing run first.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a run.

    Example: `segnoise train fields.yaml method=kms training.epochs=20 -o runs/fields`
    """
    from segnoise.config import load_config

    described = load_config(config, overrides or [])
    folder = output or Path("runs") / described.name
    from segnoise.evaluation import write_report
    from segnoise.evaluation.runrecord import read_run
    from segnoise.evaluation.wording import channel, gate
    from segnoise.training import train as run_training

    run_training(described, folder, resume=resume, overwrite=overwrite, quiet=quiet)
    if _first_rank():
        report = write_report([folder])
        record = read_run(folder)
        told = (f"{folder}: trained; see {report}, then `segnoise evaluate {folder}`", channel(record.log))
        _say(quiet, "\n".join(filter(None, (*told, gate(record.gate)))))


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder or a checkpoint file.")],
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="The part of the data to score.")] = "test",
    object_: Annotated[bool, typer.Option("--object/--no-object", help="Also score whole objects.")] = True,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="JSON to write [RUN/metrics.json].")] = None,
    checkpoint: Which = "best",
    device: Device = "cpu",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score a run on its own data and write metrics.json.

    Example: `segnoise evaluate runs/fields --split test`
    """
    from segnoise.evaluation import evaluate as score
    from segnoise.evaluation import run_folder, write_metrics, write_report

    device = _check_device(device)
    with _bar(f"evaluate {run}", quiet) as progress:
        metrics = score(
            run, split=split, checkpoint=checkpoint, objects=object_, device=device, progress=progress
        )  # fmt: skip
    folder = run_folder(run)
    write_metrics(metrics, output or folder / "metrics.json")
    if output is None:
        write_report([folder])
    _say(quiet, f"{split}: mean IoU {_show(metrics['iou']['mean'])}, written to {output or folder / 'metrics.json'}")


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="A run's folder or a checkpoint file.")],
    inputs: Annotated[list[Path], typer.Argument(help="Rasters or images.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A file; a folder for several inputs.")],
    scores: Annotated[bool, typer.Option("--scores", help="Also write probabilities (NAME_scores.tif).")] = False,
    window: WindowSize = None,
    overlap: Overlap = None,
    checkpoint: Which = "best",
    device: Device = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Predict whole rasters, wall to wall, in bounded memory.

    Example: `segnoise predict runs/fields scene.tif -o labels.tif`
    """
    from segnoise.inference import predict_image, predict_raster
    from segnoise.training import load

    device = _check_device(device)
    _check_inputs(inputs)
    model = load(run, checkpoint)
    plain = model.config.data.kind == "images"
    if plain and scores:
        raise UserError("--scores: is for rasters; a run on plain images writes masks only")
    targets = _targets(inputs, output, ".png" if plain else ".tif")
    for path, target in zip(inputs, targets, strict=True):
        if plain:
            predict_image(
                model, path, target, window=window, overlap=overlap, overwrite=overwrite, device=device
            )  # fmt: skip
        else:
            scene = _open_scene(path)
            beside = target.with_name(f"{target.stem}_scores.tif") if scores else None
            with _bar(f"predict {path.name}", quiet) as progress:
                predict_raster(
                    model, scene, target, window=window, overlap=overlap, scores=beside, overwrite=overwrite,
                    device=device, progress=progress,
                )  # fmt: skip
        _say(quiet, f"{target}: written")


@app.command()
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

    device = _check_device(device)
    _check_inputs(scenes)
    check_suffix(refuse_existing(output, overwrite))
    model = load(run, checkpoint)
    class_to_vectorise(model.classes, of)
    frames = []
    for path in scenes:
        with _bar(f"fields {path.name}", quiet) as progress:
            frames.append(
                predict_fields(
                    model, path, tolerance_m=tolerance, min_area_m2=min_area, of=of, window=window,
                    overlap=overlap, device=device, progress=progress,
                )
            )  # fmt: skip
    count = write_fields(frames, [path.stem for path in scenes], output, overwrite)
    _say(quiet, f"{output}: {count} fields")


@app.command()
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
    _say(quiet, f"{output}: {len(frame)} polygons")


@app.command()
def corrupt(
    labels: Annotated[Path, typer.Argument(help="Polygons, or a raster or NIfTI volume of class indices or ids.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The noisy labels, in the same kind of file.")],
    noise: Annotated[
        str | None, typer.Option(help='For example "kms(0.4)" or "boundary(3px)+omission(0.2)"; a name with --level.')
    ] = None,
    level: Annotated[str | None, typer.Option(help="The level of --noise NAME, such as 0.4 or 3px.")] = None,
    like: Annotated[Path | None, typer.Option(help="A noise card (JSON): noise with its statistics.")] = None,
    grid: Annotated[Path | None, typer.Option(help="The scene whose grid polygons are corrupted on.")] = None,
    instances: Annotated[bool, typer.Option("--instances", help="The file holds object ids, 0 = none.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make labels wrong in a measured, repeatable way; the record goes beside OUT as .json, pictures as .card.png.

    Example: `segnoise corrupt fields.gpkg --grid scene.tif -o noisy.gpkg --noise "boundary(3px)+omission(0.2)"`
    """
    if (noise is None) == (like is None):
        raise UserError("--noise: give either a noise or --like CARD")
    if level is not None and (noise is None or "(" in noise):
        raise UserError(f"--level {level}: goes with the name of one noise, as in --noise kms --level 0.4")
    if noise is not None and level is None and "(" not in noise:
        raise UserError(f"--noise {noise}: needs a level, as in --noise '{noise}(0.4)' or --noise {noise} --level 0.4")
    from segnoise.noise.files import corrupt_file, record_path

    with _bar(f"noise like {like}", quiet or like is None) as progress:
        record = corrupt_file(
            labels, output, noise if level is None else f"{noise}({level})", like=like, grid=grid,
            instances=instances, seed=seed, overwrite=overwrite, progress=progress,
        )  # fmt: skip
    changed = record["card"]["flip_rate"]["overall"]
    how = "" if like is None else f" by {record['noise']}"
    _say(quiet, f"{output}: {changed:.1%} of the pixels changed{how}; record in {record_path(output)}")


@app.command()
def card(
    given: Annotated[Path, typer.Argument(help="Labels to judge: polygons, raster, mask, NIfTI, or a folder of them.")],
    reference: Annotated[Path, typer.Argument(help="Labels to hold them against, on the same grid.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The card (JSON); pictures go beside it as .png.")],
    grid: Annotated[Path | None, typer.Option(help="The scene whose grid polygons are compared on.")] = None,
    instances: Annotated[bool, typer.Option("--instances", help="The files hold object ids, 0 = none.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Measure the noise of real labels: old and corrected, crowd and expert, two annotators.

    Folders are a set, paired by file name. `segnoise corrupt --like` draws noise with the statistics of a card.

    Example: `segnoise card crowd/ expert/ -o crowd.json`
    """
    from segnoise.noise.pairs import card_of_files, page_beside

    with _bar(f"card {given.name}", quiet) as progress:
        made = card_of_files(
            given, reference, output, grid=grid, instances=instances, overwrite=overwrite, progress=progress
        )["card"]
    wrong, objects = made["flip_rate"]["overall"], made["objects"]
    _say(
        quiet,
        f"{output}: {wrong:.2%} of the pixels wrong, {objects['missed']} of {objects['true']} objects missed, "
        f"{objects['extra']} extra; pictures in {page_beside(output)}",
    )


@app.command()
def demo(
    name: Annotated[Literal["fields"], typer.Argument(help="Which demonstration.")] = "fields",
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of scene, noise and training.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an existing folder first.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show the whole job on generated data: sloppy labels in, polygons and a report out.

    Example: `segnoise demo fields -o demo`
    """
    from segnoise.demos import run_demo

    summary = run_demo(name, output, seed=seed, overwrite=overwrite, quiet=quiet)
    _say(
        quiet,
        f"{output}: IoU clean {_show(summary['clean'])}, plain {_show(summary['plain'])}, robust "
        f"{_show(summary['robust'])}, gap closed {_show(summary['gap_closed'])}; open {output / 'report.html'}",
    )


@app.command()
def benchmark(
    description: Annotated[str, typer.Argument(help="A description (YAML), or a packaged one: smoke, standard, …")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write; finished cells in it are kept.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder that its paths are relative to [that of the description].")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes, of one thread each.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is to do, and do nothing.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare methods under synthetic label noise: methods × noises × seeds × data sets, as long as it takes.

    Interrupt it as you like: the same command goes on from there.

    Example: `segnoise benchmark smoke -o bench --jobs 2`
    """
    from segnoise.evaluation.benchmark import run_benchmark

    outcome = run_benchmark(description, output, data=data, jobs=jobs, dry_run=dry_run, quiet=quiet)
    if dry_run:
        typer.echo(outcome.said)
    else:
        _say(quiet, f"{output}: {outcome.said}; see {output / 'tables.md'} and {output / 'report.html'}")


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        typer.echo(text)


def _show(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _first_rank() -> bool:
    import os

    return os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0")) == "0"


def _check_device(device: str) -> str:
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device}: is not available here; use cpu") from error
    return device


def _check_inputs(paths: list[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file")


def _open_scene(path: Path) -> Any:
    from segnoise.data import RasterSource

    scene = RasterSource(path)
    scene.require_crs()
    return scene


def _targets(inputs: list[Path], output: Path, suffix: str) -> list[Path]:
    """One output per input: the file itself for one, files in a folder for several."""
    if len(inputs) == 1 and not output.is_dir():
        return [output]
    if output.suffix and not output.is_dir():
        raise UserError(f"{output}: {len(inputs)} inputs need a folder as output, not a file")
    stems = [path.stem for path in inputs]
    if len(set(stems)) < len(stems):
        raise UserError("inputs: two of them have the same name; predict them into different folders")
    output.mkdir(parents=True, exist_ok=True)
    return [output / f"{stem}{suffix}" for stem in stems]


@contextmanager
def _bar(title: str, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on stderr as a callback of (done, total)."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    with RichProgress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def main() -> None:
    """Entry point: exit 0 on success, 1 on a user's mistake (one line on stderr), 2 on wrong usage."""
    import logging
    import warnings

    if "--debug" not in sys.argv:  # what libraries will change one day is no news to a user of the command line
        warnings.simplefilter("ignore", FutureWarning)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        app()
    except UserError as error:
        if "--debug" in sys.argv:
            raise
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        sys.exit(1)
    except Exception as error:
        signum = getattr(error, "signum", None)
        if signum is None:
            raise
        sys.stderr.write(f"{error}\n")
        sys.exit(128 + int(signum))


if __name__ == "__main__":
    main()
