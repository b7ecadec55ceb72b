"""A network's own options, checked before it is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from segnoise.errors import UserError, nearest


def check_options(name: str, options: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises UserError with the nearest option if a network does not take one of these.

    >>> check_options("Unet", {"decoder_chanels": [64, 32]}, ["decoder_channels", "encoder_depth"])
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: network.decoder_chanels: Unet has no such option; did you mean 'decoder_channels'?
    """
    for option in options:
        if option not in known:
            raise UserError(f"network.{option}: {name} has no such option; {nearest(option, known)}")


def options_of(network: Callable[..., Any], settled: Collection[str]) -> list[str]:
    """The named arguments of a network's class, without those that segnoise settles itself.

    >>> def network(in_channels, depth=5, **kwargs): ...
    >>> options_of(network, settled=["in_channels"])
    ['depth']
    """
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(network).parameters.values()
    return [p.name for p in parameters if p.kind in named and p.name not in settled]


def refusal(name: str, error: Exception) -> UserError:
    """What a network's constructor says against its options, in one line.

    >>> print(refusal("VNet", ValueError("in_channels should divide 16\\nTraceback ...")))
    network: VNet cannot be built with these options (in_channels should divide 16); change them
    """
    reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
    return UserError(f"network: {name} cannot be built with these options ({reason}); change them")
