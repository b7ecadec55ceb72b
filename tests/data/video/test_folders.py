"""Plain folders of sequences: frames, videos, rasters and volumes; their masks by name; gaps, strides and mistakes."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
import rasterio

from segnoise.data.item import Item
from segnoise.data.video import Recording, items_of, mask_decoder, read_folders
from segnoise.data.volume import write_volume
from segnoise.errors import UserError
from segnoise.windows import Window
from tests.data.video import video_trees as trees

INDICES = mask_decoder("indices", ["none", "box"])


def read(root, **options) -> list[Recording]:
    return read_folders([str(root / "images")], str(root / "labels"), INDICES, **options)


def labels_of(item: Item) -> np.ndarray:
    assert item.labels is not None
    return item.labels.read(Window((0, 0, 0), item.labels.shape))


@pytest.fixture
def tree(tmp_path):
    trees.write_frames(tmp_path, {"a": range(6), "b": [0, 1, 2, 7, 8], "c10": range(2), "c9": range(2)})
    return tmp_path


def test_real_sequences_are_read_as_they_lie(shared_data):
    root = shared_data / "davis_video"
    items = items_of(read(root), size=(60, 107))
    assert [item.name for item in items] == [
        "blackswan", "camel", "car-shadow", "cows", "dance-twirl", "dog", "drift-straight", "goat"
    ]  # fmt: skip
    assert {(item.source.shape, item.source.channels) for item in items} == {((40, 60, 107), 3)}
    assert [item.group for item in items] == [item.name for item in items]
    labels = items[1].labels.read(Window((20, 0, 0), (1, 60, 107)))
    assert set(np.unique(labels)) == {0, 1}
    assert 0.12 < labels.mean() < 0.22


def test_a_sequence_is_cut_where_its_numbers_jump_and_stays_one_group(tree):
    items = items_of(read(tree))
    assert [(item.name, item.group) for item in items] == [
        ("a", "a"), ("b/00000-00002", "b"), ("b/00007-00008", "b"), ("c9", "c9"), ("c10", "c10")
    ]  # fmt: skip
    np.testing.assert_array_equal(labels_of(items[2]), np.stack([trees.moving_box(n) for n in (7, 8)]))
    assert items[2].source.numbers == (7, 8)


def test_a_pattern_of_folders_is_those_folders(tree):
    whole, matched = (
        read_folders(images, str(tree / "labels"), INDICES)
        for images in ([str(tree / "images")], [str(tree / "images" / "*")])
    )
    assert [(r.name, [f.name for f in r.frames]) for r in matched] == [
        (r.name, [f.name for f in r.frames]) for r in whole
    ]
    few = read_folders([str(tree / "images" / "c*")], [str(tree / "labels" / "c*")], INDICES)
    assert [r.name for r in few] == ["c9", "c10"]
    (tree / "images" / "empty").mkdir()
    with pytest.raises(UserError, match=r"images/e\*: holds no frame, video or volume; give the folder"):
        read_folders([str(tree / "images" / "e*")], str(tree / "labels"), INDICES)


def test_a_stride_thins_and_spans_smaller_gaps(tree):
    items = items_of(read(tree), stride=5)
    assert [(item.name, item.source.numbers) for item in items] == [("a", (0, 5)), ("b", (0, 2, 7, 8))] + [
        (name, (0, 1)) for name in ("c9", "c10")
    ]


def test_frames_of_several_sequences_in_one_folder_are_told_apart_by_how_they_begin(tmp_path):
    for name in ("x1_", "y2_"):
        for n in range(3):
            trees.save(tmp_path / "images" / f"{name}{n}.png", trees.picture(n))
            trees.save(tmp_path / "labels" / f"{name}{n}_mask.png", trees.moving_box(n + len(name)))
    assert [(item.name, item.source.shape[0]) for item in items_of(read(tmp_path))] == [("x1", 3), ("y2", 3)]


def test_names_without_use_as_numbers_are_counted_in_order(tmp_path):
    for k, name in enumerate(["early", "late", "last"]):
        trees.save(tmp_path / "images" / "s" / f"{k}{name}.png", trees.picture(k))
        trees.save(tmp_path / "images" / "t" / f"{name}.png", trees.picture(k))
        trees.save(tmp_path / "labels" / "t" / f"{name}.png", trees.moving_box(k))
    with pytest.raises(UserError, match=r"early\.png: no frame number in the name; .*data\.numbers: order"):
        read(tmp_path)
    (item,) = items_of(read(tmp_path, numbering="order"))
    assert (item.name, item.source.numbers) == ("t", (0, 1, 2))
    np.testing.assert_array_equal(labels_of(item)[1], trees.moving_box(2))  # early, last, late


def test_frames_without_a_mask_are_unknown_and_counted(tree, caplog):
    (tree / "labels" / "a" / "00003.png").unlink()
    shutil.rmtree(tree / "labels" / "c9")
    with caplog.at_level(logging.WARNING):
        items = {item.name: item for item in items_of(read(tree))}
    assert (labels_of(items["a"]) == 255).all(axis=(1, 2)).tolist() == [False] * 3 + [True] + [False] * 2
    assert "c9" not in items
    assert "3 of 15 frames have no mask" in caplog.text
    assert "a/00003.jpg" in caplog.text


def test_a_lone_frame_is_left_out_and_named(tree, caplog):
    (tree / "images" / "c9" / "00001.jpg").unlink()
    (tree / "labels" / "c9" / "00001.png").unlink()
    with caplog.at_level(logging.WARNING):
        assert "c9" not in {item.name for item in items_of(read(tree))}
    assert "c9/00000.jpg" in caplog.text
    assert "c9" in {item.name for item in items_of(read(tree), shortest=1)}


def test_mistakes_are_named_in_one_line(tree):
    extra = trees.save(tree / "labels" / "a" / "00009.png", trees.moving_box(0))
    with pytest.raises(UserError, match=r"a/00009\.png: .*images/a has no frame 9"):
        read(tree)
    extra.unlink()
    extra = trees.save(tree / "labels" / "d" / "00000.png", trees.moving_box(0))
    with pytest.raises(UserError, match=r"d/00000\.png: there is no sequence"):
        read(tree)
    extra.unlink()
    trees.save(tree / "labels" / "a" / "00002.png", trees.moving_box(0, (24, 33)))
    with pytest.raises(
        UserError, match=r"a/00002\.png: the mask is 24 x 33 px but its image .*a/00002\.jpg is 24 x 32"
    ):
        items_of(read(tree))
    trees.save(tree / "labels" / "a" / "00002.png", trees.moving_box(0, (30, 40)))
    trees.save(tree / "images" / "a" / "00002.jpg", trees.picture(0, (30, 40)))
    with pytest.raises(UserError, match=r"00002\.jpg: is 30 x 40 px, but .*00000\.jpg of the same sequence is 24 x 32"):
        items_of(read(tree))
    assert items_of(read(tree), size=(12, 16))[0].source.shape == (6, 12, 16)
    trees.save(tree / "images" / "a" / "2.jpg", trees.picture(0))
    with pytest.raises(UserError, match=r"has the frame number 2 of"):
        read(tree)


def test_numbers_that_are_all_apart_name_the_stride_to_set(tmp_path):
    trees.write_frames(tmp_path, {"a": [0, 30, 60]})
    with pytest.raises(UserError, match=r"a: no 2 frames follow each other .* set data\.stride: 30"):
        items_of(read(tmp_path))
    assert items_of(read(tmp_path), stride=30)[0].name == "a"
    trees.write_frames(tmp_path / "one", {"a": [7]})
    with pytest.raises(UserError, match=r"00007\.jpg: is the only frame of its sequence"):
        items_of(read(tmp_path / "one"))


def test_a_table_pairs_frames_and_splits_sequences(tree):
    rows = [
        f"images/{s}/{n:05d}.jpg,labels/{s}/{n:05d}.png,{split}"
        for s, split in (("a", "train"), ("c9", "val"))
        for n in range(2)
    ]
    (tree / "t.csv").write_text("\n".join(["image,label,split", *rows]))
    table = str(tree / "t.csv")
    items = {item.name: item for item in items_of(read_folders([str(tree / "images")], table, INDICES))}
    assert {name: item.split for name, item in items.items()} == {"a": "train", "c9": "val"}
    assert (labels_of(items["a"])[2:] == 255).all()
    (tree / "t.csv").write_text("\n".join(["image,label,split", rows[0], rows[1].replace("train", "test")]))
    with pytest.raises(UserError, match=r"00000\.jpg: is given to train, but .*00001\.jpg .* to test"):
        read_folders([str(tree / "images")], table, INDICES)


def test_videos_have_masks_in_a_folder_of_their_name(tmp_path):
    frames = [np.full((*trees.SHAPE, 3), 20 + 10 * k, np.uint8) for k in range(9)]
    trees.write_video(tmp_path / "images" / "clip.mp4", frames)
    for n in (0, 4, 8):
        trees.save(tmp_path / "labels" / "clip" / f"frame{n}.png", trees.moving_box(n))
    (item,) = items_of(read(tmp_path), stride=2)
    assert (item.name, item.source.numbers) == ("clip", (0, 2, 4, 6, 8))
    grey = item.source.read(Window((0, 0, 0), item.source.shape))[0].mean(axis=(0, 2, 3))
    np.testing.assert_allclose(grey, [20, 40, 60, 80, 100], atol=3)
    assert [int(frame.min()) for frame in labels_of(item)] == [0, 255, 0, 255, 0]
    np.testing.assert_array_equal(labels_of(item)[2], trees.moving_box(4))
    trees.save(tmp_path / "labels" / "clip" / "frame9.png", trees.moving_box(0))
    with pytest.raises(UserError, match=r"frame9\.png: .*clip\.mp4 has no frame 9, only 0 to 8"):
        read(tmp_path)


def test_a_time_series_of_rasters_lies_on_one_grid(tmp_path):
    def write(path, array, east=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        place = rasterio.Affine(10, 0, 500000 + east, 0, -10, 4000000)
        profile = {
            "driver": "GTiff",
            "height": 6,
            "width": 8,
            "count": len(array),
            "dtype": array.dtype,
            "crs": "EPSG:32633",
        }
        with rasterio.open(path, "w", transform=place, **profile) as file:
            file.write(array)

    for day in (3, 8, 13):
        write(tmp_path / "images" / "field" / f"{day}.tif", np.full((2, 6, 8), 100 * day, np.uint16))
        write(tmp_path / "labels" / "field" / f"{day}.tif", np.full((1, 6, 8), day % 2, np.uint8))
    (item,) = items_of(read(tmp_path), stride=5)
    assert item.source.shape == (3, 6, 8)
    assert item.source.spacing[1:] == (10, 10)
    assert item.source.read(Window((1, 0, 0), (2, 1, 1)))[0].ravel().tolist() == [800, 1300, 800, 1300]
    assert labels_of(item)[:, 0, 0].tolist() == [1, 0, 1]
    write(tmp_path / "images" / "field" / "13.tif", np.zeros((2, 6, 8), np.uint16), east=10)
    with pytest.raises(UserError, match=r"not on the grid"):
        items_of(read(tmp_path), stride=5)


def test_slices_of_a_volume_are_frames(tmp_path):
    rng = np.random.default_rng(0)
    volume, mask = rng.normal(size=(5, 6, 7)).astype(np.float32), rng.integers(0, 2, (5, 6, 7)).astype(np.uint8)
    for name, array in (("images", volume), ("labels", mask)):
        (tmp_path / name).mkdir()
        write_volume(tmp_path / name / "ct1.nii.gz", array, np.diag([1.0, 2.0, 3.0, 1.0]))
    for axis in range(3):
        (item,) = items_of(read(tmp_path, axis=axis, num_classes=2))
        assert item.name == "ct1"
        np.testing.assert_array_equal(labels_of(item), np.moveaxis(mask, axis, 0))
        values = item.source.read(Window((0, 0, 0), item.source.shape))[0][0]
        np.testing.assert_array_equal(values, np.moveaxis(volume, axis, 0))
