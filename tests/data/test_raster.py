from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import get_ident

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segnoise.data import RasterLabels, RasterSource, check_same_bands
from segnoise.errors import UserError
from segnoise.windows import Window

WHOLE = Window((0, 0), (30, 40))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 200, (3, 30, 40)).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_any_data_type_is_read_as_its_own_values(write_raster, image, dtype):
    source = RasterSource(write_raster("a.tif", image.astype(dtype)))
    values, observed = source.read(WHOLE)
    assert source.dtype == dtype
    assert values.dtype == np.float32
    assert np.array_equal(values, image)
    assert observed.all()


def test_window_beyond_the_edge_equals_the_padded_whole(write_raster, image):
    source = RasterSource(write_raster("a.tif", image, tiled=True, blockxsize=16, blockysize=16))
    padded = np.pad(image, ((0, 0), (50, 50), (50, 50)))
    inside = np.pad(np.ones((30, 40), dtype=bool), 50)

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.tuples(st.integers(-49, 60), st.integers(-49, 60)), st.tuples(st.integers(1, 19), st.integers(1, 19)))
    def check(start, size):
        values, observed = source.read(Window(start, size))
        box = tuple(slice(s + 50, s + 50 + n) for s, n in zip(start, size, strict=True))
        assert np.array_equal(values, padded[(slice(None), *box)])
        assert np.array_equal(observed, inside[box])

    check()


def test_a_sentinel_in_one_band_hides_the_pixel_and_leaves_no_trace(write_raster, image):
    array = image.astype(np.int16)
    array[1, 4, 5] = -9999
    values, observed = RasterSource(write_raster("a.tif", array, nodata=-9999)).read(WHOLE)
    assert not observed[4, 5]
    assert observed.sum() == observed.size - 1
    assert (values[:, 4, 5] == 0).all()


def test_zero_as_nodata_hides_a_pixel_only_where_all_bands_are_zero(write_raster, image):
    image[1, 4, 5] = 0
    image[:, 6, 7] = 0
    _, observed = RasterSource(write_raster("a.tif", image, nodata=0)).read(WHOLE)
    assert observed[4, 5]
    assert not observed[6, 7]


def test_nodata_is_compared_in_the_precision_of_the_pixels(write_raster):
    array = np.ones((1, 30, 40), dtype=np.float32)
    array[0, 2, 3] = np.float32(-3.4e38)
    _, observed = RasterSource(write_raster("a.tif", array, nodata=float(np.float32(-3.4e38)))).read(WHOLE)
    assert np.argwhere(~observed).tolist() == [[2, 3]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_a_finite_float32_is_not_observed(write_raster, value):
    array = np.ones((2, 30, 40))
    array[1, 2, 3] = value
    values, observed = RasterSource(write_raster("a.tif", array)).read(WHOLE)
    assert np.argwhere(~observed).tolist() == [[2, 3]]
    assert np.isfinite(values).all()
    assert (values[:, 2, 3] == 0).all()


def test_alpha_is_a_mask_and_no_channel_unless_its_band_is_named(write_raster, image):
    rgba = np.concatenate([image, np.full((1, 30, 40), 255, dtype=np.uint8)])
    rgba[3, :10] = 0
    path = write_raster("a.tif", rgba, alpha=True)
    source = RasterSource(path)
    values, observed = source.read(WHOLE)
    assert source.channels == 3
    assert np.array_equal(observed, rgba[3] > 0)
    assert (values[:, :10] == 0).all()
    named = RasterSource(path, bands=[4, 1])
    values, observed = named.read(WHOLE)
    assert observed.all()
    assert np.array_equal(values, rgba[[3, 0]])


def test_internal_mask_hides_pixels(write_raster, image):
    mask = np.full((30, 40), 255, dtype=np.uint8)
    mask[5:9] = 0
    _, observed = RasterSource(write_raster("a.tif", image, mask=mask)).read(WHOLE)
    assert np.array_equal(observed, mask > 0)


def test_vrt_reads_as_the_file_it_points_to(write_raster, image, tmp_path):
    path = write_raster("a.tif", image)
    (tmp_path / "a.vrt").write_text(
        '<VRTDataset rasterXSize="40" rasterYSize="30"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>2</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    vrt = RasterSource(tmp_path / "a.vrt")
    assert np.array_equal(vrt.read(WHOLE)[0][0], RasterSource(path).read(WHOLE)[0][1])
    assert vrt.spacing == (10, 10)


def test_pickle_carries_no_handle_and_reads_the_same(write_raster, image):
    source = RasterSource(write_raster("a.tif", image))
    before = source.read(WHOLE)[0]
    record = pickle.dumps(source)
    assert len(record) < 5000
    assert np.array_equal(pickle.loads(record).read(WHOLE)[0], before)


@pytest.fixture
def many_windows(write_raster):
    """A tiled scene, windows in it, and the sum of the pixels in each."""
    big = np.arange(400 * 400, dtype=np.int32).reshape(1, 400, 400)
    source = RasterSource(write_raster("a.tif", big, tiled=True, blockxsize=64, blockysize=64, compress="deflate"))
    windows = [Window((i % 300, 7 * i % 300), (100, 100)) for i in range(40)]
    return source, windows, [big[(slice(None), *w.slices)].sum(dtype=np.float64) for w in windows]


def test_a_forked_child_reads_the_same_through_a_handle_of_its_own(many_windows):
    source, windows, expected = many_windows
    inherited = source._file._dataset()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()

    def child():
        sums = [source.read(w)[0].sum(dtype=np.float64) for w in windows]
        queue.put((sums, source._file._dataset() is inherited))

    process = context.Process(target=child, daemon=True)
    process.start()
    try:
        assert [source.read(w)[0].sum(dtype=np.float64) for w in windows] == expected
        assert queue.get(timeout=60) == (expected, False)
        process.join(60)
    finally:
        process.kill()
    assert source._file._dataset() is inherited


def test_threads_read_at_once_through_handles_of_their_own(many_windows):
    source, windows, expected = many_windows
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda w: source.read(w)[0].sum(dtype=np.float64), windows)) == expected
        handles = pool.map(lambda _: (get_ident(), id(source._file._dataset())), range(40))
    by_thread = dict(handles)
    assert len(set(by_thread.values())) == len(by_thread)
    assert id(source._file._dataset()) not in by_thread.values()


