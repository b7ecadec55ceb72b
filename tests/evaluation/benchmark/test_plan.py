"""What a benchmark trains: anchors for every noise, equal seeds for every method, tuning before results."""

from __future__ import annotations

import pytest

from segnoise.evaluation.benchmark.command import grouped
from segnoise.evaluation.benchmark.description import make_benchmark
from segnoise.evaluation.benchmark.plan import make_plan
from segnoise.evaluation.benchmark.tuning import choose, families, trials_of

TUNED = {"name": "gce", "tune": {"q": [0.3, 0.7], "training.lr": [0.01, 0.1]}}


def of_kind(plan, kind):
    return [(c.set, c.noise, c.method, c.seed) for c in plan.cells if c.kind == kind]


def test_every_noise_and_seed_has_the_anchors_and_every_method(described):
    plan = make_plan(make_benchmark(described(seeds=[0, 1], methods=["gce", "kms"])), {})
    places = [("scenes", noise, seed) for seed in (0, 1) for noise in ("none", "kms(0.4)")]
    runs = of_kind(plan, "run")
    for name, noise, seed in places:
        assert [m for s, n, m, k in runs if (s, n, k) == (name, noise, seed)] == ["cross_entropy", "gce", "kms"]
        assert (name, noise, "cross_entropy", seed) in of_kind(plan, "two_networks")
    assert len(runs) == 12


def test_clean_labels_are_trained_on_even_if_no_table_shows_them(described):
    plan = make_plan(make_benchmark(described(noises=["kms(0.4)"])), {})
    assert [(noise, method) for _, noise, method, _ in of_kind(plan, "run")] == [
        ("none", "cross_entropy"), ("kms(0.4)", "cross_entropy"), ("kms(0.4)", "gce"),
    ]  # fmt: skip


def test_one_cell_a_set_is_trained_again_with_another_number_of_threads(described):
    plan = make_plan(make_benchmark(described(seeds=[4, 5])), {})
    (again,) = [c for c in plan.cells if c.kind == "rerun"]
    (once,) = [c for c in plan.cells if c.kind == "run" and c.run == again.run]
    assert (again.threads, once.threads) == (2, 1)
    assert (again.noise, again.seed, again.method) == ("kms(0.4)", 4, "cross_entropy")
    assert again.hash != once.hash


def test_seeds_come_outermost(described):
    seeds = [c.seed for c in make_plan(make_benchmark(described(seeds=[2, 1, 7])), {}).results]
    assert seeds == sorted(seeds, key=[2, 1, 7].index)


def test_all_methods_take_the_same_steps(described):
    plan = make_plan(
        make_benchmark(described(seeds=[0, 1], methods=["gce", TUNED | {"label": "t"}], tuning={"seeds": [9]})), {}
    )
    budgets = {(c.run["training"]["epochs"], c.run["training"]["batch_size"]) for c in plan.cells}
    assert budgets == {(2, 4)}


def test_two_networks_follow_the_run_that_trains_the_first(described):
    plan = make_plan(make_benchmark(described()), {})
    pairs = [[c.kind for c in group] for group in grouped(plan.results)]
    assert pairs.count(["run", "two_networks"]) == 2
    alone = [c for c in plan.results if c.kind == "two_networks"]
    assert [len(group) for group in grouped(alone)] == [1, 1]


class TestTuning:
    @pytest.fixture
    def benchmark(self, described):
        noises = ["none", "kms(0.4)", "kms(0.2)", "omission(0.3)"]
        return make_benchmark(described(methods=[TUNED], noises=noises, tuning={"seeds": [8, 9], "trials": 4}))

    def test_it_is_done_once_a_family_on_seeds_of_its_own(self, benchmark):
        plan = make_plan(benchmark, {})
        assert families(benchmark) == {"none": "none", "kms": "kms(0.4)", "omission": "omission(0.3)"}
        assert {c.noise for c in plan.tuning} == {"none", "kms(0.4)", "omission(0.3)"}
        assert {c.seed for c in plan.tuning} == {8, 9}
        assert len(plan.tuning) == 4 * 2 * 3

    def test_results_wait_for_it(self, benchmark):
        plan = make_plan(benchmark, {})
        assert [(w.method, w.noise) for w in plan.waiting] == [("gce", noise) for noise in benchmark.noises]
        assert {c.method for c in plan.results} == {"cross_entropy"}

    def test_the_choice_holds_for_all_levels_of_a_family(self, benchmark):
        rows = {c.hash: {"val_iou_last": c.options[0]["q"] + c.changes["lr"]} for c in make_plan(benchmark, {}).tuning}
        chosen = [c for c in make_plan(benchmark, rows).results if c.method == "gce"]
        assert {c.noise for c in chosen} == set(benchmark.noises)
        assert all(c.options == [{"name": "gce", "q": 0.7}] and c.run["training"]["lr"] == 0.1 for c in chosen)

    def test_the_best_mean_over_seeds_wins_and_a_failed_trial_is_out(self, benchmark):
        trials = trials_of(benchmark, "scenes", benchmark.methods[0], "kms(0.4)")
        scores = [(0.5, 0.5), (0.9, 0.2), (0.6, 0.6), (1.0, None)]
        rows = {
            cell.hash: {"val_iou_last": value}
            for trial, pair in zip(trials, scores, strict=True)
            for cell, value in zip(trial.cells, pair, strict=True)
        }
        assert choose(trials, rows) == {"q": 0.7, "training.lr": 0.01}
        del rows[trials[0].cells[0].hash]
        assert choose(trials, rows) is None

    def test_where_all_trials_failed_the_first_is_taken(self, benchmark):
        trials = trials_of(benchmark, "scenes", benchmark.methods[0], "kms(0.4)")
        rows = {cell.hash: {"val_iou_last": None} for trial in trials for cell in trial.cells}
        assert choose(trials, rows) == {"q": 0.3, "training.lr": 0.01}
