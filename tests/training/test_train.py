"""Training: what it writes, that it repeats itself, and that a resumed run equals the uninterrupted one."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
import torch

from segnoise.errors import UserError
from segnoise.training import Run, load, train
from segnoise.training.checkpoint import load_checkpoint, save_checkpoint


def weights(folder, which="last"):
    return load_checkpoint(Run(folder).checkpoint(which))["system"]


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


def log_without_time(folder):
    with open(Run(folder).log) as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def robust(tiny, tmp_path_factory):
    """The configuration with everything that could break exactness, and its uninterrupted run.

    Two networks with their teachers, a memory, what held-out labels say, and a parameter of a method's own.
    """
    config = tiny("method=[{name: kms, peers: true}, tloss]", "noise=kms(0.3)", "training.epochs=4")
    return config, train(config, tmp_path_factory.mktemp("whole") / "run", quiet=True)


def test_a_run_folder_holds_what_the_design_names(robust):
    _, folder = robust
    names = {p.name for p in folder.iterdir()}
    assert {"config.yaml", "prepared.json", "log.csv", "labels", "checkpoints"} <= names
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    rows = log_without_time(folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["step"] for row in rows] == ["3", "6", "9", "12"]


def test_checkpoints_load_without_running_code(robust):
    _, folder = robust
    content = torch.load(Run(folder).checkpoint("last"), weights_only=True)
    assert content["state"]["step"] == 12


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(robust, tiny, tmp_path):
    config, folder = robust
    assert_same_bits(weights(folder), weights(train(config, tmp_path / "again", quiet=True)))
    other = tiny("method=kms", "noise=kms(0.3)", "seed=1")
    assert not torch.equal(
        next(iter(weights(folder).values())), next(iter(weights(train(other, tmp_path / "o", quiet=True)).values()))
    )


def test_workers_change_no_bit(robust, tmp_path):
    config, folder = robust
    parallel = config.model_copy(update={"training": config.training.model_copy(update={"workers": 2})})
    assert_same_bits(weights(folder), weights(train(parallel, tmp_path / "run", quiet=True)))


def run_command(config, folder, *more):
    path = folder.parent / "config.yaml"
    config.write(path)
    return subprocess.Popen(
        [sys.executable, "-m", "segnoise", "train", str(path), "-o", str(folder), "--quiet", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path, process, seconds=120):
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_at_any_moment_resumes_to_the_same_bits(robust, tmp_path, workers):
    config, folder = robust
    config = config.model_copy(update={"training": config.training.model_copy(update={"workers": workers})})
    process = run_command(config, tmp_path / "run")
    wait_for(Run(tmp_path / "run").checkpoint("last"), process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    train(config, tmp_path / "run", resume=True, quiet=True)
    assert_same_bits(weights(folder), weights(tmp_path / "run"))
    assert_same_bits(weights(folder, "best"), weights(tmp_path / "run", "best"))
    assert log_without_time(folder) == log_without_time(tmp_path / "run")


def test_a_run_killed_after_it_began_to_remember_resumes_to_the_same_bits(robust, tmp_path):
    config, folder = robust
    process = run_command(config, tmp_path / "run")
    wait_for(Run(tmp_path / "run").memory / "evidence-00000009", process)
    wait_for(Run(tmp_path / "run").checkpoint("last"), process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    if load_checkpoint(Run(tmp_path / "run").checkpoint("last"))["state"]["step"] == 9:
        # What the killed process wrote after the checkpoint must not be seen.
        (Run(tmp_path / "run").memory / "evidence").write_bytes(b"garbage")
    train(config, tmp_path / "run", resume=True, quiet=True)
    assert_same_bits(weights(folder), weights(tmp_path / "run"))
    assert not Run(tmp_path / "run").memory.exists()


def test_what_is_remembered_changes_the_result(robust, tiny, tmp_path):
    _, folder = robust
    alone = tiny("method=[{name: kms, peers: true, ensemble: 0.0}, tloss]", "noise=kms(0.3)", "training.epochs=4")
    other = weights(train(alone, tmp_path / "run", quiet=True))
    assert any(not torch.equal(a, b) for a, b in zip(weights(folder).values(), other.values(), strict=True))


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_step_and_exits(robust, tiny, tmp_path, signum, code):
    config, folder = robust
    process = run_command(config, tmp_path / "run")
    wait_for(Run(tmp_path / "run").prepared, process)
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == code
    assert "--resume" in stderr
    assert "Traceback" not in stderr
    train(config, tmp_path / "run", resume=True, quiet=True)
    assert_same_bits(weights(folder), weights(tmp_path / "run"))
    assert log_without_time(folder) == log_without_time(tmp_path / "run")


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("data.split.by=source", "scenes to deal: 1"),
        ("network.features=[4]", "network"),
        ("method.ensembl=0.5", "did you mean|no such option"),
    ],
)
def test_a_start_that_fails_leaves_nothing_in_the_way_of_the_next(tiny, tmp_path, mistake, message):
    with pytest.raises(UserError, match=message):
        train(tiny("method=kms", mistake), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    assert Run(train(tiny("training.epochs=1"), tmp_path / "run", quiet=True)).checkpoint("last").is_file()


@pytest.mark.parametrize(
    "method",
    [
        [],
        ["method=kms", "method.start=0", "noise=kms(0.3)"],
        ["method=[co_teaching, {name: tloss, lr: 0.1}]", "noise=kms(0.3)"],
    ],
    ids=["plain", "kms", "two networks"],
)
def test_two_processes_on_gloo_equal_one_with_the_joint_batch(tiny, tmp_path, method):
    # Group norm: batch statistics would differ between ranks. Photometric noise and crops are keyed by position.
    common = ["network.norm=[group, {num_groups: 2}]", "training.epochs=2", "data.samples_per_epoch=8", *method]
    single = train(tiny(*common, "training.batch_size=4"), tmp_path / "single", quiet=True)
    process = run_command(tiny(*common, "training.batch_size=2", "training.devices=2"), tmp_path / "double")
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    for (key, a), b in zip(weights(single).items(), weights(tmp_path / "double").values(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=2e-3, msg=key)
    one, two = log_without_time(single), log_without_time(tmp_path / "double")
    assert [float(r["val_iou"]) for r in one] == pytest.approx([float(r["val_iou"]) for r in two], abs=0.02)


def test_noise_spares_the_test_blocks_and_differs_between_training_and_validation(robust):
    _, folder = robust
    prepared = json.loads(Run(folder).prepared.read_text())
    with rasterio.open(folder / "labels" / "0000_given.tif") as src:
        given = src.read(1)
    with rasterio.open(folder / "labels" / "0000_clean.tif") as src:
        clean = src.read(1)
    rates = {}
    for split, boxes in prepared["regions"].items():
        inside = np.zeros(given.shape, dtype=bool)
        for _, y, x, h, w in boxes:
            inside[y : y + h, x : x + w] = True
        rates[split] = (given != clean)[inside].mean()
    assert rates["test"] == 0
    assert rates["train"] == pytest.approx(0.3, abs=2e-3)
    assert rates["val"] == pytest.approx(0.3, abs=2e-3)
    seeds = {split: prepared["noise"][split][0]["seed"] for split in ("train", "val")}
    assert seeds["train"] != seeds["val"]


def test_training_never_reads_the_clean_labels(robust, tmp_path, monkeypatch):
    config, folder = robust
    from segnoise.training import loop

    original = loop.collate

    def poisoned(samples):
        batch = original(samples)
        assert (batch["clean"] == 255).all()
        return batch

    monkeypatch.setattr(loop, "collate", poisoned)
    assert_same_bits(weights(folder), weights(train(config, tmp_path / "run", quiet=True)))


def test_early_stopping_ends_after_patience_epochs_without_improvement(tiny, tmp_path):
    config = tiny("training.lr=1e-12", "training.epochs=9", "training.early_stopping=2", "training.schedule=constant")
    folder = train(config, tmp_path / "run", quiet=True)
    state = load_checkpoint(Run(folder).checkpoint("last"))["state"]
    assert len(state["history"]) == state["best_epoch"] + 3 < 9


def test_constant_schedule_keeps_and_cosine_lowers_the_rate(tiny, tmp_path):
    constant = train(tiny("training.schedule=constant", "training.epochs=2"), tmp_path / "a", quiet=True)
    cosine = train(tiny("training.epochs=2"), tmp_path / "b", quiet=True)
    rates = [[float(r["lr"]) for r in log_without_time(f)] for f in (constant, cosine)]
    assert rates[0] == [0.003, 0.003]
    assert rates[1][0] > rates[1][1]


class TestRefusals:
    def test_an_existing_run_is_refused_and_kept(self, robust):
        config, folder = robust
        before = weights(folder)
        with pytest.raises(UserError, match="--resume"):
            train(config, folder, quiet=True)
        assert_same_bits(before, weights(folder))

    def test_a_run_of_another_configuration_is_refused_naming_what_differs(self, robust, tiny):
        _, folder = robust
        with pytest.raises(UserError, match=r"another configuration \(method differs\)"):
            train(tiny("noise=kms(0.3)", "method=gce"), folder, resume=True, quiet=True)

    def test_a_folder_with_other_things_is_never_deleted(self, tiny, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "thesis.txt").write_text("precious")
        with pytest.raises(UserError, match="not empty"):
            train(tiny(), tmp_path / "run", overwrite=True, quiet=True)
        assert (tmp_path / "run" / "thesis.txt").read_text() == "precious"

    def test_resume_without_a_run_is_refused(self, tiny, tmp_path):
        with pytest.raises(UserError, match="no run to resume"):
            train(tiny(), tmp_path / "none", resume=True, quiet=True)

    @pytest.mark.parametrize("damage", ["truncated", "text", "other program", "empty"])
    def test_a_corrupt_checkpoint_is_one_line(self, robust, tmp_path, damage):
        _, folder = robust
        path = tmp_path / "x.ckpt"
        content = Run(folder).checkpoint("last").read_bytes()
        if damage == "truncated":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "text":
            path.write_text("not a checkpoint")
        elif damage == "empty":
            path.touch()
        else:
            torch.save({"state_dict": {}}, path)
        with pytest.raises(UserError, match=r"x\.ckpt"):
            load(path)

    def test_weights_of_another_network_are_refused(self, robust, tmp_path):
        _, folder = robust
        content = load_checkpoint(Run(folder).checkpoint("last"))
        content["config"]["network"]["features"] = [8, 8, 8, 8, 8, 8]
        save_checkpoint(tmp_path / "x.ckpt", content)
        with pytest.raises(UserError, match="do not fit"):
            load(tmp_path / "x.ckpt")

    def test_a_loss_that_is_not_finite_stops_with_advice(self, tiny, tmp_path):
        with pytest.raises(UserError, match=r"not finite .* lower training\.lr"):
            train(tiny("training.lr=1e30", "training.epochs=9"), tmp_path / "run", quiet=True)


def test_a_loaded_run_maps_raw_values_to_logits(robust):
    _, folder = robust
    model = load(folder)
    raw = torch.full((1, model.channels, 40, 24), 1000.0)
    scaled = (raw - model.offset.view(1, -1, 1, 1)) / model.scale.view(1, -1, 1, 1)
    with torch.no_grad():
        each = [network(scaled).softmax(1) for network in model.system.networks]
        torch.testing.assert_close(model(raw).softmax(1), sum(each) / 2)
        assert not torch.equal(*each)
    assert model.classes == ["background", "field"]
    fill = torch.tensor(model.fill).view(1, -1, 1, 1)
    assert ((fill - model.offset.view(1, -1, 1, 1)).abs() < 1e-3).all()
