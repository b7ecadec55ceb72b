from __future__ import annotations

import pickle

import numpy as np
import pytest
import SimpleITK

from segnoise.data.oct import read_retouch
from segnoise.errors import UserError
from segnoise.windows import Window
from tests.data.oct import oct_trees as trees

SPECTRALIS = (5, 496, 12)


def test_slices_are_rows_by_columns_with_depth_and_width_in_mm(tmp_path):
    values, labels = trees.write_retouch(tmp_path, "RETOUCH-TrainingSet-Spectralis", "TRAIN025", SPECTRALIS, "uint16")
    names, items = read_retouch(tmp_path)
    assert names == ["background", "IRF", "SRF", "PED"]
    assert [item.name for item in items] == [f"Spectralis/TRAIN025/{k}" for k in range(5)]
    assert {(item.group, item.split) for item in items} == {("TRAIN025", "train")}
    assert items[3].source.shape == (496, 12)
    assert items[3].source.spacing == pytest.approx((0.0039, 0.0117))
    whole = Window((0, 0), (496, 12))
    assert np.array_equal(items[3].source.read(whole)[0][0], values[3])
    assert np.array_equal(items[3].labels.read(whole), labels[3])


def test_sixteen_bits_are_kept(tmp_path):
    values, _ = trees.write_retouch(tmp_path, "Spectralis", "TRAIN025", SPECTRALIS, "uint16")
    read = read_retouch(tmp_path)[1][0].source.read(Window((0, 0), (496, 12)))[0]
    assert values[0].max() > 60000
    assert np.array_equal(np.unique(read), np.unique(values[0]))


def test_a_window_reads_its_part_and_is_unknown_beyond_the_edge(tmp_path):
    values, labels = trees.write_retouch(tmp_path, "Spectralis", "TRAIN025", SPECTRALIS, "uint16")
    item = read_retouch(tmp_path)[1][2]
    window = Window((490, -2), (10, 8))
    image, observed = item.source.read(window)
    mask = item.labels.read(window)
    assert np.array_equal(image[0, :6, 2:], values[2, 490:, :6])
    assert np.array_equal(mask[:6, 2:], labels[2, 490:, :6])
    assert observed.sum() == 36
    assert (mask[~observed] == 255).all()


def test_volumes_keep_the_axes_of_the_file_as_simpleitk_counts_them(tmp_path):
    values, labels = trees.write_retouch(tmp_path, "Spectralis", "TRAIN025", SPECTRALIS, "uint16")
    (item,) = read_retouch(tmp_path, slices=False)[1]
    image = SimpleITK.ReadImage(str(tmp_path / "Spectralis" / "TRAIN025" / "oct.mhd"))
    assert item.name == "Spectralis/TRAIN025"
    assert item.source.shape == image.GetSize()
    assert item.source.spacing == pytest.approx(image.GetSpacing())
    window = Window((3, 100, 1), (4, 50, 3))
    read = item.source.read(window)[0][0]
    assert read[1, 7, 2] == image.GetPixel(4, 107, 3)
    assert np.array_equal(read, values.transpose(2, 1, 0)[3:7, 100:150, 1:4])
    assert np.array_equal(item.labels.read(window), labels.transpose(2, 1, 0)[3:7, 100:150, 1:4])


@pytest.mark.parametrize(
    ("rows", "vendor"), [(496, "Spectralis"), (1024, "Cirrus"), (885, "Topcon"), (650, "Topcon"), (700, "unknown")]
)
def test_the_vendor_is_told_by_the_rows_where_no_folder_names_it(tmp_path, rows, vendor):
    trees.write_retouch(tmp_path, "train", "TRAIN001", (2, rows, 4), "uint8")
    assert read_retouch(tmp_path, slices=False)[1][0].name == f"{vendor}/TRAIN001"


