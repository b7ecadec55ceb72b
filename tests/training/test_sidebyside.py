"""Trainings in processes of their own."""

from __future__ import annotations

import pytest
import torch

from segnoise.errors import UserError
from segnoise.training import Run, train, train_side_by_side
from segnoise.training.checkpoint import load_checkpoint


def weights(folder):
    return load_checkpoint(Run(folder).checkpoint("last"))["system"]


def test_each_run_is_what_training_it_alone_on_one_thread_gives(tiny, tmp_path):
    configs = {tmp_path / f"seed{s}": tiny("training.epochs=1", f"seed={s}") for s in (1, 2)}
    train_side_by_side(configs, jobs=2, quiet=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = weights(train(configs[tmp_path / "seed2"], tmp_path / "alone", quiet=True))
    finally:
        torch.set_num_threads(threads)
    beside = weights(tmp_path / "seed2")
    assert all(torch.equal(alone[key], beside[key]) for key in alone)
    assert not all(torch.equal(alone[key], value) for key, value in weights(tmp_path / "seed1").items())


def test_a_run_that_fails_says_why_in_one_line_and_ends_the_others(tiny, tmp_path):
    configs = {
        tmp_path / "long": tiny("training.epochs=100000"),
        tmp_path / "wrong": tiny("data.images=[nowhere/*.tif]"),
    }
    with pytest.raises(UserError) as caught:
        train_side_by_side(configs, jobs=2, quiet=True)
    assert "wrong: training failed" in str(caught.value)
    assert "nowhere" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_system_s_teacher_averages_the_statistics_of_its_norms(tiny, tmp_path):
    state = weights(train(tiny("training.epochs=1", "method=kms"), tmp_path / "run", quiet=True))
    name = next(key for key in state if key.startswith("teachers.") and key.endswith("running_mean"))
    now, averaged = state["networks." + name.removeprefix("teachers.")], state[name]
    assert not torch.equal(now, averaged)
    assert averaged.abs().max() > 0
