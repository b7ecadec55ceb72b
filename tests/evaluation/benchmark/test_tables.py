"""The tables of a study whose scores are known."""

from __future__ import annotations

import numpy as np
import pytest

from segnoise.evaluation.benchmark.description import make_benchmark
from segnoise.evaluation.benchmark.markdown import write_tables
from segnoise.evaluation.benchmark.output import results_table
from segnoise.evaluation.benchmark.overview import (
    agreement_table,
    failure_table,
    rank_table,
    tuning_table,
    units_of,
)
from segnoise.evaluation.benchmark.plan import make_plan
from segnoise.evaluation.benchmark.results import Study
from segnoise.evaluation.benchmark.tables import paired_table, score_table

SCORES = """
| method | IoU | IoU, best on given val. | Dice | gap closed | boundary F1 | ECE | AUROC / AP / ECE of wrong labels | wrong labels repeated | wrong pixels, corrected / predicted | cost | seeds | failed |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| cross_entropy on clean labels | 0.810 ± 0.006 | 0.810 ± 0.006 | 0.810 ± 0.006 | 1.00 ± 0.00 | 0.810 ± 0.006 | 0.810 ± 0.006 | – | – | – | 1.00 × | 3 | 0 |
| cross_entropy | 0.510 ± 0.006 | 0.525 ± 0.006 | 0.510 ± 0.006 | 0.00 ± 0.00 | 0.510 ± 0.006 | 0.510 ± 0.006 | 0.90 ± 0.00 / 0.70 ± 0.00 / 0.05 ± 0.00 | 0.25 ± 0.00 | 0.120 ± 0.000 / 0.100 ± 0.000 | 1.00 × | 3 | 0 |
| cross_entropy stopped early | 0.525 ± 0.006 | – | 0.510 ± 0.006 | 0.05 ± 0.00 | 0.510 ± 0.006 | 0.510 ± 0.006 | – | – | – | 1.00 × | 3 | 0 |
| two networks averaged | 0.660 ± 0.006 | 0.675 ± 0.006 | 0.660 ± 0.006 | 0.50 ± 0.00 | 0.660 ± 0.006 | 0.660 ± 0.006 | 0.90 ± 0.00 / 0.70 ± 0.00 / 0.05 ± 0.00 | 0.25 ± 0.00 | 0.120 ± 0.000 / 0.100 ± 0.000 | 2.00 × | 3 | 0 |
| gce | 0.470 ± 0.010 | 0.485 ± 0.010 | 0.470 ± 0.010 | -0.13 ± 0.00 | 0.470 ± 0.010 | 0.470 ± 0.010 | 0.90 ± 0.00 / 0.70 ± 0.00 / 0.05 ± 0.00 | 0.25 ± 0.00 | 0.120 ± 0.000 / 0.100 ± 0.000 | 1.00 × | 2 | 1 |
| kms | 0.640 ± 0.006 | 0.655 ± 0.006 | 0.640 ± 0.006 | 0.43 ± 0.00 | 0.640 ± 0.006 | 0.640 ± 0.006 | 0.90 ± 0.00 / 0.70 ± 0.00 / 0.05 ± 0.00 | 0.25 ± 0.00 | 0.120 ± 0.000 / 0.100 ± 0.000 | 1.25 × | 3 | 0 |

Wrong training labels: 40.0 %. The noise costs cross_entropy 0.300 ± 0.000.

Rerun spread: 0.020 IoU between two trainings of one cell (cross_entropy, kms(0.2), seed 0) on 1 and on 2 threads.
"""


def lines_of(table):
    return {line[0]: dict(zip(table.columns[1:], line[1:], strict=True)) for line in table.lines}


def test_the_table_of_a_set_under_a_noise(study):
    assert score_table(study, "scenes", "kms(0.4)").markdown() == SCORES.strip()


def test_means_are_over_seeds_with_their_standard_error(study):
    line = lines_of(score_table(study, "scenes", "kms(0.2)"))["cross_entropy"]
    scores = [0.7, 0.71, 0.72]
    assert line["IoU"] == f"{np.mean(scores):.3f} ± {np.std(scores, ddof=1) / np.sqrt(3):.3f}"
    assert line["IoU, best on given val."] == "0.715 ± 0.006"


def test_stopping_early_is_the_same_training_with_its_best_weights(study):
    lines = lines_of(score_table(study, "scenes", "kms(0.4)"))
    assert lines["cross_entropy stopped early"]["IoU"] == lines["cross_entropy"]["IoU, best on given val."]
    assert lines["cross_entropy stopped early"]["cost"] == "1.00 ×"


