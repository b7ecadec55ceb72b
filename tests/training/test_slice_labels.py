"""Tables of what slices and volumes hold: they arrive at the right slices, teach pixels, and faults are told."""

from __future__ import annotations

import json
import math
import os
import signal

import nibabel
import numpy as np
import pytest
import torch

from segnoise.config import make_config
from segnoise.data import WindowDataset, collate, whole_regions
from segnoise.data.volume import write_volume
from segnoise.errors import UserError
from segnoise.training import Run, load, prepare, train
from segnoise.training.checkpoint import load_checkpoint
from segnoise.training.loop import _Loop
from segnoise.training.opening import open_data
from segnoise.training.signals import Interrupted
from segnoise.windows import Window

SHAPE = (10, 8, 6)
NAN = math.nan


def header(codes: str, spacing=(1.0, 1.0, 3.0)) -> np.ndarray:
    """An affine whose axes point towards these directions."""
    turn = nibabel.orientations.axcodes2ornt(tuple(codes))
    affine = np.zeros((4, 4))
    for axis, (target, sign) in enumerate(turn.astype(int)):
        affine[target, axis] = sign * spacing[axis]
    affine[:3, 3], affine[3, 3] = (7, -3, 11), 1
    return affine


def write(folder, name, affine, axis=2) -> None:
    """A volume whose values are the numbers of its slices along an axis, as stored, and a mask that is empty."""
    numbers = np.moveaxis(
        np.broadcast_to(
            np.arange(SHAPE[axis], dtype=np.float32)[:, None, None], (SHAPE[axis], *np.delete(SHAPE, axis))
        ),
        0,
        axis,
    )
    for place, values in (("images", numbers), ("labels", np.zeros(SHAPE, np.uint8))):
        (folder / place).mkdir(exist_ok=True)
        write_volume(folder / place / f"{name}.nii.gz", np.ascontiguousarray(values), affine, overwrite=True)


def table(folder, *rows, columns="image,slice,lesion,scar", name="told.csv") -> str:
    (folder / name).write_text("\n".join([columns, *rows]))
    return str(folder / name)


def config(folder, method="image_labels", **data):
    data = {
        "kind": "volume", "images": ["images/*.nii.gz"], "classes": ["none", "lesion", "scar"], "window": 8,
        "slices": {"axis": 2}, "scaling": {"per": "set"}, **data,
    }  # fmt: skip
    if data["slices"] is None:
        data.setdefault("split", {"by": "source", "fractions": {"train": 0.5, "val": 0.5, "test": 0}})
    return make_config({"data": data, "method": method}, base=folder)


def opened(folder, **data):
    return open_data(config(folder, **data), Run(folder / "run"))


def content(source) -> np.ndarray:
    return np.unique(source.read(Window((0,) * len(source.shape), source.shape))[0])


def same(told, wanted) -> bool:
    return np.array_equal(np.array(told, float), np.array(wanted, float), equal_nan=True)


