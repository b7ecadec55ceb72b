from __future__ import annotations

import numpy as np
import pytest

from segnoise.data.oct import BScanFile, read_bscans
from segnoise.errors import UserError
from segnoise.windows import Window
from tests.data.oct import oct_trees as trees

CLASSES = ["background", "fluid"]
WHOLE = Window((0, 0), (6, 8))


def scan(k: int) -> np.ndarray:
    return np.full((6, 8), 10 * k, dtype=np.uint8)


def mask(k: int) -> np.ndarray:
    labels = np.zeros((6, 8), dtype=np.uint8)
    labels[:, :k] = 1
    return labels


def write(root, image: str, label: str | None, k: int) -> None:
    trees.write_image(root / image, scan(k))
    if label is not None:
        trees.write_image(root / label, mask(k))


@pytest.mark.parametrize(
    "layout", [("images/{v}/{k}.png", "masks/{v}/{k}.png"), ("{v}/images/{k}.png", "{v}/masks/{k}.png")]
)
def test_both_nestings_give_the_volumes_as_groups_and_slices_by_number(tmp_path, layout):
    for volume in ("p10", "p2"):
        for k in (1, 2, 10, 11):
            write(tmp_path, *(pattern.format(v=volume, k=k % 8) for pattern in layout), k % 8)
    names, items = read_bscans(tmp_path, CLASSES)
    assert names == CLASSES
    assert [item.name for item in items] == [f"{v}/{k}" for v in ("p2", "p10") for k in (1, 2, 3)]
    assert [item.group for item in items] == ["p2"] * 3 + ["p10"] * 3
    for item, k in zip(items, [1, 2, 3] * 2, strict=True):
        assert (item.source.read(WHOLE)[0] == 10 * k).all()
        assert np.array_equal(item.labels.read(WHOLE), mask(k))


def test_slices_come_by_number_and_not_by_string(tmp_path):
    for k in (0, 1, 2, 9, 10, 11, 100):
        write(tmp_path, f"images/p1/TREX_{k}.png", f"masks/p1/TREX_{k}.png", k % 7)
    names = [item.name for item in read_bscans(tmp_path, CLASSES)[1]]
    assert names == [f"p1/TREX_{k}" for k in (0, 1, 2, 9, 10, 11, 100)]


def test_a_flat_folder_is_one_volume_and_slices_without_mask_have_no_labels(tmp_path):
    for k in range(4):
        write(tmp_path / "scan7", f"images/{k}.png", f"masks/{k}.tif" if k == 2 else None, k)
    items = read_bscans(tmp_path / "scan7", CLASSES, spacing=(0.0039, 0.011))[1]
    assert [item.labels is None for item in items] == [True, True, False, True]
    assert [item.name for item in items] == [f"scan7/{k}" for k in range(4)]
    assert {(item.group, item.volume) for item in items} == {("scan7", "scan7")}
    assert {item.source.spacing for item in items} == {(0.0039, 0.011)}


def test_folders_may_have_other_names(tmp_path):
    write(tmp_path, "raw/p1/1.png", "grading/p1/1.png", 3)
    assert len(read_bscans(tmp_path, CLASSES, images="raw", masks="grading")[1]) == 1
    with pytest.raises(UserError, match="no image under a folder called 'images'"):
        read_bscans(tmp_path, CLASSES)
    with pytest.raises(UserError, match="no mask under a folder called 'masks'"):
        read_bscans(tmp_path, CLASSES, images="raw")


def test_a_mask_without_an_image_a_name_twice_and_sizes_that_differ_are_named(tmp_path):
    write(tmp_path, "images/1.png", "masks/1.png", 1)
    trees.write_image(tmp_path / "masks" / "2.png", mask(2))
    with pytest.raises(UserError, match=r"2\.png: no image of this name"):
        read_bscans(tmp_path, CLASSES)
    trees.write_image(tmp_path / "images" / "2.png", scan(2)[:4])
    with pytest.raises(UserError, match=r"6 x 8 px .*4 x 8 px"):
        read_bscans(tmp_path, CLASSES)
    trees.write_image(tmp_path / "images" / "2.tif", scan(2))
    with pytest.raises(UserError, match="has the name of"):
        read_bscans(tmp_path, CLASSES)


def test_a_class_outside_the_list_is_named_when_read(tmp_path):
    write(tmp_path, "images/1.png", None, 1)
    trees.write_image(tmp_path / "masks" / "1.png", mask(3) * 2)
    with pytest.raises(UserError, match=r"class value 2 .* 2 classes"):
        read_bscans(tmp_path, CLASSES)[1][0].labels.read(WHOLE)


def test_a_file_saved_in_colour_is_one_grey_channel(tmp_path):
    path = trees.write_image(tmp_path / "1.png", np.repeat(scan(7)[..., None], 3, axis=2))
    source = BScanFile(path)
    values, observed = source.read(WHOLE)
    assert values.shape == (1, 6, 8)
    assert (values == 70).all()
    assert observed.all()


def test_a_scan_is_opened_when_first_read_and_then_missing(tmp_path):
    source = BScanFile(tmp_path / "gone.png")
    with pytest.raises(UserError, match=r"gone\.png: no such file"):
        source.read(WHOLE)