def test_a_noise_that_costs_nothing_has_no_gap_and_says_so(study):
    table = score_table(study, "scenes", "omission(0.3)")
    assert {line["gap closed"] for line in lines_of(table).values()} == {"–"}
    assert "The noise costs cross_entropy 0.001 ± 0.000, which is no gap" in table.notes[0]


def test_the_cost_is_the_ratio_of_processor_time(study):
    costs = {name: line["cost"] for name, line in lines_of(score_table(study, "scenes", "kms(0.2)")).items()}
    assert (costs["kms"], costs["two networks averaged"], costs["gce"]) == ("1.25 ×", "2.00 ×", "1.00 ×")


def test_a_failed_cell_is_counted_and_its_seed_is_in_no_mean(study):
    line = lines_of(score_table(study, "scenes", "kms(0.4)"))["gce"]
    assert (line["seeds"], line["failed"]) == ("2", "1")
    tests = lines_of(paired_table(study, "scenes", "kms(0.4)"))
    assert tests["gce"]["mean"] == "-0.040"
    failures = failure_table(study)
    assert failures.lines == [["gce", "scenes", "kms(0.4)", "1", "no luck"]]
    assert failures.notes == ["Failed cells are tried again by the next call of the command."]


def test_every_table_states_how_far_a_training_repeats_itself(study):
    for noise in study.benchmark.noises:
        assert score_table(study, "scenes", noise).notes[-1] == (
            "Rerun spread: 0.020 IoU between two trainings of one cell (cross_entropy, kms(0.2), seed 0) on 1 and on "
            "2 threads."
        )


def test_labels_without_noise_have_no_row_of_clean_labels(study):
    assert "cross_entropy on clean labels" not in lines_of(score_table(study, "scenes", "none"))
    assert "cross_entropy on clean labels" in lines_of(score_table(study, "scenes", "kms(0.2)"))


def test_p_values_are_corrected_over_the_methods_of_a_table(study):
    tests = lines_of(paired_table(study, "fields", "kms(0.4)"))
    assert set(tests) == {"cross_entropy stopped early", "two networks averaged", "gce", "kms"}


def test_ranks_need_five_units(study):
    units = units_of(study)
    assert len(units.units) == 6  # two sets, three noises; labels without noise are no unit
    table = rank_table(study)
    assert [line[0] for line in table.lines][:2] == ["two networks averaged", "kms"]
    assert "6 units; Friedman p" in table.notes[0]
    lines = lines_of(table)
    assert lines["two networks averaged"]["p against the best"] == "best"
    assert lines["cross_entropy"]["p against cross_entropy"] == "–"
    # All six differences have one sign (2 / 2**6), four methods are corrected for.
    assert lines["two networks averaged"]["p against cross_entropy"] == f"{4 * 2 / 64:.3f}"
    few = Study(
        study.benchmark.model_copy(update={"noises": ["none", "kms(0.2)"]}),
        make_plan(study.benchmark, study.rows),
        study.rows,
    )
    assert rank_table(few).notes[0] == "Ranks need five units (a set under a noise) or more and three methods."


def test_sets_that_order_the_methods_alike_agree(study):
    table = agreement_table(study)
    assert [line[:3] for line in table.lines][1] == ["scenes, fields", "kms(0.4)", "1.00"]


def test_tuning_says_what_was_tried_and_chosen(study):
    table = tuning_table(study)
    chosen = [line for line in table.lines if line[-1] == "chosen"]
    assert len(table.lines) == 2 * 2 * 3  # values, sets, families
    assert {line[3] for line in chosen} == {"kms decay=0.99"}
    assert len(chosen) == 6


def test_the_tidy_table_has_a_row_for_each_result(study):
    table = results_table(study).to_pandas()
    assert len(table) == 2 * 3 * (3 * 6 + 5)
    early = table[(table.role == "early") & (table.noise == "kms(0.4)") & (table.set == "fields")]
    assert early.iou.tolist() == pytest.approx([0.515, 0.525, 0.535])
    closed = table[(table.method == "two networks averaged") & (table.noise == "kms(0.4)")].gap_closed
    assert closed.tolist() == pytest.approx([0.5] * 6)
    assert table[table.role == "clean"].gap_closed.dropna().tolist() == pytest.approx([1.0] * 12)
    assert table[table.error.notna()][["method", "seed"]].to_numpy().tolist() == [["gce", 1]]


def test_an_empty_study_has_tables_too(tmp_path, described):
    benchmark = make_benchmark(described())
    empty = Study(benchmark, make_plan(benchmark, {}), {})
    write_tables(empty, tmp_path / "tables.md", "segnoise benchmark")
    text = (tmp_path / "tables.md").read_text()
    assert "Rerun spread: not known yet." in text
    assert "no cell is finished" in text