class TestLabelsOfSlices:
    @pytest.mark.parametrize(
        ("codes", "stored", "orientation", "axis"),
        [
            ("RAS", 2, "RAS", 2), ("LPI", 2, "RAS", 2), ("LPI", 2, None, 2), ("SAR", 0, "RAS", 2), ("IRP", 0, "RAS", 2),
            ("PIR", 1, "LPS", 2), ("RAS", 0, "SAL", 2), ("RAS", 1, None, 1), ("SPL", 2, "RAI", 0),
        ],
    )  # fmt: skip
    def test_they_arrive_at_the_slices_that_have_these_numbers_in_the_file(
        self, tmp_path, codes, stored, orientation, axis
    ):
        """Whatever way the file lies and the networks look; slices are known by their values."""
        write(tmp_path, "a", header(codes), axis=stored)
        write(tmp_path, "b", header(codes), axis=stored)
        told = table(tmp_path, "images/a.nii.gz,0,1,0", "images/a.nii.gz,2,,1", "images/a.nii.gz,5,0,0")
        items = opened(tmp_path, slice_labels=told, labels="labels", orientation=orientation, slices={"axis": axis})
        assert len(items) == 2 * SHAPE[stored]
        wanted = {0: (NAN, 1, 0), 2: (NAN, NAN, 1), 5: (NAN, 0, 0)}
        for item in items:
            (number,) = content(item.source)
            expected = wanted.get(int(number)) if item.image.name == "a.nii.gz" else None
            assert (item.image_labels is None) == (expected is None)
            assert expected is None or same(item.image_labels, expected)

    def test_they_are_the_labels_of_samples_where_no_volume_has_a_mask(self, tmp_path):
        for name in "ab":
            write(tmp_path, name, header("LPI"))
        rows = [f"images/{name}.nii.gz,{k},{k % 2},{'' if k == 3 else 0}" for name in "ab" for k in range(6)]
        split = {"by": "source", "fractions": {"train": 0.5, "val": 0.5, "test": 0}}
        prepared = prepare(
            config(tmp_path, slice_labels=table(tmp_path, *rows), split=split, window=16), Run(tmp_path / "run")
        )
        dataset = WindowDataset(
            prepared.sources, prepared.given, prepared.regions["train"], (16, 16), prepared.scaling, seed=0,
            augment=True, image_labels=prepared.image_labels,
        )  # fmt: skip
        for k in range(len(dataset)):
            sample = dataset[0, k]
            value = sample["image"][0][sample["observed"]].unique()
            number = round(float(value) * prepared.scaling.scale[0] + prepared.scaling.offset[0])
            assert same(sample["labels"], (NAN, number % 2, NAN if number == 3 else 0))
            assert (sample["mask"] == 255).all()

    def test_a_mask_that_is_there_stays_beside_them_and_one_that_is_not_is_unknown(self, tmp_path):
        for name in "abc":
            write(tmp_path, name, header("RAS"))
        (tmp_path / "labels" / "b.nii.gz").unlink()
        told = table(tmp_path, "images/a.nii.gz,1,1,0", "images/b.nii.gz,1,1,0")
        items = opened(tmp_path, slice_labels=told, labels="labels")
        known = {name: set() for name in ("a", "b", "c")}
        for item in items:
            known[item.image.name[0]] |= set(np.unique(item.labels.read(Window((0, 0), item.labels.shape))))
        assert known == {"a": {0}, "b": {255}, "c": {0}}
        (tmp_path / "labels" / "c.nii.gz").unlink()
        with pytest.raises(UserError, match=r"data\.labels: no labels for .*c\.nii\.gz; add c\.\*"):
            opened(tmp_path, slice_labels=told, labels="labels")

    @pytest.mark.parametrize("written", ["images/a.nii.gz", "a", "a.nii.gz", "../{}/images/a.nii.gz"])
    def test_a_volume_goes_by_its_path_or_its_name(self, tmp_path, written):
        for name in "ab":
            write(tmp_path, name, header("RAS"))
        told = table(tmp_path, f"{written.format(tmp_path.name)},4.0,1.0,", "labels/b.nii.gz,3,1,1")
        items = opened(tmp_path, slice_labels=told, labels="labels")
        named = [(item.source.name, item.image_labels) for item in items if item.image_labels is not None]
        assert [name for name, _ in named] == ["a/004"]
        assert same(named[0][1], (NAN, 1, NAN))

    def test_a_case_of_nnunet_goes_by_its_name(self, tmp_path):
        data = tmp_path / "Dataset001_X"
        for folder in ("imagesTr", "labelsTr"):
            (data / folder).mkdir(parents=True)
        for k in range(2):
            values = np.zeros(SHAPE, np.float32)
            for channel in range(2):
                write_volume(data / "imagesTr" / f"x{k}_{channel:04d}.nii.gz", values, np.eye(4))
            write_volume(data / "labelsTr" / f"x{k}.nii.gz", values.astype(np.uint8), np.eye(4))
        described = {
            "channel_names": {"0": "T1", "1": "T2"}, "labels": {"none": 0, "lesion": 1, "scar": 2}, "file_ending": ".nii.gz"
        }  # fmt: skip
        (data / "dataset.json").write_text(json.dumps(described))
        told = table(tmp_path, "x1,2,1,0")
        items = opened(tmp_path, images=["Dataset001_X/dataset.json"], slice_labels=told)
        assert [item.source.name for item in items if item.image_labels is not None] == ["x1_0000/002"]

    def test_resampled_along_other_axes_slices_keep_their_numbers(self, tmp_path):
        write(tmp_path, "a", header("LPI"))
        told = table(tmp_path, "images/a.nii.gz,1,1,0")
        items = opened(tmp_path, slice_labels=told, spacing=[0.5, 2.0, 3.0])
        ((source, said),) = [(i.source, i.image_labels) for i in items if i.image_labels is not None]
        assert source.shape != SHAPE[:2]
        assert content(source).tolist() == [1.0]
        assert same(said, (NAN, 1, 0))


