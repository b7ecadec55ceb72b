from __future__ import annotations

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from segnoise.data.oct import heights_to_mask, read_duke
from segnoise.errors import UserError
from segnoise.windows import Window
from tests.data.oct import oct_trees as trees

WHOLE = Window((0, 0), trees.DUKE[:2])


def test_items_are_the_labelled_scans_of_each_subject_in_natural_order(tmp_path):
    trees.write_duke(tmp_path)
    names, items = read_duke(tmp_path)
    assert names == ["background", "fluid"]
    assert [item.name for item in items] == [f"Subject_{s}/{k}" for s in ("01", "02", "10") for k in ("02", "06")]
    assert [item.group for item in items[::2]] == ["Subject_01", "Subject_02", "Subject_10"]
    assert items[0].volume == "Subject_01"


def test_images_are_the_scans_with_depth_and_width_in_mm(tmp_path):
    variables = trees.write_duke(tmp_path, subjects=(1,))
    source = read_duke(tmp_path)[1][1].source
    values, observed = source.read(WHOLE)
    assert np.array_equal(values[0], variables["images"][:, :, 6])
    assert observed.all()
    assert source.spacing == pytest.approx((0.0039, 0.011), rel=0.04)


def test_every_instance_is_fluid_and_columns_that_nobody_graded_are_unknown(tmp_path):
    variables = trees.write_duke(tmp_path, subjects=(1,))
    labels = read_duke(tmp_path)[1][0].labels.read(WHOLE)
    assert np.array_equal(labels[:, 3:], variables["manualFluid1"][:, 3:, 2] > 0)
    assert (labels[:, :3] == 255).all()


def test_fluid_in_a_column_without_layers_is_kept(tmp_path):
    variables = trees.write_duke(tmp_path, subjects=(1,))
    variables["manualFluid1"][20, 1, 2] = 4
    savemat(tmp_path / "Subject_01.mat", variables)
    labels = read_duke(tmp_path)[1][0].labels.read(WHOLE)
    assert labels[20, 1] == 1
    assert labels[21, 1] == 255


def test_the_second_observer_has_scans_and_fluid_of_their_own(tmp_path):
    variables = trees.write_duke(tmp_path, subjects=(1,))
    items = read_duke(tmp_path, observer=2)[1]
    assert [item.name for item in items] == ["Subject_01/06"]
    assert np.array_equal(items[0].labels.read(WHOLE)[:, 3:], variables["manualFluid2"][:, 3:, 6] > 0)
    assert (items[0].labels.read(WHOLE) == 1).sum() == 8


def test_layers_of_nothing_but_zeros_are_no_labels(tmp_path):
    variables = trees.write_duke(tmp_path, subjects=(1,))
    variables["manualLayers1"] = np.nan_to_num(variables["manualLayers1"])
    savemat(tmp_path / "Subject_01.mat", variables)
    items = read_duke(tmp_path)[1]
    assert [item.name for item in items] == ["Subject_01/02", "Subject_01/06"]
    assert (items[0].labels.read(WHOLE)[:, :3] == 255).all()


def test_layers_are_the_classes_between_the_eight_boundaries(tmp_path):
    variables = trees.write_duke(tmp_path, subjects=(1,))
    names, items = read_duke(tmp_path, target="layers")
    labels = items[0].labels.read(WHOLE)
    assert len(names) == 9
    assert (names[0], names[1], names[8]) == ("vitreous", "NFL", "choroid")
    assert np.array_equal(labels, heights_to_mask(variables["manualLayers1"][:, :, 2], trees.DUKE[0]))
    assert (labels[:, :3] == 255).all()
    assert set(np.unique(labels[:, 3:])) == set(range(9))


def test_wrong_choices_are_named(tmp_path):
    trees.write_duke(tmp_path, subjects=(1,))
    with pytest.raises(UserError, match="did you mean 'layers'"):
        read_duke(tmp_path, target="layer")
    with pytest.raises(UserError, match="observer 3"):
        read_duke(tmp_path, observer=3)


def test_a_folder_without_subjects_and_one_without_labels_are_told(tmp_path):
    with pytest.raises(UserError, match=r"no Subject_\*\.mat"):
        read_duke(tmp_path)
    variables = trees.write_duke(tmp_path, subjects=(1,))
    variables["manualLayers1"][:] = np.nan
    savemat(tmp_path / "Subject_01.mat", variables)
    with pytest.raises(UserError, match="no B-scan has finite manualLayers1"):
        read_duke(tmp_path)


def test_a_foreign_a_short_and_an_incomplete_file_are_one_clear_line(tmp_path):
    trees.write_duke(tmp_path, subjects=(1,))
    path = tmp_path / "Subject_01.mat"
    content = path.read_bytes()
    path.write_bytes(b"these are not the subjects you are looking for" * 10)
    with pytest.raises(UserError, match=r"Subject_01\.mat: not a MATLAB file"):
        read_duke(tmp_path)
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(UserError, match=r"Subject_01\.mat: not a MATLAB file that can be read, or cut short"):
        read_duke(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"Subject_01\.mat: "):
        read_duke(tmp_path)
    path.write_bytes(content)
    variables = {k: v for k, v in loadmat(path).items() if not k.startswith("__") and k != "manualFluid1"}
    savemat(path, variables)
    with pytest.raises(UserError, match="no variable 'manualFluid1'"):
        read_duke(tmp_path)
    savemat(path, variables | {"manualFluid1": np.zeros((3, 4, 5))})
    with pytest.raises(UserError, match=r"manualFluid1 has shape \(3, 4, 5\).*should be \(40, 24, 9\)"):
        read_duke(tmp_path)
