"""Commands about labels: corrupt, card, align."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segnoise.cli.console import bar, say
from segnoise.cli.inputs import check_device
from segnoise.cli.options import Debug, Device, Overwrite, Quiet
from segnoise.errors import UserError


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

    with bar(f"noise like {like}", quiet or like is None) as progress:
        record = corrupt_file(
            labels, output, noise if level is None else f"{noise}({level})", like=like, grid=grid,
            instances=instances, seed=seed, overwrite=overwrite, progress=progress,
        )  # fmt: skip
    changed = record["card"]["flip_rate"]["overall"]
    how = "" if like is None else f" by {record['noise']}"
    say(quiet, f"{output}: {changed:.1%} of the pixels changed{how}; record in {record_path(output)}")


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

    with bar(f"card {given.name}", quiet) as progress:
        made = card_of_files(
            given, reference, output, grid=grid, instances=instances, overwrite=overwrite, progress=progress
        )["card"]
    wrong, objects = made["flip_rate"]["overall"], made["objects"]
    say(
        quiet,
        f"{output}: {wrong:.2%} of the pixels wrong, {objects['missed']} of {objects['true']} objects missed, "
        f"{objects['extra']} extra; pictures in {page_beside(output)}",
    )


def align(
    config: Annotated[Path, typer.Argument(help="The description of the run that the labels are for (YAML).")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[section.key=value]...", help="Changes to it.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")] = Path("aligned"),
    per: Annotated[Literal["scene", "all"], typer.Option(help="A vector for each scene, or one for all.")] = "scene",
    folds: Annotated[int, typer.Option(min=2, help="Parts of the data that are held out in turn.")] = 2,
    radius: Annotated[int, typer.Option(min=1, help="The longest vector looked for, in pixels.")] = 10,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Move labels that lie beside the image to where they belong, or say that they do not.

    Trains a network for each fold and looks at each part with the one that has not seen it. The labels given stay as
    they are. For labels of which one vector is true: a whole scene, or with `--per all` the tiles of one sheet.

    Example: `segnoise align fields.yaml -o aligned`, then `segnoise train fields.yaml data.labels=aligned/labels`
    """
    from segnoise.config import load_config
    from segnoise.evaluation.align import align_labels

    described = load_config(config, overrides or [])
    device = check_device(device)
    rows = align_labels(
        described, output, per=per, folds=folds, radius=radius, device=device, overwrite=overwrite, quiet=quiet
    )  # fmt: skip
    for row in rows if per == "scene" else rows[:1]:
        name = row.source if per == "scene" else f"all {len(rows)} scenes"
        vector = ", ".join(f"{v:+.1f} ± {e:.1f}" for v, e in zip(row.vector, row.error, strict=True))
        say(quiet, f"{name}: " + (f"moved by ({vector}) pixels" if row.accepted else f"left, {row.reason}"))
    moved = sum(row.accepted for row in rows)
    say(quiet, f"{output / 'labels'}: labels of {moved} of {len(rows)} scenes moved; vectors in {output}/align.json")
