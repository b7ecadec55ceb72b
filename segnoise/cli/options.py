"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

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
