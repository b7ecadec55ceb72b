import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.metrics import confusion_matrix
from segnoise.metrics.volumes import volume_scores

NAMES = ["background", "one", "two"]


def maps(seed: int, shape=(6, 7, 8)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target, prediction = rng.choice(3, shape, p=[0.5, 0.3, 0.2]), rng.integers(0, 3, shape)
    target[rng.random(shape) < 0.2] = 255
    return target, prediction


def scored(target, prediction, spacing=None):
    return volume_scores(confusion_matrix(target, prediction, 3), NAMES, spacing)


def test_differences_are_those_of_the_volumes_of_known_voxels():
    target, prediction = maps(0)
    known = target != 255
    spacing = (0.5, 2.0, 3.0)
    ours = scored(target, prediction, spacing)
    for k, name in enumerate(NAMES):
        true, predicted = (3.0 * ((labels == k) & known).sum() for labels in (target, prediction))
        assert true != predicted
        assert ours["volume_difference"]["per_class"][name] == pytest.approx(abs(predicted - true))
        assert ours["relative_volume_difference"]["per_class"][name] == pytest.approx(predicted / true - 1)


def test_the_mean_weighs_classes_equally():
    for score in scored(*maps(1)).values():
        assert score["mean"] == pytest.approx(np.mean(list(score["per_class"].values())))


def test_a_class_predicted_twice_too_large_is_one_too_much_and_half_too_little_the_other_way():
    small, large = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1, 1])
    assert scored(small, large)["relative_volume_difference"]["per_class"]["one"] == 1
    assert scored(large, small)["relative_volume_difference"]["per_class"]["one"] == -0.5


def test_spacing_scales_the_difference_and_not_the_ratio():
    pixels, metres = scored(*maps(2)), scored(*maps(2), (2.0, 5.0, 0.3))
    assert metres["relative_volume_difference"] == pixels["relative_volume_difference"]
    assert metres["volume_difference"]["mean"] == pytest.approx(3.0 * pixels["volume_difference"]["mean"])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 2))
def test_nothing_under_ignored_pixels_changes_them(seed):
    target, prediction = maps(seed)
    anything = np.random.default_rng(seed + 1).integers(-3, 300, target.shape)
    assert scored(target, np.where(target == 255, anything, prediction)) == scored(target, prediction)


def test_absent_classes_follow_the_one_rule():
    neither = scored([0, 1], [0, 1])
    assert {name: score["per_class"]["two"] for name, score in neither.items()} == dict.fromkeys(neither, None)
    assert neither["volume_difference"]["mean"] == 0
    missed, invented = scored([0, 1, 2], [0, 1, 1]), scored([0, 1, 1], [0, 1, 2])
    assert missed["relative_volume_difference"]["per_class"]["two"] == -1
    assert invented["relative_volume_difference"]["per_class"]["two"] == np.inf
    assert scored([255], [0])["volume_difference"] == {"mean": None, "per_class": dict.fromkeys(NAMES, None)}


def test_refuses_a_matrix_that_does_not_fit_the_names():
    with pytest.raises(ValueError, match="does not fit"):
        volume_scores(np.eye(2, dtype=np.int64), NAMES)


@pytest.mark.parametrize("spacing", [(1.0, 0.0), (1.0, -2.0), (np.nan,), (np.inf,)])
def test_refuses_a_spacing_that_is_no_length(spacing):
    with pytest.raises(ValueError, match="spacing"):
        volume_scores(np.eye(3, dtype=np.int64), NAMES, spacing)
