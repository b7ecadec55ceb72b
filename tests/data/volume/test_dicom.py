from __future__ import annotations

import re
import sys

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from monai.data import PydicomReader
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from segnoise.data.volume import open_volume, read_volume, reorient
from segnoise.errors import UserError

OBLIQUE = (0.96, 0.0, -0.28, 0.0, 1.0, 0.0)


@pytest.fixture
def slices() -> np.ndarray:
    """Rows, columns, slices."""
    return np.random.default_rng(0).integers(0, 4000, (6, 7, 5)).astype(np.uint16)


def read_itk(paths) -> tuple[np.ndarray, np.ndarray]:
    """Array and RAS+ affine of a series as SimpleITK sees it, its slices in the order of their positions."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths])
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).T, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


class TestSeries:
    @pytest.mark.parametrize("directions", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), OBLIQUE])
    def test_a_folder_is_the_volume_that_itk_reads(self, tmp_path, slices, write_dicom, directions):
        paths = write_dicom(slices, directions=directions, RescaleSlope="1", RescaleIntercept="-1024")
        volume = read_volume(tmp_path / "ct")
        values, affine = read_itk(paths)
        assert np.array_equal(volume.values[0], values)
        assert np.allclose(volume.affine, affine, atol=1e-5)
        assert volume.spacing == pytest.approx((0.75, 0.5, 2.5))

    def test_a_folder_is_the_volume_that_monai_reads(self, tmp_path, slices, write_dicom):
        write_dicom(slices, directions=OBLIQUE)
        reader = PydicomReader()
        values, meta = reader.get_data(reader.read(str(tmp_path / "ct")))
        volume = read_volume(tmp_path / "ct")
        assert np.array_equal(volume.values[0], values)
        assert np.allclose(volume.affine, meta["affine"])

    def test_position_and_not_name_gives_the_order(self, tmp_path, slices, write_dicom):
        write_dicom(slices)
        volume = read_volume(tmp_path / "ct")
        assert np.array_equal(volume.values[0], slices.transpose(1, 0, 2))
        assert volume.grid.codes == "LPS"

    def test_a_list_of_files_and_one_file_are_read_too(self, tmp_path, slices, write_dicom):
        paths = write_dicom(slices, SliceThickness="4")
        assert read_volume(paths[1:4]).values.shape == (1, 7, 6, 3)
        one = read_volume(paths[2])
        assert np.array_equal(one.values[0, :, :, 0], slices[:, :, 2].T)
        assert one.spacing == pytest.approx((0.75, 0.5, 4))
        assert np.isnan(read_volume(write_dicom(slices, folder="b")[0]).spacing[2])

    def test_other_files_in_the_folder_are_passed_over(self, tmp_path, slices, write_dicom):
        write_dicom(slices)
        (tmp_path / "ct" / "notes.txt").write_text("x")
        (tmp_path / "ct" / "preview.png").write_bytes(b"x")
        (tmp_path / "ct" / "inner").mkdir()
        assert read_volume(tmp_path / "ct").shape == (7, 6, 5)

    def test_a_tilted_gantry_keeps_its_shear(self, tmp_path, slices, write_dicom):
        positions = np.array([[0.0, 0.5 * k, 2.0 * k] for k in range(5)])
        write_dicom(slices, positions=positions)
        assert np.allclose(read_volume(tmp_path / "ct").affine[:3, 2], [0, -0.5, 2])


class TestValues:
    def test_stored_values_keep_their_type_when_nothing_is_rescaled(self, tmp_path, slices, write_dicom):
        write_dicom(slices + 50000)
        assert read_volume(tmp_path / "ct").values.dtype == np.uint16
        write_dicom(slices.astype(np.int16) - 2000, folder="b")
        assert read_volume(tmp_path / "b").values.dtype == np.int16
        assert read_volume(tmp_path / "b").values.min() < 0

    @pytest.mark.parametrize(
        ("slope", "intercept", "dtype"), [("1", "-1024", "int16"), ("20", "0", "int32"), ("0.5", "-3.25", "float32")]
    )
    def test_the_rescale_gives_integers_where_it_is_whole(self, tmp_path, slices, write_dicom, slope, intercept, dtype):
        write_dicom(slices, RescaleSlope=slope, RescaleIntercept=intercept)
        values = read_volume(tmp_path / "ct").values
        assert values.dtype == dtype
        assert np.array_equal(values[0], slices.transpose(1, 0, 2) * float(slope) + float(intercept))

    def test_every_slice_has_its_own_rescale(self, tmp_path, slices, write_dicom):
        slopes, intercepts = [1.0, 0.5, 0.75, 0.25, 1.25], [0, 7, -7, 3, 1]
        write_dicom(slices, RescaleSlope=list(map(str, slopes)), RescaleIntercept=list(map(str, intercepts)))
        assert np.array_equal(read_volume(tmp_path / "ct").values[0], slices.transpose(1, 0, 2) * slopes + intercepts)


class TestSeveralSeries:
    @pytest.fixture
    def two(self, tmp_path, slices, write_dicom):
        write_dicom(slices, folder="two", uid="1.2.3", prefix="a")
        write_dicom(
            slices[:, :, :3] + 1, folder="two", uid="4.5.6", prefix="b", SeriesDescription="thick", SeriesNumber=9
        )
        return tmp_path / "two"

    def test_they_are_listed_with_the_way_to_choose(self, two):
        expected = (
            r"two: holds 2 series; choose one as \S*two#UID or with series=UID: 4 'thin' 5 slices 1\.2\.3; "
            r"9 'thick' 3 slices 4\.5\.6"
        )
        with pytest.raises(UserError, match=expected):
            read_volume(two)

    def test_one_is_chosen_by_name_or_argument(self, two, slices):
        for volume in (read_volume(f"{two}#4.5.6"), read_volume(two, series="4.5.6")):
            assert np.array_equal(volume.values[0], slices.transpose(1, 0, 2)[:, :, :3] + 1)
            assert volume.path.name == "two#4.5.6"

    def test_an_unknown_one_is_answered_with_the_nearest(self, two):
        with pytest.raises(UserError, match=r"no series '1\.2\.4'; did you mean '1\.2\.3'"):
            read_volume(f"{two}#1.2.4")

    def test_objects_without_an_image_are_no_choice(self, tmp_path, slices, write_dicom):
        write_dicom(slices, folder="two", uid="1.2.3", prefix="a")
        path = write_dicom(slices[:, :, :1], folder="two", uid="9", prefix="s", Modality="SEG")[0]
        assert read_volume(tmp_path / "two").shape == (7, 6, 5)
        with pytest.raises(UserError, match=r"without pixel data of an image \(modality SEG"):
            read_volume(path)


class TestGeometry:
    def test_a_missing_slice_is_told_in_millimetres(self, tmp_path, slices, write_dicom, caplog):
        paths = write_dicom(slices)
        paths[2].unlink()
        volume = read_volume(tmp_path / "ct")
        assert re.search(r"5 mm between i004 and i002 where slices are 2\.5 mm apart \(1 of 3 gaps", caplog.text)
        assert volume.spacing == pytest.approx((0.75, 0.5, 2.5))

    def test_even_slices_are_not_worth_a_word(self, tmp_path, slices, write_dicom, caplog):
        jitter = np.array([0, 0.01, -0.01, 0.01, 0])
        write_dicom(slices, positions=np.stack([0 * jitter, 0 * jitter, np.arange(5) * 2.5 + jitter], axis=1))
        read_volume(tmp_path / "ct")
        assert caplog.text == ""

    def test_two_slices_in_one_place_are_named(self, tmp_path, slices, write_dicom):
        positions = np.array([[0, 0, z] for z in (0.0, 2.5, 2.5, 5.0, 7.5)])
        write_dicom(slices, positions=positions)
        with pytest.raises(UserError, match=r"two slices in one place, i00\d and i00\d; several time"):
            read_volume(tmp_path / "ct")

    def test_sizes_orientations_and_pixels_that_differ_are_refused(self, tmp_path, slices, write_dicom):
        for name, change, message in (
            ("size", {"values": slices[:3]}, r"two sizes, i005 6 x 7 px and j005 3 x 7 px"),
            ("turn", {"values": slices, "directions": OBLIQUE}, r"two orientations, i005 and j005"),
            ("pixel", {"values": slices, "spacing": (1.0, 1.0)}, r"pixels of two sizes"),
        ):
            write_dicom(slices, folder=name)
            write_dicom(**change, folder=name, prefix="j", positions=np.arange(15.0).reshape(5, 3) + 500)
            with pytest.raises(UserError, match=message):
                read_volume(sorted((tmp_path / name).iterdir(), key=lambda p: (p.name[0], -int(p.name[1:]))))

    def test_pixels_of_no_size_are_refused(self, tmp_path, slices, write_dicom):
        write_dicom(slices, spacing=(0.0, 0.5))
        with pytest.raises(UserError, match="voxels of no volume"):
            read_volume(tmp_path / "ct")

    @pytest.mark.parametrize(
        ("element", "what"),
        [("ImagePositionPatient", "position"), ("ImageOrientationPatient", "orientation"), ("PixelSpacing", "pixel")],
    )
    def test_a_slice_that_does_not_say_where_it_lies_is_refused(self, tmp_path, slices, write_dicom, element, what):
        write_dicom(slices, **{element: None})
        with pytest.raises(UserError, match=rf"does not say the {what}"):
            read_volume(tmp_path / "ct")


class TestFaults:
    def test_no_pixel_data(self, tmp_path, slices, write_dicom):
        write_dicom(slices, PixelData=None)
        with pytest.raises(UserError, match="holds no pixel data"):
            read_volume(tmp_path / "ct")

    def test_truncated_pixels(self, tmp_path, slices, write_dicom):
        path = write_dicom(slices)[2]
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(UserError, match=rf"{path.name}: .*damaged"):
            read_volume(tmp_path / "ct")

    @pytest.mark.parametrize("length", [140, 400, 500, 560, 600, 650, 700])
    def test_a_file_that_ends_in_its_header(self, tmp_path, slices, write_dicom, length):
        path = write_dicom(slices)[2]
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(UserError, match=rf"{path.name}: "):
            read_volume(tmp_path / "ct")

    def test_a_compression_without_decoder_names_the_extra(self, tmp_path, slices, write_dicom):
        path = write_dicom(slices[:, :, :1])[0]
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.HTJ2KLossless
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
        dataset.save_as(path)
        with pytest.raises(UserError, match=r"no installed decoder reads .*segnoise\[dicom\]"):
            read_volume(path)

    def test_colours_and_look_up_tables_are_refused(self, tmp_path, slices, write_dicom):
        write_dicom(slices, SamplesPerPixel=3)
        with pytest.raises(UserError, match="holds colours"):
            open_volume(tmp_path / "ct")
        write_dicom(slices, folder="lut", ModalityLUTSequence=Sequence([pydicom.Dataset()]))
        with pytest.raises(UserError, match="look-up table"):
            open_volume(tmp_path / "lut")

    def test_a_folder_without_dicom_is_refused(self, tmp_path):
        with pytest.raises(UserError, match="the folder is empty"):
            read_volume(tmp_path)
        (tmp_path / "a.dcm").write_bytes(bytes(range(256)) * 4)
        with pytest.raises(UserError, match="encrypted DICOM is not read"):
            read_volume(tmp_path)
        with pytest.raises(UserError, match=r"a\.dcm: holds no DICOM file that can be read"):
            read_volume(tmp_path / "a.dcm")

    def test_a_list_with_another_file_is_refused(self, tmp_path, slices, write_dicom):
        (tmp_path / "a.png").write_bytes(b"x")
        with pytest.raises(UserError, match=r"a\.png: is no DICOM file"):
            read_volume([*write_dicom(slices), tmp_path / "a.png"])
        with pytest.raises(UserError, match="list of files is empty"):
            read_volume([])

    def test_the_missing_reader_names_its_extra(self, tmp_path, slices, write_dicom, monkeypatch):
        write_dicom(slices)
        monkeypatch.setitem(sys.modules, "pydicom", None)
        with pytest.raises(UserError, match=r"pip install segnoise\[dicom\]"):
            read_volume(tmp_path / "ct")


def write_enhanced(path, slices, order):
    """An enhanced CT: all slices in one file, their places and rescale in functional groups."""

    def item(**elements):
        dataset = pydicom.Dataset()
        for name, value in elements.items():
            setattr(dataset, name, value)
        return Sequence([dataset])

    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = pydicom.uid.EnhancedCTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
    dataset.Modality, dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "CT", "1.2.3", "1.2"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = *slices.shape[:2], slices.shape[2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.SharedFunctionalGroupsSequence = item(
        PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=item(PixelSpacing=[0.5, 0.75], SliceThickness=2.5),
        PixelValueTransformationSequence=item(RescaleSlope=2, RescaleIntercept=-10, RescaleType="HU"),
    )
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [item(PlanePositionSequence=item(ImagePositionPatient=[1, 2, 2.5 * k]))[0] for k in order]
    )
    dataset.PixelData = np.ascontiguousarray(slices[:, :, order].transpose(2, 0, 1)).tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("count", [5, 1])
def test_an_enhanced_multi_frame_file_is_a_volume(tmp_path, slices, count):
    order = [3, 0, 4, 1, 2] if count == 5 else [0]
    path = write_enhanced(tmp_path / "a.dcm", slices[:, :, :count], order)
    volume = read_volume(path)
    assert np.array_equal(volume.values[0], slices[:, :, :count].transpose(1, 0, 2).astype(int) * 2 - 10)
    assert volume.spacing == pytest.approx((0.75, 0.5, 2.5))
    assert volume.affine[:3, 3] == pytest.approx([-1, -2, 0])


class TestRealSeries:
    def test_a_jpeg_2000_ct_lies_under_its_labels(self, shared_data):
        folder = shared_data / "format_fixtures"
        volume = read_volume(folder / "dicom_ct_jpeg2000")
        labels = nibabel.load(folder / "dicom_ct_jpeg2000_pseudolabels.nii.gz")
        assert volume.values.dtype == np.int16
        assert volume.values.min() == -1024
        turned = reorient(volume, "".join(nibabel.aff2axcodes(labels.affine)))
        assert np.allclose(turned.affine, labels.affine, atol=1e-3)
        # Bone among the labels (vertebrae and hips of the model's list) is denser than what has no label.
        inside = turned.values[0][np.isin(np.asarray(labels.dataobj), np.arange(25, 51))]
        assert np.median(inside) > 100 > np.median(turned.values)

    def test_a_gap_of_a_real_series_is_told(self, shared_data, caplog):
        volume = read_volume(shared_data / "format_fixtures" / "dicom_seg_tiny" / "ct")
        assert "202.5 mm between" in caplog.text
        assert volume.spacing == pytest.approx((0.488281, 0.488281, 1.25), abs=1e-5)
        assert volume.shape == (16, 16, 4)

    def test_a_segmentation_object_is_no_image(self, shared_data):
        with pytest.raises(UserError, match="modality SEG"):
            read_volume(shared_data / "format_fixtures" / "dicom_seg_tiny" / "seg")
