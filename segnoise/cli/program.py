"""The program: its commands in the order of a job, and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from segnoise.cli.datasets import data
from segnoise.cli.initial import init
from segnoise.cli.labels import align, card, corrupt
from segnoise.cli.maps import fields, polygons, predict
from segnoise.cli.runs import evaluate, train
from segnoise.cli.studies import benchmark, demo
from segnoise.errors import UserError

app = typer.Typer(
    name="segnoise",
    help="Train image segmenters when the labels are wrong, weak or disputed, and see where the labels are wrong.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


for command in (init, train, evaluate, predict, fields, polygons, corrupt, card, align, demo, benchmark):
    app.command()(command)
app.add_typer(data, name="data")


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
