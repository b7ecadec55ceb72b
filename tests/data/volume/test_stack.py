from __future__ import annotations

import sys

import numpy as np
import pytest
import rasterio
import SimpleITK
import tifffile
from PIL import Image

from segnoise.data.volume import read_volume, write_volume
from segnoise.errors import UserError

from .conftest import LPS


@pytest.fixture
def pages() -> np.ndarray:
    """Slices, rows, columns."""
    return np.random.default_rng(0).integers(0, 60000, (5, 6, 7)).astype(np.uint16)


def write_png(path, picture: np.ndarray) -> None:
    bands = picture if picture.ndim == 3 else picture[None]
    with rasterio.open(
        path, "w", driver="PNG", height=bands.shape[1], width=bands.shape[2], count=len(bands), dtype=bands.dtype
    ) as dataset:
        dataset.write(bands)


class TestTiff:
    @pytest.mark.parametrize("options", [{}, {"imagej": True}, {"ome": True}, {"metadata": None}, {"byteorder": ">"}])
    def test_pages_become_the_last_axis(self, tmp_path, pages, options):
        tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", **options)
        volume = read_volume(tmp_path / "a.tif")
        assert volume.values.dtype == np.uint16
        assert np.array_equal(volume.values[0], pages.transpose(1, 2, 0))
        assert np.isnan(volume.spacing).all()

    def test_a_voxel_lies_where_itk_puts_it(self, tmp_path, pages):
        tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
        volume = read_volume(tmp_path / "a.tif")
        image = SimpleITK.ReadImage(str(tmp_path / "a.tif"))
        row, column, page = 4, 2, 3
        place = (LPS @ volume.affine @ [row, column, page, 1])[:3]
        assert image[image.TransformPhysicalPointToIndex(place)] == pages[page, row, column]

    def test_a_stack_written_as_nifti_is_the_same_volume(self, tmp_path, pages):
        tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
        stack = read_volume(tmp_path / "a.tif")
        nifti = read_volume(write_volume(tmp_path / "a.nii.gz", stack.values, stack.affine))
        assert np.array_equal(nifti.values, stack.values)
        assert np.array_equal(nifti.affine, stack.affine)

    def test_colours_are_channels(self, tmp_path):
        rgb = np.random.default_rng(0).integers(0, 255, (5, 6, 7, 3)).astype(np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb")
        assert np.array_equal(read_volume(tmp_path / "a.tif").values, rgb.transpose(3, 1, 2, 0))
        tifffile.imwrite(tmp_path / "b.tif", rgb.transpose(0, 3, 1, 2), imagej=True, metadata={"axes": "ZCYX"})
        assert np.array_equal(read_volume(tmp_path / "b.tif").values, rgb.transpose(3, 1, 2, 0))

    def test_imagej_and_ome_give_the_size_of_a_voxel(self, tmp_path, pages):
        said = {"axes": "ZYX", "spacing": 30.0, "unit": "um"}
        tifffile.imwrite(tmp_path / "a.tif", pages, imagej=True, resolution=(1 / 5, 1 / 2), metadata=said)
        assert read_volume(tmp_path / "a.tif").spacing == pytest.approx((0.002, 0.005, 0.03))
        said = {
            "axes": "ZYX",
            "PhysicalSizeX": 5.0,
            "PhysicalSizeY": 2.0,
            "PhysicalSizeZ": 3.0,
            "PhysicalSizeZUnit": "mm",
        }
        tifffile.imwrite(tmp_path / "b.ome.tif", pages, metadata=said)
        assert read_volume(tmp_path / "b.ome.tif").spacing == pytest.approx((0.002, 0.005, 3))
        del said["PhysicalSizeZ"]
        tifffile.imwrite(tmp_path / "c.ome.tif", pages, metadata=said)
        assert read_volume(tmp_path / "c.ome.tif").spacing == pytest.approx((0.002, 0.005, np.nan), nan_ok=True)

    def test_a_resolution_for_printing_is_no_spacing(self, tmp_path, pages):
        tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", resolution=(72, 72), resolutionunit=2)
        assert np.isnan(read_volume(tmp_path / "a.tif").spacing).all()

    def test_half_precision_is_widened(self, tmp_path, pages):
        half = (pages / 60000).astype(np.float16)
        tifffile.imwrite(tmp_path / "a.tif", half, photometric="minisblack")
        volume = read_volume(tmp_path / "a.tif")
        assert volume.values.dtype == np.float32
        assert np.array_equal(volume.values[0], half.transpose(1, 2, 0))

    def test_what_is_no_stack_is_refused(self, tmp_path, pages):
        tifffile.imwrite(tmp_path / "one.tif", pages[0])
        with pytest.raises(UserError, match="holds one picture"):
            read_volume(tmp_path / "one.tif")
        with tifffile.TiffWriter(tmp_path / "sizes.tif") as tiff:
            tiff.write(pages[0], photometric="minisblack")
            tiff.write(pages[0, :4], photometric="minisblack")
        with pytest.raises(UserError, match="pages differ in size"):
            read_volume(tmp_path / "sizes.tif")
        tifffile.imwrite(tmp_path / "time.tif", np.stack([pages, pages]), imagej=True, metadata={"axes": "TZYX"})
        with pytest.raises(UserError, match="has the axes TZYX"):
            read_volume(tmp_path / "time.tif")
        (tmp_path / "text.tif").write_text("hello")
        with pytest.raises(UserError, match="is no TIFF"):
            read_volume(tmp_path / "text.tif")

    def test_a_truncated_stack_is_said_to_be_so(self, tmp_path, pages):
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, pages, photometric="minisblack", compression="zlib")
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(UserError, match=r"a\.tif: the TIFF is truncated or damaged"):
            read_volume(path)

    def test_a_compression_without_codec_names_the_extra(self, tmp_path, pages, monkeypatch):
        first, *rest = [Image.fromarray(page) for page in pages]
        first.save(tmp_path / "a.tif", save_all=True, append_images=rest, compression="tiff_lzw")
        try:
            values = tifffile.imread(tmp_path / "a.tif")
        except ValueError:
            with pytest.raises(UserError, match=r"needs imagecodecs; pip install segnoise\[medical\]"):
                read_volume(tmp_path / "a.tif")
        else:
            assert np.array_equal(read_volume(tmp_path / "a.tif").values[0], values.transpose(1, 2, 0))

    def test_the_missing_reader_names_its_extra(self, tmp_path, pages, monkeypatch):
        tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
        monkeypatch.setitem(sys.modules, "tifffile", None)
        with pytest.raises(UserError, match=r"pip install segnoise\[medical\]"):
            read_volume(tmp_path / "a.tif")


