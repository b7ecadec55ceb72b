"""The features of a network are what its last layer reads, on a grid that covers the image and no more."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segnoise.errors import UserError
from segnoise.networks import build_network
from segnoise.networks.features import head_of, with_features

SMALL = {
    "BasicUNet": {},
    "UNet": {"channels": (4, 8, 16), "strides": (2, 2)},
    "SegResNet": {"init_filters": 8},
    "Unet": {"encoder": "resnet18"},
    "FPN": {"encoder": "resnet18"},
    "DeepLabV3Plus": {"encoder": "resnet18"},
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(64, 96), (45, 70)])
def test_the_head_makes_the_logits_of_them(name, size):
    torch.manual_seed(0)
    network = build_network(name, in_channels=3, num_classes=3, **SMALL[name]).eval()
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        logits, features = with_features(network, image, 3)
        torch.testing.assert_close(logits, network(image))
        strides = [n / g for n, g in zip(size, features.shape[2:], strict=True)]
        assert all(1 <= stride <= 8 for stride in strides), strides
        padding = {(64, 96): 0}.get(size, 1)
        if features.shape[2:] == logits.shape[2:] and not padding:
            torch.testing.assert_close(head_of(network, 3)(features), logits)


def test_gradient_flows_through_them_and_no_hook_stays():
    network = build_network("BasicUNet", in_channels=1, num_classes=2)
    _, features = with_features(network, torch.rand(2, 1, 32, 32), 2)
    features.sum().backward()
    assert any(p.grad is not None for p in network.parameters())
    assert not any(m._forward_pre_hooks for m in network.modules())


def test_frames_of_clips_keep_their_axis():
    class Folded(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = build_network("BasicUNet", in_channels=3, num_classes=2).eval()

        def forward(self, image):
            b, t = len(image), image.shape[2]
            return self.network(image.transpose(1, 2).flatten(0, 1)).unflatten(0, (b, t)).transpose(1, 2)

    folded, clip = Folded(), torch.rand(2, 3, 4, 40, 33)
    with torch.no_grad():
        logits, features = with_features(folded, clip, 2)
        alone = [with_features(folded.network, clip[:, :, t], 2) for t in range(4)]
    assert logits.shape == (2, 2, 4, 40, 33)
    torch.testing.assert_close(features, torch.stack([f for _, f in alone], 2))


def test_volumes_have_them_too():
    network = build_network("BasicUNet", in_channels=1, num_classes=2, spatial_dims=3)
    logits, features = with_features(network, torch.rand(1, 1, 20, 18, 16), 2)
    assert features.shape[2:] == logits.shape[2:] == (20, 18, 16)


def test_a_network_without_a_layer_of_classes_is_refused():
    with pytest.raises(UserError, match=r"network\.name: Linear has no last convolution"):
        with_features(nn.Linear(3, 2), torch.rand(4, 3), 2)
