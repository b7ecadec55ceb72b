import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segnoise.metrics import BoundaryCounts, boundary_counts, boundary_f1


def blobs(seed: int, shape=(40, 44)) -> np.ndarray:
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return np.digitize(smooth, np.quantile(smooth, [0.4, 0.7]))


def half_plane(at: int, shape=(20, 30)) -> np.ndarray:
    return np.broadcast_to((np.arange(shape[1]) >= at).astype(int), shape).copy()


class TestBoundaryCounts:
    @pytest.mark.parametrize("tolerance", [1.0, 2.0, 2.5, 4.0])
    def test_equal_the_definition_by_distance_transforms(self, tolerance):
        target, prediction = blobs(0), blobs(1)

        def outline(labels):
            member = labels == 1
            return member & ~ndimage.binary_erosion(member, border_value=1)

        true, predicted = outline(target), outline(prediction)
        margin = int(tolerance) + 1
        inside = np.zeros(target.shape, dtype=bool)
        inside[margin:-margin, margin:-margin] = True
        near_true = ndimage.distance_transform_edt(~true) <= tolerance
        near_predicted = ndimage.distance_transform_edt(~predicted) <= tolerance
        assert boundary_counts(target, prediction, 1, tolerance) == BoundaryCounts(
            predicted=(predicted & inside).sum(),
            predicted_near=(predicted & inside & near_true).sum(),
            true=(true & inside).sum(),
            true_near=(true & inside & near_predicted).sum(),
        )

    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 2**32 - 2))
    def test_nothing_under_ignored_pixels_changes_them(self, seed):
        target, prediction = blobs(seed), blobs(seed + 1)
        rng = np.random.default_rng(seed)
        unknown = ndimage.gaussian_filter(rng.normal(size=target.shape), 4) > 0.05
        target[unknown] = 255
        scrambled = np.where(unknown, rng.integers(0, 3, unknown.shape), prediction)
        assert boundary_counts(target, scrambled, 1) == boundary_counts(target, prediction, 1)

    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 2**32 - 2))
    def test_hiding_pixels_takes_counts_away_but_turns_no_hit_into_a_miss(self, seed):
        target, prediction = blobs(seed), blobs(seed + 1)
        whole = boundary_counts(target, prediction, 1)
        target[np.random.default_rng(seed).random(target.shape) < 0.02] = 255
        part = boundary_counts(target, prediction, 1)
        assert part.predicted_near <= whole.predicted_near
        assert part.true_near <= whole.true_near
        assert part.predicted - part.predicted_near <= whole.predicted - whole.predicted_near
        assert part.true - part.true_near <= whole.true - whole.true_near

    def test_the_border_with_ignored_pixels_and_the_rim_is_no_boundary(self):
        target = np.ones((20, 20), dtype=int)
        target[:, :6] = 255
        assert boundary_counts(target, np.ones((20, 20), dtype=int), 1) == BoundaryCounts(0, 0, 0, 0)

    def test_a_predicted_edge_beside_ignored_pixels_is_not_held_against_the_map(self):
        target = half_plane(8)
        target[:, 8:14] = 255
        assert boundary_counts(target, half_plane(15), 1).predicted == 0

    def test_swapping_the_maps_swaps_the_counts(self):
        one = boundary_counts(blobs(2), blobs(3), 2)
        other = boundary_counts(blobs(3), blobs(2), 2)
        assert one == BoundaryCounts(other.true, other.true_near, other.predicted, other.predicted_near)

    def test_a_volume_of_equal_slices_scores_as_its_slice(self):
        target, prediction = blobs(4), blobs(5)
        flat = boundary_counts(target, prediction, 1)
        volume = boundary_counts(np.stack([target] * 9), np.stack([prediction] * 9), 1)
        assert volume == BoundaryCounts(
            *(3 * count for count in (flat.predicted, flat.predicted_near, flat.true, flat.true_near))
        )

    def test_refuses_maps_of_different_shape(self):
        with pytest.raises(ValueError, match="shape"):
            boundary_counts(np.zeros((4, 4)), np.zeros((4, 5)), 1)


class TestBoundaryF1:
    def test_is_one_within_the_tolerance_and_zero_beyond(self):
        for shift, expected in [(0, 1.0), (2, 1.0), (3, 0.0)]:
            assert boundary_f1(boundary_counts(half_plane(12), half_plane(12 + shift), 1, tolerance=2)) == expected

    def test_is_the_harmonic_mean_of_both_shares(self):
        counts = boundary_counts(blobs(6), blobs(7), 1)
        precision, recall = counts.predicted_near / counts.predicted, counts.true_near / counts.true
        assert 0 < boundary_f1(counts) < 1
        assert boundary_f1(counts) == pytest.approx(2 / (1 / precision + 1 / recall))

    def test_is_none_without_any_boundary_and_zero_when_only_one_map_has_one(self):
        empty = np.zeros((20, 30), dtype=int)
        assert boundary_f1(boundary_counts(empty, empty, 1)) is None
        assert boundary_f1(boundary_counts(half_plane(12), empty, 1)) == 0
        assert boundary_f1(boundary_counts(empty, half_plane(12), 1)) == 0
