"""A benchmark that is interrupted, killed and continued: what is finished stays, what failed is tried again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import yaml

from segnoise.cli import main
from segnoise.config import make_config
from segnoise.errors import UserError
from segnoise.evaluation import evaluate
from segnoise.evaluation.benchmark import load_benchmark, run_benchmark
from segnoise.evaluation.benchmark.description import make_benchmark
from segnoise.evaluation.benchmark.plan import make_plan
from segnoise.evaluation.benchmark.pool import Pool
from segnoise.evaluation.benchmark.provide import provide
from segnoise.evaluation.benchmark.store import Store
from segnoise.evaluation.benchmark.worker import answer
from segnoise.training import train

SEGNOISE = [sys.executable, "-W", "ignore", "-m", "segnoise"]


def start(description, folder, *more):
    return subprocess.Popen(
        [*SEGNOISE, "benchmark", str(description), "-o", str(folder), *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_cells(process, folder, count):
    """Until that many cells are on disk."""
    while len(list(folder.glob("cells/[!.]*.parquet"))) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def state(folder):
    """Every finished cell: its bytes and when they were written."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.glob("cells/[!.]*.parquet")}


@pytest.fixture(scope="module")
def place(tmp_path_factory, described):
    """A description on disk."""
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "bench.yaml").write_text(yaml.safe_dump(described()))
    return folder


@pytest.fixture(scope="module")
def interrupted(place):
    """Ctrl-C after the first cell: exit code, what was said, the workers, and the cells."""
    folder = place / "out"
    process = start(place / "bench.yaml", folder)
    wait_for_cells(process, folder, 1)
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err, workers, state(folder)


