"""Networks of MONAI, in 2-D and 3-D."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from monai.networks import nets
from torch import nn

from segnoise.errors import UserError
from segnoise.networks.options import check_options, options_of, refusal
from segnoise.networks.padding import PadTo

Arguments = Mapping[str, Any]


def _levels(argument: str) -> Callable[[Arguments], int]:
    """One halving before each block but the first."""
    return lambda arguments: 2 ** (len(arguments[argument]) - 1)


def _strides(arguments: Arguments) -> Sequence[int]:
    dims = arguments["spatial_dims"]
    per_level = [[stride] * dims if isinstance(stride, int) else list(stride) for stride in arguments["strides"]]
    return [int(total) for total in np.prod(per_level, axis=0)]


@dataclass(frozen=True)
class _Network:
    """How a class differs from its neighbours: by how much it divides an image, and what it is given if not told."""

    multiple: Callable[[Arguments], int | Sequence[int]]
    defaults: Arguments = field(default_factory=dict)
    needs: str | None = None


_FIVE_LEVELS = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2)}
_NETWORKS = {
    "AttentionUnet": _Network(_strides, _FIVE_LEVELS),
    # The default network of segnoise is narrower than MONAI's, to train on a CPU.
    "BasicUNet": _Network(lambda _: 16, {"features": (8, 8, 16, 32, 64, 8), "norm": "batch"}),
    "BasicUNetPlusPlus": _Network(lambda _: 16),
    "DynUNet": _Network(
        _strides, {"kernel_size": (3,) * 5, "strides": (1, 2, 2, 2, 2), "upsample_kernel_size": (2,) * 4}
    ),
    "FlexibleUNet": _Network(lambda _: 32, {"backbone": "efficientnet-b0"}),
    "MedNeXt": _Network(lambda arguments: 2 ** len(arguments["blocks_down"])),
    "Quicknat": _Network(lambda _: 16),
    "SegResNet": _Network(_levels("blocks_down")),
    "SegResNetDS": _Network(_levels("blocks_down")),
    "SwinUNETR": _Network(lambda arguments: arguments["patch_size"] ** 5, needs="einops"),
    "UNETR": _Network(lambda arguments: arguments["img_size"], needs="einops"),
    "UNet": _Network(_strides, _FIVE_LEVELS),
    "VNet": _Network(lambda _: 16),
}

# Arguments that would change what comes out, fetch something, or cannot be written in a configuration.
_SETTLED = (
    "spatial_dims", "in_channels", "num_channels", "out_channels", "num_classes", "deep_supervision", "deep_supr_num",
    "dsdepth", "resolution", "preprocess", "pretrained", "save_attn", "use_conv_final", "norm_layer",
    "dropout_dim",
)  # fmt: skip


def build(
    name: str,
    in_channels: int,
    num_classes: int,
    encoder: str | None,
    spatial_dims: int,
    options: Arguments,
) -> PadTo:
    """A MONAI network that takes images of any size (UNETR: up to its ``img_size``).

    ``encoder`` is the ``backbone`` of FlexibleUNet; no other MONAI network has a choice.

    Raises:
        UserError: unknown or missing option; options that do not fit; a package that is not installed.
    """
    network, facts = getattr(nets, name), _NETWORKS[name]
    parameters = inspect.signature(network).parameters
    check_options(name, options, options_of(network, _SETTLED))
    if facts.needs is not None and importlib.util.find_spec(facts.needs) is None:
        raise UserError(f"network.name: {name} needs the package {facts.needs}; pip install {facts.needs}")
    arguments = {**facts.defaults, **options}
    arguments["in_channels" if "in_channels" in parameters else "num_channels"] = in_channels
    arguments["out_channels" if "out_channels" in parameters else "num_classes"] = num_classes
    if "spatial_dims" in parameters:
        arguments["spatial_dims"] = spatial_dims
    elif spatial_dims != 2:
        raise UserError(
            f"network.name: {name} is for 2-D images only; take for example BasicUNet, SegResNet or DynUNet"
        )
    if encoder is not None:
        if "backbone" not in parameters:
            raise UserError(f"network.encoder: {name} has no encoder to choose; leave it out, or take Unet or FPN")
        arguments["backbone"] = encoder
    missing = [p.name for p in parameters.values() if p.default is p.empty and p.name not in arguments]
    if missing:
        raise UserError(f"network.{missing[0]}: {name} needs this option; see monai.networks.nets.{name}")
    try:
        module: nn.Module = network(**arguments)
    except Exception as error:
        raise refusal(name, error) from error
    if spatial_dims == 2:
        _drop_channels(module)
    bound = inspect.signature(network).bind(**arguments)
    bound.apply_defaults()
    return PadTo(module, facts.multiple(bound.arguments), at_least=1 if name == "UNETR" else 2)


def _drop_channels(network: nn.Module) -> None:
    """Replaces 3-D dropout, which drops whole images of a 2-D batch (VNet has it whatever its dimension)."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout3d):
                setattr(module, name, nn.Dropout2d(child.p))