def test_a_table_lies_beside_the_configuration(tmp_path):
    write(tmp_path, "a", header("RAS"))
    table(tmp_path, "a,1,1,0")
    items = opened(tmp_path, slice_labels="told.csv")
    assert [item.source.name for item in items if item.image_labels is not None] == ["a/001"]


class TestLabelsOfVolumes:
    COLUMNS = "image,lesion,scar"

    def samples(self, folder, window):
        for name in "ab":
            write(folder, name, header("RAS"))
        told = table(folder, "images/a.nii.gz,1,0", "images/b.nii.gz,1,0", columns=self.COLUMNS)
        prepared = prepare(config(folder, slice_labels=told, slices=None, window=window), Run(folder / "run"))
        dataset = WindowDataset(
            prepared.sources, prepared.given, prepared.regions["train"], window, prepared.scaling, seed=0,
            image_labels=prepared.image_labels, samples_per_epoch=6,
        )  # fmt: skip
        return [dataset[0, k]["labels"] for k in range(6)]

    def test_a_crop_knows_what_is_nowhere_and_not_that_it_holds_what_is_somewhere(self, tmp_path):
        assert all(same(labels, (NAN, NAN, 0)) for labels in self.samples(tmp_path, [8, 8, 4]))

    def test_a_crop_that_is_the_volume_knows_all(self, tmp_path):
        assert all(same(labels, (NAN, 1, 0)) for labels in self.samples(tmp_path, list(SHAPE)))

    def test_a_slice_knows_what_is_nowhere_in_its_volume(self, tmp_path):
        for name in "ab":
            write(tmp_path, name, header("RAS"))
        told = table(tmp_path, "images/a.nii.gz,1,0", columns=self.COLUMNS)
        items = opened(tmp_path, slice_labels=told, labels="labels")
        assert len(items) == 12
        for item in items:
            if item.image.name == "a.nii.gz":
                assert same(item.image_labels, (NAN, NAN, 0))
            else:
                assert item.image_labels is None


