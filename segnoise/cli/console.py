"""What commands say, and how far they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from segnoise.inference.raster import Progress


def say(quiet: bool, text: str) -> None:
    if not quiet:
        typer.echo(text)


def show(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def first_rank() -> bool:
    import os

    return os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0")) == "0"


@contextmanager
def bar(title: str, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on stderr as a callback of (done, total); none where stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as RichProgress

    with RichProgress(console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
