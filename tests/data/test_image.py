from __future__ import annotations

import numpy as np
import pytest
import rasterio

from segnoise.data import ImageLabels, ImageSource
from segnoise.errors import UserError
from segnoise.windows import Window

WHOLE = Window((0, 0), (6, 8))
PLAIN = {"crs": None, "transform": None, "photometric": None}


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 255, (3, 6, 8)).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_of_both_depths_are_read_as_they_are(write_raster, rgb, name, dtype, channels):
    array = rgb[:channels].astype(dtype) * (257 if dtype == "uint16" else 1)
    driver = "PNG" if name.endswith("png") else "GTiff"
    source = ImageSource(write_raster(name, array, driver=driver, **PLAIN))
    values, observed = source.read(WHOLE)
    assert source.channels == channels
    assert np.array_equal(values, array)
    assert observed.all()
    assert np.isnan(source.spacing).all()


def test_jpeg_comes_close_and_is_padded_beyond_its_edge(write_raster):
    flat = np.full((3, 16, 16), 90, dtype=np.uint8)
    values, observed = ImageSource(write_raster("a.jpg", flat, driver="JPEG", **PLAIN)).read(Window((8, 8), (16, 16)))
    assert np.abs(values[:, :8, :8] - 90).max() <= 2
    assert (values[:, 8:] == 0).all()
    assert observed.sum() == 64


def test_transparent_pixels_are_not_observed(write_raster, rgb):
    alpha = np.full((1, 6, 8), 255, dtype=np.uint8)
    alpha[0, 2, 3] = 0
    source = ImageSource(write_raster("a.png", np.concatenate([rgb, alpha]), driver="PNG", **PLAIN))
    values, observed = source.read(WHOLE)
    assert source.channels == 3
    assert np.argwhere(~observed).tolist() == [[2, 3]]
    assert (values[:, 2, 3] == 0).all()


@pytest.fixture
def palette_png(tmp_path):
    indices = np.arange(48).reshape(6, 8).astype(np.uint8) % 3
    path = tmp_path / "p.png"
    with rasterio.open(path, "w", driver="PNG", height=6, width=8, count=1, dtype="uint8") as dataset:
        dataset.write(indices, 1)
        dataset.write_colormap(1, {0: (0, 0, 0, 0), 1: (200, 10, 20, 255), 2: (5, 100, 250, 255)})
    return path, indices


def test_a_palette_image_shows_its_colours_and_a_palette_mask_its_indices(palette_png):
    path, indices = palette_png
    image = ImageSource(path)
    values, observed = image.read(WHOLE)
    assert image.channels == 3
    assert np.array_equal(observed, indices > 0)
    assert (values[:, indices == 2] == np.array([[5], [100], [250]])).all()
    assert np.array_equal(ImageLabels(path, num_classes=3, like=image).read(WHOLE), indices)


def test_a_colour_mask_is_refused(write_raster, rgb):
    with pytest.raises(UserError, match="class indices"):
        ImageLabels(write_raster("m.png", rgb, driver="PNG", **PLAIN))


def test_image_and_mask_of_different_size_state_both_sizes(write_raster, rgb):
    image = ImageSource(write_raster("a.png", rgb, driver="PNG", **PLAIN))
    mask = write_raster("m.png", rgb[0, :5], driver="PNG", **PLAIN)
    with pytest.raises(UserError, match=r"m\.png: the mask is 5 x 8 px .*a\.png is 6 x 8 px"):
        ImageLabels(mask, like=image)


def test_a_class_outside_the_list_is_named_and_255_is_unknown(write_raster):
    mask = np.array([[0, 1, 255, 1]], dtype=np.uint8)
    path = write_raster("m.png", mask, driver="PNG", **PLAIN)
    assert ImageLabels(path, num_classes=2).read(Window((0, 0), (1, 4))).tolist() == [[0, 1, 255, 1]]
    with pytest.raises(UserError, match=r"m\.png: class value 1 .* 1 classes"):
        ImageLabels(path, num_classes=1).check()


def test_masks_of_0_and_255_are_told(write_raster, caplog):
    mask = np.array([[0, 255, 255, 0]], dtype=np.uint8)
    ImageLabels(write_raster("m.png", mask, driver="PNG", **PLAIN), num_classes=2).check()
    assert "only 0 and 255" in caplog.text


def test_a_real_pair_of_png_files(shared_data):
    folder = shared_data / "nuclei_dsb2018"
    stem = sorted((folder / "images").iterdir())[0].stem
    image = ImageSource(folder / "images" / f"{stem}.png")
    mask = ImageLabels(folder / "labels" / f"{stem}.png", num_classes=2, like=image)
    mask.check()
    assert 0 < (mask.read(Window((0, 0), image.shape)) == 1).mean() < 0.9