def test_a_file_replaced_under_its_name_is_read_anew(write_raster, image):
    path = write_raster("a.tif", image)
    RasterSource(path).read(WHOLE)
    write_raster("b.tif", image + 1).replace(path)
    assert np.array_equal(RasterSource(path).read(WHOLE)[0], image + 1)


def test_many_scenes_do_not_use_up_the_open_files(write_raster, tmp_path):
    sources = [RasterSource(write_raster(f"{i}.tif", np.full((1, 4, 4), i, dtype=np.uint8))) for i in range(80)]
    one = Window((0, 0), (1, 1))
    assert [source.read(one)[0].item() for source in sources] == list(range(80))
    if Path("/proc/self/fd").is_dir():
        links = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        assert sum(link.startswith(str(tmp_path)) for link in links) <= 64


def test_no_such_file_folder_text_and_complex_are_refused_in_one_line(write_raster, tmp_path):
    (tmp_path / "text.tif").write_text("no raster")
    complex_path = write_raster("c.tif", np.ones((1, 4, 4), dtype=np.complex64))
    for path, said in [
        (tmp_path / "absent.tif", "no such file"),
        (tmp_path, "a folder"),
        (tmp_path / "text.tif", "not a raster"),
        (complex_path, "complex"),
    ]:
        with pytest.raises(UserError, match=said) as caught:
            RasterSource(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_truncated_file_is_named_when_reading_reaches_the_gap(write_raster):
    path = write_raster("a.tif", np.random.default_rng(0).integers(0, 255, (1, 300, 300)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:40000])
    source = RasterSource(path)
    source.read(Window((0, 0), (10, 10)))
    with pytest.raises(UserError, match="truncated") as caught:
        source.read(Window((0, 0), (300, 300)))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_band_that_does_not_exist_is_refused(write_raster, image):
    with pytest.raises(UserError, match="no band 7; choose from 1 to 3"):
        RasterSource(write_raster("a.tif", image), bands=[1, 7])


def test_scene_without_crs_has_no_geobox_and_nan_spacing(write_raster, image):
    source = RasterSource(write_raster("a.tif", image, crs=None, transform=None))
    assert source.geobox is None
    assert np.isnan(source.spacing).all()
    with pytest.raises(UserError, match="no CRS"):
        source.require_crs()


def test_bands_that_differ_between_scenes_name_both_files(write_raster, image):
    three, two = RasterSource(write_raster("a.tif", image)), RasterSource(write_raster("b.tif", image[:2]))
    check_same_bands([three, three])
    with pytest.raises(UserError, match=r"b\.tif: has 2 bands but .*a\.tif has 3"):
        check_same_bands([three, two])


class TestRasterLabels:
    def test_nodata_nan_255_and_the_outside_are_unknown(self, write_raster):
        labels = np.array([[0, 1, 255], [9, 1, np.nan]], dtype=np.float32)
        read = RasterLabels(write_raster("l.tif", labels, nodata=9), num_classes=2).read(Window((0, -1), (3, 4)))
        assert read.dtype == np.int64
        assert read.tolist() == [[255, 0, 1, 255], [255, 255, 1, 255], [255] * 4]

    @pytest.mark.parametrize(("value", "said"), [(5, "class value 5"), (-1, "class value -1"), (0.5, "whole number")])
    def test_a_strange_value_is_named_with_its_file_and_the_class_list(self, write_raster, value, said):
        labels = np.zeros((30, 40), dtype=np.float32)
        labels[20, 30] = value
        path = write_raster("l.tif", labels)
        known = RasterLabels(path, num_classes=3)
        assert (known.read(Window((0, 0), (10, 10))) == 0).all()
        for read in [lambda: known.read(WHOLE), known.check]:
            with pytest.raises(UserError, match=said) as caught:
                read()
            assert str(path) in str(caught.value)
            assert value == 0.5 or "3 classes" in str(caught.value)

    def test_two_bands_are_refused(self, write_raster, image):
        with pytest.raises(UserError, match="2 bands"):
            RasterLabels(write_raster("l.tif", image[:2]))

    @pytest.mark.parametrize(
        "change",
        [
            {"transform": Affine(10, 0, 500005, 0, -10, 5000000)},
            {"transform": Affine(20, 0, 500000, 0, -10, 5000000)},
            {"crs": "EPSG:32634"},
            {"crs": None},
        ],
    )
    def test_another_grid_is_refused_and_both_are_stated(self, write_raster, image, change):
        scene = RasterSource(write_raster("a.tif", image))
        with pytest.raises(UserError, match="not on the grid") as caught:
            RasterLabels(write_raster("l.tif", image[0], **change), like=scene)
        assert str(caught.value).count("30 x 40 px") == 2
        assert "\n" not in str(caught.value)

    def test_another_shape_is_refused_and_both_are_stated(self, write_raster, image):
        scene = RasterSource(write_raster("a.tif", image))
        with pytest.raises(UserError, match=r"29 x 40 px.* 30 x 40 px"):
            RasterLabels(write_raster("l.tif", image[0, 1:]), like=scene)

    def test_a_transform_rounded_in_its_last_digits_is_the_same_grid(self, write_raster, image):
        scene = RasterSource(write_raster("a.tif", image))
        rounded = Affine(10 * (1 + 1e-9), 0, 500000 + 1e-7, 0, -10, 5000000)
        RasterLabels(write_raster("l.tif", image[0], transform=rounded), like=scene)

    def test_zero_as_nodata_is_told(self, write_raster, caplog):
        RasterLabels(write_raster("l.tif", np.zeros((4, 4), dtype=np.uint8), nodata=0))
        assert "declares 0 as nodata" in caplog.text

    def test_check_tells_when_255_can_only_have_been_meant_as_a_class(self, write_raster, caplog):
        mask = np.zeros((4, 4), dtype=np.uint8)
        RasterLabels(write_raster("a.tif", mask), num_classes=2).check()
        assert not caplog.text
        mask[1:3] = 255
        RasterLabels(write_raster("l.tif", mask), num_classes=2).check()
        assert "only 0 and 255" in caplog.text


def test_real_scene_with_odd_crs_and_nodata(shared_data):
    folder = shared_data / "scenes_vhr_landsat" / "nebraska_landsat5"
    scene = RasterSource(folder / "scene.tif")
    labels = RasterLabels(folder / "labels.tif", num_classes=2, like=scene)
    assert scene.require_crs().crs.epsg is None
    assert scene.spacing == (30, 30)
    values, observed = scene.read(Window((0, 0), (512, 512)))
    with rasterio.open(folder / "scene.tif") as dataset:
        raw = dataset.read()
    assert np.array_equal(observed, (raw != -9999).all(axis=0))
    assert values[:, observed].min() > -9999
    assert set(np.unique(labels.read(Window((0, 0), (512, 512))))) == {0, 1}
