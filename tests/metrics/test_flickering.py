"""Flicker against a loop over frames and pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.metrics import FlickerCounts, flicker, flicker_counts


def clip(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target, prediction = rng.choice([0, 1, 2, 255], (2, 6, 4, 5), p=[0.6, 0.2, 0.1, 0.1])
    return target, prediction


def by_hand(target: np.ndarray, prediction: np.ndarray) -> tuple[int, int]:
    changed = kept = 0
    for t in range(len(target) - 1):
        for at in np.ndindex(target.shape[1:]):
            now, then = target[t][at], target[t + 1][at]
            before, after = prediction[t][at], prediction[t + 1][at]
            if 255 not in (now, then, before, after) and now == then:
                kept += 1
                changed += before != after
    return changed, kept


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_counts_are_those_of_a_loop_over_pixels(seed: int) -> None:
    target, prediction = clip(seed)
    counts = flicker_counts(target, prediction)
    assert (counts.changed, counts.kept) == by_hand(target, prediction)
    assert flicker_counts(target.astype(np.uint8), prediction.astype(np.uint8)) == counts


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 2))
def test_nothing_under_ignored_pixels_changes_it(seed: int) -> None:
    target, prediction = clip(seed)
    anything = np.random.default_rng(seed + 1).integers(-3, 300, target.shape)
    counts = flicker_counts(target, prediction)
    assert flicker_counts(target, np.where(target == 255, anything, prediction)) == counts
    assert flicker_counts(np.where(prediction == 255, anything, target), prediction) == counts


def test_a_prediction_that_follows_the_truth_does_not_flicker_and_a_blinking_one_does() -> None:
    target = np.stack([np.roll([1, 1, 0, 0, 0, 0], t) for t in range(4)])
    assert flicker(flicker_counts(target, target)) == 0
    assert flicker(flicker_counts(target, 1 - target)) == 0
    blinking = np.stack([np.full(6, t % 2) for t in range(4)])
    assert flicker(flicker_counts(target, blinking)) == 1


def test_without_truth_every_change_counts() -> None:
    moving = np.stack([np.roll([1, 0, 0, 0], t) for t in range(3)])
    assert flicker_counts(None, moving) == FlickerCounts(changed=4, kept=8)
    assert flicker_counts(None, np.where(moving == 1, 255, moving)) == FlickerCounts(changed=0, kept=4)


def test_clips_that_share_a_frame_and_runs_between_gaps_add_up() -> None:
    target, prediction = clip(3)
    parts = [flicker_counts(target[s], prediction[s]) for s in (slice(0, 4), slice(3, None))]
    assert parts[0] + parts[1] == flicker_counts(target, prediction)
    assert flicker_counts(target[:1], prediction[:1]) == FlickerCounts()


def test_refuses_maps_of_different_shape() -> None:
    with pytest.raises(ValueError, match="shape"):
        flicker_counts(np.zeros((2, 3)), np.zeros((3, 3)))
