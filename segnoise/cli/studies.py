"""Commands that compare: demo, benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segnoise.cli.console import say, show
from segnoise.cli.options import Debug, Quiet


def demo(
    name: Annotated[Literal["fields", "lungs", "oct"], typer.Argument(help="Which demonstration.")] = "fields",
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is drawn, of noise and training.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an existing folder first.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show the whole job on drawn data: sloppy labels in, polygons or masks and a report out.

    Example: `segnoise demo fields -o demo`
    """
    from segnoise.demos import run_demo

    summary = run_demo(name, output, seed=seed, overwrite=overwrite, quiet=quiet)
    say(
        quiet,
        f"{output}: IoU clean {show(summary['clean'])}, plain {show(summary['plain'])}, robust "
        f"{show(summary['robust'])}, gap closed {show(summary['gap_closed'])}; open {output / 'report.html'}",
    )


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
        say(quiet, f"{output}: {outcome.said}; see {output / 'tables.md'} and {output / 'report.html'}")
