"""Commands that make and score a run: train, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segnoise.cli.console import bar, first_rank, say, show
from segnoise.cli.inputs import check_device
from segnoise.cli.options import Debug, Device, Quiet, Which


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
    if first_rank():
        report = write_report([folder])
        record = read_run(folder)
        told = (f"{folder}: trained; see {report}, then `segnoise evaluate {folder}`", channel(record.log))
        say(quiet, "\n".join(filter(None, (*told, gate(record.gate)))))


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

    device = check_device(device)
    with bar(f"evaluate {run}", quiet) as progress:
        metrics = score(
            run, split=split, checkpoint=checkpoint, objects=object_, device=device, progress=progress
        )  # fmt: skip
    folder = run_folder(run)
    write_metrics(metrics, output or folder / "metrics.json")
    if output is None:
        write_report([folder])
    say(quiet, f"{split}: mean IoU {show(metrics['iou']['mean'])}, written to {output or folder / 'metrics.json'}")
