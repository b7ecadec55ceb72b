"""What a network knows before it decides: the input of the layer that makes its logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from segnoise.errors import UserError
from segnoise.networks.padding import PadTo


def with_features(
    network: nn.Module, image: Float[Tensor, " B C *S"], num_classes: int
) -> tuple[Float[Tensor, " B K *S"], Float[Tensor, " B D *G"]]:
    """The logits of a network, and the features before the last convolution that has a channel for each class.

    The features' grid ``*G`` covers the image; it may be coarser. Of clips ``B C T H W`` seen frame by frame they are
    ``B D T h w``.

    Raises UserError for a network without such a layer.

    >>> import torch
    >>> network = nn.Sequential(nn.Conv2d(3, 7, 3, stride=2, padding=1), nn.Conv2d(7, 2, 1), nn.Upsample((8, 8)))
    >>> logits, features = with_features(network, torch.zeros(1, 3, 8, 8), num_classes=2)
    >>> tuple(logits.shape), tuple(features.shape)
    ((1, 2, 8, 8), (1, 7, 4, 4))
    """
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, given: found.__setitem__(name, given[0])

    padded = next((m.network for m in network.modules() if isinstance(m, PadTo)), network)
    head = head_of(network, num_classes)
    handles = [module.register_forward_pre_hook(keep(name)) for name, module in (("image", padded), ("features", head))]
    try:
        logits: Tensor = network(image)
    finally:
        for handle in handles:
            handle.remove()
    features = found["features"]
    seen = found["image"].shape[2:] if found["image"].dim() == features.dim() else found["image"].shape[3:]
    whole = image.shape[-len(seen) :]
    grid = features.shape[2:]
    covering = [-(-n * g // p) for n, g, p in zip(whole, grid, seen, strict=True)]
    inside: tuple[Any, ...] = (..., *(slice(0, n) for n in covering))
    features = features[inside]
    if image.dim() > features.dim():
        features = features.reshape(len(image), image.shape[2], *features.shape[1:]).transpose(1, 2)
    return logits, features


def head_of(network: nn.Module, num_classes: int) -> nn.Module:
    """The last convolution of a network that has a channel for each class."""
    layers = [m for m in network.modules() if isinstance(m, nn.modules.conv._ConvNd) and m.out_channels == num_classes]
    if not layers:
        kind = type(network).__name__
        raise UserError(f"network.name: {kind} has no last convolution whose input are features; take another network")
    return layers[-1]