class TestLabelsOfSlicesInCrops:
    ROWS = ("a,0,1,0", "a,1,1,0", "a,2,0,", "a,3,0,1", "a,5,,1")
    SAID = ((NAN, 1, 0), (NAN, 1, 0), (NAN, 0, NAN), (NAN, 0, 1), (NAN, NAN, NAN), (NAN, NAN, 1))

    def opened(self, folder, codes, rows=ROWS, **data):
        for name in "ab":
            write(folder, name, header(codes))
        return opened(folder, slice_labels=table(folder, *rows), labels="labels", slices=None, **data)

    @pytest.mark.parametrize(
        ("codes", "orientation"),
        [("RAS", "RAS"), ("LPI", "RAS"), ("PLI", "RAS"), ("LPI", None), ("SAR", None), ("SAR", "ASL"), ("PIR", "SAL")],
    )
    def test_they_arrive_at_the_slices_that_have_these_numbers_in_the_file(self, tmp_path, codes, orientation):
        a, b = self.opened(tmp_path, codes, orientation=orientation)
        numbers = a.source.read(Window((0, 0, 0), a.source.shape))[0][0, 0, 0].astype(int)
        assert sorted(numbers) == list(range(6))
        assert same(a.slice_labels, np.transpose([self.SAID[k] for k in numbers]))
        assert a.image_labels is None
        assert b.slice_labels is None

    @pytest.mark.parametrize("between", [1.0, 1.7, 2.0, 3.0, 4.0, 6.0, 7.0])
    @pytest.mark.parametrize("codes", ["RAS", "LPI"])
    def test_between_two_slices_is_known_what_both_say(self, tmp_path, codes, between):
        """Values are numbers of slices, so that what is seen tells which slices it was made from."""
        a, _ = self.opened(tmp_path, codes, spacing=[1.0, 1.5, between])
        values = a.source.read(Window((0, 0, 0), a.source.shape))[0][0, 0, 0]
        assert a.slice_labels.shape == (3, len(values))
        for value, found in zip(values, a.slice_labels.T, strict=True):
            parts = {round(value)} if abs(value - round(value)) < 1e-3 else {math.floor(value), math.ceil(value)}
            said = np.array([self.SAID[k] for k in parts])
            assert same(found, np.where((said == said[0]).all(0), said[0], NAN))

    @pytest.mark.parametrize(("codes", "wanted"), [("SAR", "ASR"), ("LIP", "RSA")])
    def test_slices_across_another_axis_are_refused_with_the_orientation_that_helps(self, tmp_path, codes, wanted):
        with pytest.raises(
            UserError, match=r"line 2: slices lie across the last axis of a, and across axis [01]"
        ) as told:
            self.opened(tmp_path, codes)
        assert str(told.value).endswith(f"where data.orientation is RAS; write {wanted}, which puts it last, or null")
        assert self.opened(tmp_path, codes, orientation=wanted)[0].slice_labels.shape == (3, 6)

    def test_a_row_without_anything_known_is_none(self, tmp_path):
        assert self.opened(tmp_path, "RAS", rows=["a,1,,", "a,2,,"])[0].slice_labels is None

    def test_volumes_with_masks_tables_and_both_share_a_batch(self, tmp_path):
        for name in "abc":
            write(tmp_path, name, header("LPI"))
        (tmp_path / "labels" / "b.nii.gz").unlink()
        described = config(
            tmp_path, slice_labels=table(tmp_path, "a,5,1,0", "b,4,0,1", "c,0,,"), labels="labels", slices=None
        )
        made = prepare(described, Run(tmp_path / "run"))
        dataset = WindowDataset(
            made.sources, made.given, whole_regions([0, 1, 2], [SHAPE] * 3, (10, 8, 8)), (10, 8, 8), made.scaling, seed=0,
            slice_labels=made.slice_labels,
        )  # fmt: skip
        batch = collate(sorted((dataset[0, k] for k in range(3)), key=lambda sample: int(sample["index"])))
        wanted = np.full((3, 3, 8), NAN)
        wanted[0, :, 0], wanted[1, :, 1] = (NAN, 1, 0), (NAN, 0, 1)
        assert same(batch["slice_labels"], wanted)
        assert [bool((mask == 255).all()) for mask in batch["mask"]] == [False, True, False]

    @pytest.mark.parametrize(("window", "warns"), [([10, 8, 4], False), ([10, 4, 8], True)])
    def test_a_window_that_holds_no_slice_is_told_once(self, tmp_path, caplog, window, warns):
        for name in "ab":
            write(tmp_path, name, header("RAS"))
        told = table(tmp_path, "a,1,1,0", "b,1,0,0")
        described = config(tmp_path, slice_labels=told, labels="labels", slices=None, window=window)
        for _ in range(2):
            prepare(described, Run(tmp_path / "run"))
        said = [
            line for line in caplog.messages if line.startswith("data.window: no crop holds a whole slice (10 x 8)")
        ]
        assert len(said) == warns


