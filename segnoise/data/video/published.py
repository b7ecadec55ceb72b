"""The public sets of video by the names that configurations call them: their classes and their readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segnoise.data.video.endovis import ENDOVIS17, ENDOVIS18, Target, read_endovis17, read_endovis18
from segnoise.data.video.polyps import POLYP_CLASSES, read_polypgen, read_sunseg
from segnoise.data.video.recording import Recording


@dataclass(frozen=True)
class PublishedSet:
    """A set as it is published.

    ``place`` is the folder that holds its frames, by which it is known; ``classes`` and ``read`` take what the labels
    are to show, which only EndoVis 2017 offers a choice of.

    >>> PUBLISHED["endovis17"].classes("binary"), PUBLISHED["sunseg"].classes("parts")
    (('background', 'instrument'), ('background', 'polyp'))
    """

    place: str
    classes: Callable[[Target], tuple[str, ...]]
    read: Callable[[Path, Target], list[Recording]]


PUBLISHED: dict[str, PublishedSet] = {
    "endovis17": PublishedSet("left_frames", lambda target: ENDOVIS17[target], read_endovis17),
    "endovis18": PublishedSet("left_frames", lambda _: tuple(ENDOVIS18), lambda root, _: read_endovis18(root)),
    "polypgen": PublishedSet("positive", lambda _: POLYP_CLASSES, lambda root, _: read_polypgen(root)),
    "sunseg": PublishedSet("Frame", lambda _: POLYP_CLASSES, lambda root, _: read_sunseg(root)),
}
"""Every layout but plain folders of frames."""


def plain_folder(root: Path) -> tuple[Path, Path] | None:
    """Where a plain folder has its frames and its masks: images/ with labels/ or masks/; None if it has not."""
    masks = next((root / name for name in ("labels", "masks") if (root / name).is_dir()), None)
    return None if masks is None or not (root / "images").is_dir() else (root / "images", masks)
