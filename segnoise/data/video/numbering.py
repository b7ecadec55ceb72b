"""Frames by the numbers in their names: which sequence a file belongs to, its place in it, and where time jumps."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path

from segnoise.data.pairing import natural_key
from segnoise.data.video.sequence import Numbering
from segnoise.errors import UserError


def frame_name(path: str | Path) -> tuple[str, int | None]:
    """What stands before the last whole number of a file's name, and that number; None where there is none.

    >>> frame_name("images/case1/frame_0012.png"), frame_name("17_mask.jpg"), frame_name("a.png")
    (('frame', 12), ('', 17), ('a', None))
    """
    stem = Path(path).stem
    match = re.fullmatch(r"(.*?)(\d+)\D*", stem, re.DOTALL)
    if match is None:
        return stem, None
    return match[1].rstrip("_- ."), int(match[2])


def numbered(paths: Iterable[Path], by: Numbering = "name") -> dict[int, Path]:
    """The frames of one sequence by number, in rising order.

    >>> list(numbered([Path("f10.png"), Path("f2.png")])), list(numbered([Path("b.png"), Path("a.png")], by="order"))
    ([2, 10], [0, 1])

    Raises UserError for a name without a number and for two frames of one number, naming them.
    """
    ordered = sorted(paths, key=lambda path: natural_key(path.name))
    if by == "order":
        return dict(enumerate(ordered))
    found: dict[int, Path] = {}
    for path in ordered:
        _, number = frame_name(path)
        if number is None:
            raise UserError(f"{path}: no frame number in the name; number the frames, or set data.numbers: order")
        if number in found:
            raise UserError(
                f"{path}: has the frame number {number} of {found[number].name}; rename one, or set data.numbers: order"
            )
        found[number] = path
    return dict(sorted(found.items()))


def stretches(numbers: Sequence[int], stride: int = 1) -> list[list[int]]:
    """The positions of frames that follow each other without a gap, thinned by ``stride``.

    From each frame the next is the last one that is at most ``stride`` later; where there is none, a new stretch
    begins with the frame after. Numbers 30 apart need a stride of 30, and a film of 30 frames a second is thinned to
    two by a stride of 15.

    >>> stretches([0, 1, 2, 5, 6]), stretches(range(7), stride=3), stretches([0, 30, 60, 120], stride=30)
    ([[0, 1, 2], [3, 4]], [[0, 3, 6]], [[0, 1, 2], [3]])
    """
    found: list[list[int]] = []
    k = 0
    while k < len(numbers):
        run = [k]
        while (last := bisect_right(numbers, numbers[run[-1]] + stride) - 1) > run[-1]:
            run.append(last)
        found.append(run)
        k = run[-1] + 1
    return found
