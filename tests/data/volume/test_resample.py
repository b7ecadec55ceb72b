from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Spacingd
from scipy.interpolate import RegularGridInterpolator

from segnoise.data.volume import Volume, like, reorient, resample
from segnoise.errors import UserError

from .conftest import oblique


@pytest.fixture
def scan() -> Volume:
    x, y, z = np.meshgrid(*(np.linspace(0, 3, n) for n in (12, 10, 8)), indexing="ij")
    return Volume((np.sin(x) * np.cos(y) + z)[None].astype(np.float32), oblique())


@pytest.fixture
def labels() -> Volume:
    coarse = np.random.default_rng(0).integers(0, 5, (4, 4, 4)).astype(np.int16)
    return Volume(np.kron(coarse, np.ones((3, 3, 2), np.int16))[None], oblique())


class TestResample:
    @pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.3, 0.75, 3.1), (0.8, 0.4, 2.0)])
    def test_it_agrees_with_monai(self, scan, labels, spacing):
        transform = Spacingd(
            keys=["image", "label"], pixdim=spacing, mode=("bilinear", "nearest"), padding_mode="border"
        )
        expected = transform({"image": scan.to_metatensor(), "label": labels.to_metatensor()})
        image, mask = resample(scan, spacing, order=1), resample(labels, spacing, order=0)
        assert image.values.shape == expected["image"].shape
        assert np.allclose(image.values, expected["image"].numpy(), atol=1e-4)
        assert np.allclose(image.affine, expected["image"].affine.numpy(), atol=1e-5)
        assert np.array_equal(mask.values, expected["label"].numpy())
        assert mask.values.dtype == np.int16
        assert image.spacing == pytest.approx(spacing)

    def test_linear_values_are_those_of_an_interpolator(self, scan):
        image = resample(scan, (0.31, 0.77, 1.3), order=1)
        interpolate = RegularGridInterpolator(tuple(map(np.arange, scan.shape)), scan.values[0].astype(float))
        index = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), axis=-1)
        places = index * np.divide(image.spacing, scan.spacing)
        inside = (places <= np.array(scan.shape) - 1).all(axis=-1)
        assert inside.mean() > 0.7
        assert np.allclose(image.values[0][inside], interpolate(places[inside]), atol=1e-5)

    @settings(max_examples=25, deadline=None)
    @given(st.tuples(*[st.integers(1, 4)] * 3), st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 99))
    def test_finer_by_a_whole_factor_and_back_is_the_identity(self, factors, shape, seed):
        values = np.random.default_rng(seed).integers(0, 9, (1, *shape)).astype(np.uint8)
        volume = Volume(values, np.diag([1.0, 2.0, 3.0, 1.0]))
        fine = resample(volume, np.divide(volume.spacing, factors), order=0)
        assert fine.shape == tuple((n - 1) * f + 1 for n, f in zip(shape, factors, strict=True))
        back = resample(fine, volume.spacing, order=0)
        assert np.array_equal(back.values, values)
        assert np.allclose(back.affine, volume.affine)

    @settings(max_examples=50, deadline=None)
    @given(st.tuples(*[st.floats(0.2, 7)] * 3), st.integers(0, 99))
    def test_no_class_appears(self, spacing, seed):
        values = np.random.default_rng(seed).choice([0, 3, 200, 255], (1, 5, 6, 7)).astype(np.uint8)
        placed = resample(Volume(values, oblique()), spacing, order=0)
        assert placed.values.dtype == np.uint8
        assert set(np.unique(placed.values)) <= set(np.unique(values))

    def test_a_class_that_vanishes_is_named(self, labels, caplog):
        values = np.zeros_like(labels.values)
        values[0, 1, 1, 1] = 3
        resample(Volume(values, labels.affine), (1.5, 2.25, 6.0), order=0)
        assert "class 3 vanished" in caplog.text
        caplog.clear()
        resample(labels, (0.4, 0.7, 1.0), order=0)
        assert caplog.text == ""

    def test_nan_keeps_an_axis(self, scan):
        placed = resample(scan, (1.0, np.nan, np.nan), order=1)
        assert placed.spacing == pytest.approx((1.0, 0.75, 2.0))
        assert placed.shape[1:] == scan.shape[1:]

    def test_an_axis_of_unknown_spacing_can_only_be_kept(self, scan):
        stack = Volume(scan.values, np.eye(4), measured=(True, True, False))
        assert np.isnan(resample(stack, (2, 2, np.nan), order=1).spacing[2])
        with pytest.raises(UserError, match="along axis 2 is not known"):
            resample(stack, (2, 2, 2), order=1)

    @pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, -1, 1), (1, np.inf, 1)])
    def test_what_is_no_spacing_is_refused(self, scan, spacing):
        with pytest.raises(UserError, match="three positive numbers"):
            resample(scan, spacing, order=1)

    def test_no_other_order_is_accepted(self, scan):
        with pytest.raises(ValueError, match="order 3"):
            resample(scan, (1, 1, 1), order=3)


