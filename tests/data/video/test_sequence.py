"""Frames as one source, whatever they are: windows, gaps, sizes, and that a frame is decoded once."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segnoise.data import ArrayLabels, ArraySource, PerImage, Region, fit_scaling
from segnoise.data.video import FrameLabels, FrameSequence, ResizedLabels, ResizedSource, frame_name, stretches
from segnoise.data.video.recent import Recent
from segnoise.errors import UserError
from segnoise.windows import Window


class Counted(ArraySource):
    """A frame that knows how often it was read."""

    reads = 0

    def read(self, window):
        self.reads += 1
        return super().read(window)


def sequence(frames: int = 5, shape: tuple[int, int] = (6, 7)) -> tuple[FrameSequence, list[Counted], np.ndarray]:
    array = np.random.default_rng(0).normal(size=(2, frames, *shape)).astype(np.float32)
    array[:, 1, 2, 3] = np.nan
    parts = [Counted(array[:, k], spacing=(2, 3), name=f"f{k}") for k in range(frames)]
    return FrameSequence(parts, "s", range(frames)), parts, array


@given(start=st.tuples(*[st.integers(-3, 8)] * 3), size=st.tuples(*[st.integers(1, 9)] * 3))
def test_a_window_of_a_sequence_is_that_of_the_stacked_frames(start, size):
    whole, _, array = sequence()
    stacked = ArraySource(array)
    window = Window(start, size)
    for one, other in zip(whole.read(window), stacked.read(window), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (whole.shape, whole.channels, whole.spacing[1:]) == (stacked.shape, 2, (2, 3))
    assert np.isnan(whole.spacing[0])


def test_only_the_frames_that_a_window_touches_are_read_and_overlapping_clips_read_none_twice():
    whole, parts, _ = sequence()
    for start in (1, 2, 1):
        whole.read(Window((start, 0, 0), (2, 6, 7)))
        whole.read(Window((start, 3, 3), (2, 2, 2)))
    assert [part.reads for part in parts] == [0, 1, 1, 1, 0]


def test_frames_too_large_to_be_kept_are_read_by_window():
    class Huge(Counted):
        def read(self, window):
            assert window.size == (2, 2)
            return np.ones((1, 2, 2), np.float32), np.ones((2, 2), bool)

    frame = Huge(np.zeros((1, 1, 1), np.float32))
    frame.shape = (2**13, 2**12)
    values, _ = FrameSequence([frame], "s", [0]).read(Window((0, 5, 5), (1, 2, 2)))
    assert values.sum() == 4


def test_what_is_kept_is_bounded_and_the_least_used_goes():
    store, asked = Recent(limit=100), []

    def load(k):
        asked.append(k)
        return (np.zeros(40, np.uint8),)

    for k in (0, 1, 0, 2, 0, 1):
        store.get(k, lambda k=k: load(k))
    assert asked == [0, 1, 2, 1]


def test_a_sequence_survives_pickling():
    whole, _, _ = sequence()
    again = pickle.loads(pickle.dumps(whole))
    window = Window((0, 0, 0), whole.shape)
    np.testing.assert_array_equal(again.read(window)[0], whole.read(window)[0])


def test_frames_of_two_sizes_or_kinds_are_named():
    a, b = ArraySource(np.zeros((1, 4, 4)), name="a.png"), ArraySource(np.zeros((1, 4, 5)), name="b.png")
    with pytest.raises(UserError, match=r"b\.png: is 4 x 5 px, but a\.png .* 4 x 4 px; .*data\.size"):
        FrameSequence([a, b], "s", [0, 1])
    with pytest.raises(UserError, match=r"b\.png: has 1 bands, but a .* 3"):
        FrameSequence([ArraySource(np.zeros((3, 4, 5)), name="a"), b], "s", [0, 1])
    with pytest.raises(UserError, match="frame 1 comes after frame 1"):
        FrameSequence([a, a], "s", [1, 1])
    with pytest.raises(UserError, match="no frame"):
        FrameSequence([], "s", [])


def test_a_frame_without_a_mask_is_unknown_and_so_is_what_lies_beyond():
    labels = FrameLabels([ArrayLabels(np.full((2, 2), k, np.uint8)) for k in (0, 1)] + [None], (2, 2))
    read = labels.read(Window((-1, 0, 1), (5, 1, 2)))
    assert read[:, 0].tolist() == [[255, 255], [0, 255], [1, 255], [255, 255], [255, 255]]


@given(shape=st.tuples(st.integers(1, 12), st.integers(1, 12)), size=st.tuples(st.integers(1, 15), st.integers(1, 15)))
def test_no_label_outside_the_sources_set_after_resizing_and_images_stay_in_range(shape, size):
    rng = np.random.default_rng(shape[0])
    labels = rng.choice([0, 3, 9, 255], shape).astype(np.uint8)
    small = ResizedLabels(ArrayLabels(labels), size).read(Window((0, 0), size))
    assert set(np.unique(small)) <= set(np.unique(labels))
    image = rng.uniform(5, 6, (2, *shape))
    values, seen = ResizedSource(ArraySource(image), size).read(Window((0, 0), size))
    assert seen.all()
    assert values.min() > 4.999
    assert values.max() < 6.001


def test_resized_images_and_labels_show_the_same_place():
    mask = np.zeros((40, 60), np.uint8)
    mask[8:20, 16:44] = 1
    small = ResizedLabels(ArrayLabels(mask), (10, 15)).read(Window((0, 0), (10, 15)))
    image, _ = ResizedSource(ArraySource(mask[None].astype(np.float32)), (10, 15)).read(Window((0, 0), (10, 15)))
    np.testing.assert_array_equal(small, image[0] > 0.5)


def test_shrinking_averages_over_all_pixels_and_leaves_out_what_is_not_observed():
    image = np.random.default_rng(1).normal(size=(1, 64, 64)).astype(np.float32)
    small, _ = ResizedSource(ArraySource(image), (4, 4)).read(Window((0, 0), (4, 4)))
    assert np.abs(small).max() < 0.25  # a pixel picked out of 256 would be of size 1
    image[:] = 7
    image[:, :, :20] = np.nan
    half, seen = ResizedSource(ArraySource(image), (4, 4)).read(Window((0, 0), (4, 4)))
    assert not seen[:, 0].any()
    np.testing.assert_allclose(half[0][seen], 7, rtol=1e-5)


@given(st.sets(st.integers(0, 200), min_size=1), st.integers(1, 40))
def test_stretches_never_cross_a_gap_and_keep_order(numbers, stride):
    ordered = sorted(numbers)
    runs = stretches(ordered, stride)
    flat = [k for run in runs for k in run]
    assert flat == sorted(set(flat))
    for run in runs:
        for a, b in itertools.pairwise(run):
            assert 0 < ordered[b] - ordered[a] <= stride
    for before, after in itertools.pairwise(runs):
        assert ordered[after[0]] - ordered[before[-1]] > stride
    if stride == 1:
        assert flat == list(range(len(ordered)))


def test_a_name_gives_the_last_number_and_what_stands_before_it():
    assert frame_name("seq1_endocv2021_positive_021_mask.jpg") == ("seq1_endocv2021_positive", 21)
    assert frame_name("frame007.png") == ("frame", 7)
    assert frame_name("0003.jpg") == ("", 3)


def test_rasters_on_other_grids_are_named(tmp_path):
    from segnoise.data.raster import RasterSource
    from segnoise.data.video import check_one_grid

    paths = [tmp_path / f"{k}.tif" for k in range(3)]
    for k, path in enumerate(paths):
        place = rasterio.Affine(10, 0, 500000 + (20 if k == 2 else 0), 0, -10, 4000000)
        profile = {"driver": "GTiff", "height": 4, "width": 5, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
        with rasterio.open(path, "w", transform=place, **profile) as file:
            file.write(np.ones((1, 4, 5), np.uint8))
    check_one_grid([RasterSource(path) for path in paths[:2]])
    with pytest.raises(UserError, match=r"2\.tif: not on the grid of .*0\.tif: .*500020.*500000") as error:
        check_one_grid([RasterSource(path) for path in paths])
    assert "\n" not in str(error.value)


def test_a_png_that_ends_too_early_is_named(tmp_path):
    from segnoise.data.video.folders import open_frame

    path = tmp_path / "f.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)).save(path)
    open_frame(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"f\.png: the picture ends too early"):
        open_frame(path)


def test_a_scaling_is_measured_a_few_frames_at_a_time():
    class Watched(FrameSequence):
        longest = 0

        def read(self, window):
            self.longest = max(self.longest, window.size[0])
            return super().read(window)

    array = np.random.default_rng(0).normal(3, 2, (2, 50, 4, 5)).astype(np.float32)
    whole = Watched([ArraySource(array[:, k]) for k in range(50)], "s", range(50))
    region = [Region(0, Window((0, 0, 0), whole.shape))]
    found, expected = fit_scaling([whole], region), fit_scaling([ArraySource(array)], region)
    assert whole.longest == 16
    np.testing.assert_allclose([found.offset, found.scale], [expected.offset, expected.scale], rtol=1e-6)
    whole.longest = 0
    PerImage(whole).read(Window((0, 0, 0), (1, 1, 1)))
    assert whole.longest == 16
