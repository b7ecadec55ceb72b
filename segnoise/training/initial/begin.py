"""From files to a written configuration: look, choose, try, write."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from segnoise.config import Config, make_config
from segnoise.training.initial.draft import Choice, Choices, Draft, Files, Progress
from segnoise.training.initial.fundus import draft_fundus
from segnoise.training.initial.generated import draft_scenes
from segnoise.training.initial.oct import draft_oct
from segnoise.training.initial.pictures import draft_images
from segnoise.training.initial.rasters import draft_rasters
from segnoise.training.initial.scans import draft_volumes
from segnoise.training.initial.sequences import draft_video
from segnoise.training.initial.writing import commented_yaml
from segnoise.training.opening import open_data
from segnoise.training.run import Run
from segnoise.windows import atomic_output, refuse_existing

DRAFTS: dict[str, Callable[[Files, Progress | None], Draft]] = {
    "raster": draft_rasters, "images": draft_images, "volume": draft_volumes, "fundus": draft_fundus, "oct": draft_oct,
    "video": draft_video, "scenes": draft_scenes,
}  # fmt: skip


def begin(kind: str, files: Files, overwrite: bool = False, progress: Progress | None = None) -> Draft:
    """Looks at the files and writes a commented configuration of them to ``files.output``; it trains as it is.

    What was written is read back and its data are opened as training would, before the file gets its name. Says
    what was seen in ``facts`` and what to beware of in ``warnings``; both are in the file, too.

    Raises UserError for an existing output (without ``overwrite``), for every fault of the files, and where training
    would not be possible; nothing is written then.
    """
    refuse_existing(files.output, overwrite)
    draft = DRAFTS[kind](files, progress)
    text = commented_yaml(_choices(files, draft), _preface(kind, files, draft))
    config = make_config(yaml.safe_load(text), base=files.output.resolve().parent, where=str(files.output))
    if kind != "scenes":
        _try(config)
    with atomic_output(files.output, overwrite) as temporary:
        temporary.write_text(text)
    return draft


def _try(config: Config) -> None:
    with tempfile.TemporaryDirectory() as folder:
        open_data(config, Run(Path(folder)))


def _choices(files: Files, draft: Draft) -> Choices:
    noise = {} if draft.noise is None else {"noise": draft.noise}
    name = re.sub(r"[^\w.-]+", "-", files.output.stem) or "run"
    return {
        "name": Choice(name, f"the run's folder is runs/{name}"),
        "data": draft.data,
        **noise,
        "network": {"name": Choice("BasicUNet", "small, so that a CPU will do; larger: name: Unet, encoder: resnet34")},
        "method": {"name": Choice(draft.method, draft.why_method)},
        "training": draft.training,
    }


def _preface(kind: str, files: Files, draft: Draft) -> list[str]:
    options = [("--images", image) for image in files.images]
    options += [(f"--{key}", value) for key in ("labels", "folder") if (value := getattr(files, key)) is not None]
    command = " ".join(["segnoise", "init", kind, *(f"{key} {shlex.quote(value)}" for key, value in options)])
    warnings = ["", "Beware:", *(f"  - {warning}" for warning in draft.warnings)] if draft.warnings else []
    return [
        f"Written by `{_short(command)}`; train with `segnoise train {files.output.name}`.",
        "",
        "Seen:",
        *(f"  - {fact}" for fact in draft.facts),
        *warnings,
        "",
        "What is chosen says why. Below, a line that begins with # is a key with its default: take the # away to",
        "change it. Methods and networks take options of their own beside their name; see docs/methods.md and",
        "docs/configuration.md.",
    ]


def _short(command: str) -> str:
    return command if len(command) <= 300 else f"{command[:300]} ..."
