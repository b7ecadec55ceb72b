"""How large the crops are and how long a first run is: what fits the smallest image and takes minutes on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from segnoise.errors import UserError
from segnoise.training.initial.draft import Choice

_EPOCHS, _FEWEST_EPOCHS = 20, 5
_FEWEST_SAMPLES = 64
# Pixels that a first run learns from: the default network sees about 700,000 a second on one core, 450,000 in 3-D.
_PIXELS = {2: 100_000_000, 3: 60_000_000}
_BLOCKS = 20
_LEAST = 32


@dataclass(frozen=True)
class Effort:
    """The length of a first run; ``samples`` is None where the natural length of an epoch is right."""

    epochs: Choice
    batch_size: Choice
    samples: Choice | None
    warning: str | None


def sides(shapes: Sequence[Sequence[int]]) -> str:
    """The sizes of images in words.

    >>> sides([(256, 300), (256, 300)]), sides([(256, 300), (200, 400)])
    ('256 x 300', '200 x 300 to 256 x 400')
    """
    smallest, largest = map(min, zip(*shapes, strict=True)), map(max, zip(*shapes, strict=True))
    low, high = " x ".join(map(str, smallest)), " x ".join(map(str, largest))
    return low if low == high else f"{low} to {high}"


def square_window(shapes: Sequence[Sequence[int]]) -> Choice:
    """The side of the crops of images that are dealt whole: a half of the smallest side, or all of a small one.

    >>> square_window([(256, 300)]).value, square_window([(100, 120)]).value, square_window([(9, 30)]).value
    (128, 96, 16)
    """
    smallest = min(min(shape) for shape in shapes)
    side = 256 if smallest >= 512 else min(128, max(16, _multiple(smallest)))
    small = "; the rest of a crop is padding" if smallest < side else ""
    return Choice(side, f"images are {sides(shapes)} px{small}")


def block_window(shapes: Sequence[Sequence[int]], what: str) -> Choice:
    """The side of crops where the images themselves are cut into blocks: twenty should lie side by side.

    Raises UserError where not even three of the smallest do.

    >>> block_window([(1024, 1024)], "scene").value, block_window([(160, 160)], "scene").value
    (192, 32)
    """

    def blocks(side: int) -> int:
        return sum(max(1, math.prod(n // side for n in shape)) for shape in shapes)

    smallest = min(min(shape) for shape in shapes)
    for side in range(min(256, max(16, _multiple(smallest))), 15, -16):
        if blocks(side) >= _BLOCKS or (side == 16 and blocks(side) >= 3):
            return Choice(side, f"{sides(shapes)} px, so that {blocks(side)} blocks can be dealt to the parts")
    raise UserError(
        f"{len(shapes)} {what}s of {sides(shapes)} px cannot be split into training, validation and test; give more"
    )


def box_window(shapes: Sequence[Sequence[int]], most: int) -> Choice:
    """Sides of crops along each axis: multiples of 8 that fit the smallest image, of 4 where it is thin.

    >>> box_window([(35, 51, 35), (40, 70, 32)], 64).value, box_window([(12, 10, 6)], 64).value
    ([32, 48, 32], [12, 8, 4])
    """
    smallest = [min(axis) for axis in zip(*shapes, strict=True)]
    window = [min(most, n // 8 * 8 if n >= 16 else max(4, n // 4 * 4)) for n in smallest]
    value = window[0] if len(set(window)) == 1 else window
    return Choice(value, f"{'voxels' if len(smallest) == 3 else 'pixels'}; the data are {sides(shapes)}")


def first_effort(shapes: Sequence[Sequence[int]], window: int | Sequence[int], train: float, val: float) -> Effort:
    """Epochs, crops an epoch and crops a step; ``train`` and ``val`` are the shares of the images.

    >>> effort = first_effort([(256, 300)] * 12, 128, 0.7, 0.15)
    >>> effort.epochs.value, effort.batch_size.value, effort.samples.value
    (20, 8, 64)
    """
    dimensions = len(shapes[0])
    box = [window] * dimensions if isinstance(window, int) else list(window)
    crop = math.prod(box)
    natural = round(train * sum(math.prod(max(1, n // w) for n, w in zip(s, box, strict=True)) for s in shapes))
    validated = val * sum(math.prod(shape) for shape in shapes)
    # Small crops cost what the network pads them to.
    cost = math.prod(max(_LEAST, -(-side // 16) * 16) for side in box)
    budget = _PIXELS[dimensions]
    # Predicting costs a third of learning.
    epochs = min(_EPOCHS, max(_FEWEST_EPOCHS, int(3 * budget / max(validated, 1))))
    most = max(_FEWEST_SAMPLES // (2 if dimensions == 3 else 1), int(budget / cost / epochs) // 8 * 8)
    batch = max(2, min(8, 2**18 // crop)) if dimensions == 2 else 2
    samples = None
    if natural < min(_FEWEST_SAMPLES, most):
        samples = Choice(min(_FEWEST_SAMPLES, most), f"only about {max(natural, 1)} crops lie side by side")
    elif natural > most:
        samples = Choice(most, f"of about {natural} crops that lie side by side: a first run takes minutes; then null")
    an_epoch = samples.value if samples else natural
    total = f"about {epochs * an_epoch} crops in all: minutes on a CPU (a guess); more is better"
    warning = None
    if epochs * validated > 6 * budget:
        warning = (
            f"validation looks at {validated / 1e6:.0f} million pixels an epoch; a smaller share in "
            "data.split.fractions makes epochs faster"
        )
    return Effort(Choice(epochs, total), Choice(batch, f"crops of {' x '.join(map(str, box))}"), samples, warning)


def _multiple(n: int) -> int:
    return n // 32 * 32 if n >= 64 else n // 16 * 16
