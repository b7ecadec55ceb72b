import numpy as np
import pytest

from segnoise.metrics import Calibration, ece


def sample(seed: int, n: int = 5000):
    rng = np.random.default_rng(seed)
    confidence = 0.5 + 0.5 * rng.beta(4, 1, n)
    return confidence, rng.random(n) < confidence**2


def test_ece_equals_the_direct_computation_over_bins():
    confidence, correct = sample(0)
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert expected > 0.05
    assert ece(confidence, correct) == pytest.approx(expected)


def test_ece_equals_torchmetrics():
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    confidence, correct = sample(1)
    theirs = binary_calibration_error(torch.from_numpy(confidence), torch.from_numpy(correct).int(), n_bins=15)
    assert ece(confidence, correct) == pytest.approx(float(theirs), abs=1e-6)


def test_a_calibrated_predictor_has_an_error_near_zero():
    rng = np.random.default_rng(2)
    confidence = rng.random(200_000)
    assert ece(confidence, rng.random(confidence.size) < confidence) < 0.005


def test_always_sure_and_always_wrong_is_one():
    assert ece([1.0, 1.0], [False, False]) == 1.0


def test_accumulators_of_parts_add_up_to_that_of_the_whole():
    confidence, correct = sample(3)
    whole, first, second = Calibration(), Calibration(), Calibration()
    whole.add(confidence, correct)
    first.add(confidence[:1234], correct[:1234])
    second.add(confidence[1234:], correct[1234:])
    assert (first + second).ece() == pytest.approx(whole.ece(), abs=1e-12)


def test_nothing_under_invalid_pixels_changes_it():
    confidence, correct = sample(4)
    valid = np.random.default_rng(5).random(confidence.size) < 0.7
    broken = np.where(valid, confidence, np.nan)
    assert ece(broken, correct ^ ~valid, valid) == ece(confidence[valid], correct[valid])


def test_nothing_counted_is_none():
    assert ece([0.5], [True], valid=[False]) is None


def test_probabilities_past_one_by_a_rounding_error_are_one():
    assert ece(np.float32([1.0000001]), [True]) == 0.0


@pytest.mark.parametrize("value", [1.01, -0.5, np.nan])
def test_refuses_what_is_no_probability(value):
    with pytest.raises(ValueError, match="must lie in"):
        ece([0.5, value], [True, True])


def test_refuses_to_add_different_bins():
    with pytest.raises(ValueError, match="do not add up"):
        Calibration(10) + Calibration(15)
