"""The networks by name: known without importing torch, so that a typing mistake costs nothing."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal, NamedTuple

from segnoise.errors import UserError, nearest

SMP_NETWORKS = (
    "DPT",
    "DeepLabV3",
    "DeepLabV3Plus",
    "FPN",
    "Linknet",
    "MAnet",
    "PAN",
    "PSPNet",
    "Segformer",
    "UPerNet",
    "Unet",
    "UnetPlusPlus",
)
"""The architectures of segmentation-models-pytorch: 2-D, with a choice of encoder."""

MONAI_NETWORKS = (
    "AttentionUnet",
    "BasicUNet",
    "BasicUNetPlusPlus",
    "DynUNet",
    "FlexibleUNet",
    "MedNeXt",
    "Quicknat",
    "SegResNet",
    "SegResNetDS",
    "SwinUNETR",
    "UNETR",
    "UNet",
    "VNet",
)
"""The networks of MONAI that map an image to one map of logits per class, in 2-D or 3-D."""

NETWORKS = tuple(sorted(SMP_NETWORKS + MONAI_NETWORKS))
"""All names; no name means a network in both libraries (``Unet`` is smp's, ``UNet`` MONAI's)."""

DEFAULT_NETWORK = "BasicUNet"
"""The network of a run that names none: narrow enough to train on a CPU."""


class NetworkName(NamedTuple):
    """The library a network comes from and its class there."""

    library: Literal["smp", "monai"]
    name: str


def check_network_name(name: str) -> NetworkName:
    """What a network's name means: ``Unet``, or with the library in front ``smp:Unet``, ``monai:UNet``.

    Names are case-sensitive.

    Raises:
        UserError: if there is no such network; names the nearest.

    >>> check_network_name("Unet"), check_network_name("monai:UNet")
    (NetworkName(library='smp', name='Unet'), NetworkName(library='monai', name='UNet'))
    >>> check_network_name("unetplusplus")
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: network.name: there is no network 'unetplusplus'; did you mean 'UnetPlusPlus'?
    """
    library, colon, bare = name.rpartition(":")
    if colon and library not in ("smp", "monai"):
        raise UserError(f"network.name: {name!r} does not begin with smp: or monai:; known: {', '.join(NETWORKS)}")
    if library != "monai" and bare in SMP_NETWORKS:
        return NetworkName("smp", bare)
    if library != "smp" and bare in MONAI_NETWORKS:
        return NetworkName("monai", bare)
    known = {"smp": SMP_NETWORKS, "monai": MONAI_NETWORKS}.get(library, NETWORKS)
    raise UserError(f"network.name: there is no network {name!r}; {nearest(bare, known)}")


def names_a_file(weights: str | PurePath) -> bool:
    """Whether ``network.weights`` is meant as a path, by its suffix, and not as the name of weights to download.

    >>> names_a_file("weights/resnet34.pth"), names_a_file("imagenet")
    (True, False)
    """
    return PurePath(weights).suffix in (".bin", ".ckpt", ".pt", ".pth", ".safetensors")
