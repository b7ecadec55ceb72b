"""Which parts of which sources train, validate and test, so that no pixel serves two of them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.windows import Window

# With this many blocks of twice the window a share of 5 % is still a block of its own; with fewer, blocks shrink.
_ENOUGH = 20

Unit = TypeVar("Unit")


@dataclass(frozen=True, order=True)
class Region:
    """A box of the source in row ``index`` of a data set, at least as large as the window in every axis."""

    index: int
    window: Window


@dataclass(frozen=True)
class Fold:
    """The ``part``-th of ``parts`` equal parts of the data, counted from 1; it is what the others are tested on."""

    part: int
    parts: int

    def __str__(self) -> str:
        return f"{self.part}/{self.parts}"


def parse_fold(text: str) -> Fold:
    """A fold as it is written: ``1/3`` is the first of three.

    >>> parse_fold("2/3")
    Fold(part=2, parts=3)

    Raises UserError for what is not written so, and for a part that there is not.
    """
    match = re.fullmatch(r"\s*([0-9]+)\s*/\s*([0-9]+)\s*", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]) or int(match[2]) < 2:
        raise UserError(f"data.split.fold: {text!r} is not written PART/PARTS, such as 1/3 for the first of three")
    return Fold(int(match[1]), int(match[2]))


def block_split(
    shapes: Sequence[Sequence[int]],
    window: Sequence[int],
    fractions: Mapping[str, float],
    seed: int,
    fold: Fold | None = None,
) -> dict[str, list[Region]]:
    """Cuts every source into blocks and deals whole blocks to the splits.

    A block's side is twice the window, or once where that gives fewer than 20 blocks; a remainder at the edge joins
    its neighbour, and a source smaller than the window is one block that reaches beyond it. Every window of a split
    lies inside a block of that split, so splits share no pixel. Each split with a fraction above 0 gets a block.
    With ``fold`` the test blocks are that part of all, whatever the fraction ``test``: the parts of a number of folds
    are together all blocks, and share none.

    Raises UserError when there are fewer blocks than splits or folds.

    >>> split = block_split([(64, 64), (30, 70)], (32, 32), {"train": 0.5, "val": 0.25, "test": 0.25}, seed=0)
    >>> {name: len(regions) for name, regions in split.items()}
    {'train': 3, 'val': 2, 'test': 1}
    >>> split["val"][0]
    Region(index=0, window=Window(start=(32, 32), size=(32, 32)))
    """
    blocks: list[Region] = []
    for times in (2, 1):
        side = [times * w for w in window]
        blocks = [Region(i, block) for i, shape in enumerate(shapes) for block in _blocks(shape, side, window)]
        if len(blocks) >= _ENOUGH:
            break
    size = " x ".join(str(w) for w in window)
    advice = (
        f"blocks of a window's size ({size} px) in all scenes: {len(blocks)}; choose a smaller window, "
        "give more scenes or split by scene"
    )
    order = generator(seed, "block split").permutation(len(blocks)).tolist()
    held, order, fractions = _hold_out(order, fractions, fold, advice)
    split = {name: sorted(blocks[i] for i in rows) for name, rows in held.items()}
    for name, count in _deal(len(order), fractions, advice).items():
        split[name] = sorted(blocks[i] for i in order[:count])
        order = order[count:]
    return split


def source_split(
    names: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    given: Sequence[str | None] | None = None,
    groups: Sequence[str | None] | None = None,
    fold: Fold | None = None,
) -> dict[str, list[int]]:
    """Deals whole sources to the splits; returns the rows of each, in order.

    ``given`` names the split of each source where it is fixed (a table's column); the sources for which it is None
    are dealt by the fractions. Sources of one of the ``groups`` are dealt together, as the slices of one patient must
    be; None is a group of its own. With ``fold`` the test sources are that part of those dealt. The draw depends on the
    names and not on their order.

    Raises UserError when there are fewer sources (or groups) than splits.

    >>> source_split(["a", "b", "c", "d"], {"train": 0.5, "val": 0.5}, seed=0, given=["val", None, None, "val"])
    {'train': [1, 2], 'val': [0, 3]}
    >>> source_split(["p1_a", "p2_a", "p1_b", "p2_b"], {"train": 0.5, "val": 0.5}, seed=0, groups=["1", "2"] * 2)
    {'train': [1, 3], 'val': [0, 2]}
    """
    fixed = list(given) if given is not None else [None] * len(names)
    split: dict[str, list[int]] = {name: [] for name in fractions}
    for row, name in enumerate(fixed):
        if name is not None:
            split.setdefault(name, []).append(row)
    free = sorted((row for row, name in enumerate(fixed) if name is None), key=lambda row: (names[row], row))
    together: dict[str | int, list[int]] = {}
    for row in free:
        group = None if groups is None else groups[row]
        together.setdefault(row if group is None else group, []).append(row)
    units = list(together.values())
    if units:
        what = "groups of sources to deal" if len(units) < len(free) else "scenes to deal"
        advice = f"{what}: {len(units)}; give more scenes, or split by block"
        order = [units[i] for i in generator(seed, "source split").permutation(len(units))]
        test, order, fractions = _hold_out(order, fractions, fold, advice)
        split |= {name: [row for unit in kept for row in unit] for name, kept in test.items()}
        held = {name: len(split[name]) for name in fractions}
        for name, count in _deal(len(order), fractions, advice, held).items():
            split[name] += [row for unit in order[:count] for row in unit]
            order = order[count:]
    return {name: sorted(rows) for name, rows in split.items()}


def whole_regions(rows: Sequence[int], shapes: Sequence[Sequence[int]], window: Sequence[int]) -> list[Region]:
    """One region for each whole source in ``rows``, as large as the window at least.

    >>> whole_regions([1], [(9, 9), (40, 20)], (32, 32))
    [Region(index=1, window=Window(start=(0, 0), size=(40, 32)))]
    """
    return [
        Region(row, Window((0,) * len(window), tuple(max(n, w) for n, w in zip(shapes[row], window, strict=True))))
        for row in rows
    ]


def _blocks(shape: Sequence[int], side: Sequence[int], window: Sequence[int]) -> list[Window]:
    axes = []
    for length, block, w in zip(shape, side, window, strict=True):
        edges = [i * block for i in range(max(1, length // block))]
        # What remains at the end is a block of its own only if a window fits.
        if length - (edges[-1] + block) >= w:
            edges.append(edges[-1] + block)
        axes.append(list(zip(edges, [*edges[1:], max(length, w)], strict=True)))
    return [Window(tuple(a for a, _ in spans), tuple(b - a for a, b in spans)) for spans in itertools.product(*axes)]


def _hold_out(
    order: list[Unit], fractions: Mapping[str, float], fold: Fold | None, advice: str
) -> tuple[dict[str, list[Unit]], list[Unit], Mapping[str, float]]:
    """What a fold takes as test, what is left in order, and the fractions of what is left."""
    if fold is None:
        return {}, order, fractions
    if len(order) < fold.parts:
        raise UserError(f"data.split.fold: {fold} of too little; {advice}")
    rest = [unit for k, unit in enumerate(order) if k % fold.parts != fold.part - 1]
    shares = {name: share for name, share in fractions.items() if name != "test"}
    total = sum(shares.values())
    return {"test": order[fold.part - 1 :: fold.parts]}, rest, {name: share / total for name, share in shares.items()}


def _deal(
    total: int, fractions: Mapping[str, float], advice: str, held: Mapping[str, int] | None = None
) -> dict[str, int]:
    """How many of ``total`` things each split gets: at least one each in all, then whoever lacks most."""
    if any(f < 0 or not math.isfinite(f) for f in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        shares = ", ".join(f"{name} {share:g}" for name, share in fractions.items())
        raise UserError(f"data.split.fractions: {shares}; give shares from 0 to 1 that add up to 1")
    has = {name: (held or {}).get(name, 0) for name in fractions}
    everything = total + sum(has.values())
    counts = dict.fromkeys(fractions, 0)
    wanting = [name for name, share in fractions.items() if share > 0 and not has[name]]
    if total < len(wanting):
        raise UserError(f"data.split: too little for {', '.join(wanting)}; {advice}")
    for name in wanting:
        counts[name] = 1
    for _ in range(total - sum(counts.values())):
        most = max(fractions, key=lambda name: fractions[name] * everything - has[name] - counts[name])
        counts[most] += 1
    return counts
