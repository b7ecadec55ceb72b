import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import features
from scipy import ndimage
from shapely.geometry import shape

from segnoise.metrics import ObjectCounts, object_counts, object_scores


def masks(seed: int, size=(28, 30)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=size), 1.5)
    jitter = 0.06 * ndimage.gaussian_filter(rng.normal(size=size), 1.0)
    return (smooth > 0.03).astype(np.uint8), (smooth + jitter > 0.03).astype(np.uint8)


def components(mask: np.ndarray) -> np.ndarray:
    return ndimage.label(mask)[0]


def by_polygons(true: np.ndarray, predicted: np.ndarray) -> ObjectCounts:
    """The published definition: a truth is found by the first predicted polygon with IoU above 1/2."""
    truths = [shape(g) for g, value in features.shapes(true, connectivity=4) if value == 1]
    guesses = [shape(g) for g, value in features.shapes(predicted, connectivity=4) if value == 1]
    found: set[int] = set()
    missed = 0
    for truth in truths:
        hits = [j for j, guess in enumerate(guesses) if truth.intersection(guess).area / truth.union(guess).area > 0.5]
        missed += not hits
        found.update(hits[:1])
    return ObjectCounts(len(found), len(guesses) - len(found), missed)


class TestObjectCounts:
    @pytest.mark.parametrize("seed", range(8))
    def test_equal_the_loop_over_pairs_of_polygons(self, seed):
        true, predicted = masks(seed)
        assert object_counts(components(true), components(predicted)) == by_polygons(true, predicted)

    def test_equal_the_loop_over_polygons_of_what_is_known(self):
        true, predicted = masks(11)
        known = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=true.shape), 3) < 0.1
        expected = by_polygons(true * known, predicted * known)
        counts = object_counts(components(true * known), components(predicted * known), known)
        assert counts == expected
        assert counts.tp > 0

    def test_an_overlap_of_exactly_half_is_no_match(self):
        true = np.array([[1, 1, 1, 1, 0]])
        assert object_counts(true, np.array([[3, 3, 0, 0, 0]])) == ObjectCounts(0, 1, 1)
        assert object_counts(true, np.array([[3, 3, 3, 0, 0]])) == ObjectCounts(1, 0, 0)

    def test_one_prediction_over_two_objects_finds_at_most_one(self):
        assert object_counts(np.array([[1, 1, 1, 2]]), np.array([[5, 5, 5, 5]])) == ObjectCounts(1, 0, 1)

    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_ids_do_not_matter(self, seed):
        rng = np.random.default_rng(seed)
        true, predicted = (components(mask) for mask in masks(seed, (16, 18)))
        renamed = np.concatenate([[0], 1 + rng.choice(2**40, predicted.max(), replace=False)])[predicted]
        assert object_counts(true, renamed) == object_counts(true, predicted)

    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_nothing_under_unknown_pixels_changes_them(self, seed):
        rng = np.random.default_rng(seed)
        true, predicted = (components(mask) for mask in masks(seed, (16, 18)))
        known = rng.random(true.shape) < 0.8
        expected = object_counts(true, predicted, known)
        noise = rng.integers(-3, 50, true.shape)
        assert object_counts(np.where(known, true, -1), np.where(known, predicted, noise)) == expected
        assert object_counts(np.where(known, true, noise), np.where(known, predicted, noise), known) == expected

    def test_swapping_the_maps_swaps_missed_and_invented(self):
        true, predicted = (components(mask) for mask in masks(3))
        there, back = object_counts(true, predicted), object_counts(predicted, true)
        assert (there.tp, there.fp, there.fn) == (back.tp, back.fn, back.fp)

    def test_empty_maps_have_no_objects(self):
        assert object_counts(np.zeros((3, 3), int), np.zeros((3, 3), int)) == ObjectCounts(0, 0, 0)
        assert object_counts(np.full((3, 3), -1), np.ones((3, 3), int)) == ObjectCounts(0, 0, 0)

    def test_refuses_rasters_of_different_shape(self):
        with pytest.raises(ValueError, match="shape"):
            object_counts(np.zeros((2, 2), int), np.zeros((2, 3), int))


class TestObjectScores:
    def test_f1_is_the_harmonic_mean_of_precision_and_recall(self):
        s = object_scores(ObjectCounts(tp=6, fp=2, fn=4))
        assert s["object_f1"] == pytest.approx(2 / (1 / s["object_precision"] + 1 / s["object_recall"]))

    def test_none_without_objects_and_zero_when_only_one_raster_has_some(self):
        assert set(object_scores(ObjectCounts(0, 0, 0)).values()) == {None}
        assert set(object_scores(ObjectCounts(0, 3, 0)).values()) == {0.0}
        assert set(object_scores(ObjectCounts(0, 0, 3)).values()) == {0.0}
