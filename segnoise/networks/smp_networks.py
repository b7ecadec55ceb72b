"""Architectures of segmentation-models-pytorch with any of its encoders or timm's."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import segmentation_models_pytorch as smp
import timm
from segmentation_models_pytorch.encoders import encoders as smp_encoders
from torch import nn

from segnoise.errors import UserError, nearest
from segnoise.networks.options import check_options, options_of, refusal
from segnoise.networks.padding import PadTo

# ``activation`` and ``aux_params`` would turn the logits into something else.
_SETTLED = ("self", "encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params")
_TIMM_OPTIONS = ("img_size", "drop_path_rate")


def build(
    name: str,
    in_channels: int,
    num_classes: int,
    encoder: str | None,
    pretrained: str | None,
    options: Mapping[str, Any],
) -> PadTo:
    """An smp architecture that takes images of any size.

    ``pretrained`` names weights that smp or timm download for the encoder. A timm encoder also takes ``img_size``
    and ``drop_path_rate``, where its class does.

    Raises:
        UserError: unknown encoder, option or weights; options that do not fit; weights that cannot be fetched.
    """
    arguments = {"in_channels": in_channels, "classes": num_classes, **options}
    if encoder is not None:
        arguments["encoder_name"] = encoder = _encoder_name(encoder, timm_only=name == "DPT")
    on_timm = name == "DPT" or (encoder is not None and encoder.startswith("tu-"))
    check_options(name, options, [*options_of(getattr(smp, name), _SETTLED), *(_TIMM_OPTIONS if on_timm else ())])
    if pretrained is not None:
        _check_pretrained(pretrained, encoder or "resnet34", on_timm)
    network, arguments = _construct(name, arguments, on_timm)
    if pretrained is not None:
        # timm's own default weights are asked for by True; their tag is part of the encoder's name.
        network = _fetch(name, True if on_timm else pretrained, arguments)
    stride: Any = network.encoder.output_stride  # type: ignore[union-attr]
    # DPT halves its coarsest features once more, the attention of PAN three times.
    multiple, at_least = {"DPT": (2 * stride, 1), "PAN": (stride, 8)}.get(name, (stride, 2))
    return PadTo(network, multiple, at_least)


def _encoder_name(encoder: str, timm_only: bool) -> str:
    """The name under which smp knows an encoder: its own, or ``tu-`` and a timm model."""
    if encoder in smp_encoders and not timm_only:
        return encoder
    bare = encoder.removeprefix("tu-")
    if timm.is_model(bare):
        return f"tu-{bare}"
    hint = nearest(encoder, [*(() if timm_only else smp_encoders), *timm.list_models()])
    if hint.startswith("known"):
        hint = "for example resnet34, efficientnet-b3, or any name of timm.list_models()"
    raise UserError(f"network.encoder: there is no encoder {encoder!r}; {hint}")


def _check_pretrained(pretrained: str, encoder: str, on_timm: bool) -> None:
    known = ["imagenet"] if on_timm else list(smp_encoders[encoder]["pretrained_settings"])
    if pretrained not in known:
        raise UserError(
            f"network.weights: {encoder} has no weights {pretrained!r}; known: {', '.join(known)}, or the path of a "
            "local .pth or .safetensors file"
        )


def _construct(name: str, arguments: dict[str, Any], on_timm: bool) -> tuple[nn.Module, dict[str, Any]]:
    """The architecture with random weights, and the arguments that made it.

    Transformers of timm take one image size unless told otherwise; other encoders do not know that switch.
    """
    attempts = [arguments | {"dynamic_img_size": True}, arguments] if on_timm else [arguments]
    for flexible in attempts[:-1]:
        with contextlib.suppress(Exception):
            return getattr(smp, name)(encoder_weights=None, **flexible), flexible
    try:
        return getattr(smp, name)(encoder_weights=None, **arguments), arguments
    except Exception as error:
        raise refusal(name, error) from error


def _fetch(name: str, pretrained: str | bool, arguments: dict[str, Any]) -> nn.Module:
    try:
        return getattr(smp, name)(encoder_weights=pretrained, **arguments)
    except Exception as error:
        raise UserError(
            f"network.weights: the weights of {name}'s encoder could not be fetched ({type(error).__name__}); connect "
            "to the internet once, or give the path of a local .pth or .safetensors file"
        ) from error
