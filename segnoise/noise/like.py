"""From a noise card back to a noise: an expression whose result has the statistics that were measured."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from segnoise.errors import UserError
from segnoise.noise.base import Corruption
from segnoise.noise.expression import parse
from segnoise.noise.measure import FORMAT, noise_card_of

ROUNDS = 4
"""How often the levels are corrected on the labels."""

Levels = dict[str, float]
"""By noise, its level; ``bias`` is that of ``boundary``."""

_CAUSES = {
    "misregistration": ("misregistration", "shift_px"),
    "boundary": ("boundary", "displacement_px"),
    "bias": ("boundary", "bias_px"),
    "merge": ("merge", "rate"),
    "split": ("split", "rate"),
    "omission": ("omission", "rate"),
    "commission": ("commission", "rate"),
    "kms": ("patches", "rate"),
}
_PIXELS = ("misregistration", "boundary", "bias")
_LEAST = {"misregistration": 0.5, "boundary": 1e-3, "bias": 1e-3}
"""Levels below this, by default 0.0005 of the objects or pixels, are left out."""


def noise_like(card: dict[str, Any]) -> Corruption:
    """A noise with the levels that a card's ``causes`` say, such as would be drawn on labels nobody has seen yet.

    The order is that in which noises disturb each other least: misregistration, boundary, merge, split, omission,
    commission, kms.

    Args:
        card: of :func:`noise_card_of`.

    Raises:
        UserError: a card without any error.

    >>> import numpy as np
    >>> from segnoise.noise import noise_card
    >>> clean = np.zeros((60, 60), np.uint8)
    >>> clean[5::20, 5::20] = clean[6::20, 5::20] = clean[5::20, 6::20] = 1
    >>> given = clean.copy()
    >>> given[:10] = 0
    >>> str(noise_like(noise_card(given, clean)))
    'omission(0.333)'
    """
    return _noise(card, _levels(card))


def noise_like_on(
    card: dict[str, Any],
    images: Sequence[NDArray[Any]],
    seed: int,
    instances: bool = False,
    spacing: Sequence[float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Corruption:
    """:func:`noise_like` with levels corrected on the labels that the noise is for.

    Noises disturb each other (a moved boundary swallows a small object, patches split large ones), by how much depends
    on the labels. So the noise is drawn, its card made, every level moved by what its cause differs from the asked
    one, four times; the best of these is returned. It meets the card for this seed, and nearly so for others.

    Args:
        card: of :func:`noise_card_of`.
        images: labels that the noise is for.
        seed: of the draw that it will get.
        instances: the labels hold object ids.
        spacing: size of a pixel, for the card only.
        progress: called with (done, total) rounds.

    Raises:
        UserError: a card without any error.
    """
    asked = _levels(card)
    levels, best, least = dict(asked), _noise(card, asked), math.inf
    for done in range(ROUNDS):
        noise = _noise(card, levels)
        noisy = [labels for labels, _ in noise.noisy_all(images, seed, instances, spacing)]
        drawn = _levels(noise_card_of(zip(noisy, images, strict=True), spacing, instances))
        miss = {name: asked[name] - drawn[name] for name in asked}
        loss = sum(abs(miss[name]) / max(abs(asked[name]), _least(name)) for name in asked)
        if loss < least:
            best, least = noise, loss
        # A cause that the card does not have is nothing to draw, even where the other noises fall short of none.
        levels = {name: level + miss[name] if asked[name] else 0.0 for name, level in levels.items()}
        if card["causes"]["patches"]["images"] < 1:
            levels["kms"] = asked["kms"]  # what a few images show of their patches depends on which images they are
        if progress is not None:
            progress(done + 1, ROUNDS)
    return best


def read_card(path: str | Path) -> dict[str, Any]:
    """The card in a JSON file: one that ``segnoise card`` wrote, or the record of a corruption.

    Raises:
        UserError: no such file, no JSON, no card, or a card of another format.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; make it with `segnoise card`") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is not a JSON file that can be read; make the card with `segnoise card`") from error
    card = content.get("card") if isinstance(content, dict) else None
    if not isinstance(card, dict) or "flip_rate" not in card:
        raise UserError(f"{path}: holds no noise card; make it with `segnoise card` or `segnoise corrupt`")
    if card.get("format") != FORMAT:
        raise UserError(
            f"{path}: is a card of format {card.get('format')}, this version reads {FORMAT}; make the card again"
        )
    return card


def _levels(card: dict[str, Any]) -> Levels:
    return {name: float(card["causes"][cause][key]) for name, (cause, key) in _CAUSES.items()}


def _noise(card: dict[str, Any], levels: Levels) -> Corruption:
    """The expression of the levels, to three digits, with the shape of each noise as the card has it."""
    causes = card["causes"]
    level = {name: _rounded(name, value) for name, value in levels.items()}
    # The bias is part of the displacement.
    bias = max(-level["boundary"], min(level["boundary"], level["bias"]))
    slope = _digits(causes["omission"]["size_slope"])
    along, patchy = causes["boundary"]["rho"], causes["patches"]["rho"]
    options = {
        "misregistration": "",
        "boundary": _rho([along]) + (f", bias={bias:g}px" if bias else ""),
        "omission": f", size_slope={slope:g}" if slope else "",
        "kms": _rho(patchy if patchy and len(set(patchy)) > 1 else (patchy or [None])[:1]),
    }
    share = _digits(causes["patches"]["images"])
    shares = {"kms": f"{share:g}*"} if share < 1 else {}
    if shares:
        level["kms"] = _digits(min(levels["kms"] / share, 1.0))
    parts = [
        f"{shares.get(name, '')}{name}({level[name]:g}{'px' if name in _PIXELS else ''}{options.get(name, '')})"
        for name in _CAUSES
        if name != "bias" and level[name]
    ]
    if not parts:
        raise UserError("the card shows no error that could be drawn; give one of labels that differ")
    return parse("+".join(parts))


def _rounded(name: str, value: float) -> float:
    if abs(value) < _least(name) or (value < 0 and name != "bias"):
        return 0.0
    return _digits(value if name in _PIXELS else min(value, 1.0))


def _least(name: str) -> float:
    return _LEAST.get(name, 5e-4)


def _digits(value: float) -> float:
    return float(f"{value:.3g}")


def _rho(rho: Sequence[float | None]) -> str:
    """The option, left to the noise's own default where nothing is known."""
    known = [f"{min(r, 0.9995):.4g}" for r in rho if r is not None]
    if not known:
        return ""
    return f", rho={known[0]}" if len(known) == 1 else f", rho=({', '.join(known)})"
