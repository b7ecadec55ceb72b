"""Scores of segmented video in both conventions: frame by frame as challenges count, and pooled over all pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segnoise.metrics.confusion import Score, confusion_matrix, scores


class FrameScores(TypedDict):
    """The challenge convention over some frames; ``frames`` is how many of them show any foreground."""

    iou: Score
    dice: Score
    frames: int


class VideoScores(TypedDict):
    """Both conventions, each over all frames and per sequence."""

    challenge: FrameScores
    pooled: dict[str, Score]
    challenge_per_sequence: dict[str, FrameScores]
    pooled_per_sequence: dict[str, dict[str, Score]]


def frame_confusions(
    target: ArrayLike, prediction: ArrayLike, num_classes: int, ignore_index: int = 255
) -> NDArray[np.int64]:
    """The confusion matrix of every frame, ``T C C`` (:func:`segnoise.metrics.confusion_matrix`, with its ignore rule).

    Args:
        target: true class indices ``T *S``, ``ignore_index`` where unknown.
        prediction: predicted class indices ``T *S``, ``ignore_index`` where there is none.
        num_classes: number of classes C.
        ignore_index: the value that stands for "unknown".

    Raises:
        ValueError: if the shapes differ, or a counted pixel holds no class index.

    >>> frame_confusions([[0, 1], [1, 255]], [[0, 1], [0, 0]], num_classes=2).tolist()
    [[[1, 0], [0, 1]], [[0, 0], [1, 0]]]
    """
    target, prediction = np.asarray(target), np.asarray(prediction)
    if target.shape != prediction.shape:
        raise ValueError(f"target has shape {target.shape}, prediction {prediction.shape}")
    each = [confusion_matrix(t, p, num_classes, ignore_index) for t, p in zip(target, prediction, strict=True)]
    return np.array(each, dtype=np.int64).reshape(-1, num_classes, num_classes)


def frame_scores(confusions: NDArray[np.int64], classes: Sequence[str]) -> FrameScores:
    """The challenge convention (EndoVis): scores of each frame's own foreground, averaged over classes, then frames.

    With ``TP, T, P`` of class k in frame t (:func:`segnoise.metrics.scores`) and ``F_t = {k > 0 : T_tk > 0}`` the
    foreground classes that the truth of the frame shows::

        iou = mean over t with F_t not empty of  1 / |F_t|  sum over k in F_t of  TP / (T + P - TP)

    and ``dice`` likewise with ``2 TP / (T + P)``. ``per_class`` is the mean of a class over the frames that show it,
    None where none does; class 0, the background, has no entry. A class predicted where the truth does not show it
    costs nothing but what it takes from others: read this beside the pooled scores.

    Args:
        confusions: ``T C C`` counts, rows truth (:func:`frame_confusions`).
        classes: the C names, the background first.

    Raises:
        ValueError: if the matrices do not fit the names.

    >>> frames = np.array([[[6, 2, 0], [0, 2, 0], [0, 0, 0]], [[4, 0, 0], [2, 2, 0], [0, 0, 4]]])
    >>> frame_scores(frames, ["tissue", "shaft", "clasper"])["iou"]
    {'mean': 0.625, 'per_class': {'shaft': 0.5, 'clasper': 1.0}}
    """
    confusions = np.asarray(confusions)
    if confusions.ndim != 3 or confusions.shape[1:] != (len(classes), len(classes)):
        raise ValueError(
            f"confusion matrices of shape {confusions.shape} do not fit T frames of {len(classes)} classes"
        )
    hit = np.diagonal(confusions, axis1=1, axis2=2)[:, 1:]
    truth, predicted = confusions.sum(axis=2)[:, 1:], confusions.sum(axis=1)[:, 1:]
    shown = truth > 0
    counted = shown.any(axis=1)

    def score(numerator: NDArray[np.int64], denominator: NDArray[np.int64]) -> Score:
        values = np.where(shown, numerator / np.maximum(denominator, 1), 0.0)
        frames, per_frame = shown.sum(axis=0), shown.sum(axis=1)[counted]
        per_class = {
            name: float(total / n) if n else None
            for name, total, n in zip(classes[1:], values.sum(axis=0), frames, strict=True)
        }
        means = values.sum(axis=1)[counted] / per_frame
        return {"mean": float(means.mean()) if means.size else None, "per_class": per_class}

    return {
        "iou": score(hit, truth + predicted - hit),
        "dice": score(2 * hit, truth + predicted),
        "frames": int(counted.sum()),
    }


def video_scores(confusions: Mapping[str, NDArray[np.int64]], classes: Sequence[str]) -> VideoScores:
    """The scores of a set of sequences in both conventions.

    ``challenge`` is :func:`frame_scores` over the frames of all sequences, each frame weighing alike; ``pooled`` is
    :func:`segnoise.metrics.scores` of the sum of all frames' matrices, each pixel weighing alike and false positives
    counting. Both again for each sequence by itself.

    Args:
        confusions: for each sequence ``T C C`` counts, rows truth (:func:`frame_confusions`).
        classes: the C names, the background first.

    Raises:
        ValueError: without a sequence, or if the matrices do not fit the names.

    >>> one, two = np.array([[[8, 0], [0, 2]]]), np.array([[[5, 3], [0, 0]], [[6, 2], [0, 2]]])
    >>> s = video_scores({"seq_1": one, "seq_2": two}, ["tissue", "instrument"])
    >>> s["challenge"]["iou"]["mean"], s["challenge"]["frames"], s["challenge_per_sequence"]["seq_2"]["iou"]["mean"]
    (0.75, 2, 0.5)
    >>> s["pooled"]["iou"]["per_class"]["instrument"]
    0.4444
    """
    if not confusions:
        raise ValueError("scores of video need at least one sequence")
    each = {name: np.asarray(frames) for name, frames in confusions.items()}
    per_frame = {name: frame_scores(frames, classes) for name, frames in each.items()}
    every = np.concatenate(list(each.values()))
    return {
        "challenge": frame_scores(every, classes),
        "pooled": scores(every.sum(axis=0), classes),
        "challenge_per_sequence": per_frame,
        "pooled_per_sequence": {name: scores(frames.sum(axis=0), classes) for name, frames in each.items()},
    }
