import subprocess
import sys

import pytest

from segnoise.errors import UserError
from segnoise.networks.names import DEFAULT_NETWORK, MONAI_NETWORKS, NETWORKS, SMP_NETWORKS, check_network_name


def test_the_smp_names_are_what_the_installed_library_offers():
    import segmentation_models_pytorch as smp

    assert sorted(SMP_NETWORKS) == sorted(kind.__name__ for kind in smp.MODEL_ARCHITECTURES_MAPPING.values())


def test_every_monai_name_is_a_class_of_that_name_with_known_facts():
    from monai.networks import nets

    from segnoise.networks.monai_networks import _NETWORKS

    assert [getattr(nets, name).__name__ for name in MONAI_NETWORKS] == list(MONAI_NETWORKS) == list(_NETWORKS)


def test_no_name_means_a_network_in_both_libraries():
    assert len(set(NETWORKS)) == len(SMP_NETWORKS) + len(MONAI_NETWORKS)


def test_the_library_in_front_is_optional():
    for name in NETWORKS:
        library, bare = check_network_name(name)
        assert bare == name
        assert check_network_name(f"{library}:{name}") == (library, bare)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("unet", "did you mean 'Unet'"),
        ("DeepLabV3+", "did you mean 'DeepLabV3'"),
        ("monai:Unet", "did you mean 'UNet'"),
        ("smp:BasicUNet", "did you mean 'UPerNet'"),
        ("timm:resnet34", "does not begin with smp: or monai:"),
        ("", "known"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(name, hint):
    with pytest.raises(UserError, match=r"network\.name") as caught:
        check_network_name(name)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_are_checked_without_importing_torch():
    code = f"import sys, segnoise.networks as n; n.check_network_name({DEFAULT_NETWORK!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "monai", "timm", "segmentation_models_pytorch"} & set(loaded)
