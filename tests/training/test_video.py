"""Clips of sequences through the whole of training: windows in time, splits, every method, resume, scores and noise."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import torch

from segnoise.config import load_config, make_config
from segnoise.data import WindowDataset
from segnoise.data.augment import unorient
from segnoise.data.video import ENDOVIS18
from segnoise.errors import UserError
from segnoise.evaluation import evaluate, write_report
from segnoise.evaluation.scoring import score_regions
from segnoise.methods.names import METHODS
from segnoise.networks import PerFrame, build_network
from segnoise.training import Run, load, prepare, train
from segnoise.training.checkpoint import load_checkpoint
from segnoise.training.initial import Files, begin
from tests.data.video import video_trees as trees

OPTIONS = {
    "ms_tfal": {"stride": 4, "stages": [0, 0, 0]},
    "elr": {"memory": True},
    "kms": {"start": 0, "ramp": 0, "length": "6px", "gate": True},
    "forward": {"confusion": "held_out"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Six sequences, of which one jumps in the middle."""
    root = tmp_path_factory.mktemp("sequences")
    trees.write_frames(root, {f"s{k}": range(6) for k in range(5)} | {"cut": [0, 1, 2, 3, 40, 41, 42, 43]}, (32, 40))
    return root


@pytest.fixture(scope="module")
def described(place):
    """Makes a tiny configuration, changed by overrides."""

    def make(*overrides: str, **changes: object):
        content = {
            "data": {
                "kind": "video", "folder": ".", "classes": ["none", "box"], "frames": 3, "window": [16, 24],
                "samples_per_epoch": 4, "split": {"by": "source", "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}},
            },
            "network": {"name": "UNet", "channels": [4, 8], "strides": [2]},
            "training": {"epochs": 2, "batch_size": 2, "lr": 1.0e-2, "accelerator": "cpu"},
            **changes,
        }  # fmt: skip
        return make_config(content, overrides, base=place)

    return make


@pytest.fixture(scope="module")
def trained(described, tmp_path_factory):
    config = described("noise=boundary(2px)", "method=kms", "training.epochs=4")
    return config, train(config, tmp_path_factory.mktemp("whole") / "run", quiet=True)


def weights(folder):
    return load_checkpoint(Run(folder).checkpoint("last"))["system"]


def dataset(config, prepared, split="train", **options):
    return WindowDataset(
        prepared.sources, prepared.given, prepared.regions[split], config.data.sides, prepared.scaling, seed=0,
        groups=prepared.group_numbers, numbers=prepared.numbers, still=config.data.still, **options,
    )  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_steps_on_clips(described, tmp_path, method):
    given = {"name": method, **OPTIONS.get(method, {})}
    run = Run(train(described(method=given), tmp_path / "run", quiet=True))
    with open(run.log, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["step"]) for row in rows] == [2, 4]
    assert all(math.isfinite(float(row["loss"])) and 0 <= float(row["val_iou"]) <= 1 for row in rows)
    logits = load(run.folder)(torch.rand(1, 3, 3, 16, 24))
    assert logits.shape == (1, 2, 3, 16, 24)


def test_no_split_cuts_a_sequence(described, tmp_path):
    seen = set()
    for seed in range(8):
        config = described(f"data.split.seed={seed}")
        prepared = prepare(config, Run(tmp_path / str(seed)))
        sides = {}
        for split, regions in prepared.regions.items():
            for region in regions:
                sides.setdefault(prepared.groups[region.index], set()).add(split)
        assert set(sides) == {"cut", *(f"s{k}" for k in range(5))}
        assert all(len(parts) == 1 for parts in sides.values())
        seen.add(next(iter(sides["cut"])))
    assert len(seen) > 1  # the deal is not always the same


def test_an_expression_joins_recordings_and_cannot_cut_one(described, tmp_path):
    joined = prepare(described("data.split.group='^(s)[02]|.*'"), Run(tmp_path / "a"))
    assert joined.groups == ["cut", "cut", "s", "s1", "s", "s3", "s4"]
    with pytest.raises(UserError, match=r"matches nothing in the image name 'cut'"):
        prepare(described("data.split.group=/00040"), Run(tmp_path / "b"))


def test_a_sample_says_its_sequence_and_frames_and_time_is_never_turned(described, tmp_path):
    config = described()
    prepared = prepare(config, Run(tmp_path / "run"))
    data = dataset(config, prepared, augment=True, samples_per_epoch=60)
    orientations = set()
    for k in range(60):
        sample = data[0, k]
        index, start = int(sample["index"]), int(sample["window"][0])
        assert sample["image"].shape == (3, 3, 16, 24)
        assert sample["frame"].tolist() == list(prepared.numbers[index][start : start + 3])
        assert (np.diff(sample["frame"]) == 1).all()
        assert prepared.group_numbers[index] == int(sample["group"])
        assert int(sample["orientation"][0]) == 1
        orientations.add(tuple(sample["orientation"].tolist()))
        raw, seen = prepared.sources[index].read(window_of(sample))
        upright = unorient(sample["image"], sample["orientation"].tolist())
        np.testing.assert_array_equal(upright, prepared.scaling.apply(raw, seen))
    assert orientations == {(1, 2, 3), (1, -2, 3), (1, 2, -3), (1, -2, -3)}