class TestTrainingOnSlicesInCrops:
    ROWS = tuple(f"{name},{k},{k % 2},0" for name in "abcd" for k in range(6))

    def trained(self, folder, rows=ROWS, name="run", columns="image,slice,lesion,scar", **more) -> dict:
        """The weights after a few steps, of volumes of which all have masks."""
        for volume in "abcd":
            write(folder, volume, header("LPI"))
        data = {"slice_labels": None if rows is None else table(folder, *rows, columns=columns), "labels": "labels"}
        described = config(folder, **data, slices=None, window=[10, 8, 6], augment=True, samples_per_epoch=4)
        tiny = {
            "network": {"name": "UNet", "channels": [4, 8], "strides": [2]},
            "training": {"epochs": 2, "batch_size": 2, "accelerator": "cpu", "lr": 1e-2},
        }
        run = Run(train(make_config({**described.model_dump(), **tiny}), folder / name, quiet=True, **more))
        return load_checkpoint(run.checkpoint("last"))["system"]

    def test_what_is_said_changes_the_result_and_what_is_unknown_no_bit(self, tmp_path):
        without, told = self.trained(tmp_path, None, "without"), self.trained(tmp_path, name="told")
        unknown = self.trained(tmp_path, [f"{name},{k},," for name in "abcd" for k in range(6)], "unknown")
        fewer = [row for row in self.ROWS if row[0] in "ab"]
        more = [*fewer, *(f"{name},{k},," for name in "cd" for k in range(6))]
        assert equal(without, unknown)
        assert not equal(without, told)
        assert equal(self.trained(tmp_path, fewer, "fewer"), self.trained(tmp_path, more, "more"))

    def test_a_run_that_was_stopped_resumes_to_the_same_bits(self, tmp_path, monkeypatch):
        wanted = self.trained(tmp_path)
        whole = _Loop._end_epoch
        with monkeypatch.context() as patch:
            patch.setattr(_Loop, "_end_epoch", lambda loop: (whole(loop), os.kill(os.getpid(), signal.SIGTERM)))
            with pytest.raises(Interrupted):
                self.trained(tmp_path, name="stopped")
        assert equal(self.trained(tmp_path, name="stopped", resume=True), wanted)


def equal(one: dict, other: dict) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize(
    ("rows", "change", "told"),
    [
        (["images/z.nii.gz,1,1,0"], {}, r"told\.csv, line 2: data\.images has no volume 'images/z\.nii\.gz'"),
        (["a,1,1,0", "aa,1,1,0"], {}, r"line 3: data\.images has no volume 'aa'; did you mean 'a'"),
        (["a,6,1,0"], {}, r"line 2: slice 6 of a, which has 6 along the axis that is cut \(0 to 5\); correct"),
        (["a,-1,1,0"], {}, r"line 2: slice '-1' is no whole number from 0"),
        (["a,1.5,1,0"], {}, r"line 2: slice '1\.5' is no whole number from 0"),
        (["a,,1,0"], {}, r"line 2: slice '' is no whole number from 0; leave the column out where"),
        (["a,1,yes,0"], {}, r"line 2: 'lesion' is 'yes'; expected 0, 1 or empty"),
        (["a,1,1,0.5"], {}, r"line 2: 'scar' is '0\.5'; expected 0, 1 or empty"),
        ([",1,1,0"], {}, "line 2: the image is empty"),
        (["a,1,1,0", "images/a.nii.gz,1,0,0"], {}, r"line 3: slice 1 of images/a\.nii\.gz is given twice; keep one row"),
        ([], {}, "the table has no rows"),
        (["a,1,1"], {"columns": "image,slice,lession"}, r"told\.csv: has no column 'lesion'; did you mean 'lession'"),
        (["1,1,0"], {"columns": "slice,lesion,scar"}, "has no column 'image'"),
        (["a,1,0", "a,1,0"], {"columns": "image,lesion,scar"}, "line 3: the volume a is given twice"),
        (["a,6,1,0"], {"slices": None}, r"line 2: slice 6 of a, which has 6 along its last axis \(0 to 5\); correct"),
        (["a,1,1,0"], {"spacing": [1, 1, 1]}, r"line 2: slices are numbered as in the file, but data\.spacing resamples"),
        (["a,1,1,0"], {"slice_labels": "no.csv"}, r"no\.csv: no such file; give a CSV table"),
        (["a,1,1,0"], {}, r"data\.labels: no labels for .*b\.nii\.gz"),
    ],
)  # fmt: skip
def test_a_fault_of_the_table_is_one_line(tmp_path, rows, change, told):
    for name in "ab":
        write(tmp_path, name, header("RAS"))
    if "no labels for" not in told:
        change = {"labels": "labels", **change}
    columns = change.pop("columns", "image,slice,lesion,scar")
    with pytest.raises(UserError, match=told) as error:
        opened(tmp_path, **{"slice_labels": table(tmp_path, *rows, columns=columns), **change})
    assert "\n" not in str(error.value)


