"""Masks of plain images, and beside them how sure the model is and where given labels look wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

from segnoise.config import make_config
from segnoise.data import ArraySource, Scaling
from segnoise.errors import UserError
from segnoise.inference import error_map_array, predict_array, predict_image
from segnoise.inference.given import image_labels, label_files
from segnoise.inference.looking import image_source
from segnoise.training import Model
from segnoise.training.system import build_system
from segnoise.windows import Window

SHAPE = (40, 56)


class Bright(nn.Module):
    """Sure of class 1 where the first channel is above 100."""

    classes = ("dark", "bright")

    def forward(self, x):
        return torch.stack([(100 - x[:, 0]) / 20, (x[:, 0] - 100) / 20], 1)


def write(path, array, driver="PNG", **profile):
    array = np.asarray(array)
    array = array[None] if array.ndim == 2 else array
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver=driver, count=len(array), height=array.shape[1], width=array.shape[2], dtype=array.dtype,
        **profile,
    ) as dst:  # fmt: skip
        dst.write(array)
    return path


def read(path):
    with rasterio.open(path) as src:
        return src.read()


def untrained(base, channels=1, **data):
    """A run that has not learned anything, on data of some kind."""
    config = make_config({"data": data, "network": {"name": "BasicUNet", "features": [4] * 6}}, base=base)
    torch.manual_seed(0)
    scaling = Scaling((0.0,) * channels, (1.0,) * channels)
    return Model(build_system(config, channels, weights=False), scaling, config, Path("runs/r")).eval()


@pytest.fixture
def picture(tmp_path):
    """A grey image with alpha, of which a corner is transparent, and its truth."""
    truth = np.zeros(SHAPE, np.uint8)
    truth[8:30, 10:40] = 1
    grey = np.where(truth == 1, 160, 50) + np.random.default_rng(0).integers(-20, 20, SHAPE)
    alpha = np.full(SHAPE, 255)
    alpha[:6, :9] = 0
    return write(tmp_path / "a.png", np.stack([grey, alpha]).astype(np.uint8)), truth, alpha > 0


def test_maps_beside_the_mask_have_the_images_size_and_tell_what_was_forgotten(picture, tmp_path):
    path, truth, observed = picture
    given = truth.copy()
    given[8:30, 10:25] = 0  # half of what is bright was forgotten
    given[35:] = 255
    labels = write(tmp_path / "given.png", given)
    made = predict_image(
        Bright(), path, tmp_path / "mask.png", window=32, overlap=8, scores=tmp_path / "p.tif", labels=labels,
        label_error=tmp_path / "wrong.tif",
    )  # fmt: skip
    mask, p, (wrong,) = read(made.path)[0], read(tmp_path / "p.tif"), read(tmp_path / "wrong.tif")
    assert p.dtype == wrong.dtype == np.float32
    assert p.shape == (2, *SHAPE)
    np.testing.assert_array_equal(np.isnan(p).any(0), ~observed)
    np.testing.assert_array_equal(mask == 255, ~observed)
    np.testing.assert_array_equal(p.argmax(0)[observed], mask[observed])
    np.testing.assert_allclose(p[:, observed].sum(0), 1, atol=1e-6)
    known = observed & (given != 255)
    np.testing.assert_array_equal(np.isnan(wrong), ~known)
    np.testing.assert_array_equal(wrong, error_map_array(p, given, rho=0.5))
    forgotten = (truth != given) & known
    assert wrong[forgotten].min() > 0.5 > wrong[known & ~forgotten].mean() * 5
    assert (made.wrong.labels, made.wrong.expected) == (known.sum(), pytest.approx(wrong[known].sum(dtype=float)))
    alone = predict_image(Bright(), path, tmp_path / "alone.png", window=32, overlap=8)
    assert alone.wrong is None
    np.testing.assert_array_equal(read(alone.path)[0], mask)


@pytest.mark.parametrize(
    ("name", "array", "told"),
    [
        ("small.png", np.zeros((40, 55), np.uint8), "the mask is 40 x 55 px but its image a is 40 x 56 px"),
        ("seven.png", np.full(SHAPE, 7, np.uint8), "class value 7 is outside the list of 2 classes"),
        ("half.tif", np.full(SHAPE, 0.5, np.float32), "label value 0.5 is not a whole number"),
        ("rgb.png", np.zeros((3, *SHAPE), np.uint8), "a mask with 3 bands"),
        ("none.png", None, "no such file"),
    ],
)
def test_labels_that_cannot_be_judged_are_told_before_anything_is_written(picture, tmp_path, name, array, told):
    labels = tmp_path / "given" / name
    if array is not None:
        write(labels, array, driver="GTiff" if name.endswith("tif") else "PNG")
    out = tmp_path / "out"
    out.mkdir()
    beside = {"scores": out / "p.tif", "labels": labels, "label_error": out / "wrong.tif"}
    with pytest.raises(UserError, match=rf"{name}: .*{told}"):
        predict_image(Bright(), picture[0], out / "mask.png", **beside)
    assert list(out.iterdir()) == []


def test_outputs_that_cannot_be_written_are_told_before_the_network_looks(picture, tmp_path):
    class Never(Bright):
        def forward(self, x):
            raise AssertionError

    there = tmp_path / "there.tif"
    there.touch()
    for beside, told in (
        ({"scores": there}, "already exists"),
        ({"labels": picture[0], "label_error": there}, "already exists"),
        ({"scores": tmp_path / "p.png"}, r"p\.png: maps of numbers beside a mask are written as \.tif"),
        ({"labels": picture[0]}, "labels and label_error: give both"),
        ({"overlap": 256}, "overlap 256: must be at least 0 and below the window 256"),
    ):
        with pytest.raises(UserError, match=told):
            predict_image(Never(), picture[0], tmp_path / "mask.png", **beside)
    assert not (tmp_path / "mask.png").exists()


def test_a_failure_at_the_last_file_leaves_none(picture, tmp_path):
    class Unnamed(Bright):
        classes = None

    labels = write(tmp_path / "given.png", np.full(SHAPE, 7, np.uint8))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UserError, match="but there are 2 classes"):
        predict_image(
            Unnamed(), picture[0], out / "m.png", scores=out / "p.tif", labels=labels, label_error=out / "w.tif"
        )  # fmt: skip
    assert list(out.iterdir()) == []


class TestLabelFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("images/a.png", "images/b.png", "masks/a.png", "masks/b.tif", "masks/c.png"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "t.csv").write_text("image,label\nimages/b.png,masks/c.png\nimages/a.png,masks/b.tif\n")
        return tmp_path

    def test_a_folder_a_pattern_and_a_table_pair_them(self, folder, monkeypatch):
        images = [folder / "images" / "b.png", folder / "images" / "a.png"]
        by_name = [folder / "masks" / "b.tif", folder / "masks" / "a.png"]
        assert label_files(images, folder / "masks") == by_name
        assert label_files(images, f"{folder}/masks/*") == by_name
        assert label_files(images, folder / "t.csv") == [folder / "masks" / "c.png", folder / "masks" / "b.tif"]
        monkeypatch.chdir(folder)
        assert [path.resolve() for path in label_files(images, "masks/*")] == by_name
        (folder / "c[1].png").touch()
        assert label_files(images[:1], folder / "c[1].png") == [folder / "c[1].png"]
        (folder / "f.gpkg").touch()
        assert label_files(images, folder / "f.gpkg") == [folder / "f.gpkg"] * 2

    def test_what_does_not_pair_is_told(self, folder):
        images = [folder / "images" / "b.png", folder / "images" / "a.png"]
        with pytest.raises(UserError, match=r"c\.png: is one file for 2 images; give a folder, a pattern or a CSV"):
            label_files(images, folder / "masks" / "c.png")
        for some in (images, images[:1]):
            with pytest.raises(UserError, match=r"none\.png: no such file"):
                label_files(some, folder / "none.png")
        (folder / "masks" / "a.png").unlink()
        with pytest.raises(UserError, match=r"no label for the image .*a\.png"):
            label_files(images, folder / "masks")


class TestFundus:
    """Masks are read as the set's own are."""

    def labels(self, tmp_path, mask, plain=False, **data):
        (tmp_path / "set" / ("images" if plain else "training")).mkdir(parents=True)
        run = untrained(tmp_path, 3, kind="fundus", folder="set", window=16, **data)
        image = write(tmp_path / "eye.png", np.full((3, 2, 3), 90, np.uint8))
        read = image_labels(run, write(tmp_path / "given.png", np.array(mask, np.uint8)), image_source(run, image))
        return read.read(Window((0, 0), (2, 3))).tolist()

    def test_vessels_in_black_and_white_are_vessels_and_not_unknown(self, tmp_path):
        assert self.labels(tmp_path, [[0, 255, 0], [0, 0, 255]]) == [[0, 1, 0], [0, 0, 1]]

    def test_class_indices_stay_what_they_are(self, tmp_path):
        assert self.labels(tmp_path, [[0, 1, 255], [0, 0, 1]]) == [[0, 1, 255], [0, 0, 1]]

    def test_refuges_grey_values_go_through_its_table(self, tmp_path):
        classes = ["background", "rim", "cup"]
        found = self.labels(tmp_path, [[255, 128, 0], [255, 255, 128]], classes=classes)
        assert found == [[0, 1, 2], [0, 0, 1]]

    def test_a_runs_own_values_stand_first(self, tmp_path):
        values = {"layout": "plain", "values": {0: 1, 200: 0, 9: 255}}
        assert self.labels(tmp_path, [[0, 200, 9], [0, 0, 0]], **values) == [[1, 0, 255], [1, 1, 1]]

    def test_in_plain_folders_255_is_unknown_and_a_mask_of_0_and_255_a_mistake(self, tmp_path):
        with pytest.raises(UserError, match=r"given\.png: holds only 0 and 255, and 255 means unknown"):
            self.labels(tmp_path, [[0, 255, 0], [0, 0, 255]], plain=True)


class TestBScans:
    def test_a_colour_file_is_seen_as_the_mean_of_its_channels(self, tmp_path):
        run = untrained(tmp_path, kind="oct", folder=".", window=16)
        grey = np.random.default_rng(0).integers(0, 255, (1, 24, 32)).astype(np.uint8)
        paths = [write(tmp_path / f"{n}.png", np.repeat(grey, n, 0)) for n in (1, 3)]
        one, three = (read(predict_image(run, p, p.with_suffix(".tif")).path) for p in paths)
        np.testing.assert_array_equal(one, three)

    def test_windows_have_the_sides_of_training(self, tmp_path):
        run = untrained(tmp_path, kind="oct", folder=".", window=[32, 16], scaling={"per": "set"})
        values = np.random.default_rng(0).normal(size=(1, 64, 48)).astype(np.float32)
        wanted, _ = predict_array(run, ArraySource(values), (32, 16), (8, 4))
        predict_image(run, ArraySource(values), tmp_path / "m.png", scores=tmp_path / "p.tif")
        np.testing.assert_array_equal(read(tmp_path / "p.tif"), wanted)