def window_of(sample):
    from segnoise.windows import Window

    box = sample["window"].tolist()
    return Window(tuple(box[:3]), tuple(box[3:]))


def test_square_clips_are_turned_and_frames_beyond_the_end_have_no_number(described, tmp_path):
    config = described("data.window=16", "data.frames=9")
    prepared = prepare(config, Run(tmp_path / "run"))
    data = dataset(config, prepared, augment=True, samples_per_epoch=80)
    samples = [data[0, k] for k in range(80)]
    assert {tuple(s["orientation"].abs().tolist()) for s in samples} == {(1, 2, 3), (1, 3, 2)}
    for sample in samples:
        there = len(prepared.numbers[int(sample["index"])])
        assert (sample["frame"][there:] == -1).all()
        assert not sample["observed"][there:].any()
        assert (sample["mask"][there:] == 255).all()


def test_a_network_for_images_sees_each_frame_alone():
    torch.manual_seed(0)
    network = build_network("UNet", 3, 2, channels=[4, 8], strides=[2]).eval()
    clip = torch.rand(2, 3, 4, 16, 24)
    together = PerFrame(network)(clip)
    assert together.shape == (2, 2, 4, 16, 24)
    with torch.no_grad():
        for t in range(4):
            torch.testing.assert_close(together[:, :, t], network(clip[:, :, t]))


def test_a_resumed_run_is_the_uninterrupted_one(trained, tmp_path):
    config, folder = trained
    half = tmp_path / "run"

    class Stop(Exception):
        pass

    import segnoise.training.loop as loop

    ends = loop._Loop._end_epoch

    def stop_after_two(self):
        ends(self)
        if len(self.state.history) == 2:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Loop, "_end_epoch", stop_after_two)
        with pytest.raises(Stop):
            train(config, half, quiet=True)
    train(config, half, resume=True, quiet=True)
    one, other = weights(folder), weights(half)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_noisy_labels_are_kept_as_volumes_of_time_and_the_test_labels_stay(trained):
    config, folder = trained
    prepared = prepare(config, Run(folder))
    assert len(list(Run(folder).labels.glob("*_given.nii.gz"))) == len(prepared.sources) == 7
    whole = [lab.read(box_of(lab)) for lab in prepared.given], [lab.read(box_of(lab)) for lab in prepared.clean]
    changed = {k for k, (given, clean) in enumerate(zip(*whole, strict=True)) if (given != clean).any()}
    by_split = {split: {r.index for r in regions} for split, regions in prepared.regions.items()}
    assert changed
    assert changed <= by_split["train"] | by_split["val"]
    assert changed & by_split["train"]


def box_of(labels):
    from segnoise.windows import Window

    return Window((0,) * len(labels.shape), labels.shape)


def test_scores_are_of_frames_and_of_sequences(trained):
    _, folder = trained
    metrics = evaluate(folder)
    prepared = prepare(trained[0], Run(folder))
    frames = sum(prepared.sources[r.index].shape[0] for r in prepared.regions["test"])
    groups = {prepared.groups[r.index] for r in prepared.regions["test"]}
    assert metrics["n_images"] == frames
    assert metrics["patients"]["n"] == len(groups)
    assert metrics["patients"]["axes"] == 2
    assert 0 <= metrics["label_error_auroc"] <= 1
    assert metrics["boundary_f1"]["mean"] is not None


def test_cutting_a_sequence_for_scoring_changes_no_score(trained, monkeypatch):
    config, folder = trained
    model, prepared = load(folder), prepare(config, Run(folder))
    whole = score_regions(model, prepared, prepared.regions["test"])
    monkeypatch.setattr("segnoise.evaluation.scoring._STRETCH", 2)
    parts = score_regions(model, prepared, prepared.regions["test"])
    assert parts.pop("ece") == pytest.approx(whole.pop("ece"), abs=1e-6)
    assert parts == whole


def test_the_report_shows_frames(trained):
    _, folder = trained
    text = write_report([folder]).read_text()
    assert "3 frames of 16 × 24 pixels" in text
    assert "by whole sequences" in text
    assert ", frame " in text
    names = json.loads(Run(folder).prepared.read_text())["sources"]
    assert f"{len(names)} sequences" in text


