"""The published noise of endoscopic video: segments of a few frames, in each of which each class is drawn wrong in one way."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rasterio import features
from scipy import ndimage

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.noise import Segments, parse, replay
from segnoise.noise.segments import outline

ONLY = {way: tuple(float(way == w) for w in ("dilate", "erode", "affine", "polygon")) for way in
        ("dilate", "erode", "affine", "polygon")}  # fmt: skip


def sequence(frames: int, seed: int, shape: tuple[int, int] = (40, 52)) -> NDArray[np.uint8]:
    """Three classes that drift over a background, and a corner that is unknown."""
    rng = np.random.default_rng(seed)
    video = np.zeros((frames, *shape), dtype=np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]]
    starts, steps = rng.uniform(8, 30, (5, 2)), rng.normal(0, 0.7, (5, 2))
    for t in range(frames):
        for k, (start, step) in enumerate(zip(starts, steps, strict=True)):
            row, column = start + t * step
            video[t][((y - row) / (3 + k)) ** 2 + ((x - column) / (8 - k)) ** 2 < 1] = 1 + k % 3
    video[:, :7, :9] = 255
    return video


def made(record: dict) -> dict:
    """What was done to the sequence."""
    return record["params"][0]["part"]["part"]


def noisy_as_said(labels: NDArray[np.uint8], done: dict, about: str) -> NDArray[np.uint8]:
    """The definition, pixel by pixel: a record's segments drawn again."""
    noisy = labels.copy()
    for number, segment in enumerate(done["segments"]):
        for t in range(*segment["frames"]):
            known = labels[t] != 255
            noisy[t][known] = 0
            for label, way in segment["labels"].items():
                rng = generator(done["key"], "instances", number, int(label), t)
                noisy[t][one_class(labels[t], int(label), way, about, rng) & known] = int(label)
    return noisy


def one_class(frame: NDArray[np.uint8], label: int, way: dict, about: str, rng: np.random.Generator) -> NDArray:
    mask, shape = frame == label, frame.shape
    drawn = np.zeros(shape, dtype=bool)
    if way["way"] in ("dilate", "erode"):
        drawn = mask.copy()
        others = np.argwhere(mask if way["way"] == "dilate" else ~mask & (frame != 255))
        for at in np.ndindex(shape):
            if len(others) and mask[at] == (way["way"] == "erode"):
                near = ((others - at) ** 2).sum(axis=1).min() <= way["radius"] ** 2
                drawn[at] = near if way["way"] == "dilate" else not near
        return drawn
    numbers, count = ndimage.label(mask, np.ones((3, 3)))
    for number in range(1, count + 1):
        pixels = np.argwhere(numbers == number)
        if way["way"] == "affine":
            turn, shift, scale = rng.uniform(-1, 1, 3)
            angle, size = math.radians(30 * turn), 1 + 0.2 * scale
            row, column = np.array([n - 1 for n in shape]) / 2 if about == "image" else pixels.mean(axis=0)
            own = {tuple(pixel) for pixel in pixels.tolist()}
            for r, c in np.ndindex(shape):
                dy, dx = r - row - 0.2 * shift * shape[0], c - column
                back = math.cos(angle) * dy + math.sin(angle) * dx, math.cos(angle) * dx - math.sin(angle) * dy
                drawn[r, c] |= (
                    math.floor(row + back[0] / size + 0.5),
                    math.floor(column + back[1] / size + 0.5),
                ) in own
        else:
            path = outline(numbers == number)
            low, high = pixels.min(axis=0), pixels.max(axis=0) + 1
            corners = [path[k * len(path) // way["corners"]] for k in range(way["corners"])]
            off = 0.2 * (high - low) * rng.uniform(-1, 1, (way["corners"], 2))
            corners = [np.clip(corner + one, 0, shape) for corner, one in zip(corners, off, strict=True)]
            for r, c in np.ndindex(shape):
                crossings = 0
                for (y0, x0), (y1, x1) in zip(corners, corners[1:] + corners[:1], strict=True):
                    if (x0 <= c + 0.5) != (x1 <= c + 0.5):
                        crossings += r + 0.5 < y0 + (c + 0.5 - x0) * (y1 - y0) / (x1 - x0)
                drawn[r, c] |= crossings % 2 == 1
    return drawn


@pytest.mark.parametrize(("way", "about"), [*((way, "image") for way in ONLY), ("affine", "object")])
def test_each_way_is_its_definition_pixel_by_pixel(way: str, about: str) -> None:
    for seed in range(2):
        video = sequence(4, seed)
        noisy, record = Segments(1, radius=("1px", "4px"), odds=ONLY[way], about=about).corrupt(video, seed)
        assert {w["way"] for s in made(record)["segments"] for w in s["labels"].values()} == {way}
        assert np.array_equal(noisy, noisy_as_said(video, made(record), about))
        assert not np.array_equal(noisy, video)


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(2, 8), st.integers(2, 8)),
               elements=st.sampled_from([0, 1, 2, 255])),
    st.integers(0, 999),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_labels_give_what_the_record_says(labels: NDArray[np.uint8], seed: int) -> None:
    before = labels.copy()
    noisy, record = Segments(1, radius=("1px", "2px")).corrupt(labels, seed)
    assert np.array_equal(labels, before)
    assert np.array_equal(noisy == 255, labels == 255)
    assert np.array_equal(noisy, noisy_as_said(labels, made(record), "image"))


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@settings(max_examples=80, deadline=None)
def test_the_outline_walks_once_around_the_first_region(mask: NDArray[np.bool_]) -> None:
    regions, count = ndimage.label(mask, np.ones((3, 3)))
    if not count:
        return
    first = regions == 1
    path = outline(first)
    filled = ndimage.binary_fill_holes(first)  # a hole closed by corners alone is no part of the outer border
    [(shape, _)] = features.shapes(filled.astype(np.uint8), mask=filled, connectivity=8)
    rings = np.array(shape["coordinates"][0])
    assert np.abs(np.diff(np.vstack([path, path[:1]]), axis=0)).sum(axis=1).tolist() == [1] * len(path)
    assert len(path) == np.abs(np.diff(rings, axis=0)).sum()
    assert {(int(r), int(c)) for c, r in rings} <= {tuple(p) for p in path.tolist()}


