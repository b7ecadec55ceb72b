import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segnoise.metrics.surface import SurfaceDistances, surface_distances, surface_scores

NAMES = {1: "one", 2: "two"}
SHAPES = st.sampled_from([(7,), (6, 9), (4, 5, 6)])


def blobs(seed: int, shape=(30, 34), smooth=2.0) -> np.ndarray:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), smooth)
    return np.digitize(field, np.quantile(field, [0.4, 0.7]))


def hidden(seed: int, shape, share=0.2) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


def box(start, size=(6, 6, 6), shape=(20, 20, 20)) -> np.ndarray:
    labels = np.zeros(shape, dtype=np.uint8)
    labels[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = 1
    return labels


def by_definition(target, prediction, cls, spacing, ignore_index=255) -> SurfaceDistances:
    """The docstring, pixel by pixel: face neighbours looked up, all pairs of elements measured."""
    known = (target != ignore_index) & (prediction != ignore_index)

    def surface(labels, cuts):
        elements = []
        for place in zip(*np.nonzero((labels == cls) & known), strict=True):
            for axis, side in itertools.product(range(labels.ndim), (-1, 1)):
                neighbour = tuple(x + side * (a == axis) for a, x in enumerate(place))
                rim = not 0 <= neighbour[axis] < labels.shape[axis]
                if rim or (labels[neighbour] != cls if known[neighbour] else cuts):
                    elements.append(place)
                    break
        return np.array(elements, dtype=float).reshape(-1, labels.ndim) * spacing

    def distances(source, other):
        points, others = surface(source, cuts=False), surface(other, cuts=True)
        return np.array([np.sqrt(((p - others) ** 2).sum(1)).min() if len(others) else np.inf for p in points])

    return SurfaceDistances(distances(prediction, target), distances(target, prediction))


def assert_same(one: SurfaceDistances, other: SurfaceDistances) -> None:
    np.testing.assert_allclose(one.predicted, other.predicted, atol=1e-12)
    np.testing.assert_allclose(one.true, other.true, atol=1e-12)


def monai_scores(target, prediction, classes: int, tolerance: float, spacing) -> dict[str, np.ndarray]:
    import torch
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

    y, y_pred = (
        torch.from_numpy(np.stack([labels == k for k in range(classes)])[None]).float()
        for labels in (target, prediction)
    )
    return {
        "hd95": compute_hausdorff_distance(y_pred, y, percentile=95, spacing=spacing)[0].numpy(),
        "assd": compute_average_surface_distance(y_pred, y, symmetric=True, spacing=spacing)[0].numpy(),
        "nsd": compute_surface_dice(y_pred, y, [tolerance] * (classes - 1), spacing=spacing)[0].numpy(),
    }


def assert_equals_monai(target, prediction, tolerance, spacing) -> None:
    ours = surface_scores(target, prediction, NAMES, tolerance, spacing)
    for metric, theirs in monai_scores(target, prediction, 3, tolerance, spacing).items():
        np.testing.assert_allclose(list(ours[metric]["per_class"].values()), theirs, rtol=1e-5, err_msg=metric)


class TestDefinition:
    @settings(deadline=None, max_examples=80)
    @given(seed=st.integers(0, 2**32 - 3), shape=SHAPES, share=st.sampled_from([0.0, 0.1, 0.5]))
    def test_equals_brute_force_over_all_pairs_of_elements(self, seed, shape, share):
        rng = np.random.default_rng(seed)
        target, prediction = rng.integers(0, 3, shape), rng.integers(0, 3, shape)
        target[hidden(seed + 1, shape, share)] = 255
        prediction[hidden(seed + 2, shape, share / 2)] = 255
        spacing = rng.uniform(0.2, 4, len(shape))
        ours = surface_distances(target, prediction, 1, spacing)
        assert_same(ours, by_definition(target, prediction, 1, spacing))

    @pytest.mark.parametrize(
        ("shape", "spacing"),
        [((30, 34), None), ((30, 34), (0.5, 2.0)), ((14, 15, 16), (1.0, 0.7, 3.0))],
        ids=["pixels", "2-D", "3-D"],
    )
    @pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.5])
    def test_equals_monai_without_ignored_pixels(self, shape, spacing, tolerance):
        assert_equals_monai(blobs(0, shape), blobs(1, shape), tolerance, spacing)

    def test_equals_monai_on_a_real_volume(self, shared_data):
        import nibabel

        path = sorted((shared_data / "hippocampus" / "labels").glob("*.nii.gz"))[0]
        target = np.asarray(nibabel.load(path).dataobj).astype(np.uint8)
        prediction = np.roll(ndimage.median_filter(target, 5), 1, axis=2)
        assert_equals_monai(target, prediction, 1.0, (1.0, 1.0, 2.0))

    def test_percentile_100_equals_scipys_hausdorff_distance(self):
        from scipy.spatial.distance import directed_hausdorff

        target, prediction = blobs(2), blobs(3)
        u, v = (np.argwhere((x == 1) & ~ndimage.binary_erosion(x == 1)) for x in (target, prediction))
        expected = max(directed_hausdorff(u, v)[0], directed_hausdorff(v, u)[0])
        assert surface_distances(target, prediction, 1).hausdorff(100) == pytest.approx(expected)

    def test_is_the_formula_of_both_directions(self):
        distances = SurfaceDistances(np.arange(11.0), np.array([0.0, 0.0, 20.0]))
        assert distances.hausdorff(100) == 20
        assert distances.hausdorff(50) == 5
        assert distances.assd() == pytest.approx((55 + 20) / 14)
        assert distances.nsd(4) == pytest.approx((5 + 2) / 14)