def blob(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright ellipsoid in noise, in three volumes of four, and where it is."""
    rng = np.random.default_rng(seed)
    x, y, z = np.indices((24, 24, 8))
    cx, cy, cz = rng.uniform((7, 7, 2.5), (17, 17, 4.5))
    mask = ((x - cx) / 5) ** 2 + ((y - cy) / 4) ** 2 + ((z - cz) / 2) ** 2 < 1
    mask &= bool(seed % 4)
    return (3 * mask + rng.normal(0, 0.8, mask.shape)).astype(np.float32), mask.astype(np.uint8)


def learned(folder, kind: str, steps: int) -> float:
    """Dice on other volumes of a network that never saw a mask."""
    whole, flat = kind == "volumes", kind == "slices"
    (folder / "images").mkdir(parents=True)
    rows = ["image,lesion" if whole else "image,slice,lesion"]
    for k in range(16):
        image, mask = blob(k)
        write_volume(folder / "images" / f"{k:02d}.nii.gz", image, header("LPI"))
        if whole:
            rows.append(f"{k:02d},{int(mask.any())}")
        else:
            rows += [f"{k:02d},{z},{int(mask[..., z].any())}" for z in range(8)]
    (folder / "told.csv").write_text("\n".join(rows))
    data = {
        "kind": "volume", "images": ["images/*.nii.gz"], "slice_labels": str(folder / "told.csv"),
        "classes": ["none", "lesion"], "window": 24 if flat else [24, 24, 8 if whole else 4],
        "scaling": {"per": "set"}, "samples_per_epoch": 8 * steps, "photometric": 0,
        "slices": {"axis": 2} if flat else None,
    }  # fmt: skip
    raw = {
        "data": data,
        "network": {"name": "UNet", "channels": [8, 8], "strides": [1], "num_res_units": 1},
        "method": {"name": "image_labels", "q": 0.05},
        "training": {"epochs": 1, "batch_size": 8, "lr": 1.0e-2, "accelerator": "cpu"},
    }
    model = load(train(make_config(raw, base=folder), folder / "run", quiet=True), checkpoint="last")
    found, true, both = 0, 0, 0
    for k in range(100, 112):
        image, mask = blob(k)
        image, mask = image[::-1, ::-1, ::-1].copy(), mask[::-1, ::-1, ::-1]
        with torch.no_grad():
            x = torch.from_numpy(image)[None, None]
            x = x[0].permute(3, 0, 1, 2) if flat else x
            p = model(x).argmax(1).numpy()
        p = p.transpose(1, 2, 0) if flat else p[0]
        found, true, both = found + p.sum(), true + mask.sum(), both + (p * mask).sum()
    return 2 * both / (found + true)


@pytest.mark.parametrize("kind", ["slices", "slices in crops", "volumes"])
def test_pixels_are_learned_from_a_table(tmp_path, kind):
    """All marked would be a Dice of 0.1, and the best guess without looking hardly more."""
    share = np.mean([blob(k)[1].mean() for k in range(100, 112)])
    assert 2 * share / (1 + share) < 0.12
    assert learned(tmp_path, kind, 40) > (0.4 if kind == "volumes" else 0.7)


def test_where_no_volume_has_a_mask_the_last_weights_are_the_best(tmp_path):
    for name in "abcd":
        write(tmp_path, name, header("RAS"))
    rows = [f"images/{name}.nii.gz,{k},{k % 2},0" for name in "abcd" for k in range(6)]
    described = config(tmp_path, slice_labels=table(tmp_path, *rows), samples_per_epoch=2).model_dump()
    tiny = {
        "network": {"name": "UNet", "channels": [4, 8], "strides": [2]},
        "training": {"epochs": 3, "batch_size": 2, "accelerator": "cpu", "early_stopping": 1},
    }
    run = Run(train(make_config({**described, **tiny}), tmp_path / "run", quiet=True))
    best, last = (load_checkpoint(run.checkpoint(which)) for which in ("best", "last"))
    assert last["state"]["step"] == 3
    assert all(torch.equal(value, last["system"][key]) for key, value in best["system"].items())
