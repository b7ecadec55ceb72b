import pytest
import torch

from segnoise.errors import UserError
from segnoise.networks import DEFAULT_NETWORK, build_network

MONAI_SMALL = {
    "AttentionUnet": {"channels": (4, 8, 16), "strides": (2, 2)},
    "BasicUNet": {},
    "BasicUNetPlusPlus": {"features": (4, 4, 8, 8, 16, 4)},
    "DynUNet": {"filters": (4, 8, 8, 16, 16)},
    "FlexibleUNet": {"decoder_channels": (16, 8, 8, 4, 4)},
    "MedNeXt": {"init_filters": 4, "blocks_down": (1, 1), "blocks_up": (1, 1), "blocks_bottleneck": 1},
    "Quicknat": {"num_filters": 4},
    "SegResNet": {},
    "SegResNetDS": {"init_filters": 4},
    "UNet": {"channels": (4, 8, 16), "strides": (2, (2, 2)), "num_res_units": 2},
    "VNet": {},
}
SMP_SMALL = {
    "DeepLabV3Plus": {"encoder": "resnet18"},
    "FPN": {"encoder": "mobilenetv3_small_050"},
    "PAN": {"encoder": "resnet18"},
    "Segformer": {"encoder": "mit_b0"},
    "Unet": {"encoder": "mobilenet_v2", "decoder_channels": (32, 16, 8, 8, 4)},
    "UnetPlusPlus": {"encoder": "tu-resnet10t", "encoder_depth": 3, "decoder_channels": (16, 8, 4)},
}


class TestForward:
    @pytest.mark.parametrize("name", [*MONAI_SMALL, *SMP_SMALL])
    def test_logits_of_every_class_come_back_at_an_odd_size(self, name):
        torch.manual_seed(0)
        network = build_network(name, 4, 3, **(MONAI_SMALL | SMP_SMALL)[name]).train()
        with torch.no_grad():
            logits = network(torch.randn(2, 4, 37, 53))
        assert logits.shape == (2, 3, 37, 53)
        assert logits.min() < 0 < logits.max()  # logits, not probabilities or rectified values

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("BasicUNet", {"features": (4, 4, 8, 8, 16, 4)}),
            (
                "DynUNet",
                {"kernel_size": (3,) * 3, "strides": (1, (1, 2, 2), 2), "upsample_kernel_size": ((1, 2, 2), 2)},
            ),
        ],
    )
    def test_volumes_of_odd_size(self, name, options):
        network = build_network(name, 2, 3, spatial_dims=3, **options).eval()
        with torch.no_grad():
            assert network(torch.randn(1, 2, 5, 18, 21)).shape == (1, 3, 5, 18, 21)

    def test_a_transformer_of_timm_takes_other_sizes_than_its_own(self):
        options = {"decoder_intermediate_channels": (8, 8, 8, 8), "decoder_fusion_channels": 8}
        network = build_network("DPT", 4, 3, encoder="vit_tiny_patch16_224", **options).eval()
        with torch.no_grad():
            assert network(torch.randn(1, 4, 37, 53)).shape == (1, 3, 37, 53)

    @pytest.mark.parametrize("name", ["SwinUNETR", "UNETR"])
    def test_monai_transformers(self, name):
        small = {"hidden_size": 24, "mlp_dim": 24, "num_heads": 2, "img_size": 64} if name == "UNETR" else {}
        network = build_network(name, 4, 3, feature_size=12, **small).eval()
        with torch.no_grad():
            assert network(torch.randn(1, 4, 37, 53)).shape == (1, 3, 37, 53)

    def test_a_crop_as_small_as_one_pixel_trains(self):
        network = build_network(DEFAULT_NETWORK, 4, 3).train()
        network(torch.randn(1, 4, 1, 1)).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in network.parameters())

    def test_dropout_in_2d_drops_channels_and_not_whole_images(self):
        network = build_network("VNet", 4, 2)
        drops = [m for m in network.modules() if isinstance(m, torch.nn.modules.dropout._DropoutNd)]
        assert {(type(m), m.p) for m in drops} == {(torch.nn.Dropout2d, 0.5)}

    def test_the_default_network_is_small(self):
        network = build_network(DEFAULT_NETWORK, in_channels=4, num_classes=3)
        assert sum(p.numel() for p in network.parameters()) < 500_000
        assert not [m for m in network.modules() if isinstance(m, torch.nn.modules.dropout._DropoutNd) and m.p > 0]


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"name": "Unett"}, "no network 'Unett'; did you mean 'Unet'"),
            ({"name": "Unet", "encoder": "resnt34"}, "no encoder 'resnt34'; did you mean 'resnet34'"),
            ({"name": "Unet", "encoder": "%%%"}, "no encoder '%%%'; for example resnet34"),
            ({"name": "Unet", "decoder_chanels": [1]}, "Unet has no such option; did you mean 'decoder_channels'"),
            ({"name": "Unet", "activation": "softmax"}, "network.activation: Unet has no such option"),
            ({"name": "Unet", "decoder_channels": [8, 8]}, "Unet cannot be built with these options"),
            (
                {"name": "DPT", "encoder": "efficientnet-b0"},
                "no encoder 'efficientnet-b0'; did you mean 'efficientnet_b0'",
            ),
            ({"name": "BasicUNet", "feature": [1]}, "BasicUNet has no such option; did you mean 'features'"),
            ({"name": "BasicUNet", "deep_supervision": True}, "BasicUNet has no such option"),
            ({"name": "BasicUNet", "encoder": "resnet34"}, "BasicUNet has no encoder to choose"),
            ({"name": "BasicUNet", "features": [8]}, "BasicUNet cannot be built with these options"),
            ({"name": "VNet", "in_channels": 5}, "VNet cannot be built with these options"),
            ({"name": "Unet", "spatial_dims": 3}, "Unet is for 2-D images only"),
            ({"name": "Quicknat", "spatial_dims": 3}, "Quicknat is for 2-D images only"),
            ({"name": "BasicUNet", "weights": "imagenet"}, "BasicUNet has no weights 'imagenet' to download"),
            (
                {"name": "Unet", "encoder": "resnet18", "weights": "imagnet"},
                "resnet18 has no weights 'imagnet'; known: imagenet, ssl, swsl, or",
            ),
            (
                {"name": "FPN", "encoder": "convnext_atto", "weights": "x"},
                "tu-convnext_atto has no weights 'x'; known: imagenet, or",
            ),
        ],
    )
    def test_say_in_one_line_what_was_given_and_what_is_near(self, arguments, message):
        with pytest.raises(UserError) as caught:
            build_network(**({"in_channels": 4, "num_classes": 3} | arguments))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_required_option_is_named(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
        with pytest.raises(UserError, match=r"network\.img_size: UNETR needs this option"):
            build_network("UNETR", 4, 3)

    def test_a_missing_package_is_named(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(UserError, match="SwinUNETR needs the package einops; pip install einops"):
            build_network("SwinUNETR", 4, 3)

    def test_weights_that_cannot_be_fetched_point_to_a_local_file(self, monkeypatch, tmp_path):
        import huggingface_hub

        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(UserError, match=r"could not be fetched .* give the path of a local"):
            build_network("Unet", 4, 3, encoder="resnet18", weights="imagenet")
