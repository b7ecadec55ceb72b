"""Every image scaled by its own values."""

from __future__ import annotations

import numpy as np
import pytest

from segnoise.data import ArraySource, PerImage
from segnoise.errors import UserError
from segnoise.windows import Window


@pytest.mark.parametrize("shape", [(20, 30), (6, 7, 8)])
def test_what_is_observed_has_mean_zero_and_deviation_one_whatever_its_unit(shape):
    rng = np.random.default_rng(0)
    array = rng.normal(size=(2, *shape)).astype(np.float32)
    array[:, :2] = np.nan
    whole = Window((0,) * len(shape), shape)
    once, seen = PerImage(ArraySource(array)).read(whole)
    np.testing.assert_allclose(once[:, seen].mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(once[:, seen].std(1), 1, atol=1e-5)
    assert (once[:, ~seen] == 0).all()
    np.testing.assert_allclose(PerImage(ArraySource(3e4 * array - 7)).read(whole)[0], once, atol=1e-4)
    part = Window((1,) * len(shape), (4,) * len(shape))
    np.testing.assert_array_equal(PerImage(ArraySource(array)).read(part)[0], once[(slice(None), *part.slices)])


def test_an_image_without_values_is_told():
    with pytest.raises(UserError, match="no valid pixel"):
        PerImage(ArraySource(np.full((1, 4, 4), np.nan), name="void")).read(Window((0, 0), (2, 2)))
