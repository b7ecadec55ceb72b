"""One way to any network: by name, for a number of bands and classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from segnoise.errors import UserError
from segnoise.networks.names import check_network_name, names_a_file
from segnoise.networks.weights import load_weights


def build_network(
    name: str,
    in_channels: int,
    num_classes: int,
    *,
    encoder: str | None = None,
    weights: str | Path | None = None,
    spatial_dims: int = 2,
    **options: Any,
) -> nn.Module:
    """A network that maps images ``B C *S`` to logits ``B K *S``, whatever their size.

    Args:
        name: an architecture of segmentation-models-pytorch (``Unet``, ``FPN``, …) or a network of MONAI
            (``BasicUNet``, ``SegResNet``, …), case-sensitive, with ``smp:`` or ``monai:`` in front if you like.
        in_channels: number of bands C.
        num_classes: number of classes K.
        encoder: for smp an encoder of smp (``resnet34``) or any timm model; the backbone of MONAI's FlexibleUNet.
        weights: None (random, from torch's seed), the name of weights to download for the encoder
            (``"imagenet"``), or a local ``.pth``, ``.pt``, ``.ckpt``, ``.bin`` or ``.safetensors`` file for the encoder
            or the whole network.
        spatial_dims: 2 or 3 (MONAI only).
        options: arguments of the network's own class, by their names there.

    Raises:
        UserError: an unknown network, encoder or option (names the nearest); options or weights that do not fit;
            weights that cannot be fetched.

    >>> import torch
    >>> network = build_network("BasicUNet", in_channels=4, num_classes=3)
    >>> network(torch.zeros(1, 4, 37, 53)).shape
    torch.Size([1, 3, 37, 53])
    """
    library, bare = check_network_name(name)
    local = weights is not None and names_a_file(weights)
    fetched = None if weights is None or local else str(weights)
    if library == "smp":
        if spatial_dims != 2:
            raise UserError(f"network.name: {bare} is for 2-D images only; take for example BasicUNet or SegResNet")
        # Each library costs seconds to import, so only the one that is asked for is.
        from segnoise.networks import smp_networks

        padded = smp_networks.build(bare, in_channels, num_classes, encoder, fetched, options)
    else:
        if fetched is not None:
            raise UserError(
                f"network.weights: {bare} has no weights {fetched!r} to download; give the path of a local .pth or "
                ".safetensors file, or leave it out"
            )
        from segnoise.networks import monai_networks

        padded = monai_networks.build(bare, in_channels, num_classes, encoder, spatial_dims, options)
    if local and weights is not None:
        load_weights(padded.network, weights)
    return padded
