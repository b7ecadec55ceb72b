import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.metrics import confusion_matrix, scores

CLASSES = ["background", "field", "boundary"]


def random_maps(seed: int, shape=(40, 50), classes=3, ignored=0.2):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, shape)
    prediction = np.where(rng.random(shape) < 0.6, target, rng.integers(0, classes, shape))
    target[rng.random(shape) < ignored] = 255
    return target, prediction


class TestConfusionMatrix:
    def test_equals_scikit_learn_on_known_pixels(self):
        from sklearn.metrics import confusion_matrix as reference

        target, prediction = random_maps(0)
        known = target != 255
        expected = reference(target[known], prediction[known], labels=range(3))
        np.testing.assert_array_equal(confusion_matrix(target, prediction, 3), expected)

    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_nothing_under_ignored_pixels_changes_it(self, seed):
        target, prediction = random_maps(seed, (9, 11))
        unknown = target == 255
        scrambled = np.where(unknown, np.random.default_rng(seed + 1).integers(-5, 300, unknown.shape), prediction)
        np.testing.assert_array_equal(confusion_matrix(target, scrambled, 3), confusion_matrix(target, prediction, 3))

    def test_a_pixel_without_a_prediction_is_not_counted(self):
        target, prediction = random_maps(1)
        silent = np.random.default_rng(2).random(target.shape) < 0.3
        hidden_in_prediction = confusion_matrix(target, np.where(silent, 255, prediction), 3)
        hidden_in_target = confusion_matrix(np.where(silent, 255, target), prediction, 3)
        np.testing.assert_array_equal(hidden_in_prediction, hidden_in_target)

    def test_matrices_of_windows_add_up_to_the_matrix_of_the_image(self):
        target, prediction = random_maps(3)
        parts = [confusion_matrix(target[:, s], prediction[:, s], 3) for s in (slice(0, 17), slice(17, None))]
        np.testing.assert_array_equal(sum(parts), confusion_matrix(target, prediction, 3))

    def test_volumes_and_small_integer_types_count_alike(self):
        target, prediction = random_maps(4, (5, 6, 7))
        small = confusion_matrix(target.astype(np.uint8), prediction.astype(np.uint8), 3)
        np.testing.assert_array_equal(small, confusion_matrix(target.ravel(), prediction.ravel(), 3))

    @pytest.mark.parametrize(("target", "prediction"), [([3], [0]), ([0], [3]), ([-1], [0])])
    def test_refuses_values_that_are_no_class(self, target, prediction):
        with pytest.raises(ValueError, match=r"outside 0\.\.2"):
            confusion_matrix(target, prediction, 3)

    def test_refuses_maps_of_different_shape(self):
        with pytest.raises(ValueError, match="shape"):
            confusion_matrix(np.zeros((2, 3)), np.zeros((3, 2)), 3)


class TestScores:
    def test_equal_scikit_learn_when_all_classes_occur(self):
        from sklearn import metrics as sk

        target, prediction = random_maps(5)
        ours = scores(confusion_matrix(target, prediction, 3), CLASSES)
        known = target != 255
        truth, guess = target[known], prediction[known]
        for name, function in {
            "iou": sk.jaccard_score,
            "f1": sk.f1_score,
            "dice": sk.f1_score,
            "precision": sk.precision_score,
            "recall": sk.recall_score,
        }.items():
            expected = function(truth, guess, average=None)
            assert list(ours[name]["per_class"].values()) == pytest.approx(list(expected))
            assert ours[name]["mean"] == pytest.approx(function(truth, guess, average="macro"))
        assert ours["accuracy"]["mean"] == pytest.approx(sk.accuracy_score(truth, guess))
        assert list(ours["accuracy"]["per_class"].values()) == pytest.approx(
            list(sk.recall_score(truth, guess, average=None))
        )

    def test_equal_torchmetrics_with_its_ignore_index(self):
        import torch
        from torchmetrics.functional import classification as tm

        target, prediction = random_maps(6)
        ours = scores(confusion_matrix(target, prediction, 3), CLASSES)
        arguments = (torch.from_numpy(prediction), torch.from_numpy(target), 3)
        for name, function in {
            "iou": tm.multiclass_jaccard_index,
            "f1": tm.multiclass_f1_score,
            "precision": tm.multiclass_precision,
            "recall": tm.multiclass_recall,
            "accuracy": tm.multiclass_accuracy,
        }.items():
            per_class = function(*arguments, average="none", ignore_index=255)
            assert list(ours[name]["per_class"].values()) == pytest.approx(per_class.tolist(), abs=1e-6)
            if name != "accuracy":
                macro = function(*arguments, average="macro", ignore_index=255)
                assert ours[name]["mean"] == pytest.approx(float(macro), abs=1e-6)
        micro = tm.multiclass_accuracy(*arguments, average="micro", ignore_index=255)
        assert ours["accuracy"]["mean"] == pytest.approx(float(micro), abs=1e-6)

    def test_a_class_in_neither_map_is_none_and_left_out_of_every_mean(self):
        two = scores(np.array([[5, 1], [2, 7]]), CLASSES[:2])
        three = scores(np.array([[5, 1, 0], [2, 7, 0], [0, 0, 0]]), CLASSES)
        for name, score in three.items():
            assert score["per_class"].pop("boundary") is None
            assert score == two[name]

    @pytest.mark.parametrize("confusion", [[[5, 1], [0, 0]], [[5, 0], [1, 0]]], ids=["invented", "missed"])
    def test_a_class_in_only_one_map_scores_zero_in_everything(self, confusion):
        for score in scores(np.array(confusion), CLASSES[:2]).values():
            assert score["per_class"]["field"] == 0

    def test_without_a_counted_pixel_everything_is_none(self):
        for score in scores(confusion_matrix([255, 255], [0, 1], 2), CLASSES[:2]).values():
            assert score == {"mean": None, "per_class": {"background": None, "field": None}}

    @settings(deadline=None, max_examples=30)
    @given(
        counts=st.lists(st.lists(st.integers(0, 20), min_size=4, max_size=4), min_size=4, max_size=4),
        order=st.permutations(range(4)),
    )
    def test_naming_the_classes_in_another_order_changes_no_score(self, counts, order):
        names = list("abcd")
        confusion = np.array(counts)
        permuted = scores(confusion[np.ix_(order, order)], [names[i] for i in order])
        for name, score in scores(confusion, names).items():
            assert permuted[name]["per_class"] == score["per_class"]
            assert permuted[name]["mean"] == (None if score["mean"] is None else pytest.approx(score["mean"]))

    def test_a_perfect_map_scores_one(self):
        for score in scores(np.diag([4, 9]), CLASSES[:2]).values():
            assert score == {"mean": 1.0, "per_class": {"background": 1.0, "field": 1.0}}

    def test_refuses_a_matrix_that_does_not_fit_the_names(self):
        with pytest.raises(ValueError, match="does not fit"):
            scores(np.eye(3, dtype=np.int64), ["a", "b"])
