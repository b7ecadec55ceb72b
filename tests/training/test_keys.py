"""The order of samples: every position once an epoch over all ranks, and a resumed order is the rest of the whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from segnoise.training.keys import StepKeys

counts = st.integers(1, 6)


@given(counts, counts, counts, counts)
def test_ranks_together_see_every_position_of_every_epoch_once(epochs, per_epoch, batch, world):
    seen = [
        key
        for rank in range(world)
        for keys in StepKeys(0, epochs * per_epoch, per_epoch, batch, rank, world)
        for key in keys
    ]
    assert sorted(seen) == [(e, p) for e in range(epochs) for p in range(per_epoch * batch * world)]


@given(counts, counts, counts, st.integers(0, 36))
def test_a_resumed_order_is_the_rest_of_the_whole(per_epoch, batch, world, start):
    whole = StepKeys(0, 36, per_epoch, batch, 0, world)
    rest = StepKeys(start, 36, per_epoch, batch, 0, world)
    assert list(rest) == list(whole)[start:]
    assert len(rest) == 36 - start


@given(counts, counts, counts)
def test_a_step_over_ranks_is_one_step_of_the_joint_batch(per_epoch, batch, world):
    joint = list(StepKeys(0, 12, per_epoch, batch * world, 0, 1))
    ranks = [list(StepKeys(0, 12, per_epoch, batch, rank, world)) for rank in range(world)]
    assert joint == [[key for part in parts for key in part] for parts in zip(*ranks, strict=True)]
