"""What `segnoise predict` writes of volumes: cases of several channels, label errors, DICOM segmentations."""

from __future__ import annotations

import json
import re
import sys

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

from segnoise.config import make_config
from segnoise.data.volume import write_volume
from segnoise.inference import predict_volume
from segnoise.training import load, train

SHAPE = (14, 12, 8)
AFFINE = np.array([[-1.9, 0.3, 0, 40], [-0.3, -1.9, 0, 55], [0, 0, 2.5, -20], [0, 0, 0, 1]], float)
NETWORK = {"name": "UNet", "channels": [4, 8], "strides": [2]}
TRAINING = {"epochs": 4, "batch_size": 4, "lr": 0.02, "accelerator": "cpu"}


def ball(seed):
    """Where a ball lies, and two channels: it is bright in one and dark in the other."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(4, np.array(SHAPE) - 4)
    labels = (sum((g - c) ** 2 for g, c in zip(np.indices(SHAPE), centre, strict=True)) < 10).astype(np.uint8)
    noise = rng.normal(0, 0.3, (2, *SHAPE))
    return labels, (100 * (labels + noise[0] + 1)).astype(np.float32), (9 - 3 * labels + noise[1]).astype(np.float32)


@pytest.fixture(scope="module")
def two_channels(tmp_path_factory):
    """An nnU-Net data set of two channels with a run on it, and two more cases with labels of which some are wrong."""
    folder = tmp_path_factory.mktemp("Dataset001_Balls")
    described = {
        "channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "ball": 1, "ignore": 2},
        "file_ending": ".nii.gz",
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(described))
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (folder / name).mkdir()
    for k in range(6):
        part = "Tr" if k < 4 else "Ts"
        labels, *channels = ball(k)
        if part == "Ts":
            labels[:, :6] = 0
            labels[0] = 2
        write_volume(folder / f"labels{part}" / f"c{k}.nii.gz", labels, AFFINE)
        for number, channel in enumerate(channels):
            write_volume(folder / f"images{part}" / f"c{k}_{number:04d}.nii.gz", channel, AFFINE)
    data = {"kind": "volume", "images": ["dataset.json"], "classes": ["background", "ball"], "window": 8}
    config = {"name": "balls", "data": {**data, "samples_per_epoch": 16}, "network": NETWORK, "training": TRAINING}
    return folder, train(make_config(config, base=folder), folder / "run", quiet=True)


@pytest.fixture(scope="module")
def one_channel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for k in range(4):
        labels, image, _ = ball(k)
        write_volume(folder / "images" / f"c{k}.nii.gz", image, AFFINE)
        write_volume(folder / "labels" / f"c{k}.nii.gz", labels, AFFINE)
    data = {
        "kind": "volume",
        "images": ["images/*"],
        "labels": "labels",
        "classes": ["background", "ball"],
        "window": 8,
    }
    config = {"name": "ball", "data": {**data, "samples_per_epoch": 16}, "network": NETWORK, "training": TRAINING}
    return folder, train(make_config(config, base=folder), folder / "run", quiet=True)


@pytest.fixture
def refused(segnoise):
    """Asserts that a command ends with 1 and one line on stderr that matches."""

    def check(pattern, *arguments):
        code, out, err = segnoise(*arguments)
        assert (code, out) == (1, "")
        assert re.fullmatch(rf"error: .*{pattern}.*\n", err), err

    return check


def values(path):
    return np.asarray(nibabel.load(path).dataobj)


class TestChannels:
    def test_files_by_nnunets_numbers_are_cases_and_labels_are_found_by_their_names(
        self, two_channels, tmp_path, segnoise
    ):
        folder, run = two_channels
        files = sorted((folder / "imagesTs").iterdir(), reverse=True)
        code, out, _ = segnoise("predict", run, *files, "-o", tmp_path / "out", "--labels", folder / "labelsTs")
        assert code == 0
        assert {p.name for p in (tmp_path / "out").iterdir()} == {
            f"c{k}{end}.nii.gz" for k in (4, 5) for end in ("", "_wrong")
        }
        told = re.findall(r"(\S+): (\d+) of (\d+) voxels of (\S+) are expected to be wrong", out)
        assert len(told) == 2
        for written, expected, count, given in told:
            wrong, labels = values(written), values(given)
            np.testing.assert_array_equal(np.isnan(wrong), labels == 2)  # the index that the set calls "ignore"
            assert int(expected) == round(np.nansum(wrong, dtype=float))
            assert int(count) == (labels != 2).sum()
        for k in (4, 5):
            channels = [folder / "imagesTs" / f"c{k}_{number:04d}.nii.gz" for number in (0, 1)]
            alone = predict_volume(load(run), channels, tmp_path / f"alone{k}.nii.gz").path
            np.testing.assert_array_equal(values(tmp_path / "out" / f"c{k}.nii.gz"), values(alone))
            np.testing.assert_allclose(nibabel.load(alone).affine, AFFINE, atol=1e-5)
        assert values(alone).any()

    def test_channels_go_by_number_and_not_by_place(self, two_channels, tmp_path, segnoise):
        folder, run = two_channels
        t1, t2 = sorted((folder / "imagesTs").glob("c4_*"))
        for name, files in (("a", (t1, t2)), ("b", (t2, t1))):
            assert segnoise("predict", run, *files, "-o", tmp_path / f"{name}.nii.gz", "-q") == (0, "", "")
        np.testing.assert_array_equal(values(tmp_path / "a.nii.gz"), values(tmp_path / "b.nii.gz"))
        swapped = predict_volume(load(run), [t2, t1], tmp_path / "c.nii.gz").path
        assert (values(swapped) != values(tmp_path / "a.nii.gz")).any()

    def test_a_missing_channel_is_named(self, two_channels, tmp_path, refused):
        folder, run = two_channels
        refused(
            r"c4_0001\.nii\.gz: was not given; the run was trained on 2 channels, give those of c4 together",
            "predict", run, *(folder / "imagesTs").glob("*_0000.nii.gz"), "-o", tmp_path / "out",
        )  # fmt: skip
        assert not (tmp_path / "out").exists()

    def test_another_number_of_channels_comes_with_the_way_to_give_them(
        self, two_channels, one_channel, tmp_path, refused
    ):
        folder, run = two_channels
        single, other = one_channel
        refused(
            r"c0\.nii\.gz: has 1 channels, but the model was trained on 2; give a file for each, CASE_0000, CASE_0001",
            "predict", run, single / "images" / "c0.nii.gz", "-o", tmp_path / "a.nii.gz",
        )  # fmt: skip
        both = np.stack([values(p) for p in sorted((folder / "imagesTs").glob("c4_*"))])
        refused(
            r"both\.nii\.gz: has 2 channels, but the model was trained on 1; give 1 alone",
            "predict", other, write_volume(tmp_path / "both.nii.gz", both, AFFINE), "-o", tmp_path / "a.nii.gz",
        )  # fmt: skip


class TestLabelErrors:
    def test_a_file_for_one_scan_gives_a_map_beside_the_segmentation(self, one_channel, tmp_path, segnoise):
        folder, run = one_channel
        scan, labels = folder / "images" / "c0.nii.gz", folder / "labels" / "c0.nii.gz"
        code, out, _ = segnoise("predict", run, scan, "-o", tmp_path / "eye.nii.gz", "--labels", labels)
        assert code == 0
        assert f"{tmp_path / 'eye_wrong.nii.gz'}: " in out
        assert values(tmp_path / "eye_wrong.nii.gz").shape == SHAPE
        assert {p.name for p in tmp_path.iterdir()} == {"eye.nii.gz", "eye_wrong.nii.gz"}

    def test_labels_on_another_grid_are_told_with_both_files(self, one_channel, tmp_path, refused):
        folder, run = one_channel
        scan = folder / "images" / "c0.nii.gz"
        short = write_volume(tmp_path / "short.nii.gz", np.zeros((14, 12, 7), np.uint8), AFFINE)
        refused(
            r"short\.nii\.gz: not on the grid of its image \S*c0\.nii\.gz; labels: 14 x 12 x 7 .* 14 x 12 x 8",
            "predict", run, scan, "-o", tmp_path / "seg.nii.gz", "--labels", short,
        )  # fmt: skip
        refused(
            r"none\.nii\.gz: no such file",
            "predict", run, scan, "-o", tmp_path / "seg.nii.gz", "--labels", tmp_path / "none.nii.gz",
        )  # fmt: skip
        assert [p.name for p in tmp_path.iterdir()] == ["short.nii.gz"]


class TestDicom:
    @pytest.fixture
    def series(self, tmp_path):
        """An oblique series of the ball, its files named against its positions, and one more in the folder."""
        turn = Rotation.from_euler("xyz", [20, -15, 10], degrees=True).as_matrix()
        folder = tmp_path / "mr"
        folder.mkdir()
        ids = [write_slices(folder, ball(seed)[1], turn, name) for seed, name in ((1, "a"), (2, "b"))]
        return folder, ids

    def test_a_series_gives_a_segmentation_that_lies_where_the_nifti_lies(
        self, one_channel, tmp_path, series, segnoise
    ):
        folder, (uid, _) = series
        _, run = one_channel
        for name in ("seg.dcm", "seg.nii.gz"):
            assert segnoise("predict", run, f"{folder}#{uid}", "-o", tmp_path / name, "-q") == (0, "", "")
        nifti = nibabel.load(tmp_path / "seg.nii.gz")
        expected = np.asarray(nifti.dataobj)
        assert 20 < (expected == 1).sum() < expected.size / 2
        made = highdicom.seg.segread(tmp_path / "seg.dcm")
        volume = made.get_volume(combine_segments=True)
        lps = nibabel.affines.apply_affine(volume.affine, np.argwhere(volume.array == 1))
        index = nibabel.affines.apply_affine(np.linalg.inv(nifti.affine), lps * [-1, -1, 1])
        assert np.abs(index - index.round()).max() < 1e-2
        placed = np.zeros_like(expected)
        placed[tuple(index.round().astype(int).T)] = 1
        np.testing.assert_array_equal(placed, expected == 1)
        assert {str(item.ReferencedSOPInstanceUID) for item in made.ReferencedSeriesSequence[0].ReferencedInstanceSequence} == {
            pydicom.dcmread(path).SOPInstanceUID for path in folder.glob("a*")
        }  # fmt: skip
        assert [s.SegmentLabel for s in made.SegmentSequence] == ["ball"]

    def test_scores_and_label_errors_beside_it_are_nifti(self, one_channel, tmp_path, series, segnoise):
        folder, (uid, _) = series
        _, run = one_channel
        assert segnoise("predict", run, f"{folder}#{uid}", "-o", tmp_path / "seg.nii.gz", "-q")[0] == 0
        code, *_ = segnoise(
            "predict", run, f"{folder}#{uid}", "-o", tmp_path / "s.dcm", "--scores", "--labels", tmp_path / "seg.nii.gz"
        )
        assert code == 0
        assert values(tmp_path / "s_scores.nii.gz").shape == (*SHAPE, 2)
        assert np.nanmax(values(tmp_path / "s_wrong.nii.gz")) < 0.5  # its own prediction is what it believes most

    def test_several_series_are_listed_and_a_missing_one_is_told(self, one_channel, tmp_path, series, refused):
        folder, _ = series
        _, run = one_channel
        refused("holds 2 series; choose one as .*mr#UID", "predict", run, folder, "-o", tmp_path / "seg.dcm")
        refused(r"holds no series '1\.2'", "predict", run, f"{folder}#1.2", "-o", tmp_path / "seg.dcm")
        refused(r"no#1\.2: no such file", "predict", run, tmp_path / "no#1.2", "-o", tmp_path / "seg.dcm")

    def test_what_has_no_series_to_refer_to_gets_no_dicom(self, one_channel, tmp_path, refused):
        folder, run = one_channel
        scans = sorted((folder / "images").iterdir())[:2]
        refused(
            r"seg\.dcm: a DICOM segmentation refers to a DICOM series, and \S+c0\.nii\.gz is none; write \.nii\.gz",
            "predict", run, scans[0], "-o", tmp_path / "seg.dcm",
        )  # fmt: skip
        refused(r"seg\.dcm: 2 inputs need a folder", "predict", run, *scans, "-o", tmp_path / "seg.dcm")
        assert not list(tmp_path.iterdir())

    def test_a_missing_package_is_named_with_its_extra(self, one_channel, tmp_path, series, refused, monkeypatch):
        folder, (uid, _) = series
        _, run = one_channel
        monkeypatch.setitem(sys.modules, "highdicom", None)
        refused(
            r"seg\.dcm: writing DICOM needs highdicom; pip install segnoise\[highdicom\]",
            "predict", run, f"{folder}#{uid}", "-o", tmp_path / "seg.dcm",
        )  # fmt: skip


def write_slices(folder, values, turn, name):
    """Values ``columns rows slices`` as one MR file a slice; the UID of the series."""
    study, series, place = generate_uid(), generate_uid(), generate_uid()
    for k in range(values.shape[2]):
        dataset = pydicom.Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, place
        dataset.Modality, dataset.PatientID, dataset.PatientName = "MR", "p7", "Doe^Jane"
        dataset.Rows, dataset.Columns = values.shape[1], values.shape[0]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation, dataset.SliceThickness = 15, 0, 2.5
        dataset.ImagePositionPatient = [float(f"{x:.6f}") for x in [-40.5, 22.0, 310.0] + 2.5 * k * turn[:, 2]]
        dataset.ImageOrientationPatient = [float(f"{d:.8f}") for d in turn[:, :2].T.ravel()]
        dataset.PixelSpacing = [2.0, 1.9]
        dataset.PixelData = np.ascontiguousarray(values[:, :, k].T.clip(0).astype(np.uint16)).tobytes()
        dataset.save_as(folder / f"{name}{values.shape[2] - k:03d}.dcm", enforce_file_format=True)
    return series