class TestLike:
    def test_labels_come_back_from_a_finer_turned_grid(self, labels):
        fine = reorient(resample(labels, np.divide(labels.spacing, (2, 3, 2)), order=0), "SPR")
        back = like(fine, labels, order=0)
        assert np.array_equal(back.values, labels.values)
        assert np.array_equal(back.affine, labels.affine)

    def test_a_coarse_prediction_covers_the_whole_scan(self, labels):
        coarse = resample(labels, (1.2, 1.9, 4.7), order=0)
        back = like(coarse, labels, order=0)
        assert back.shape == labels.shape
        assert set(np.unique(back.values)) <= set(np.unique(labels.values))
        assert (back.values == labels.values).mean() > 0.5

    def test_an_image_comes_back_close(self, scan):
        back = like(resample(scan, (0.25, 0.4, 1.0), order=1), scan, order=1)
        assert back.values.dtype == np.float32
        assert np.abs(back.values - scan.values).max() < 0.01

    def test_beyond_the_volume_is_unknown(self, labels, scan):
        affine = labels.affine.copy()
        affine[:3, 3] += 3 * affine[:3, 0]
        part = Volume(labels.values[:, 3:], affine)
        back = like(part, labels, order=0)
        assert (back.values[0, :3] == 255).all()
        assert np.array_equal(back.values[:, 3:], labels.values[:, 3:])
        assert (like(part, labels, order=0, fill=0).values[0, :3] == 0).all()
        image = like(Volume(scan.values[:, 3:], affine), scan, order=1)
        assert np.isnan(image.values[0, :3]).all()
        assert np.allclose(image.values[:, 3:], scan.values[:, 3:], atol=1e-5)

    def test_a_grid_at_another_angle_is_sampled_at_its_own_places(self, scan):
        turn = np.eye(4)
        turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
        reference = Volume(np.zeros((1, 5, 5, 5)), scan.affine @ np.diag([1.5, 1.2, 1.3, 1.0]) @ turn)
        placed = like(scan, reference, order=1)
        index = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), axis=-1)
        places = (np.linalg.solve(scan.affine, reference.affine) @ [*index.reshape(-1, 3).T, np.ones(125)])[:3].T
        inside = ((places >= 0) & (places <= np.array(scan.shape) - 1)).all(axis=1)
        assert 0.3 < inside.mean() < 1
        interpolate = RegularGridInterpolator(tuple(map(np.arange, scan.shape)), scan.values[0].astype(float))
        assert np.allclose(placed.values.ravel()[inside], interpolate(places[inside]), atol=1e-5)
        assert np.isnan(placed.values.ravel()).any()

    def test_a_stack_of_unknown_spacing_is_not_placed_by_guess(self, scan):
        stack = Volume(scan.values, np.eye(4), measured=(False, False, False))
        with pytest.raises(UserError, match="not known for both"):
            like(stack, scan, order=1)