def test_a_folders_vendor_counts_before_the_rows_and_cases_are_in_natural_order(tmp_path):
    for case in ("TRAIN010", "TRAIN002"):
        trees.write_retouch(tmp_path, "RETOUCH-TrainingSet-Topcon", case, (2, 496, 4), "uint8")
    assert [i.name for i in read_retouch(tmp_path, slices=False)[1]] == ["Topcon/TRAIN002", "Topcon/TRAIN010"]


def test_the_folder_of_one_case_is_read_under_its_name(tmp_path):
    trees.write_retouch(tmp_path, "Cirrus", "TRAIN001", (2, 1024, 4), "uint8")
    assert [i.group for i in read_retouch(tmp_path / "Cirrus" / "TRAIN001")[1]] == ["TRAIN001"] * 2


def test_the_test_set_has_no_labels(tmp_path):
    trees.write_retouch(tmp_path, "Cirrus", "TEST001", (2, 16, 4), "uint8", reference=False)
    assert {(item.labels, item.split) for item in read_retouch(tmp_path)[1]} == {(None, "test")}


def test_a_value_that_is_no_class_is_named_when_read(tmp_path):
    trees.write_retouch(tmp_path, "Cirrus", "TRAIN001", (2, 16, 4), "uint8")
    image = SimpleITK.GetImageFromArray(np.full((2, 16, 4), 4, dtype=np.uint8))
    SimpleITK.WriteImage(image, str(tmp_path / "Cirrus" / "TRAIN001" / "reference.mhd"))
    labels = read_retouch(tmp_path)[1][0].labels
    with pytest.raises(UserError, match=r"reference\.mhd: class value 4"):
        labels.read(Window((0, 0), (16, 4)))


def test_a_reference_of_another_size_is_refused(tmp_path):
    trees.write_retouch(tmp_path, "Cirrus", "TRAIN001", (2, 16, 4), "uint8")
    SimpleITK.WriteImage(
        SimpleITK.Image(4, 16, 3, SimpleITK.sitkUInt8), str(tmp_path / "Cirrus" / "TRAIN001" / "reference.mhd")
    )
    with pytest.raises(UserError, match=r"of size \(4, 16, 3\), but its image is \(4, 16, 2\)"):
        read_retouch(tmp_path)


@pytest.mark.parametrize("keep", [0, 10, None])
def test_a_missing_or_short_raw_file_is_one_clear_line(tmp_path, keep):
    trees.write_retouch(tmp_path, "Cirrus", "TRAIN001", (2, 16, 4), "uint8")
    raw = tmp_path / "Cirrus" / "TRAIN001" / "oct.raw"
    raw.write_bytes(raw.read_bytes()[:keep]) if keep is not None else raw.unlink()
    with pytest.raises(UserError, match=r"oct\.mhd: .*\.raw"):
        read_retouch(tmp_path)[1][1].source.read(Window((0, 0), (16, 4)))


def test_a_header_that_is_none_and_an_empty_folder_are_told(tmp_path):
    with pytest.raises(UserError, match=r"no oct\.mhd below"):
        read_retouch(tmp_path)
    (tmp_path / "oct.mhd").write_text("nothing")
    with pytest.raises(UserError, match=r"oct\.mhd: not a MetaImage"):
        read_retouch(tmp_path)


def test_two_copies_of_a_case_are_told(tmp_path):
    for folder in ("a/Cirrus", "b/Cirrus"):
        trees.write_retouch(tmp_path, folder, "TRAIN001", (2, 16, 4), "uint8")
    with pytest.raises(UserError, match="two cases are called Cirrus/TRAIN001"):
        read_retouch(tmp_path)


def test_items_survive_pickling_to_a_worker(tmp_path):
    values, _ = trees.write_retouch(tmp_path, "Cirrus", "TRAIN001", (2, 16, 4), "uint8")
    item = pickle.loads(pickle.dumps(read_retouch(tmp_path)[1][1]))
    assert np.array_equal(item.source.read(Window((0, 0), (16, 4)))[0][0], values[1])
