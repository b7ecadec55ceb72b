import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.metrics.bootstrap import Interval, bootstrap_interval, bootstrap_intervals


def patients(seed: int, n: int = 30) -> dict[int, float]:
    return dict(enumerate(np.random.default_rng(seed).gamma(2.0, size=n)))


class TestBootstrapInterval:
    @pytest.mark.parametrize("statistic", [np.mean, np.std])
    @pytest.mark.parametrize("level", [0.8, 0.95])
    def test_equals_scipys_percentile_interval(self, statistic, level):
        from scipy.stats import bootstrap

        values = patients(0)
        ours = bootstrap_interval(values, statistic, seed=1, n=20_000, level=level)
        theirs = bootstrap(
            (list(values.values()),),
            statistic,
            n_resamples=20_000,
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(2),
        ).confidence_interval
        within = 0.03 * (theirs.high - theirs.low)
        assert ours.value == pytest.approx(statistic(list(values.values())))
        assert ours.low == pytest.approx(theirs.low, abs=within)
        assert ours.high == pytest.approx(theirs.high, abs=within)

    @pytest.mark.parametrize("level", [0.8, 0.95])
    def test_holds_the_true_mean_as_often_as_it_says(self, level):
        rng = np.random.default_rng(3)
        covered = 0
        for study in range(500):
            interval = bootstrap_interval(dict(enumerate(rng.normal(5, 2, 40))), seed=study, n=400, level=level)
            covered += interval.low <= 5 <= interval.high
        # Binomial noise is 1.8 and 1 points; percentile intervals of 40 values are about one point short.
        assert level - 0.05 < covered / 500 < level + 0.03

    def test_draws_patients_and_not_their_images(self):
        rng = np.random.default_rng(4)
        people = {person: rng.normal(rng.normal(), 0.01, 50) for person in range(20)}
        pooled = {(person, i): x for person, images in people.items() for i, x in enumerate(images)}
        honest, naive = bootstrap_interval(people, seed=0), bootstrap_interval(pooled, seed=0)
        assert honest.n == 20
        assert honest.value == pytest.approx(naive.value)
        assert honest.high - honest.low > 5 * (naive.high - naive.low)

    def test_every_patient_weighs_the_same(self):
        assert bootstrap_interval({"many": [0.0] * 99, "one": 1.0}, seed=0).value == 0.5

    def test_an_unknown_value_is_as_if_it_were_not_there(self):
        values = patients(5)
        with_gaps = {**{k: [v, np.nan, None] for k, v in values.items()}, "no": None, "nor": np.nan, "none": []}
        assert bootstrap_interval(with_gaps, seed=0) == bootstrap_interval(values, seed=0)

    @settings(deadline=None, max_examples=20)
    @given(order=st.permutations(range(12)), seed=st.integers(0, 2**31))
    def test_depends_on_the_seed_and_not_on_the_order(self, order, seed):
        values = patients(6, 12)
        one = bootstrap_interval(values, seed=seed, n=200)
        assert one == bootstrap_interval({k: values[k] for k in order}, seed=seed, n=200)
        assert (one.low, one.high) != tuple(
            bootstrap_interval(values, seed=seed + 1, n=200).__dict__[k] for k in ("low", "high")
        )

    def test_drawing_in_turns_draws_as_many(self, monkeypatch):
        counted = []

        def mean(values, axis):
            counted.append(values.shape)
            return values.mean(axis)

        monkeypatch.setattr("segnoise.metrics.bootstrap._AT_ONCE", 100)
        bootstrap_interval(patients(7), mean, seed=0, n=10)
        assert counted == [(30,), (3, 30), (3, 30), (3, 30), (1, 30)]

    def test_a_higher_level_is_a_wider_interval_around_the_value(self):
        narrow, wide = (bootstrap_interval(patients(8), seed=0, level=level) for level in (0.5, 0.99))
        assert wide.low < narrow.low < narrow.value == wide.value < narrow.high < wide.high

    def test_infinite_values_stay_infinite(self):
        distances = {**patients(9, 20), "missed": np.inf}
        mean, median = (bootstrap_interval(distances, statistic, seed=0) for statistic in (np.mean, np.median))
        assert (mean.value, mean.high) == (np.inf, np.inf)
        assert np.isfinite(mean.low)
        assert median.low < median.value < median.high < np.inf

    def test_too_few_groups_have_no_interval(self):
        assert (
            bootstrap_interval({}, seed=0) == bootstrap_interval({"a": None}, seed=0) == Interval(None, None, None, 0)
        )
        assert bootstrap_interval({"a": 0.5}, seed=0) == Interval(0.5, None, None, 1)

    @pytest.mark.parametrize("wrong", [{"n": 0}, {"level": 0.0}, {"level": 1.0}, {"level": 95}])
    def test_refuses_no_resamples_and_levels_that_are_none(self, wrong):
        with pytest.raises(ValueError, match="level"):
            bootstrap_interval(patients(0), seed=0, **wrong)


class TestBootstrapIntervals:
    def test_are_those_of_each_metric(self):
        metrics = {"dice": patients(10), "hd95": patients(11, 25)}
        together = bootstrap_intervals(metrics, np.median, seed=3, n=300, level=0.9)
        for name, values in metrics.items():
            assert together[name] == bootstrap_interval(values, np.median, seed=3, n=300, level=0.9)

    def test_draw_the_same_patients_for_every_metric(self):
        dice = patients(12)
        mirrored = dict(reversed([(k, 1 - v) for k, v in dice.items()]))
        both = bootstrap_intervals({"dice": dice, "error": mirrored}, seed=4)
        assert both["error"].low == pytest.approx(1 - both["dice"].high)
        assert both["error"].high == pytest.approx(1 - both["dice"].low)
