"""DICOM segmentations say of each place in the patient what the NIfTI file says, and refer to the right instances."""

from __future__ import annotations

import sys

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

from segnoise.data.volume import read_volume, write_volume
from segnoise.errors import UserError
from segnoise.inference.dicomseg import dicom_series, write_dicom_seg

CLASSES = ["background", "liver", "tumour"]
AXIAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)
OBLIQUE = tuple(Rotation.from_euler("xyz", [20, -15, 10], degrees=True).as_matrix()[:, :2].T.ravel())
SHAPE = (7, 6, 5)
"""Columns, rows, slices: all differ, so that no axis passes for another."""


def write_series(folder, values, directions=AXIAL, **elements):
    """Values ``columns rows slices`` as one MR file a slice; names run against the positions."""
    folder.mkdir()
    normal = np.cross(directions[:3], directions[3:])
    study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
    for k in range(values.shape[2]):
        dataset = pydicom.Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.FrameOfReferenceUID, dataset.SeriesNumber, dataset.InstanceNumber = frame_of_reference, 4, 99 - k
        dataset.Modality, dataset.PatientID, dataset.PatientName = "MR", "p7", "Doe^Jane"
        dataset.Rows, dataset.Columns = values.shape[1], values.shape[0]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 0
        dataset.ImagePositionPatient = [float(f"{x:.6f}") for x in np.array([-40.5, 22.0, 310.0]) + 2.5 * k * normal]
        dataset.ImageOrientationPatient = [float(f"{d:.8f}") for d in directions]
        dataset.PixelSpacing = [0.5, 0.75]
        dataset.PixelData = np.ascontiguousarray(values[:, :, k].T.astype(np.uint16)).tobytes()
        for name, value in elements.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        dataset.save_as(folder / f"i{values.shape[2] - k:03d}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture
def labels():
    values = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    values[0, 1, 2] = values[6, 5, 4] = 255
    return values


def frames_of(path):
    """Segment number, position and pixels (rows, columns) of each frame, by pydicom alone."""
    made = pydicom.dcmread(path)
    pixels = made.pixel_array.reshape(-1, made.Rows, made.Columns)
    for number, groups in enumerate(made.PerFrameFunctionalGroupsSequence):
        if "SegmentIdentificationSequence" in groups:
            segment = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        else:
            segment = made.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber
        yield segment, np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float), pixels[number], groups


def in_space(path, nifti):
    """The segmentation put on the grid of a NIfTI file by patient coordinates alone, 0 where there is no segment."""
    image = nibabel.load(nifti)
    shared = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0]
    along_columns, along_rows = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(
        float
    )
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    placed = np.zeros(image.shape, np.uint8)
    for segment, position, pixels, _ in frames_of(path):
        rows, columns = np.nonzero(pixels)
        lps = position + np.outer(columns * between_columns, along_columns) + np.outer(rows * between_rows, along_rows)
        index = nibabel.affines.apply_affine(np.linalg.inv(image.affine), lps * [-1, -1, 1])
        assert np.abs(index - index.round()).max() < 1e-2
        i, j, k = index.round().astype(int).T
        assert (placed[i, j, k] == 0).all()
        placed[i, j, k] = segment
    return placed


@pytest.mark.parametrize("directions", [AXIAL, SAGITTAL, OBLIQUE], ids=["axial", "sagittal", "oblique"])
def test_every_voxel_has_in_the_patient_the_class_it_has_in_nifti(tmp_path, labels, directions):
    scan = write_series(tmp_path / "mr", np.zeros(SHAPE), directions)
    nifti = write_volume(tmp_path / "seg.nii.gz", labels, read_volume(scan).affine)
    out = write_dicom_seg(tmp_path / "seg.dcm", labels, dicom_series(scan, "seg.dcm"), CLASSES)
    np.testing.assert_array_equal(in_space(out, nifti), np.where(labels == 255, 0, labels))


def test_highdicom_reads_back_the_same_planes_of_the_same_instances(tmp_path, labels):
    scan = write_series(tmp_path / "mr", np.zeros(SHAPE), OBLIQUE)
    out = write_dicom_seg(tmp_path / "seg.dcm", labels, dicom_series(scan, "seg.dcm"), CLASSES, algorithm="eyes")
    source = sorted((pydicom.dcmread(p) for p in scan.iterdir()), key=lambda d: -d.InstanceNumber)
    made = highdicom.seg.segread(out)
    planes = made.get_pixels_by_source_instance([d.SOPInstanceUID for d in source], combine_segments=True)
    np.testing.assert_array_equal(planes.transpose(2, 1, 0), np.where(labels == 255, 0, labels))
    assert made.segmentation_type.value == "BINARY"
    assert [made.get_segment_description(k).segment_label for k in (1, 2)] == ["liver", "tumour"]
    assert made.get_segment_description(1).algorithm_identification.name == "eyes"
    first = source[0]
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName"):
        assert made[name].value == first[name].value
    assert made.SeriesInstanceUID != first.SeriesInstanceUID
    where = {d.SOPInstanceUID: np.array(d.ImagePositionPatient, float) for d in source}
    for _, position, _, groups in frames_of(out):
        referred = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        np.testing.assert_allclose(position, where[referred], atol=1e-6)


