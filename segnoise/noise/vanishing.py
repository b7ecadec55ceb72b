"""Classes that a corruption leaves nothing of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from segnoise.noise.geometry import compact, known_labels
from segnoise.noise.transition import kinds


def with_vanished(
    fitted: dict[str, Any], images: Sequence[NDArray[Any]], noisy: Sequence[NDArray[Any]], instances: bool
) -> dict[str, Any]:
    """What a record says about a level, with the classes that none of the noisy images holds any more in ``why``.

    >>> import numpy as np
    >>> with_vanished({"met": 1.0}, [np.array([0, 1, 2])], [np.array([0, 1, 0])], instances=False)
    {'met': 1.0, 'why': 'nothing is left of class 2'}
    """
    lost = sorted(_present(images, instances) - _present(noisy, instances))
    if not lost:
        return fitted
    names = ["background", "objects"] if instances else None
    what = ", ".join(names[k] if names else f"class {k}" for k in lost)
    why = [fitted["why"]] if "why" in fitted else []
    return {**fitted, "why": "; ".join([*why, f"nothing is left of {what}"])}


def _present(images: Sequence[NDArray[Any]], instances: bool) -> set[int]:
    found: set[int] = set()
    for labels in images:
        found.update(compact(kinds(labels, instances)[known_labels(labels, instances)])[0].tolist())
    return found
