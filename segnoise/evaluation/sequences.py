"""Scores of sequences: frame by frame as challenges count, pooled over pixels, and how much predictions flicker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.metrics import FlickerCounts, flicker, flicker_counts, frame_confusions, video_scores


@dataclass
class Sequences:
    """What every stretch of frames adds to the scores of its sequence.

    A sequence that is cut by gaps is one: its frames count together, and no flicker is counted across a gap. Kept are
    a confusion matrix a frame and the last frame that came, so memory does not grow with the frames' size times their
    number.
    """

    classes: Sequence[str]
    _counts: dict[str, list[NDArray[np.int64]]] = field(default_factory=dict)
    _flicker: dict[str, FlickerCounts] = field(default_factory=dict)
    _last: tuple[int, NDArray[Any], NDArray[Any]] | None = None

    def add(self, sequence: str, source: int, truth: NDArray[Any], prediction: NDArray[Any]) -> None:
        """Consecutive frames ``T H W`` of a sequence: true and predicted class indices, truth 255 where unknown.

        ``source`` tells stretches without a gap apart: frames of one go on from those that were added last.
        """
        self._counts.setdefault(sequence, []).append(frame_confusions(truth, prediction, len(self.classes)))
        last = (truth[-1:], prediction[-1:])
        if self._last is not None and self._last[0] == source:
            truth = np.concatenate([self._last[1], truth])
            prediction = np.concatenate([self._last[2], prediction])
        found = flicker_counts(truth, prediction)
        self._flicker[sequence] = self._flicker.get(sequence, FlickerCounts()) + found
        self._last = (source, *last)

    def summary(self) -> dict[str, Any]:
        """``n``, both conventions as :func:`segnoise.metrics.video_scores` names them, ``flicker`` over all sequences
        and ``flicker_per_sequence``: the share of pixels whose prediction changes to the next frame though the true
        class stays, null where there is nothing to compare.
        """
        counts = {name: np.concatenate(frames) for name, frames in self._counts.items()}
        return {
            "n": len(counts),
            **video_scores(counts, self.classes),
            "flicker": flicker(sum(self._flicker.values(), FlickerCounts())),
            "flicker_per_sequence": {name: flicker(found) for name, found in self._flicker.items()},
        }


def sequence_name(source: str, numbers: Sequence[int]) -> str:
    """The sequence of a stretch of frames, which is called ``NAME/FIRST-LAST`` where it is only a part.

    >>> sequence_name("case1/00003-00005", [3, 4, 5]), sequence_name("case1", [3, 4, 5])
    ('case1', 'case1')
    """
    return source.removesuffix(f"/{numbers[0]:05d}-{numbers[-1]:05d}")
