from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segnoise.data.volume import find_volumes, open_volume, read_volume, volume_name
from segnoise.errors import UserError

from .conftest import write_itk, write_nifti
from .test_stack import write_png


class TestOpening:
    def test_the_header_alone_gives_the_grid(self, tmp_path, voxels):
        path = write_nifti(tmp_path / "a.nii.gz", voxels, np.diag([1.0, 2.0, 3.0, 1.0]))
        content = path.read_bytes()
        file = open_volume(path)
        path.write_bytes(content[:-30])
        assert (file.grid.shape, file.channels, file.grid.spacing) == ((7, 6, 5), 1, (1, 2, 3))
        with pytest.raises(UserError, match="damaged"):
            file.values()
        path.write_bytes(content)
        assert np.array_equal(file.values()[0], voxels)

    def test_a_file_that_changes_while_it_is_open_is_told(self, tmp_path, voxels):
        file = open_volume(write_nifti(tmp_path / "a.nii", voxels, np.eye(4)))
        write_nifti(tmp_path / "a.nii", voxels[:3], np.eye(4))
        with pytest.raises(UserError, match=r"is now \(1, 3, 6, 5\), was \(1, 7, 6, 5\)"):
            file.values()

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("none.nii.gz", "no such file"),
            ("none#1.2", "none: no such file"),
            ("a.txt", "unknown kind of volume"),
            ("a.png", "one picture"),
        ],
    )
    def test_what_is_no_volume_is_answered_in_one_line(self, tmp_path, name, message):
        (tmp_path / "a.txt").write_text("x")
        write_png(tmp_path / "a.png", np.zeros((4, 5), np.uint8))
        with pytest.raises(UserError, match=message) as caught:
            read_volume(tmp_path / name)
        assert "\n" not in str(caught.value)

    def test_a_series_is_for_folders_of_dicom(self, tmp_path, voxels):
        write_nifti(tmp_path / "a.nii", voxels, np.eye(4))
        with pytest.raises(UserError, match="a series is chosen in a folder"):
            read_volume(tmp_path / "a.nii", series="1.2")
        (tmp_path / "s").mkdir()
        write_png(tmp_path / "s" / "1.png", np.zeros((4, 5), np.uint8))
        with pytest.raises(UserError, match=r"no series '1\.2'"):
            read_volume(tmp_path / "s", series="1.2")

    def test_a_folder_whose_name_has_a_hash_is_a_folder(self, tmp_path):
        (tmp_path / "s#1").mkdir()
        write_png(tmp_path / "s#1" / "1.png", np.zeros((4, 5), np.uint8))
        assert read_volume(tmp_path / "s#1").shape == (4, 5, 1)


class TestFinding:
    @pytest.fixture
    def tree(self, tmp_path, voxels, write_dicom) -> Path:
        for name in ("c10", "c2"):
            write_dicom(voxels, folder=name)
        (tmp_path / "png").mkdir()
        for number in (1, 2):
            write_png(tmp_path / "png" / f"{number}.png", np.zeros((4, 5), np.uint8))
        (tmp_path / "none").mkdir()
        write_itk(tmp_path / "a.mha", voxels, np.eye(4))
        return tmp_path

    def test_files_and_folders_are_found_in_natural_order(self, tree):
        found = find_volumes(["c*", "png", "*.mha", "c2"], tree)
        assert [path.name for path in found] == ["c2", "c10", "png", "a.mha"]
        assert all(open_volume(path) for path in found)

    def test_a_deep_pattern_finds_a_folder_of_slices_once(self, tree):
        assert [path.name for path in find_volumes(["**/*"], tree)] == ["a.mha", "c2", "c10", "png"]

    def test_a_series_of_a_folder_is_a_volume(self, tree):
        path = find_volumes(["c2#1.2.3"], tree)[0]
        assert (path.name, volume_name(path)) == ("c2#1.2.3", "c2_1.2.3")
        assert open_volume(path).grid.shape == (6, 7, 5)

    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            ("*.nrrd", "matches no volume"), ("missing", "no such file or folder"), ("none", "holds no DICOM series"),
            ("c2/*", "matches single DICOM files"), ("missing#1", "no such folder"),
        ],
    )  # fmt: skip
    def test_what_is_not_found_is_answered(self, tree, pattern, message):
        with pytest.raises(UserError, match=message):
            find_volumes([pattern], tree)

    def test_an_empty_list_is_answered(self, tmp_path):
        with pytest.raises(UserError, match="the list is empty"):
            find_volumes([], tmp_path)
