"""A first configuration of procedural landscapes: there are no files to look at."""

from __future__ import annotations

from segnoise.errors import UserError
from segnoise.training.initial.dealing import deal
from segnoise.training.initial.draft import Choice, Choices, Draft, Files, Progress
from segnoise.training.initial.effort import block_window
from segnoise.training.initial.together import together

_SIDE = 1024


def draft_scenes(files: Files, progress: Progress | None = None) -> Draft:
    """One landscape with exact labels, made wrong by noise."""
    if files.images or files.labels is not None or files.folder is not None:
        raise UserError("--images, --labels, --folder: scenes are generated and take none; use the kind raster")
    shapes = [(_SIDE, _SIDE)]
    dealt = deal(["scene"], "scene", blocks=True)
    data: dict[str, Choice | Choices] = {
        "kind": Choice("scenes", ""), "count": Choice(1, "more take longer"), "size": Choice(_SIDE, "px"),
        "classes": Choice(["background", "field"], "a third would be the boundary"),
        "window": block_window(shapes, "scene"), "split": dealt.split,
        "scaling": {"per": Choice("set", "one scaling for all scenes")},
    }  # fmt: skip
    noise = Choice("kms(0.3)", "generated labels are exact: this makes 30 % of the pixels wrong, in coherent blobs")
    return together(data, shapes, dealt, ["nothing to look at: one landscape is generated"], [], noise=noise)
