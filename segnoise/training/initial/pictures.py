"""A first configuration for plain images with masks."""

from __future__ import annotations

from segnoise.data import ImageLabels, ImageSource
from segnoise.training.initial.brightness import look_at
from segnoise.training.initial.dealing import deal
from segnoise.training.initial.draft import Choice, Choices, Draft, Files, Progress
from segnoise.training.initial.effort import block_window, sides, square_window
from segnoise.training.initial.labelcount import count_labels, names_in_raster, see_classes
from segnoise.training.initial.pairs import opened, pairs
from segnoise.training.initial.together import together
from segnoise.training.initial.wording import counted

GREY = (
    "255 means unknown, and a mask of grey values has it for a class: write 1 instead, or put the folders beside each "
    "other as images/ and masks/ and use `segnoise init fundus --folder`, whose key values translates grey values"
)


def draft_images(files: Files, progress: Progress | None = None) -> Draft:
    """Looks at images and masks of class indices."""
    paired = pairs(files)
    sources = opened(paired.images, lambda k: ImageSource(paired.images[k]))
    labels = opened(paired.labels, lambda k: ImageLabels(paired.labels[k], like=sources[k]))
    counts = count_labels(labels, len(labels), progress)
    known = counts[:255].nonzero()[0]
    names = names_in_raster(paired.labels[0], int(known[-1]) + 1 if len(known) else 0)
    seen = see_classes(counts, str(paired.labels[0].parent), names, paired.labels[0].name, GREY)
    dealt = deal([source.name for source in sources], "image", blocks=True, given=paired.given)
    shapes = [source.shape for source in sources]
    window = block_window(shapes, "image") if dealt.by == "block" else square_window(shapes)
    brightness = look_at(sources)
    scaling = Choice("set", f"one scaling for all images; {brightness}")
    warnings = [*paired.warnings, *seen.warnings]
    if len({source.dtype for source in sources}) > 1:
        listed = counted(source.dtype for source in sources)
        scaling = Choice("image", f"a guess: no common unit, data types are {listed}")
        warnings.append(f"images are of different data types ({listed}), so each is scaled by its own values")
    facts = [
        f"{len(sources)} images of {sides(shapes)} px, {_channels(sources[0])}; {brightness or 'nothing observed'}",
        seen.fact,
    ]
    data: dict[str, Choice | Choices] = {
        "kind": Choice("images", ""), **paired.choices, "classes": seen.names, "window": window, "split": dealt.split,
        "scaling": {"per": scaling},
    }  # fmt: skip
    return together(data, shapes, dealt, facts, warnings)


def _channels(source: ImageSource) -> str:
    return f"{source.channels} channel{'s' if source.channels > 1 else ''} of {source.dtype}"
