"""What every kind ends with: how long a first run is, added to what was chosen of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segnoise.training.initial.dealing import Dealt
from segnoise.training.initial.draft import Choice, Choices, Draft
from segnoise.training.initial.effort import first_effort


def together(
    data: Mapping[str, Choice | Choices],
    shapes: Sequence[Sequence[int]],
    dealt: Dealt,
    facts: list[str],
    warnings: list[str],
    **more: Any,
) -> Draft:
    """The draft of a kind; ``shapes`` are those of the images that crops are cut from."""
    window = data["window"]
    assert isinstance(window, Choice)
    effort = first_effort(shapes, window.value, dealt.train, dealt.val)
    samples = {"samples_per_epoch": effort.samples} if effort.samples else {}
    told = [*warnings, *dealt.warnings, *([effort.warning] if effort.warning else [])]
    training = {"epochs": effort.epochs, "batch_size": effort.batch_size}
    return Draft({**data, **samples}, training, facts, told, **more)
