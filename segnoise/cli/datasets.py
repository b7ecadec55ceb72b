"""Commands about public data sets: data list, show, fetch, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segnoise.cli.console import bar, say
from segnoise.cli.options import Debug, Quiet
from segnoise.errors import UserError, nearest

if TYPE_CHECKING:
    from segnoise.data.manifest import Manifest

Name = Annotated[str, typer.Argument(help="A name of `segnoise data list`, or a manifest of your own (YAML).")]

data = typer.Typer(
    help="Public data sets: where they are, on what terms, and whether a copy is whole.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@data.command("list")
def list_sets(
    domain: Annotated[str | None, typer.Option(help="Only those of one domain, such as land, fundus or oct.")] = None,
    debug: Debug = False,
) -> None:
    """List the public data sets that segnoise knows.

    Example: `segnoise data list --domain oct`
    """
    from segnoise.data.manifest import manifests

    known = list(manifests().values())
    chosen = [manifest for manifest in known if domain in (None, manifest.domain)]
    if not chosen:
        raise UserError(f"--domain {domain}: no data set; {nearest(str(domain), {m.domain for m in known})}")
    head = ("name", "domain", "to be had", "licence", "read by", "title")
    rows = [(m.name, m.domain, m.access, m.licence, m.layout or "-", m.title) for m in chosen]
    if not sys.stdout.isatty():
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        for row in [head, *rows]:
            typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*head, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


@data.command("show")
def show_set(name: Name, debug: Debug = False) -> None:
    """Show what is known of a data set: home, licence, citation, layout, split and its traps, label quality.

    Example: `segnoise data show olives`
    """
    from segnoise.data.manifest import find_manifest

    lines = _described(find_manifest(name))
    if not sys.stdout.isatty():
        for key, value in lines:
            typer.echo(f"{key}: {value}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for key, value in lines:
        grid.add_row(Text(key, style="bold"), Text(value))
    Console().print(grid)


@data.command("fetch")
def fetch_set(
    name: Name,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder to write: a new one, or that of an earlier fetch.")
    ],
    trust: Annotated[
        bool, typer.Option("--trust", help="Take files without a published checksum; record theirs.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only files whose names match, such as 'austria*'.")] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Download a data set, compare checksums, and unpack it. Nothing is fetched twice.

    Example: `segnoise data fetch msd_hippocampus -o data/hippocampus`
    """  # fmt: skip
    from segnoise.data.manifest import find_manifest

    manifest = find_manifest(name)
    say(quiet, f"{manifest.title}; licence: {'; '.join(filter(None, (manifest.licence, manifest.terms)))}")
    from segnoise.data.fetching import fetch

    with bar(f"fetch {manifest.name}", quiet) as progress:
        paths = fetch(manifest, output, trust=trust, only=only or (), progress=progress)
    say(quiet, f"{output}: {len(paths)} files of {len(manifest.files)}; cite: {manifest.citation}")


@data.command("verify")
def verify_set(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="The folder with your copy of it.")],
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Look a copy of a data set over: the files it should have, and checksums where they are known.

    Example: `segnoise data verify drive data/DRIVE`
    """
    from segnoise.data.fetching import verify
    from segnoise.data.manifest import find_manifest

    manifest = find_manifest(name)
    checks = verify(manifest, folder)
    for check in checks:
        say(quiet, f"{'ok' if check.ok else 'WRONG':<6}{check.what}: {check.found}")
    wrong = [check for check in checks if not check.ok]
    if wrong:
        first = f"{wrong[0].what}: {wrong[0].found}"
        raise UserError(
            f"{folder}: {len(wrong)} of {len(checks)} checks of {manifest.name} fail ({first}); "
            f"compare with `segnoise data show {manifest.name}`"
        )
    say(quiet, f"{folder}: as its manifest describes {manifest.name}")


def _described(manifest: Manifest) -> list[tuple[str, str]]:
    """A manifest as lines of what and how, without what is empty."""
    reader = manifest.layout or "none yet"
    if manifest.layout is not None:
        tried = "on files of the set" if manifest.verified_on_real_files else "on trees made from its description only"
        reader = f"{manifest.layout} (tested {tried})"
    lines = [
        ("name", manifest.name),
        ("title", manifest.title),
        ("domain", manifest.domain),
        ("home", manifest.home or ""),
        ("where", manifest.where),
        ("to be had", ": ".join(filter(None, (manifest.access, manifest.registration.how)))),
        ("licence", "; ".join(filter(None, (manifest.licence, manifest.terms)))),
        ("citation", manifest.citation),
        ("contents", manifest.contents),
        ("classes", ", ".join(f"{k} {name}" for k, name in enumerate(manifest.classes))),
        ("read by", reader),
        ("reading", manifest.reading),
        ("split", manifest.split),
        ("keep together", manifest.group),
        ("label quality", manifest.label_quality),
    ]
    for file in manifest.files:
        checked = f"{file.checksum} by {file.checksum_from}" if file.checksum else "no published checksum"
        lines.append(("file", ", ".join(filter(None, (file.url, file.size, checked)))))
    for expected in manifest.expected:
        lines.append(("expected", f"{expected.count or 'some'} {expected.glob}"))
    return [(key, value) for key, value in lines if value]
