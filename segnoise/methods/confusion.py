"""The option ``confusion`` of a method: a word, or a matrix of probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from segnoise.errors import UserError
from segnoise.kms.error_map import check_confusion


def given_confusion(
    confusion: str | Sequence[Sequence[float]], classes: int, words: Sequence[str]
) -> Float[Tensor, "C C"] | None:
    """The matrix ``P(label | class)``, a row a class, or None for one of the words.

    Raises UserError for another word, another shape, and rows that are no probabilities.

    >>> given_confusion([[0.75, 0.25], [0, 1]], 2, ["learned"]).tolist(), given_confusion("learned", 2, ["learned"])
    ([[0.75, 0.25], [0.0, 1.0]], None)
    """
    if confusion in words:
        return None
    try:
        matrix = torch.tensor(confusion, dtype=torch.float32)
        check_confusion(matrix, classes)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"method.confusion: {confusion!r} is neither {', '.join(words)} nor {classes} rows of {classes} "
            "probabilities that sum to 1"
        ) from error
    return matrix