def test_a_class_that_is_nowhere_and_an_empty_segmentation_are_written_without_a_word(tmp_path, caplog):
    scan = write_series(tmp_path / "mr", np.zeros(SHAPE))
    one = np.zeros(SHAPE, np.uint8)
    one[2, 3, 1] = 2
    series = dicom_series(scan, "seg.dcm")
    nifti = write_volume(tmp_path / "seg.nii.gz", one, read_volume(scan).affine)
    out = write_dicom_seg(tmp_path / "one.dcm", one, series, CLASSES)
    np.testing.assert_array_equal(in_space(out, nifti), one)
    assert len(pydicom.dcmread(out).SegmentSequence) == 2
    empty = write_dicom_seg(tmp_path / "empty.dcm", 0 * one, series, CLASSES)
    assert pydicom.dcmread(empty).pixel_array.max() == 0
    assert caplog.text == ""


def test_an_enhanced_multi_frame_file_is_referred_to_frame_by_frame(tmp_path, labels):
    scan, order = tmp_path / "enhanced.dcm", [3, 0, 4, 1, 2]
    write_enhanced(scan, order)
    nifti = write_volume(tmp_path / "seg.nii.gz", labels, read_volume(scan).affine)
    out = write_dicom_seg(tmp_path / "seg.dcm", labels, dicom_series(scan, "seg.dcm"), CLASSES)
    np.testing.assert_array_equal(in_space(out, nifti), np.where(labels == 255, 0, labels))
    for _, position, _, groups in frames_of(out):
        frame = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        assert position[2] == 2.5 * order[frame - 1]


