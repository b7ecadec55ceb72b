"""What a method learns itself: its own rate, no decay, saved and found again."""

from __future__ import annotations

import pytest
import torch

from segnoise.training import Run, load, train
from segnoise.training.checkpoint import load_checkpoint

METHOD = ["method=forward", "method.lr=0.05", "method.volume=0.01", "noise=kms(0.3)"]


@pytest.fixture(scope="module")
def learned(tiny, tmp_path_factory):
    config = tiny(*METHOD)
    return config, train(config, tmp_path_factory.mktemp("own") / "run", quiet=True)


def test_it_moves_at_its_own_rate_and_is_found_again(learned):
    _, folder = learned
    network, own = load_checkpoint(Run(folder).checkpoint("last"))["optimiser"]["param_groups"]
    assert network["lr"] < 0.003 / 2  # the schedule's
    assert (own["lr"], own["weight_decay"]) == (0.05, 0.0)
    confusion = load(folder).system.objective.methods[0].confusion()
    assert torch.allclose(confusion.sum(1), torch.ones(2))
    assert (confusion - torch.tensor([[0.9, 0.1], [0.1, 0.9]])).abs().max() > 0.02


def test_the_memory_of_elr_is_another_way_than_its_teacher(tiny, tmp_path):
    common = ["method=elr", "method.start=0", "method.ramp=0", "noise=kms(0.3)", "training.epochs=2"]
    teacher = train(tiny(*common), tmp_path / "teacher", quiet=True)
    memory = train(tiny(*common, "method.memory=true"), tmp_path / "memory", quiet=True)
    assert not Run(memory).memory.exists()
    assert len(load(teacher).system.teachers) == 1
    assert len(load(memory).system.teachers) == 0
    first, second = (load(run).system.networks[0].state_dict() for run in (teacher, memory))
    assert any(not torch.equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))