@given(st.integers(1, 60), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_segments_last_three_to_six_frames_and_the_rest_is_one(frames: int, seed: int) -> None:
    _, record = Segments(1, radius="1px").corrupt(np.ones((frames, 2, 2), np.uint8), seed)
    bounds = [segment["frames"] for segment in made(record)["segments"]]
    lengths = [stop - start for start, stop in bounds]
    assert [start for start, _ in bounds] == [0, *(stop for _, stop in bounds[:-1])]
    assert bounds[-1][1] == frames
    assert all(3 <= n <= 6 for n in lengths[:-1])
    assert lengths[-1] <= 6
    assert all(frames - start > 6 for start, _ in bounds[:-1])


def test_every_length_and_way_has_its_odds_and_a_thread_is_moved_instead_of_clicked() -> None:
    video = np.zeros((900, 4, 4), dtype=np.uint8)
    video[:, 0, 0], video[:, 2, 2] = 1, 6
    segments = made(Segments(1, no_polygon=6).corrupt(video, 5)[1])["segments"]
    assert set(Counter(s["frames"][1] - s["frames"][0] for s in segments[:-1])) == {3, 4, 5, 6}
    for label, expected in (("1", (1, 1, 1, 1)), ("6", (1, 1, 2, 0))):
        found = Counter(s["labels"][label]["way"] for s in segments)
        for way, share in zip(ONLY, expected, strict=True):
            assert abs(found[way] - len(segments) * share / 4) < 4 * math.sqrt(len(segments) * 3 / 16)
    assert {s["labels"]["1"].get("corners") for s in segments} == {None, 4, 5, 6, 7, 8}


def test_radii_are_the_published_ones_at_the_published_size_and_scale_with_the_image() -> None:
    def radii(height: int, noise: Segments) -> set[int]:
        video = np.zeros((240, height, 2), dtype=np.uint8)
        video[:, 0] = 1
        return {s["labels"]["1"]["radius"] for s in made(noise.corrupt(video, 1)[1])["segments"]}

    both = (1.0, 1.0, 0.0, 0.0)
    assert radii(1024, Segments(1, odds=both)) == set(range(40, 51))
    assert radii(96, Segments(1, odds=both)) == {4, 5}
    assert radii(96, Segments(1, radius=("2px", "4px"), odds=both)) == {2, 3, 4}


def test_dilation_lasts_a_segment_with_one_radius_and_affine_differs_from_frame_to_frame() -> None:
    still = np.repeat(sequence(1, 3), 6, axis=0)
    dilated, _ = Segments(1, radius=("1px", "5px"), odds=ONLY["dilate"]).corrupt(still, 2)
    moved, _ = Segments(1, odds=ONLY["affine"]).corrupt(still, 2)
    assert all(np.array_equal(frame, dilated[0]) for frame in dilated)
    assert len({frame.tobytes() for frame in moved}) == 6


def test_what_is_eroded_becomes_background_and_the_smaller_class_is_pasted_last() -> None:
    video = np.zeros((3, 20, 30), dtype=np.uint8)
    video[:, 2:18, 2:20], video[:, 2:18, 20:26] = 1, 2
    eroded, _ = Segments(1, radius="2px", odds=ONLY["erode"]).corrupt(video, 1)
    assert (eroded[:, 6, 18:22] == 0).all()
    dilated, record = Segments(1, radius="2px", odds=ONLY["dilate"]).corrupt(video, 1)
    assert (dilated[:, 6, 18:28] == 2).all()
    assert list(made(record)["segments"][0]["labels"]) == ["1", "2"]
    other, record = Segments(1, radius="2px", odds=ONLY["dilate"]).corrupt((video * 5 % 3).astype(np.uint8), 1)
    assert list(made(record)["segments"][0]["labels"]) == ["2", "1"]
    assert np.array_equal(other, dilated * 5 % 3)


def test_turning_about_the_object_keeps_it_in_its_columns() -> None:
    video = np.zeros((6, 60, 60), dtype=np.uint8)
    video[:, 26:34, 6:14] = 1
    centres = {}
    for about in ("image", "object"):
        noisy, _ = Segments(1, odds=ONLY["affine"], about=about).corrupt(video, 4)
        centres[about] = [np.nonzero(frame)[1].mean() for frame in noisy]
    assert np.abs(np.array(centres["object"]) - 9.5).max() < 0.5
    assert np.abs(np.array(centres["image"]) - 9.5).max() > 2


def test_a_share_of_the_sequences_is_noisy_and_the_others_keep_their_bytes() -> None:
    videos = [sequence(7, seed) for seed in range(10)]
    for ratio in (0.3, 0.5, 0.8):
        done = Segments(ratio).corrupt_all(videos, seed=1)
        same = [np.array_equal(noisy, clean) for (noisy, _), clean in zip(done, videos, strict=True)]
        assert sum(same) == round(10 - 10 * ratio)
        assert [record["params"][0]["part"]["chosen"] for _, record in done] == [not s for s in same]
        assert all(record["params"][0]["met"] == ratio for _, record in done)


def test_the_record_alone_replays_the_bytes_and_measures_them() -> None:
    video = sequence(9, 1)
    noise = parse("segments(1, radius=(1px, 3px), odds=(1, 2, 1, 1), no_polygon=(2, 3), about=object, frames=(2, 4))")
    noisy, record = noise.corrupt(video, seed=3)
    written = json.loads(json.dumps(record, allow_nan=False))
    assert np.array_equal(replay(video, written), noisy)
    assert parse(written["noise"]) == noise
    assert parse(str(Segments(0.3, radius=0.05))) == Segments(0.3, radius=0.05)
    assert str(Segments(0.3)) == "segments(0.3)"
    known = video != 255
    card = record["card"]
    assert card["flip_rate"]["overall"] == pytest.approx((noisy != video)[known].mean())
    for label in (1, 2, 3):
        true, given_ = video == label, noisy == label
        assert card["iou"][str(label)] == pytest.approx((true & given_).sum() / (true | given_).sum())


def test_a_seed_decides_every_sequence_and_a_class_does_not_depend_on_the_others() -> None:
    video = sequence(9, 2)
    first, second, other = (Segments(1).corrupt(video, seed)[0] for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    twins = Segments(1).corrupt_all([video, video], 3)
    assert np.array_equal(twins[0][0], first)
    assert not np.array_equal(twins[1][0], first)
    alone = np.where((video == 1) | (video == 255), video, 0)
    _, both = Segments(1).corrupt(video, 3)
    _, one = Segments(1).corrupt(alone, 3)
    for full, less in zip(made(both)["segments"], made(one)["segments"], strict=True):
        assert full["frames"] == less["frames"]
        assert less["labels"]["1"] == full["labels"]["1"]


@pytest.mark.parametrize("way", ONLY)
def test_unknown_pixels_stay_and_how_they_are_written_does_not_matter(way: str) -> None:
    video = sequence(4, 5)
    unknown = video == 255
    noise = Segments(1, radius="2px", odds=ONLY[way])
    noisy, _ = noise.corrupt(video, 2)
    other, _ = noise.corrupt(np.where(unknown, -7, video.astype(np.int16)), 2)
    assert np.array_equal(noisy == 255, unknown)
    assert np.array_equal(noisy[~unknown], other[~unknown])


def test_unknown_pixels_and_the_border_erode_nothing() -> None:
    video = np.full((3, 9, 9), 255, dtype=np.uint8)
    video[:, :, :4] = 1
    assert np.array_equal(Segments(1, radius="2px", odds=ONLY["erode"]).corrupt(video, 1)[0], video)


def test_one_frame_alone_is_a_sequence_of_one_and_other_shapes_are_refused() -> None:
    frame = sequence(1, 6)
    noise = Segments(1, radius="2px")
    assert np.array_equal(noise.corrupt(frame[0], 3)[0], noise.corrupt(frame, 3)[0][0])
    for labels in (frame[0, 0], frame[None]):
        with pytest.raises(UserError, match=r"needs labels T H W, or H W for one frame; these have [14] axes"):
            noise.corrupt(labels, 3)


def test_ids_are_drawn_wrong_one_by_one() -> None:
    ids = np.zeros((3, 20, 40), dtype=np.int32)
    ids[:, 5:15, 3:13], ids[:, 5:15, 25:35], ids[:, 0] = 7, 900, -1
    noisy, record = Segments(1, radius="1px", odds=ONLY["dilate"]).corrupt(ids, 1, instances=True)
    assert set(made(record)["segments"][0]["labels"]) == {"7", "900"}
    assert np.unique(noisy).tolist() == [-1, 0, 7, 900]
    assert (noisy == 7).sum() == 3 * (12 * 12 - 4)


def test_labels_without_a_class_a_ratio_of_none_and_a_class_that_vanishes() -> None:
    for value in (0, 255):
        empty = np.full((5, 6, 6), value, np.uint8)
        assert np.array_equal(Segments(1).corrupt(empty, 1)[0], empty)
    video = sequence(5, 7)
    noisy, record = Segments(0).corrupt(video, 1)
    assert np.array_equal(noisy, video)
    assert record["params"][0]["met"] == 0
    assert Segments(0.5).corrupt_all([], 1) == []
    _, record = Segments(1, radius="30px", odds=ONLY["erode"]).corrupt(video, 1)
    assert record["params"][0]["why"] == "nothing is left of class 1, class 2, class 3"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ratio": 1.5}, r"ratio 1\.5"),
        ({"radius": (0.05, 0.02)}, "must rise"),
        ({"radius": "3mm"}, "in px"),
        ({"radius": ("2px", 0.1)}, "two lengths"),
        ({"radius": 40}, "0 to 1 of the image height"),
        ({"odds": (1, 1)}, "four numbers"),
        ({"odds": (0, 0, 0, 0)}, "one of them above 0"),
        ({"no_polygon": 0}, "classes above 0"),
        ({"about": "imago"}, "did you mean 'image'"),
        ({"frames": (6, 3)}, "that rise"),
    ],
)
def test_impossible_options_are_refused_in_one_line(options: dict, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        Segments(**{"ratio": 0.5, **options})
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("segments: ")
