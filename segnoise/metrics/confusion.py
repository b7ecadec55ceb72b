"""The confusion matrix, and the pixel scores that are ratios of its sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Score(TypedDict):
    """One metric: its mean over the classes that occur, and its value per class (None: it does not occur)."""

    mean: float | None
    per_class: dict[str, float | None]


def confusion_matrix(
    target: ArrayLike, prediction: ArrayLike, num_classes: int, ignore_index: int = 255
) -> NDArray[np.int64]:
    """Counts pixels by true and predicted class: ``M[i, j] = #{x : target(x) = i, prediction(x) = j}``.

    The matrices of several windows or images add up to the matrix of all of them.

    A pixel is counted where its target is known and the prediction gives an answer; elsewhere the other map may
    hold anything. A prediction of ``ignore_index`` is no answer (the scene has no data there), not a wrong one.

    Args:
        target: true class indices ``*S``, ``ignore_index`` where unknown.
        prediction: predicted class indices ``*S``, ``ignore_index`` where there is none.
        num_classes: number of classes C.
        ignore_index: the value that stands for "unknown".

    Returns:
        ``C x C`` counts, rows truth, columns prediction.

    Raises:
        ValueError: if the shapes differ, or a counted pixel holds no class index.

    >>> confusion_matrix([0, 0, 1, 255], [0, 1, 1, 7], num_classes=2)
    array([[1, 1],
           [0, 1]])
    """
    target, prediction = np.asarray(target), np.asarray(prediction)
    if target.shape != prediction.shape:
        raise ValueError(f"target has shape {target.shape}, prediction {prediction.shape}")
    counted = (target != ignore_index) & (prediction != ignore_index)
    rows, columns = target[counted].astype(np.int64), prediction[counted].astype(np.int64)
    for name, values in (("target", rows), ("prediction", columns)):
        if values.size and not 0 <= values.min() <= values.max() < num_classes:
            raise ValueError(f"{name} holds values outside 0..{num_classes - 1} that are not {ignore_index}")
    flat = np.bincount(rows * num_classes + columns, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


def scores(confusion: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Score]:
    """The pixel scores of a confusion matrix, per class and as the mean over classes.

    With ``TP`` the diagonal, ``T`` the row sums (truth) and ``P`` the column sums (prediction)::

        iou = TP / (T + P - TP)    dice = f1 = 2 TP / (T + P)    precision = TP / P    recall = TP / T

    ``accuracy`` per class is the share of the class's pixels that are labelled so (its recall); its ``mean`` is
    the overall pixel accuracy ``sum TP / sum T``, that is, weighted by the classes' sizes. All other means weight
    classes equally.

    One rule for absent classes: a class in neither truth nor prediction is None and left out of every mean; a
    class in only one of the two scores 0 in everything. Without any counted pixel all is None.

    Args:
        confusion: ``C x C`` counts, rows truth.
        classes: the C names.

    Raises:
        ValueError: if the matrix does not fit the names.

    >>> s = scores(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), ["background", "field", "water"])
    >>> s["iou"]
    {'mean': 0.775, 'per_class': {'background': 0.75, 'field': 0.8, 'water': None}}
    >>> s["accuracy"]["mean"]
    0.875
    """
    confusion = np.asarray(confusion)
    if confusion.shape != (len(classes), len(classes)):
        raise ValueError(f"a confusion matrix of shape {confusion.shape} does not fit {len(classes)} classes")
    hit = confusion.diagonal()
    truth, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    occurs = truth + predicted > 0

    def score(numerator: NDArray[np.int64], denominator: NDArray[np.int64]) -> Score:
        values = numerator / np.maximum(denominator, 1)
        per_class = {
            name: float(value) if there else None for name, value, there in zip(classes, values, occurs, strict=True)
        }
        return {"mean": float(values[occurs].mean()) if occurs.any() else None, "per_class": per_class}

    recall = score(hit, truth)
    overall = float(hit.sum() / truth.sum()) if truth.sum() else None
    return {
        "iou": score(hit, truth + predicted - hit),
        "dice": score(2 * hit, truth + predicted),
        "precision": score(hit, predicted),
        "recall": recall,
        "f1": score(2 * hit, truth + predicted),
        "accuracy": {"mean": overall, "per_class": dict(recall["per_class"])},
    }