def test_a_public_set_is_split_as_it_says_and_keeps_some_of_its_training_sequences_for_validation(described, tmp_path):
    trees.write_endovis18(tmp_path)
    data = {
        "kind": "video", "folder": str(tmp_path), "layout": "endovis18", "classes": ["none", "box"], "frames": 2,
        "window": 16, "split": {"by": "table"}, "samples_per_epoch": 2,
    }  # fmt: skip
    with pytest.raises(
        UserError, match=r"data\.classes: none, box, but .* has tissue, shaft, .*ultrasound probe; write"
    ):
        prepare(described(data=data), Run(tmp_path / "run"))
    data |= {"classes": list(ENDOVIS18)}
    prepared = prepare(described(data=data), Run(tmp_path / "run"))
    names = {split: [prepared.groups[r.index] for r in regions] for split, regions in prepared.regions.items()}
    assert names["test"] == ["test_data/seq_1"]
    assert len(names["train"]) == len(names["val"]) == 1
    trees.write_sunseg(tmp_path / "sun")
    data |= {"folder": str(tmp_path / "sun"), "layout": "sunseg", "classes": ["background", "polyp"]}
    with pytest.raises(UserError, match=r"data\.split: case3 is in (train|val) .* and in test"):
        prepare(described(data=data), Run(tmp_path / "sun1"))
    data["split"] = {"by": "table", "allow_shared_groups": True}
    sides = {}
    prepared = prepare(described(data=data), Run(tmp_path / "sun2"))
    for split, regions in prepared.regions.items():
        sides |= {prepared.sources[r.index].name: split for r in regions}
    assert sides["TrainDataset/case3_1"] == sides["TrainDataset/case3_2"] != "test"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": ["images"]}, "either folder, or images"),
        ({"folder": None, "images": ["images"]}, "images and labels go together"),
        ({"split": {"by": "block"}}, "sequences are dealt whole"),
        ({"layout": "sunseg", "masks": "threshold"}, "masks goes with layout: frames"),
        ({"colours": {"box": [1, 2, 3]}}, "colours is needed by masks: colours"),
        ({"masks": "values"}, "values is needed by masks: values"),
        ({"window": 8}, "a side of 8"),
        ({"size": [8, 32]}, "a side of 8"),
        ({"stirde": 2}, "did you mean 'stride'"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(described, changes, message):
    data = {"kind": "video", "folder": ".", "classes": ["none", "box"]} | changes
    with pytest.raises(UserError, match=message) as error:
        described(data={k: v for k, v in data.items() if v is not None})
    assert "\n" not in str(error.value)


def test_frames_are_resized_once_and_labels_stay_in_the_list(described, tmp_path):
    config = described("data.size=[20, 25]")
    prepared = prepare(config, Run(tmp_path / "run"))
    assert {s.shape[1:] for s in prepared.sources} == {(20, 25)}
    assert {int(v) for lab in prepared.given for v in np.unique(lab.read(box_of(lab)))} == {0, 1}


class TestTheFirstConfiguration:
    @pytest.fixture
    def written(self, tmp_path, monkeypatch):
        """What init writes of a folder, as a configuration."""
        monkeypatch.chdir(tmp_path)

        def init(**where):
            draft = begin("video", Files(tmp_path / "c.yaml", **where), overwrite=True)
            return load_config(tmp_path / "c.yaml"), draft

        return init

    def test_of_plain_folders_trains_as_it_is(self, written, place, tmp_path):
        config, draft = written(folder=str(place))
        assert "38 frames of 32 x 40 px in 7 sequences without gaps, of 6 recordings" in draft.facts[0]
        assert (config.data.classes, config.data.layout, config.data.stride) == (["background", "class_1"], "frames", 1)
        tiny = {
            "training": {"epochs": 1, "batch_size": 2, "accelerator": "cpu"},
            "network": {"name": "UNet", "channels": [4, 8], "strides": [2]},
        }
        tiny["data"] = config.model_dump(mode="json")["data"] | {"samples_per_epoch": 2}
        assert Run(train(make_config(tiny), tmp_path / "run", quiet=True)).checkpoint("best").is_file()

    def test_of_black_and_white_masks_far_apart_and_large_says_so(self, written, tmp_path):
        for name in ("a", "b", "c"):
            for n in (0, 25, 50):
                trees.save(tmp_path / "images" / name / f"{n}.jpg", trees.picture(n, (400, 700)))
                if n < 50:
                    trees.save(tmp_path / "labels" / name / f"{n}.png", trees.moving_box(n // 5, (400, 700), 255))
        config, draft = written(images=("images",), labels="labels")
        data = config.data
        assert (data.masks, data.values, data.stride, data.size) == ("values", {0: 0, 255: 1}, 25, (200, 350))
        assert "unknown" not in draft.facts[1]

    def test_of_public_sets_knows_layout_and_classes(self, written, tmp_path):
        trees.write_endovis18(tmp_path / "e")
        config, _ = written(folder="e")
        assert (config.data.layout, config.data.classes) == ("endovis18", list(ENDOVIS18))
        trees.write_sunseg(tmp_path / "s")
        assert written(folder="s")[0].data.layout == "sunseg"
        trees.write_polypgen(tmp_path / "p")
        assert written(folder="p")[0].data.layout == "polypgen"

    def test_of_something_else_says_what_is_there(self, written, tmp_path):
        (tmp_path / "x" / "notes").mkdir(parents=True)
        with pytest.raises(UserError, match="it has notes"):
            written(folder="x")
        with pytest.raises(UserError, match="--folder, or --images with --labels"):
            written()
