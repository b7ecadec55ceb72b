from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from segnoise.vector import instance_confidence, label_instances
from segnoise.vector.canonical import canonical

CLASSES = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 1, 1, 2, 2, 255])
)


def with_boundary(ids: np.ndarray) -> np.ndarray:
    """Three classes: interior 1, and 2 for every field pixel beside another id."""
    edge = np.zeros(ids.shape, bool)
    for axis in (0, 1):
        differs = np.diff(ids, axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        edge[tuple(before)] |= differs
        edge[tuple(after)] |= differs
    return np.where(ids == 0, 0, np.where(edge, 2, 1)).astype(np.uint8)


class TestLabelInstances:
    @given(CLASSES)
    def test_without_regrow_instances_are_the_4_connected_components(self, classes):
        ids = label_instances(classes, regrow=False)
        assert np.array_equal(ids > 0, classes == 1)
        assert np.array_equal(ids, canonical(ndimage.label(classes == 1)[0]).ids)

    @given(CLASSES, st.integers(0, 4))
    def test_instances_are_connected_canonical_and_on_field_or_boundary_only(self, classes, reach):
        ids = label_instances(classes, regrow_px=reach)
        assert np.isin(classes[ids > 0], [1, 2]).all()
        assert (ids[classes == 1] > 0).all()
        assert np.array_equal(ids, canonical(ids).ids)
        assert all(ndimage.label(ids == i)[1] == 1 for i in range(1, ids.max() + 1))

    @given(CLASSES, st.integers(1, 4))
    def test_growth_joins_no_two_components_and_loses_none(self, classes, reach):
        cores = label_instances(classes, regrow=False)
        grown = label_instances(classes, regrow_px=reach)
        pairs = np.unique(np.stack([cores, grown])[:, classes == 1], axis=1)
        assert pairs.shape[1] == cores.max() == grown.max()

    @pytest.mark.parametrize("reach", [1, 3, 6])
    def test_each_boundary_pixel_within_reach_joins_its_nearest_field(self, reach):
        classes = np.where(np.random.default_rng(0).random((90, 110)) < 0.03, 1, 2)
        cores = label_instances(classes, regrow=False)
        grown = label_instances(classes, regrow_px=reach)
        distance = ndimage.distance_transform_edt(cores == 0)
        assert np.array_equal(grown > 0, distance <= reach)
        to_own = np.zeros(classes.shape)
        for i in range(1, cores.max() + 1):
            own = grown == grown[cores == i][0]
            to_own[own] = ndimage.distance_transform_edt(cores != i)[own]
        # All but those whose nearest field meets them only corner to corner: a field stays in one piece.
        assert np.isclose(to_own, distance)[grown > 0].mean() > 0.999

    def test_boundaries_given_back_restore_touching_fields(self, parcels):
        truth = parcels((120, 120), 40, seed=3)
        found = label_instances(with_boundary(truth))
        kept = np.isin(truth, np.unique(truth[with_boundary(truth) == 1]))
        wrong = canonical(np.where(kept, truth, 0)).ids != found
        assert found[truth > 0].min() > 0
        assert wrong.mean() < 0.02

    def test_a_boundary_pixel_beyond_other_classes_stays_free(self):
        assert label_instances(np.array([[1, 0, 2]])).tolist() == [[1, 0, 0]]
        assert label_instances(np.array([[1, 255, 2]])).tolist() == [[1, 0, 0]]

    def test_a_tie_goes_to_the_first_field(self):
        assert label_instances(np.array([[1, 2, 1]])).tolist() == [[1, 1, 2]]

    def test_a_boundary_farther_than_regrow_px_stays_free(self):
        assert label_instances(np.array([[1, 2, 2, 2, 2]]), regrow_px=3).tolist() == [[1, 1, 1, 1, 0]]

    def test_small_components_are_dropped_before_growth(self):
        classes = np.array([[1, 2, 2, 1, 1]])
        assert label_instances(classes, min_pixels=2).tolist() == [[0, 1, 1, 1, 1]]

    def test_growth_renumbers_by_the_first_pixel_of_the_grown_fields(self):
        classes = np.array([[0, 0, 2, 2], [1, 0, 0, 1], [0, 0, 1, 1]])
        ids = label_instances(classes)
        assert ids[0, 3] == 1
        assert ids[1, 0] == 2

    def test_two_class_labels_need_no_boundary(self):
        classes = np.array([[1, 2, 1]], np.uint8)
        assert label_instances(classes, boundary=None).tolist() == [[1, 0, 2]]

    def test_no_field_gives_no_instance(self):
        assert not label_instances(np.full((4, 4), 255, np.uint8)).any()
        assert not label_instances(np.full((4, 4), 2, np.uint8)).any()

    def test_unknown_cannot_be_asked_for_as_a_class(self):
        with pytest.raises(ValueError, match="unknown"):
            label_instances(np.zeros((2, 2), np.uint8), field=255)


class TestInstanceConfidence:
    @given(CLASSES, st.integers(0, 2**32 - 1))
    def test_confidence_is_the_mean_inside_each_instance(self, classes, seed):
        ids = label_instances(classes)
        probability = np.random.default_rng(seed).random(classes.shape)
        confidence = instance_confidence(ids, probability)
        expected = [probability[ids == i].mean() for i in range(1, ids.max() + 1)]
        np.testing.assert_allclose(confidence, expected, rtol=1e-12)

    def test_pixels_without_a_score_do_not_count(self):
        ids = np.array([[1, 1, 2]])
        confidence = instance_confidence(ids, np.array([[0.5, np.nan, np.nan]]))
        np.testing.assert_array_equal(confidence, [0.5, np.nan])

    def test_shapes_must_agree(self):
        with pytest.raises(ValueError, match="differ in shape"):
            instance_confidence(np.ones((2, 2), int), np.ones((2, 3)))
