"""How images are dealt to training, validation and test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from segnoise.errors import UserError
from segnoise.training.initial.draft import Choice, Choices
from segnoise.training.initial.grouping import LEAST, guess_group

FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Dealt:
    """Choices for ``data.split``, and the shares that go to training and validation."""

    split: Choices
    by: str
    train: float = FRACTIONS["train"]
    val: float = FRACTIONS["val"]
    warnings: list[str] = field(default_factory=list)


def deal(
    names: Sequence[str],
    what: str,
    *,
    blocks: bool,
    given: Sequence[str | None] = (),
    groups: Sequence[str | None] | None = None,
    sliced: bool = False,
) -> Dealt:
    """The parts that a table or a set states; else whole images, guessed groups together; else blocks of images.

    Args:
        names: of the images (of the volumes, if they are cut into slices).
        what: what an image is called, such as scene.
        blocks: whether an image may be cut.
        given: the part that each is in, where that is stated.
        groups: what belongs together, where that is known; guessed from the names otherwise.
        sliced: volumes are cut into slices.

    Raises UserError where there is too little to deal.
    """
    stated = {part: list(given).count(part) for part in ("train", "val", "test")}
    if given and None not in given and stated["train"] and stated["val"]:
        counted = ", ".join(f"{part} {count}" for part, count in stated.items() if count)
        shares = stated["train"] / len(given), stated["val"] / len(given)
        return Dealt({"by": Choice("table", f"the parts are stated: {counted}")}, "table", *shares)
    if groups is not None:
        units = len(set(groups) - {None}) + list(groups).count(None)
        why = f"{units} patients or volumes, each whole" if units < len(names) else f"{len(names)} {what}s, each whole"
        return _by_source(units, {"by": Choice("source", why)}, what)
    if len(names) < LEAST and blocks:
        one = f"{len(names)} {what}{'s' if len(names) > 1 else ''}: too few to deal whole, so squares of them are"
        return Dealt({"by": Choice("block", one)}, "block")
    split: dict[str, Choice] = {"by": Choice("source", f"{len(names)} {what}s, each whole")}
    guessed = guess_group(names, sliced)
    if guessed is not None:
        split["group"] = guessed
        pattern = guessed.value.replace(r"/\d+$", "$")
        units = len({match[1] for name in names if (match := re.search(pattern, name))})
        return _by_source(units, split, what)
    return _by_source(len(names), split, what)


def _by_source(units: int, split: Choices, what: str) -> Dealt:
    if units >= LEAST:
        return Dealt(split, "source")
    if units < 2:
        raise UserError(
            f"only one {what} or patient with labels, and none may be cut: training and validation need one each; "
            "give more"
        )
    halves = Choice({"train": 0.5, "val": 0.5, "test": 0.0}, "two only: one to train on, one to validate")
    warning = f"there are only two {what}s or patients: nothing is left for a test"
    return Dealt({**split, "fractions": halves}, "source", 0.5, 0.5, [warning])