class TestFolderOfSlices:
    def test_slices_are_in_the_order_of_their_numbers(self, tmp_path, pages):
        for number in range(12):
            write_png(tmp_path / f"slice{number}.png", pages[0] + number)
        (tmp_path / "notes.txt").write_text("x")
        volume = read_volume(tmp_path)
        assert volume.values.dtype == np.uint16
        assert np.array_equal(volume.values[0], np.stack([pages[0] + k for k in range(12)], axis=-1))
        assert np.isnan(volume.spacing).all()

    def test_a_folder_and_a_tiff_of_the_same_slices_are_one_volume(self, tmp_path, pages):
        (tmp_path / "s").mkdir()
        for number, page in enumerate(pages):
            write_png(tmp_path / "s" / f"{number}.png", page)
        tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
        one, other = read_volume(tmp_path / "s"), read_volume(tmp_path / "a.tif")
        assert np.array_equal(one.values, other.values)
        assert np.array_equal(one.affine, other.affine)

    def test_colours_are_channels_and_alpha_is_none(self, tmp_path):
        rgba = np.random.default_rng(0).integers(0, 255, (4, 6, 7)).astype(np.uint8)
        for number in range(3):
            write_png(tmp_path / f"{number}.png", rgba)
        volume = read_volume(tmp_path)
        assert volume.values.shape == (3, 6, 7, 3)
        assert np.array_equal(volume.values[..., 1], rgba[:3])

    def test_slices_that_differ_are_named(self, tmp_path, pages):
        write_png(tmp_path / "a1.png", pages[0])
        write_png(tmp_path / "a2.png", pages[0, :4])
        with pytest.raises(UserError, match=r"a1\.png is 6 x 7 px of 1 x uint16, a2\.png is 4 x 7 px"):
            read_volume(tmp_path)

    def test_mixed_kinds_and_stacks_are_refused(self, tmp_path, pages):
        (tmp_path / "stacks").mkdir()
        tifffile.imwrite(tmp_path / "stacks" / "a.tif", pages, photometric="minisblack")
        with pytest.raises(UserError, match=r"a\.tif holds several pages"):
            read_volume(tmp_path / "stacks")
        write_png(tmp_path / "stacks" / "b.png", pages[0])
        with pytest.raises(UserError, match=r"holds \.png and \.tif files"):
            read_volume(tmp_path / "stacks")