class TestIdentities:
    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize("k", [1, 3, 7])
    def test_moving_a_box_by_k_voxels_is_a_distance_of_k_spacings(self, axis, k):
        spacing = (0.8, 1.5, 3.0)
        start = np.array([2, 3, 4])
        moved = surface_distances(box(start), box(start + k * (np.arange(3) == axis)), 1, spacing)
        assert moved.hausdorff() == moved.hausdorff(100) == pytest.approx(k * spacing[axis])

    @pytest.mark.parametrize("step", [0.1, 0.3, 0.7])
    def test_a_shift_of_exactly_the_tolerance_is_within_it(self, step):
        moved = surface_distances(box((2, 2, 2)), box((2, 2, 5)), 1, (step, step, step))
        assert moved.nsd(tolerance=round(3 * step, 1)) == 1
        assert moved.nsd(tolerance=2.9 * step) < 1

    def test_equal_maps_lie_on_each_other(self):
        distances = surface_distances(blobs(4), blobs(4), 1)
        assert (distances.hausdorff(), distances.assd(), distances.nsd(0)) == (0, 0, 1)

    def test_swapping_the_maps_changes_no_score(self):
        one, other = (surface_distances(a, b, 2, (1, 2)) for a, b in [(blobs(5), blobs(6)), (blobs(6), blobs(5))])
        np.testing.assert_array_equal(one.predicted, other.true)
        assert one.hausdorff() == other.hausdorff()
        assert one.assd() == pytest.approx(other.assd())
        assert one.nsd(1) == other.nsd(1)

    def test_distances_scale_with_the_spacing(self):
        pixels = surface_distances(blobs(7), blobs(8), 1)
        metres = surface_distances(blobs(7), blobs(8), 1, (2.5, 2.5))
        np.testing.assert_allclose(metres.true, 2.5 * pixels.true)
        assert metres.nsd(5.0) == pixels.nsd(2.0)

    def test_turning_the_axes_with_their_spacing_changes_no_score(self):
        target, prediction = blobs(9, (9, 10, 11)), blobs(10, (9, 10, 11))
        one = surface_scores(target, prediction, NAMES, 1.0, (1, 2, 3))
        other = surface_scores(target.transpose(2, 0, 1), prediction.transpose(2, 0, 1), NAMES, 1.0, (3, 1, 2))
        for metric in one:
            assert other[metric]["per_class"] == pytest.approx(one[metric]["per_class"])

    def test_background_around_the_maps_changes_nothing(self):
        target, prediction = blobs(11), blobs(12)
        padded = surface_distances(np.pad(target, 5), np.pad(prediction, 5), 1)
        assert_same(padded, surface_distances(target, prediction, 1))


