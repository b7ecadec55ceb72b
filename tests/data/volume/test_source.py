from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segnoise.data import Region, Scaling, WindowDataset, keep_in_memory
from segnoise.data.volume import VolumeLabels, VolumeSource, held
from segnoise.errors import UserError
from segnoise.windows import Window

from .conftest import oblique, write_itk, write_nifti

WHOLE = Window((0, 0, 0), (7, 6, 5))


class TestReading:
    def test_a_window_beyond_the_edge_equals_the_padded_whole(self, tmp_path, voxels):
        source = VolumeSource(write_nifti(tmp_path / "a.nii.gz", voxels, oblique()))
        padded, inside = np.pad(voxels, 20), np.pad(np.ones(voxels.shape, bool), 20)

        @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(st.tuples(*[st.integers(-12, 14)] * 3), st.tuples(*[st.integers(1, 10)] * 3))
        def check(start, size):
            values, observed = source.read(Window(start, size))
            box = tuple(slice(s + 20, s + 20 + n) for s, n in zip(start, size, strict=True))
            assert values.dtype == np.float32
            assert np.array_equal(values[0], padded[box])
            assert np.array_equal(observed, inside[box])

        check()

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
    def test_what_is_not_a_finite_float32_is_not_observed(self, tmp_path, value):
        array = np.ones((7, 6, 5, 2))
        array[1, 2, 3, 1] = value
        values, observed = VolumeSource(write_nifti(tmp_path / "a.nii", array, np.eye(4))).read(WHOLE)
        assert np.argwhere(~observed).tolist() == [[1, 2, 3]]
        assert np.isfinite(values).all()
        assert (values[:, 1, 2, 3] == 0).all()

    def test_it_tells_its_name_grid_and_channels(self, tmp_path, voxels):
        source = VolumeSource(write_nifti(tmp_path / "case.7.nii.gz", voxels, oblique()))
        assert (source.name, source.shape, source.channels) == ("case.7", (7, 6, 5), 1)
        assert source.spacing == pytest.approx((0.5, 0.75, 2.0))
        assert np.allclose(source.affine, oblique())

    def test_windows_of_a_data_set_are_those_of_the_volume(self, tmp_path, voxels):
        sources = [VolumeSource(write_nifti(tmp_path / "a.nii.gz", voxels, oblique()))]
        labels = [VolumeLabels(write_nifti(tmp_path / "b.nii.gz", (voxels > 30000).astype(np.uint8), oblique()), 2)]
        regions = [Region(0, WHOLE)]
        data = WindowDataset(sources, labels, regions, (4, 4, 4), Scaling((0.0,), (1.0,)), seed=0, augment=True)
        sample = data[0, 0]
        assert sample["image"].shape == (1, 4, 4, 4)
        assert sorted(sample["spacing"].tolist()) == pytest.approx([0.5, 0.75, 2.0])
        known = sample["mask"] != 255
        assert known.any()
        assert ((sample["image"][0] > 30000) == (sample["mask"] == 1))[known].all()


class TestChannels:
    def test_files_on_one_grid_are_channels_in_order(self, tmp_path, voxels):
        paths = [
            write_nifti(tmp_path / "a.nii.gz", voxels, oblique()),
            write_itk(tmp_path / "b.mha", (voxels / 7).astype(np.float32), oblique()),
        ]
        source = VolumeSource(paths)
        values, _ = source.read(WHOLE)
        assert (source.name, source.channels, source.paths) == ("a", 2, tuple(paths))
        assert np.array_equal(values, np.stack([voxels, voxels / 7]).astype(np.float32))

    def test_grids_that_differ_are_both_named(self, tmp_path, voxels):
        paths = [
            write_nifti(tmp_path / "a.nii.gz", voxels, np.eye(4)),
            write_nifti(tmp_path / "b.nii.gz", voxels, np.diag([1.0, 1.0, 2.0, 1.0])),
        ]
        with pytest.raises(
            UserError, match=r"b\.nii\.gz: not on the grid of .*a\.nii\.gz: .*\(1, 1, 2\) mm.*\(1, 1, 1\)"
        ):
            VolumeSource(paths)
        with pytest.raises(UserError, match="list of channels is empty"):
            VolumeSource([])