@pytest.fixture(scope="module")
def killed(place, interrupted):
    """Then kill -9 after one cell more: the workers, the cells, and what is left in the folder."""
    folder = place / "out"
    process = start(place / "bench.yaml", folder, "--quiet")
    wait_for_cells(process, folder, len(interrupted[-1]) + 1)
    workers = children(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    return workers, state(folder)


@pytest.fixture(scope="module")
def finished(place, killed):
    """Then the same command to its end."""
    outcome = run_benchmark(place / "bench.yaml", place / "out", quiet=True)
    return place / "out", outcome


class TestInterruption:
    def test_ctrl_c_ends_with_one_line_and_keeps_what_is_finished(self, interrupted):
        code, _, err, workers, cells = interrupted
        assert code == 128 + signal.SIGINT
        assert "stopped; " in err
        assert "of 7 cells are finished; the same command goes on from there" in err
        assert "Traceback" not in err
        assert cells
        assert workers
        assert not any(alive(pid) for pid in workers)

    def test_a_kill_takes_the_workers_along_and_loses_nothing(self, interrupted, killed):
        workers, cells = killed
        assert workers
        assert not any(alive(pid) for pid in workers)
        assert len(cells) >= 2
        assert {name: cells[name] for name in interrupted[-1]} == interrupted[-1]

    def test_what_a_kill_left_half_written_is_no_cell_and_goes(self, place, finished):
        folder, outcome = finished
        leftover = folder / "cells" / ".0123456789abcdef.1a2b3c4d.partial.parquet"
        leftover.write_bytes(b"PAR1")
        again = run_benchmark(place / "bench.yaml", folder, quiet=True)
        assert (again.cells, again.finished) == (outcome.cells, outcome.finished)
        assert not leftover.exists()

    def test_the_same_command_goes_on_and_trains_nothing_twice(self, killed, finished):
        folder, outcome = finished
        assert (outcome.cells, outcome.finished, outcome.failed) == (7, 7, 0)
        after = state(folder)
        assert {name: after[name] for name in killed[-1]} == killed[-1]

    def test_nothing_temporary_is_left(self, finished):
        folder, _ = finished
        names = {path.name for path in folder.iterdir()}
        assert names == {
            ".gitignore", ".lock", "benchmark.yaml", "cells", "data", "report.html", "results.parquet", "tables.md",
        }  # fmt: skip
        assert not [path for path in folder.rglob("*") if "partial" in path.name]


class TestFinished:
    def test_a_cell_is_an_ordinary_run(self, place, finished, tmp_path):
        folder, _ = finished
        benchmark, root = load_benchmark(place / "bench.yaml")
        rows = Store(folder).rows()
        (cell,) = [c for c in make_plan(benchmark, rows).results if c.method == "gce" and c.noise == "kms(0.4)"]
        data = provide("scenes", benchmark.sets["scenes"], root, folder / "data")
        run = train(make_config({**cell.run, "data": data}), tmp_path / "run", quiet=True)
        row = rows[cell.hash]
        for which in ("last", "best"):
            metrics = evaluate(run, checkpoint=which)
            assert row[f"{which}_iou"] == pytest.approx(metrics["iou"]["mean"], abs=1e-6)
            assert row[f"{which}_object_f1"] == pytest.approx(metrics["object_f1"], abs=1e-6)
        assert row["label_error_auroc"] == pytest.approx(
            evaluate(run, checkpoint="last")["label_error_auroc"], abs=1e-6
        )
        assert row["steps"] == 4
        assert row["flip_rate"] == pytest.approx(0.4, abs=0.001)
        assert json.loads(row["noise_met"]) == [pytest.approx(0.4, abs=0.001)]
        assert 0 <= row["memorised"] <= 1

    def test_a_cell_is_small_enough_to_be_committed(self, finished):
        assert max(path.stat().st_size for path in finished[0].glob("cells/*")) < 8000

    def test_no_file_that_is_committed_knows_the_machine_s_folders(self, place, finished):
        folder, _ = finished
        for path in [*folder.glob("cells/*"), folder / "benchmark.yaml", folder / "results.parquet"]:
            assert str(place).encode() not in path.read_bytes()

    def test_results_are_there_as_table_and_page(self, finished):
        folder, _ = finished
        table = pq.read_table(folder / "results.parquet").to_pylist()
        assert {row["role"] for row in table} == {"clean", "plain", "early", "two", "method"}
        assert len(table) == 9
        text = (folder / "tables.md").read_text()
        assert "### scenes, kms(0.4)" in text
        assert "Rerun spread: 0." in text
        assert f"`segnoise benchmark {folder.parent / 'bench.yaml'} -o {folder}`" in text
        page = (folder / "report.html").read_text()
        assert "<svg" in page
        assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")

    def test_two_networks_differ_and_share_the_split(self, finished):
        rows = [row for row in Store(finished[0]).rows().values() if row["noise"] == "kms(0.4)" and row["seed"] == 0]
        by_kind = {row["kind"]: row for row in rows if row["method"] == "cross_entropy"}
        assert by_kind["two_networks"]["last_ece"] != by_kind["run"]["last_ece"]
        assert by_kind["two_networks"]["flip_rate"] == by_kind["run"]["flip_rate"]
        assert by_kind["two_networks"]["parameters"] == 2 * by_kind["run"]["parameters"]

    def test_a_dry_run_counts_and_estimates_and_writes_nothing(self, place, finished, described):
        folder, _ = finished
        more = place / "more.yaml"
        more.write_text(yaml.safe_dump(described(seeds=[0, 1])))
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        outcome = run_benchmark(more, folder, jobs=2, dry_run=True)
        assert (outcome.cells, outcome.finished) == (13, 7)
        seconds = {(r["method"], r["kind"]): [] for r in Store(folder).rows().values()}
        for row in Store(folder).rows().values():
            seconds[row["method"], row["kind"]].append(row["seconds"])
        each = [2 * np.mean(seconds[key]) for key in seconds if key[1] != "rerun"]
        assert outcome.seconds == pytest.approx(sum(each) / 2)
        assert "6 to do; time with 2 jobs: about " in outcome.said
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    def test_without_a_finished_cell_the_time_is_unknown(self, place, tmp_path):
        outcome = run_benchmark(place / "bench.yaml", tmp_path / "new", dry_run=True)
        assert (
            outcome.said
            == "7 cells, 0 finished, 7 to do; time with 1 job: unknown, for no cell of some set is finished"
        )
        assert not (tmp_path / "new").exists()


class TestFailure:
    @pytest.fixture
    def pictures(self, tmp_path):
        """Eight photographs, one of them broken, and a benchmark of them."""
        for name in ("images", "masks"):
            (tmp_path / name).mkdir()
            for k in range(8):
                with rasterio.open(
                    tmp_path / name / f"{k}.png", "w", driver="PNG", height=32, width=32, count=1, dtype="uint8"
                ) as dst:
                    dst.write(np.kron(np.eye(2, dtype=np.uint8), np.ones((16, 16), np.uint8)), 1)
        data = {
            "kind": "images", "images": ["images/*.png"], "labels": "masks", "classes": ["a", "b"], "window": 32,
            "samples_per_epoch": 4, "split": {"by": "source", "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}},
        }  # fmt: skip
        network = {"name": "BasicUNet", "features": [4, 4, 8, 8, 16, 4]}
        training = {"epochs": 1, "batch_size": 4, "accelerator": "cpu"}
        sets = {"pictures": {"data": data, "network": network, "training": training}}
        content = {"name": "b", "seeds": [0], "noises": ["kms(0.4)"], "sets": sets}
        (tmp_path / "b.yaml").write_text(yaml.safe_dump(content))
        return tmp_path

    def test_a_cell_that_fails_is_recorded_and_tried_again(self, pictures):
        whole = (pictures / "images" / "3.png").read_bytes()
        (pictures / "images" / "3.png").write_bytes(whole[:40])
        outcome = run_benchmark(pictures / "b.yaml", pictures / "out", quiet=True)
        assert (outcome.cells, outcome.finished, outcome.failed) == (4, 0, 4)
        errors = {row["error"] for row in Store(pictures / "out").rows().values()}
        assert all("3.png" in error for error in errors)
        text = (pictures / "out" / "tables.md").read_text()
        assert "cross_entropy failed in 100 % of its cells." in text
        (pictures / "images" / "3.png").write_bytes(whole)
        outcome = run_benchmark(pictures / "b.yaml", pictures / "out", quiet=True)
        assert (outcome.finished, outcome.failed) == (4, 0)
        assert {row["error"] for row in Store(pictures / "out").rows().values()} == {None}

    def test_a_worker_that_is_killed_takes_only_its_own_work(self, tmp_path):
        request = {"do": "provide", "noises": [], "sets": {}, "runs": [], "root": "", "folder": ""}

        def kill():
            while not (found := children(os.getpid())):
                time.sleep(0.01)
            os.kill(found[-1], signal.SIGKILL)

        with Pool(1, tmp_path) as pool:
            threading.Thread(target=kill).start()
            answers = list(pool.work([{**request, "name": "a"}, {**request, "name": "b"}]))
        (first, died), (second, answered) = answers
        assert (first["name"], second["name"]) == ("a", "b")
        assert died["died"].startswith("the process was ended by signal 9, which often means that memory ran out")
        assert answered == {"data": {}}

    def test_who_stops_listening_leaves_the_worker_free(self, tmp_path):
        request = {"do": "provide", "noises": [], "sets": {}, "runs": [], "root": "", "folder": ""}
        with Pool(1, tmp_path) as pool:
            for _ in range(5):
                answers = pool.work([request])
                assert next(answers) == (request, {"data": {}})
                answers.close()


def run(arguments, capsys, monkeypatch):
    """Exit code and stderr of the command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["segnoise", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code, capsys.readouterr().err


class TestBadInput:
    def say(self, arguments, capsys, monkeypatch):
        code, err = run(["benchmark", *arguments], capsys, monkeypatch)
        assert code == 1
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    def test_a_folder_of_other_settings_is_refused(self, place, finished, described, capsys, monkeypatch):
        changed = described()
        changed["sets"]["scenes"]["training"] = {**changed["sets"]["scenes"]["training"], "epochs": 9}
        (place / "changed.yaml").write_text(yaml.safe_dump(changed))
        err = self.say([place / "changed.yaml", "-o", finished[0]], capsys, monkeypatch)
        assert "holds cells of the set scenes made with other settings (training.epochs: 2, here 9)" in err

    def test_a_file_that_is_no_cell(self, place, tmp_path, capsys, monkeypatch):
        (tmp_path / "cells").mkdir()
        (tmp_path / "cells" / "0.parquet").write_bytes(b"PAR1")
        err = self.say([place / "bench.yaml", "-o", tmp_path, "--dry-run"], capsys, monkeypatch)
        assert "0.parquet: is not a cell of a benchmark; delete it, and it is made again" in err

    def test_a_noise_that_does_not_parse_points_at_the_character(self, place, tmp_path, described, capsys, monkeypatch):
        (tmp_path / "b.yaml").write_text(yaml.safe_dump(described(noises=["kms(0.4)+bondary(3px)"])))
        err = self.say([tmp_path / "b.yaml", "-o", tmp_path / "out", "--dry-run"], capsys, monkeypatch)
        assert "character 10: no noise is called 'bondary'; did you mean 'boundary'?" in err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nothing.yaml", "-o", "x"], "nothing.yaml: no such file; packaged benchmarks are full, isic2017, jsrt"),
            (
                ["smoke", "-o", "x", "--data", "nowhere"],
                "nowhere: there is no such folder; give the folder of the data",
            ),
        ],
    )
    def test_what_is_not_there(self, arguments, message, capsys, monkeypatch):
        assert message in self.say([*arguments, "--dry-run"], capsys, monkeypatch)

    def test_a_folder_that_is_a_file(self, place, capsys, monkeypatch):
        err = self.say([place / "bench.yaml", "-o", place / "bench.yaml"], capsys, monkeypatch)
        assert "bench.yaml: is a file; give a folder with -o" in err

    def test_data_that_are_not_there_are_missed_before_anything_is_trained(self, tmp_path):
        entry = load_benchmark("standard")[0].sets["naip_fields"]
        with pytest.raises(UserError, match=r"sets\.naip_fields: .*naip_0.*; --data gives another"):
            provide("naip_fields", entry, tmp_path, tmp_path)

    def test_a_folder_in_use_is_refused(self, place, tmp_path):
        store = Store(tmp_path / "busy")
        with store.locked(), pytest.raises(UserError, match="busy: another benchmark is at work in it"):
            run_benchmark(place / "bench.yaml", tmp_path / "busy", quiet=True)

    def test_an_option_that_no_method_has_is_refused_before_anything_is_trained(self, described):
        benchmark = make_benchmark(described(methods=[{"name": "gce", "qq": 1}]))
        runs = [cell.run for cell in make_plan(benchmark, {}).results]
        request = {"do": "provide", "noises": [], "sets": {}, "runs": runs, "root": "", "folder": ""}
        (reply,) = answer(request)
        assert "qq" in reply["refused"]