class TestIgnoredPixels:
    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 2**32 - 3))
    def test_nothing_under_them_changes_a_distance(self, seed):
        target, prediction = blobs(seed), blobs(seed + 1)
        unknown = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=target.shape), 2) > 0.1
        target[unknown] = 255
        anything = np.random.default_rng(seed + 2).choice([0, 1, 2, 255], target.shape)
        scrambled = surface_distances(target, np.where(unknown, anything, prediction), 1)
        assert_same(scrambled, surface_distances(target, prediction, 1))

    def test_no_prediction_and_no_truth_count_alike(self):
        target, prediction = blobs(13), blobs(14)
        unknown = hidden(15, target.shape)
        one = surface_distances(np.where(unknown, 255, target), prediction, 1)
        other = surface_distances(target, np.where(unknown, 255, prediction), 1)
        assert_same(one, other)

    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 2**32 - 3))
    def test_hiding_pixels_makes_no_surface(self, seed):
        target, prediction = blobs(seed), blobs(seed + 1)
        whole = surface_distances(target, prediction, 1)
        target[hidden(seed, target.shape)] = 255
        part = surface_distances(target, prediction, 1)
        assert len(part.predicted) <= len(whole.predicted)
        assert len(part.true) <= len(whole.true)

    def test_the_cut_through_an_object_is_no_surface(self):
        target = box((4, 4, 4))
        target[:, :, 8:] = 255
        counted = surface_distances(target, box((4, 4, 4), size=(6, 6, 10)), 1)
        ring = 6 * 6 - 4 * 4
        assert len(counted.true) == len(counted.predicted) == 6 * 6 + 3 * ring
        assert counted.hausdorff(100) == 0

    def test_an_outline_is_measured_to_where_the_other_object_is_cut(self):
        target = np.zeros((9, 30), dtype=int)
        target[:, 2:12] = 1
        prediction = np.where(np.arange(30) == 16, 1, target)
        target[:, 11:15] = 255
        assert surface_distances(target, prediction, 1).predicted.max() == 16 - 10

    def test_padding_with_them_takes_the_rim_out_of_the_surface(self):
        target, prediction = np.zeros((12, 12), dtype=int), np.zeros((12, 12), dtype=int)
        target[:, 6:], prediction[:, 8:] = 1, 1
        assert surface_distances(target, prediction, 1).hausdorff(50) == 0
        inner = surface_distances(*(np.pad(x, 1, constant_values=255) for x in (target, prediction)), 1)
        assert len(inner.true) == len(inner.predicted) == 12
        np.testing.assert_array_equal(inner.true, 2)
        np.testing.assert_array_equal(inner.predicted, [0, 1, *[2] * 8, 1, 0])

    def test_without_a_known_surface_every_score_is_none(self):
        prediction = box((4, 4, 4))
        for target in (np.full((20, 20, 20), 255), np.where(prediction == 1, 1, 255)):
            distances = surface_distances(target, prediction, 1)
            assert (distances.hausdorff(), distances.assd(), distances.nsd(1)) == (None, None, None)

    def test_another_ignore_index_leaves_255_a_class(self):
        target, prediction = blobs(16), blobs(17)
        renamed = surface_distances(*(np.where(x == 1, 255, x) for x in (target, prediction)), 255, ignore_index=-1)
        assert_same(renamed, surface_distances(target, prediction, 1))


class TestAbsentClasses:
    def test_a_class_in_neither_map_is_none(self):
        distances = surface_distances(blobs(0), blobs(1), 7)
        assert (distances.hausdorff(), distances.assd(), distances.nsd(1)) == (None, None, None)

    @pytest.mark.parametrize("missed", [True, False], ids=["missed", "invented"])
    def test_a_class_in_one_map_is_as_bad_as_can_be(self, missed):
        maps = [box((4, 4, 4)), np.zeros((20, 20, 20), dtype=np.uint8)]
        distances = surface_distances(*(maps if missed else maps[::-1]), 1)
        assert (distances.hausdorff(), distances.assd(), distances.nsd(1e9)) == (np.inf, np.inf, 0)

    def test_means_leave_out_absent_classes_and_keep_missed_ones(self):
        target, prediction = box((4, 4, 4)), box((4, 4, 5))
        target[0, 0, 0] = 3
        found = surface_scores(target, prediction, {1: "one", 2: "two"}, 0.0)
        missed = surface_scores(target, prediction, {1: "one", 2: "two", 3: "three"}, 0.0)
        one = found["nsd"]["per_class"]["one"]
        assert 0 < one < 1
        assert found["nsd"] == {"mean": one, "per_class": {"one": one, "two": None}}
        assert missed["nsd"]["mean"] == one / 2
        assert (found["hd95"]["mean"], missed["hd95"]["mean"], missed["assd"]["mean"]) == (1, np.inf, np.inf)

    def test_without_any_class_the_mean_is_none(self):
        empty = np.zeros((5, 5), dtype=int)
        assert surface_scores(empty, empty, NAMES, 1.0)["hd95"] == {
            "mean": None,
            "per_class": {"one": None, "two": None},
        }


class TestBadInput:
    def test_refuses_maps_of_different_shape(self):
        with pytest.raises(ValueError, match="shape"):
            surface_distances(np.zeros((4, 4)), np.zeros((4, 5)), 1)

    @pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, np.nan), (1.0, np.inf), 2.0])
    def test_refuses_a_spacing_that_is_not_one_length_per_axis(self, spacing):
        with pytest.raises(ValueError, match="2 axes"):
            surface_distances(np.zeros((4, 4)), np.zeros((4, 4)), 1, spacing)

    @pytest.mark.parametrize("tolerance", [-1.0, np.nan, np.inf])
    def test_refuses_a_tolerance_that_is_no_distance(self, tolerance):
        with pytest.raises(ValueError, match="tolerance"):
            surface_distances(blobs(0), blobs(1), 1).nsd(tolerance)