class TestMemory:
    def test_the_file_is_read_with_the_first_window_and_then_no_more(self, tmp_path, voxels):
        path = write_nifti(tmp_path / "a.nii.gz", voxels, np.eye(4))
        source = VolumeSource(path)
        write_nifti(path, voxels + 1, np.eye(4))
        first = source.read(WHOLE)[0]
        assert np.array_equal(first[0], voxels + 1)
        path.unlink()
        assert np.array_equal(source.read(WHOLE)[0], first)

    def test_the_volume_used_longest_ago_makes_room(self, tmp_path, voxels, monkeypatch):
        sources = [VolumeSource(write_nifti(tmp_path / f"{n}.nii.gz", voxels + n, np.eye(4))) for n in range(3)]
        monkeypatch.setattr(held, "LIMIT", 2 * voxels.nbytes)
        for source in (sources[0], sources[1], sources[0], sources[2]):
            source.read(WHOLE)
        for n in range(3):
            (tmp_path / f"{n}.nii.gz").unlink()
        for n in (0, 2):
            assert np.array_equal(sources[n].read(WHOLE)[0][0], voxels + n)
        with pytest.raises(UserError, match=r"1\.nii\.gz"):
            sources[1].read(WHOLE)

    def test_channels_of_one_source_make_no_room_for_each_other(self, tmp_path, voxels, monkeypatch):
        paths = [write_nifti(tmp_path / f"{n}.nii.gz", voxels, np.eye(4)) for n in range(3)]
        monkeypatch.setattr(held, "LIMIT", voxels.nbytes)
        source = VolumeSource(paths)
        first = source.read(WHOLE)[0]
        for path in paths:
            path.unlink()
        assert np.array_equal(source.read(WHOLE)[0], first)

    def test_pickling_takes_the_path_and_not_the_voxels(self, tmp_path):
        path = write_nifti(tmp_path / "a.nii.gz", np.zeros((40, 40, 40), np.int16), np.eye(4))
        source, labels = VolumeSource(path), VolumeLabels(path)
        whole = Window((0, 0, 0), (40, 40, 40))
        expected = source.read(whole)[0], labels.read(whole)
        content = pickle.dumps((source, labels))
        assert len(content) < 5000
        again = pickle.loads(content)
        assert np.array_equal(again[0].read(whole)[0], expected[0])
        assert np.array_equal(again[1].read(whole), expected[1])

    def test_a_dicom_series_can_be_pickled(self, tmp_path, voxels, write_dicom):
        write_dicom(voxels)
        source = pickle.loads(pickle.dumps(VolumeSource(tmp_path / "ct")))
        assert np.array_equal(source.read(Window((0, 0, 0), source.shape))[0][0], voxels.transpose(1, 0, 2))

    def test_small_sets_can_be_kept_as_arrays(self, tmp_path, voxels):
        path = write_nifti(tmp_path / "a.nii.gz", voxels % 5, oblique())
        sources, labels = keep_in_memory([VolumeSource(path)], [VolumeLabels(path, 5)])
        assert np.array_equal(sources[0].read(WHOLE)[0][0], voxels % 5)
        assert np.array_equal(labels[0].read(WHOLE), voxels % 5)


def test_a_real_image_and_its_labels_share_a_grid(shared_data):
    folder = shared_data / "hippocampus"
    path = sorted((folder / "images").glob("*.nii.gz"))[0]
    source = VolumeSource(path)
    labels = VolumeLabels(folder / "labels" / path.name, num_classes=3, like=source)
    labels.check()
    assert set(np.unique(labels.read(Window((0, 0, 0), labels.shape)))) == {0, 1, 2}
