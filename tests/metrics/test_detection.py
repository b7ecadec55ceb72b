import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from segnoise.metrics import DetectionCurve, auroc, average_precision

DISTRIBUTIONS = {
    "flat": (lambda rng, n: rng.random(n), lambda rng, n: np.sqrt(rng.random(n))),
    "near zero": (lambda rng, n: rng.beta(0.1, 30, n), lambda rng, n: rng.beta(0.5, 10, n)),
    "both ends": (lambda rng, n: rng.beta(0.2, 0.6, n), lambda rng, n: rng.beta(0.6, 0.2, n)),
}


def labels(kind: str, seed: int = 0, right: int = 20_000, wrong: int = 4_000):
    rng = np.random.default_rng(seed)
    low, high = DISTRIBUTIONS[kind]
    scores = np.concatenate([low(rng, right), high(rng, wrong)]).astype(np.float32)
    return scores, np.arange(right + wrong) >= right


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_agree_with_scikit_learn_on_single_precision_scores(kind):
    scores, wrong = labels(kind)
    assert auroc(scores, wrong) == pytest.approx(roc_auc_score(wrong, scores), abs=1e-3)
    assert average_precision(scores, wrong) == pytest.approx(average_precision_score(wrong, scores), abs=1e-3)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.floats(0, 1, width=16), st.booleans()), min_size=2, max_size=40).filter(
        lambda pairs: len({wrong for _, wrong in pairs}) == 2
    )
)
def test_equal_scikit_learn_on_half_precision_scores_with_ties(pairs):
    scores, wrong = np.array([score for score, _ in pairs]), np.array([wrong for _, wrong in pairs])
    assert auroc(scores, wrong) == pytest.approx(roc_auc_score(wrong, scores), abs=1e-12)
    assert average_precision(scores, wrong) == pytest.approx(average_precision_score(wrong, scores), abs=1e-12)


def test_a_constant_score_has_the_auroc_of_chance_and_the_precision_of_the_rate():
    wrong = np.arange(10) < 3
    assert auroc(np.full(10, 0.2), wrong) == 0.5
    assert average_precision(np.full(10, 0.2), wrong) == pytest.approx(0.3)


def test_turning_the_scores_round_gives_the_complement():
    scores, wrong = labels("flat", seed=1)
    assert auroc(1 - scores, wrong) == pytest.approx(1 - auroc(scores, wrong), abs=1e-6)


@pytest.mark.parametrize("truth", [[True, True], [False, False]])
def test_none_when_only_one_kind_of_label_occurs(truth):
    assert auroc([0.1, 0.9], truth) is None
    assert average_precision([0.1, 0.9], truth) is None


def test_accumulators_of_parts_add_up_to_that_of_the_whole():
    scores, wrong = labels("both ends", seed=2)
    order = np.random.default_rng(3).permutation(scores.size)
    curve = DetectionCurve()
    for part in np.array_split(order, 3):
        piece = DetectionCurve()
        piece.add(scores[part], wrong[part])
        curve = curve + piece
    assert curve.auroc() == auroc(scores, wrong)
    assert curve.average_precision() == average_precision(scores, wrong)


def test_nothing_under_invalid_labels_changes_them():
    scores, wrong = labels("flat", seed=4)
    valid = np.random.default_rng(5).random(scores.size) < 0.7
    broken = np.where(valid, scores, np.nan)
    assert auroc(broken, wrong ^ ~valid, valid) == auroc(scores[valid], wrong[valid])
    assert average_precision(broken, wrong ^ ~valid, valid) == average_precision(scores[valid], wrong[valid])


def test_negative_zero_is_the_lowest_score():
    assert auroc([-0.0, 0.5], [False, True]) == 1.0


def test_refuses_scores_outside_the_unit_interval():
    with pytest.raises(ValueError, match="must lie in"):
        auroc([0.5, 2.0], [False, True])
