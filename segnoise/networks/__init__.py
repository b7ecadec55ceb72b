"""Networks by name: builders over segmentation-models-pytorch (with timm encoders) and MONAI, for images of any
size. Names are known without importing torch; the builder loads when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segnoise.networks.names import DEFAULT_NETWORK, NETWORKS, check_network_name

if TYPE_CHECKING:
    from segnoise.networks.build import build_network
    from segnoise.networks.features import with_features
    from segnoise.networks.perframe import PerFrame

__all__ = ["DEFAULT_NETWORK", "NETWORKS", "PerFrame", "build_network", "check_network_name", "with_features"]


def __getattr__(name: str) -> Any:
    if name == "build_network":
        from segnoise.networks.build import build_network

        return build_network
    if name == "with_features":
        from segnoise.networks.features import with_features

        return with_features
    if name == "PerFrame":
        from segnoise.networks.perframe import PerFrame

        return PerFrame
    raise AttributeError(f"module 'segnoise.networks' has no attribute {name!r}")
