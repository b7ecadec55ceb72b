"""A gate: two continuations from one warm-up, each what it would be alone; the one that explains labels better stays."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from segnoise.errors import UserError
from segnoise.methods import Context, Objective, Output
from segnoise.training import Run, load, train
from segnoise.training.checkpoint import load_checkpoint
from segnoise.training.forward import ForwardCorrected

KMS = ["method=kms", "noise=kms(0.3)", "method.start=0.4", "method.ramp=0.1"]


def weights(folder, which="last"):
    return load_checkpoint(Run(folder).checkpoint(which))["system"]


def network(folder, which="last"):
    return {key: value for key, value in weights(folder, which).items() if key.startswith("network.")}


def log(folder):
    """The rows of a log without the time they took."""
    with open(Run(folder).log, newline="") as file:
        return [{key: text for key, text in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


@pytest.fixture(scope="module")
def alone(tiny, tmp_path_factory):
    """The run with the correction and the one without."""
    place = tmp_path_factory.mktemp("alone")
    return {
        "method": train(tiny(*KMS), place / "method", quiet=True),
        "plain": train(tiny(KMS[1]), place / "plain", quiet=True),
    }


@pytest.fixture(scope="module")
def gated(tiny, tmp_path_factory):
    """A gated run, which decides for itself."""
    return train(tiny(*KMS, "method.gate=true"), tmp_path_factory.mktemp("gated") / "run", quiet=True)


def held_out(folder, config):
    """The score of a finished run on its given validation labels, window by window, without the training loop."""
    from segnoise.data import WindowDataset, collate
    from segnoise.training import prepare

    prepared = prepare(config, Run(folder))
    windows = WindowDataset(
        prepared.sources, prepared.given, prepared.regions["val"], (config.data.window,) * 2, prepared.scaling, seed=0
    ).fixed_windows()
    model, score = load(folder, "last"), ForwardCorrected()
    with torch.no_grad():
        for k in range(len(windows)):
            batch = collate([windows[k]])
            score.add(model.system.networks[0](batch["image"]), batch["mask"])
    return score.value()


def test_what_is_kept_is_the_better_of_two_runs_that_stand_alone(tiny, alone, gated):
    told = json.loads(Run(gated).gate.read_text())
    assert told["kept"] == min(("plain", "method"), key=lambda which: told["held_out"][which])
    assert_same_bits(network(gated), network(alone[told["kept"]]))
    assert_same_bits(network(gated, "best"), network(alone[told["kept"]], "best"))
    for which, folder in alone.items():
        assert told["held_out"][which] == pytest.approx(held_out(folder, tiny(*KMS)), rel=1e-4)
    assert {p.name for p in (gated / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


@pytest.mark.parametrize(
    ("values", "kept"),
    [((1.0, 2.0), "method"), ((2.0, 1.0), "plain"), ((1.0, 1.0), "plain"), ((math.inf, math.inf), "plain")],
)
def test_the_lower_score_is_kept_and_a_tie_is_plain(tiny, alone, tmp_path, monkeypatch, values, kept):
    scores = iter(values)
    monkeypatch.setattr(ForwardCorrected, "value", lambda self: next(scores))
    folder = train(tiny(*KMS, "method.gate=true"), tmp_path / "run", quiet=True)
    assert json.loads(Run(folder).gate.read_text())["kept"] == kept
    for which in ("last", "best"):
        assert_same_bits(network(folder, which), network(alone[kept], which))
    for row, told in zip(log(folder), log(alone[kept]), strict=True):
        assert told.items() <= row.items()  # of its channel the plain run alone says nothing
    train(tiny(*KMS, "method.gate=true"), folder, resume=True, quiet=True)  # a finished run stays as it is
    assert_same_bits(network(folder), network(alone[kept]))


def start_command(config, folder, *more):
    path = folder.parent / "config.yaml"
    config.write(path)
    return subprocess.Popen(
        [sys.executable, "-m", "segnoise", "train", str(path), "-o", str(folder), "--quiet", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("moment", ["start", "method"])
def test_a_gated_run_killed_in_either_continuation_resumes_to_the_same_bits(tiny, gated, tmp_path, moment):
    config = tiny(*KMS, "method.gate=true")
    process = start_command(config, tmp_path / "run")
    end = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoints" / "branches" / f"{moment}.ckpt").is_file():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    train(config, tmp_path / "run", resume=True, quiet=True)
    assert Run(tmp_path / "run").gate.read_text() == Run(gated).gate.read_text()
    for which in ("last", "best"):
        assert_same_bits(weights(tmp_path / "run", which), weights(gated, which))
    assert not (tmp_path / "run" / "checkpoints" / "branches").exists()


def test_what_was_kept_is_said_and_stands_in_the_report(tiny, tmp_path):
    config = tiny(*KMS, "method.gate=true", "training.epochs=2")
    config.write(tmp_path / "config.yaml")
    command = [sys.executable, "-W", "ignore", "-m", "segnoise", "train", str(tmp_path / "config.yaml")]
    done = subprocess.run([*command, "-o", str(tmp_path / "run")], capture_output=True, text=True, check=True)
    assert "The gate kept " in done.stdout + done.stderr
    assert "The gate kept " in Run(tmp_path / "run").report.read_text()


def test_two_processes_decide_as_one(tiny, tmp_path):
    common = ["network.norm=[group, {num_groups: 2}]", "training.epochs=2", "data.samples_per_epoch=8", *KMS]
    common += ["method.gate=true"]
    single = train(tiny(*common, "training.batch_size=4"), tmp_path / "single", quiet=True)
    process = start_command(tiny(*common, "training.batch_size=2", "training.devices=2"), tmp_path / "double")
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    one, two = (json.loads(Run(folder).gate.read_text())["held_out"] for folder in (single, tmp_path / "double"))
    assert two == pytest.approx(one, rel=1e-3)


def test_a_run_that_stops_early_before_the_correction_has_nothing_to_decide(tiny, tmp_path):
    overrides = [*KMS, "method.gate=true", "method.start=0.99", "training.epochs=40", "training.early_stopping=1"]
    folder = train(tiny(*overrides), tmp_path / "run", quiet=True)
    assert load_checkpoint(Run(folder).checkpoint("last"))["state"]["step"] < 100
    assert not Run(folder).gate.exists()


def test_a_plain_continuation_is_told_what_it_was_given():
    logits = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.randint(0, 2, (2, 8, 8), generator=torch.Generator().manual_seed(1))
    output = Output(logits, teacher=logits.softmax(1))
    for gate, same in ((True, True), (False, False)):
        objective = Objective([{"name": "kms", "gate": gate}], num_classes=2)
        told = objective(output, {"mask": mask}, context=Context(plain=True)).target
        given_ = torch.nn.functional.one_hot(mask, 2).movedim(-1, 1).float()
        assert torch.equal(told, given_) is same


@pytest.mark.parametrize("value", ["maybe", 1, None])
def test_a_gate_that_is_neither_true_nor_false_is_refused(value):
    with pytest.raises(UserError, match=r"method\.gate: .* is neither true nor false"):
        Objective([{"name": "kms", "gate": value}], num_classes=2)
