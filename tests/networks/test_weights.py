import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file

from segnoise.errors import UserError
from segnoise.networks import build_network

UNET = {"name": "Unet", "num_classes": 3, "encoder": "resnet18", "decoder_channels": (16, 8, 8, 4, 4)}


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class TestWholeNetwork:
    @pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
    def test_weights_come_back_as_they_were_saved(self, tmp_path, suffix):
        saved = build_network("SegResNet", 4, 3).network.state_dict()
        path = tmp_path / f"weights{suffix}"
        save_file(saved, path) if suffix == ".safetensors" else torch.save(saved, path)
        assert equal(build_network("SegResNet", 4, 3, weights=path).network.state_dict(), saved)

    def test_prefixes_and_the_rest_of_a_checkpoint_do_not_matter(self, tmp_path):
        saved = build_network("SegResNet", 4, 3).network.state_dict()
        prefixed = {f"model.network.{key}": value for key, value in saved.items()}
        path = tmp_path / "last.ckpt"
        torch.save({"epoch": 3, "optimizer": {"state": {0: {"step": torch.tensor(1)}}}, "state_dict": prefixed}, path)
        assert equal(build_network("SegResNet", 4, 3, weights=str(path)).network.state_dict(), saved)

    def test_another_number_of_classes_is_an_error_that_names_the_layer(self, tmp_path):
        torch.save(build_network("SegResNet", 4, 2).network.state_dict(), tmp_path / "two.pt")
        with pytest.raises(UserError, match=r"two\.pt: .*conv_final.2.conv.weight is 2x8x1x1, needed 3x8x1x1"):
            build_network("SegResNet", 4, 3, weights=tmp_path / "two.pt")

    def test_another_network_is_an_error_that_names_the_first_keys_and_counts_the_rest(self, tmp_path):
        torch.save(build_network("BasicUNet", 4, 3).network.state_dict(), tmp_path / "other.pt")
        with pytest.raises(UserError, match=r"do not fit SegResNet: \S+ is missing; .*and \d+ more") as caught:
            build_network("SegResNet", 4, 3, weights=tmp_path / "other.pt")
        assert len(str(caught.value)) < 400


class TestEncoder:
    def test_an_encoder_with_its_classifier_head_fills_the_encoder(self, tmp_path):
        saved = smp.encoders.get_encoder("resnet18", weights=None).state_dict()
        torch.save(saved | {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}, tmp_path / "resnet18.pth")
        network = build_network(**UNET, in_channels=3, weights=tmp_path / "resnet18.pth").network
        assert equal(network.encoder.state_dict(), saved)

    @pytest.mark.parametrize("bands", [1, 2, 4, 10])
    def test_three_bands_are_spread_over_others_as_smp_does(self, tmp_path, bands):
        reference = smp.encoders.get_encoder("resnet18", weights=None)
        torch.save(reference.state_dict(), tmp_path / "rgb.pth")
        reference.set_in_channels(bands, pretrained=True)
        network = build_network(**UNET, in_channels=bands, weights=tmp_path / "rgb.pth").network
        torch.testing.assert_close(network.encoder.conv1.weight, reference.conv1.weight)

    def test_a_timm_model_fills_the_encoder_that_wraps_it(self, tmp_path):
        model = timm.create_model("resnet10t", num_classes=7)
        torch.save(model.state_dict(), tmp_path / "timm.pth")
        network = build_network("FPN", 3, 2, encoder="resnet10t", weights=tmp_path / "timm.pth").network
        torch.testing.assert_close(network.encoder.model.conv1[0].weight, model.conv1[0].weight)

    def test_another_encoder_is_an_error(self, tmp_path):
        torch.save(smp.encoders.get_encoder("resnet18", weights=None).state_dict(), tmp_path / "r18.pth")
        with pytest.raises(UserError, match="do not fit"):
            build_network(**UNET | {"encoder": "mobilenet_v2"}, in_channels=3, weights=tmp_path / "r18.pth")


class TestFiles:
    def test_a_missing_file_is_named(self):
        with pytest.raises(UserError, match=r"nowhere\.pth: no such file"):
            build_network("SegResNet", 4, 3, weights="nowhere.pth")

    @pytest.mark.parametrize("name", ["broken.pt", "broken.safetensors"])
    def test_a_file_that_holds_no_weights_is_named(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"\x00 not weights")
        with pytest.raises(UserError, match=r"broken\.\w+: cannot be read as weights"):
            build_network("SegResNet", 4, 3, weights=tmp_path / name)

    def test_a_truncated_file_is_named(self, tmp_path):
        path = tmp_path / "cut.pt"
        torch.save(build_network("SegResNet", 4, 3).network.state_dict(), path)
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(UserError, match=r"cut\.pt: cannot be read as weights"):
            build_network("SegResNet", 4, 3, weights=path)

    def test_a_pickle_that_would_run_code_is_refused(self, tmp_path):
        class Harmful:
            def __reduce__(self):
                return (print, ("ran",))

        torch.save({"weight": Harmful()}, tmp_path / "harmful.pt")
        with pytest.raises(UserError, match=r"harmful\.pt: cannot be read as weights"):
            build_network("SegResNet", 4, 3, weights=tmp_path / "harmful.pt")

    def test_a_checkpoint_without_tensors_is_named(self, tmp_path):
        torch.save({"epoch": 3}, tmp_path / "empty.pt")
        with pytest.raises(UserError, match=r"empty\.pt: holds no named tensors"):
            build_network("SegResNet", 4, 3, weights=tmp_path / "empty.pt")
