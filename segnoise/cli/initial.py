"""The command that begins: init."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from segnoise.cli.console import bar, say
from segnoise.cli.options import Debug, Overwrite, Quiet
from segnoise.errors import UserError


def init(
    kind: Annotated[
        Literal["raster", "images", "volume", "fundus", "oct", "video", "scenes"],
        typer.Argument(help="What the data are."),
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]", help="Further images, as a shell makes them of a pattern after --images."),
    ] = None,
    images: Annotated[
        list[str] | None, typer.Option(help="Images: a file or a pattern such as 'imagery/*.tif'; may be repeated.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Their labels: a folder, pattern, vector file, or a CSV table of both.")
    ] = None,
    folder: Annotated[
        str | None, typer.Option(help="Instead: a folder with images/ and labels/ or masks/, or a public set.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The configuration to write (YAML) [KIND.yaml].")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Look at your files and write a configuration that trains as it is, each choice with its reason.

    Example: `segnoise init raster --images 'imagery/*.tif' --labels fields.gpkg -o fields.yaml`
    """
    if more and not images:
        raise UserError(f"{more[0]}: images are given with --images")
    target = output or Path(f"{kind}.yaml")
    from segnoise.windows import refuse_existing

    refuse_existing(target, overwrite)
    from segnoise.training.initial import Files, begin

    files = Files(target, (*(images or ()), *(more or ())), labels, folder)
    with bar("labels", quiet) as progress, _each_warning_once():
        draft = begin(kind, files, overwrite, progress)
    for fact in draft.facts:
        say(quiet, fact)
    for warning in draft.warnings:
        say(quiet, f"warning: {warning}")
    say(quiet, f"{target}: written; read its comments, then `segnoise train {target}`")


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Files are opened twice, to look and to try; what readers say of them is shown once."""
    import logging

    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        text = record.getMessage().replace(f"{Path.cwd()}/", "")
        new = text not in said
        said.add(text)
        return new

    handlers = list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(is_new)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_new)