def test_names_beyond_ascii_and_beyond_64_characters_do(tmp_path, labels):
    scan = write_series(tmp_path / "mr", np.zeros(SHAPE), SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë")
    names = ["hintergrund", "Ödem", "x" * 80]
    out = write_dicom_seg(tmp_path / "seg.dcm", labels, dicom_series(scan, "seg.dcm"), names)
    made = pydicom.dcmread(out)
    assert [s.SegmentLabel for s in made.SegmentSequence] == ["Ödem", "x" * 64]
    assert made.PatientName == "Müller^Zoë"


def test_a_series_without_what_may_be_blank_is_referred_to(tmp_path, labels):
    scan = write_series(tmp_path / "mr", np.zeros(SHAPE), PatientID=None, PatientName=None, SeriesNumber=None)
    made = pydicom.dcmread(write_dicom_seg(tmp_path / "s.dcm", labels, dicom_series(scan, "s.dcm"), CLASSES))
    assert not made.PatientID
    assert made.SeriesNumber >= 1


def test_directions_that_differ_in_the_last_digit_are_one(tmp_path, labels):
    scan = write_series(tmp_path / "mr", np.zeros(SHAPE), OBLIQUE)
    dataset = pydicom.dcmread(scan / "i002.dcm")
    dataset.ImageOrientationPatient = [float(d) + 1e-7 for d in dataset.ImageOrientationPatient]
    dataset.save_as(scan / "i002.dcm")
    nifti = write_volume(tmp_path / "seg.nii.gz", labels, read_volume(scan).affine)
    out = write_dicom_seg(tmp_path / "seg.dcm", labels, dicom_series(scan, "seg.dcm"), CLASSES)
    np.testing.assert_array_equal(in_space(out, nifti), np.where(labels == 255, 0, labels))


def test_one_of_several_series_is_chosen_by_its_uid(tmp_path, labels):
    scan = write_series(tmp_path / "mr", np.zeros(SHAPE), OBLIQUE)
    for path in write_series(tmp_path / "other", np.zeros((3, 4, 2))).iterdir():
        path.rename(scan / f"o{path.name}")
    with pytest.raises(UserError, match="holds 2 series"):
        dicom_series(scan, "seg.dcm")
    uid = pydicom.dcmread(scan / "i001.dcm").SeriesInstanceUID
    series = dicom_series(tmp_path / f"mr#{uid}", "seg.dcm")
    assert series.grid.shape == SHAPE
    np.testing.assert_allclose(series.grid.affine, read_volume(f"{scan}#{uid}").affine)


def test_a_real_ct_with_a_gap_is_referred_to_where_its_slices_are(tmp_path, shared_data):
    scan = shared_data / "format_fixtures" / "dicom_seg_tiny" / "ct"
    series = dicom_series(scan, "seg.dcm")
    labels = np.random.default_rng(0).integers(0, 3, series.grid.shape).astype(np.uint8)
    out = write_dicom_seg(tmp_path / "seg.dcm", labels, series, CLASSES)
    source = sorted(map(pydicom.dcmread, scan.glob("*.dcm")), key=lambda d: d.ImagePositionPatient[2])
    planes = highdicom.seg.segread(out).get_pixels_by_source_instance(
        [d.SOPInstanceUID for d in source], combine_segments=True
    )
    np.testing.assert_array_equal(planes.transpose(2, 1, 0), labels)
    assert {position[2] for _, position, *_ in frames_of(out)} == {float(d.ImagePositionPatient[2]) for d in source}


class TestRefusals:
    def test_a_scan_that_is_no_dicom(self, tmp_path):
        scan = write_volume(tmp_path / "a.nii.gz", np.zeros(SHAPE, np.uint8), np.eye(4))
        with pytest.raises(UserError, match=r"seg\.dcm: .* refers to a DICOM series, and .*a\.nii\.gz is none; write"):
            dicom_series(scan, tmp_path / "seg.dcm")

    def test_a_missing_package_is_named_with_its_extra(self, tmp_path, monkeypatch):
        scan = write_series(tmp_path / "mr", np.zeros(SHAPE))
        monkeypatch.setitem(sys.modules, "highdicom", None)
        with pytest.raises(UserError, match=r"pip install segnoise\[highdicom\]"):
            dicom_series(scan, "seg.dcm")

    def test_a_series_without_a_frame_of_reference(self, tmp_path):
        scan = write_series(tmp_path / "mr", np.zeros(SHAPE), FrameOfReferenceUID=None)
        with pytest.raises(UserError, match=r"i005\.dcm: has no FrameOfReferenceUID.*write \.nii\.gz"):
            dicom_series(scan, "seg.dcm")

    def test_a_real_series_that_lost_its_study(self, shared_data):
        with pytest.raises(UserError, match=r"has no StudyInstanceUID, so seg\.dcm cannot refer to it"):
            dicom_series(shared_data / "format_fixtures" / "dicom_ct_jpeg2000", "seg.dcm")

    def test_headers_that_the_standard_forbids(self, tmp_path, labels):
        with pytest.warns(UserWarning, match="Invalid value for VR CS"):
            scan = write_series(tmp_path / "mr", np.zeros(SHAPE), PatientSex="removed by pseudonymiser")
        with pytest.raises(UserError, match=r"mr: its headers do not do .*; write \.nii\.gz"):
            write_dicom_seg(tmp_path / "seg.dcm", labels, dicom_series(scan, "seg.dcm"), CLASSES)
        assert not (tmp_path / "seg.dcm").exists()

    def test_an_existing_file_and_labels_of_another_shape(self, tmp_path, labels):
        series = dicom_series(write_series(tmp_path / "mr", np.zeros(SHAPE)), "seg.dcm")
        (tmp_path / "there.dcm").touch()
        with pytest.raises(UserError, match="already exists"):
            write_dicom_seg(tmp_path / "there.dcm", labels, series, CLASSES)
        with pytest.raises(ValueError, match="not on the grid"):
            write_dicom_seg(tmp_path / "seg.dcm", labels.transpose(1, 0, 2), series, CLASSES)


def write_enhanced(path, order):
    """An enhanced MR whose k-th frame is slice ``order[k]``."""

    def item(**elements):
        dataset = pydicom.Dataset()
        for name, value in elements.items():
            setattr(dataset, name, value)
        return Sequence([dataset])

    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedMRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.FrameOfReferenceUID, dataset.Modality = generate_uid(), "MR"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = SHAPE[1], SHAPE[0], len(order)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.SharedFunctionalGroupsSequence = item(
        PlaneOrientationSequence=item(ImageOrientationPatient=list(AXIAL)),
        PixelMeasuresSequence=item(PixelSpacing=[0.5, 0.75], SliceThickness=2.5),
    )
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [item(PlanePositionSequence=item(ImagePositionPatient=[1, 2, 2.5 * k]))[0] for k in order]
    )
    dataset.PixelData = np.zeros((len(order), SHAPE[1], SHAPE[0]), np.uint16).tobytes()
    dataset.save_as(path, enforce_file_format=True)
