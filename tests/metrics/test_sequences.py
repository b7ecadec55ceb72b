"""Scores of video against loops over frames and classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.metrics import confusion_matrix, frame_confusions, frame_scores, scores, video_scores

CLASSES = ["tissue", "shaft", "clasper", "needle"]


def clip(seed: int, frames: int = 6, shape: tuple[int, int] = (5, 7)) -> tuple[np.ndarray, np.ndarray]:
    """Frames of which some lack a class, some show none at all, and a tenth of whose pixels are unknown."""
    rng = np.random.default_rng(seed)
    chance = np.array([0.7, 0.2, 0.08, 0.02])
    target = rng.choice(4, (frames, *shape), p=chance)
    target[0] = 0
    prediction = np.where(rng.random(target.shape) < 0.7, target, rng.choice(4, target.shape, p=chance))
    target[rng.random(target.shape) < 0.1] = 255
    prediction[rng.random(target.shape) < 0.05] = 255
    return target, prediction


def by_hand(target: np.ndarray, prediction: np.ndarray) -> dict[str, list[dict[int, float]]]:
    """IoU and Dice of every frame's own foreground classes."""
    found: dict[str, list[dict[int, float]]] = {"iou": [], "dice": []}
    for true, predicted in zip(target, prediction, strict=True):
        counted = (true != 255) & (predicted != 255)
        iou, dice = {}, {}
        for k in range(1, 4):
            a, b = (true == k) & counted, (predicted == k) & counted
            if a.any():
                iou[k] = (a & b).sum() / (a | b).sum()
                dice[k] = 2 * (a & b).sum() / (a.sum() + b.sum())
        found["iou"].append(iou)
        found["dice"].append(dice)
    return found


class TestChallenge:
    @pytest.mark.parametrize("seed", range(4))
    def test_is_the_mean_over_classes_shown_and_then_over_frames(self, seed: int) -> None:
        target, prediction = clip(seed)
        ours = frame_scores(frame_confusions(target, prediction, 4), CLASSES)
        for name, frames in by_hand(target, prediction).items():
            assert ours[name]["mean"] == pytest.approx(np.mean([np.mean(list(f.values())) for f in frames if f]))
            for k in range(1, 4):
                values = [frame[k] for frame in frames if k in frame]
                expected = pytest.approx(np.mean(values)) if values else None
                assert ours[name]["per_class"][CLASSES[k]] == expected
        assert ours["frames"] == sum(bool(frame) for frame in by_hand(target, prediction)["iou"])
        assert "tissue" not in ours["iou"]["per_class"]

    def test_a_class_predicted_where_there_is_none_costs_here_nothing_and_pooled_something(self) -> None:
        target = np.array([[0, 0, 0, 1], [0, 0, 0, 0]])
        prediction = np.array([[0, 0, 0, 1], [2, 2, 0, 0]])
        ours = video_scores({"a": frame_confusions(target, prediction, 4)}, CLASSES)
        assert ours["challenge"]["iou"]["mean"] == 1
        assert ours["challenge"]["iou"]["per_class"]["clasper"] is None
        assert ours["challenge"]["frames"] == 1
        assert ours["pooled"]["iou"]["per_class"]["clasper"] == 0

    def test_frames_without_foreground_or_without_anything_known_say_nothing(self) -> None:
        empty = frame_confusions(np.array([[0, 0], [255, 255]]), np.array([[0, 1], [1, 1]]), 4)
        nothing = {"mean": None, "per_class": dict.fromkeys(CLASSES[1:])}
        assert frame_scores(empty, CLASSES) == {"iou": nothing, "dice": nothing, "frames": 0}
        assert frame_scores(empty[:0], CLASSES)["frames"] == 0

    def test_a_perfect_clip_scores_one(self) -> None:
        target, _ = clip(3)
        ours = frame_scores(frame_confusions(target, target, 4), CLASSES)
        assert ours["iou"]["mean"] == ours["dice"]["mean"] == 1


class TestSets:
    def test_every_frame_weighs_alike_in_one_and_every_pixel_in_the_other(self) -> None:
        clips = {"short": clip(5, 2), "long": clip(6, 9)}
        confusions = {name: frame_confusions(*pair, 4) for name, pair in clips.items()}
        ours = video_scores(confusions, CLASSES)
        frames = [f for pair in clips.values() for f in by_hand(*pair)["iou"] if f]
        assert ours["challenge"]["iou"]["mean"] == pytest.approx(np.mean([np.mean(list(f.values())) for f in frames]))
        target, prediction = (np.concatenate([pair[k] for pair in clips.values()]) for k in range(2))
        assert ours["pooled"] == scores(confusion_matrix(target, prediction, 4), CLASSES)
        for name, pair in clips.items():
            assert ours["pooled_per_sequence"][name] == scores(confusion_matrix(*pair, 4), CLASSES)
            assert ours["challenge_per_sequence"][name] == frame_scores(confusions[name], CLASSES)

    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 2**32 - 2))
    def test_nothing_under_ignored_pixels_changes_them(self, seed: int) -> None:
        target, prediction = clip(seed)
        anything = np.random.default_rng(seed + 1).integers(-3, 300, target.shape)
        scrambled = np.where(target == 255, anything, prediction)
        hidden = np.where(prediction == 255, anything, target)
        plain = video_scores({"a": frame_confusions(target, prediction, 4)}, CLASSES)
        assert video_scores({"a": frame_confusions(target, scrambled, 4)}, CLASSES) == plain
        assert video_scores({"a": frame_confusions(hidden, prediction, 4)}, CLASSES) == plain

    def test_refuses_what_does_not_fit(self) -> None:
        with pytest.raises(ValueError, match="do not fit"):
            frame_scores(np.zeros((2, 3, 3), np.int64), CLASSES)
        with pytest.raises(ValueError, match="do not fit"):
            frame_scores(np.zeros((4, 4), np.int64), CLASSES)
        with pytest.raises(ValueError, match="shape"):
            frame_confusions(np.zeros((2, 3)), np.zeros((3, 3)), 4)
        with pytest.raises(ValueError, match="at least one sequence"):
            video_scores({}, CLASSES)
