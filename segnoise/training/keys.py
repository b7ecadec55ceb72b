"""Which samples each step of a training sees: a pure function of the step, so that resuming is only starting later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class StepKeys:
    """The sample keys (epoch, position) of steps ``start`` to ``stop``, a batch a step, for one of ``world`` ranks.

    >>> list(StepKeys(start=1, stop=3, per_epoch=2, batch=2, rank=0, world=1))
    [[(0, 2), (0, 3)], [(1, 0), (1, 1)]]
    """

    start: int
    stop: int
    per_epoch: int
    batch: int
    rank: int
    world: int

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.start, self.stop):
            epoch, within = divmod(step, self.per_epoch)
            first = (within * self.world + self.rank) * self.batch
            yield [(epoch, first + j) for j in range(self.batch)]

    def __len__(self) -> int:
        return self.stop - self.start
