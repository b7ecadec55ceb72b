import pytest
import torch
from torch import nn

from segnoise.networks.padding import PadTo


class Recorder(nn.Module):
    """Gives back its input and remembers it."""

    def forward(self, image):
        self.seen = image
        return image


@pytest.mark.parametrize(
    ("size", "multiple", "padded"),
    [
        ((37, 53), 16, (48, 64)),
        ((32, 48), 16, (32, 48)),
        ((1, 16), 16, (32, 32)),
        ((5, 7, 9), 4, (8, 8, 12)),
        ((1, 37, 53), (1, 16, 16), (1, 48, 64)),
    ],
)
def test_the_network_sees_a_multiple_and_at_least_two_of_them(size, multiple, padded):
    recorder = Recorder()
    image = torch.rand(2, 3, *size)
    assert torch.equal(PadTo(recorder, multiple)(image), image)
    assert recorder.seen.shape[2:] == padded


def test_the_padding_repeats_the_last_pixel():
    recorder = Recorder()
    PadTo(recorder, 4)(torch.arange(15.0).reshape(1, 1, 3, 5))
    assert recorder.seen[0, 0, -1].tolist() == [10, 11, 12, 13, 14, 14, 14, 14]


def test_an_image_that_fits_goes_through_untouched():
    recorder, image = Recorder(), torch.rand(1, 2, 32, 32)
    PadTo(recorder, 16)(image)
    assert recorder.seen is image
