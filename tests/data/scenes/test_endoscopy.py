"""Claims about a procedural endoscopic sequence: instruments with moving joints, a thin thread, and no colour that tells them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segnoise.data import ImageLabels, ImageSource
from segnoise.data.scenes.endoscopy import ENDOSCOPY_CLASSES, EndoscopicSequence, endoscopic_sequence
from segnoise.errors import UserError
from segnoise.windows import Window

TISSUE, SHAFT, WRIST, CLASPER, THREAD = range(len(ENDOSCOPY_CLASSES))
CROSS = np.ones((3, 3), dtype=bool)


@pytest.fixture(scope="module")
def operations() -> list[EndoscopicSequence]:
    return [endoscopic_sequence(12, seed=seed) for seed in range(12)]


def frames_of(operations: list[EndoscopicSequence]) -> np.ndarray:
    return np.concatenate([operation.mask for operation in operations])


def iou_by_colour(known: list[EndoscopicSequence], asked: list[EndoscopicSequence]) -> tuple[float, list[float]]:
    """IoU of instruments, and of each class of them, if each of 4096 colours is given its most frequent class."""

    def colours(sequences: list[EndoscopicSequence]) -> np.ndarray:
        return np.concatenate([s.image for s in sequences]) // 16 @ np.array([256, 16, 1])

    counts = np.zeros((4096, len(ENDOSCOPY_CLASSES)), dtype=int)
    np.add.at(counts, (colours(known).ravel(), frames_of(known).ravel()), 1)
    guess, truth = counts.argmax(axis=1)[colours(asked)], frames_of(asked)

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        return float((a & b).sum() / (a | b).sum())

    return iou(guess > 0, truth > 0), [iou(guess == k, truth == k) for k in range(1, len(ENDOSCOPY_CLASSES))]


class TestSeeds:
    def test_equal_seeds_give_equal_bytes(self) -> None:
        first, second = (endoscopic_sequence(4, seed=3) for _ in range(2))
        assert first.image.tobytes() == second.image.tobytes()
        assert first.mask.tobytes() == second.mask.tobytes()

    def test_another_seed_gives_another_operation(self) -> None:
        first, second = (endoscopic_sequence(2, seed=seed) for seed in (3, 4))
        assert np.mean(first.mask != second.mask) > 0.05
        assert not np.array_equal(first.image, second.image)

    def test_a_finer_grid_samples_the_same_instruments(self) -> None:
        coarse, fine = (endoscopic_sequence(3, size, seed=8).mask for size in ((96, 128), (288, 384)))
        fine = fine[:, 1::3, 1::3]
        bars = (coarse != THREAD) & (fine != THREAD)
        assert bars.mean() > 0.97
        assert np.mean((coarse != fine)[bars]) < 0.001


class TestTruth:
    @settings(max_examples=8, deadline=None)
    @given(st.integers(1, 5), st.tuples(st.integers(64, 130), st.integers(64, 150)), st.integers(0, 10_000))
    def test_a_sequence_shows_instruments_whatever_its_size_and_seed(
        self, frames: int, size: tuple[int, int], seed: int
    ) -> None:
        operation = endoscopic_sequence(frames, size, seed)
        assert operation.image.shape == (frames, *size, 3)
        assert operation.mask.shape == (frames, *size)
        assert operation.image.dtype == operation.mask.dtype == np.uint8
        assert operation.mask.max() < len(ENDOSCOPY_CLASSES)
        assert 0.01 < np.mean(operation.mask > 0) < 0.5

    def test_every_class_is_in_most_frames_and_tissue_fills_most_of_them(
        self, operations: list[EndoscopicSequence]
    ) -> None:
        masks = frames_of(operations)
        for label in range(len(ENDOSCOPY_CLASSES)):
            assert np.mean((masks == label).any(axis=(1, 2))) > 0.9
        share = np.bincount(masks.ravel()) / masks.size
        assert 0.7 < share[TISSUE] < 0.95
        assert share[SHAFT] > share[WRIST] > share[CLASPER] > share[THREAD] > 0.002

    def test_shafts_come_from_the_rim_and_wrists_join_them_to_claspers(
        self, operations: list[EndoscopicSequence]
    ) -> None:
        entering = joined = jawed = 0.0
        masks = frames_of(operations)
        for mask in masks:
            regions, _ = ndimage.label(mask == SHAFT, CROSS)
            rim = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
            entering += np.isin(regions, rim[rim > 0]).sum() / max((mask == SHAFT).sum(), 1) / len(masks)
            near = ndimage.binary_dilation(mask == WRIST, CROSS)
            joined += (near & (mask == SHAFT)).any() / len(masks)
            jawed += (near & (mask == CLASPER)).any() / len(masks)
        assert entering > 0.9
        assert joined > 0.95
        assert jawed > 0.95

    def test_thread_is_a_pixel_or_two_wide_and_claspers_are_thin(self, operations: list[EndoscopicSequence]) -> None:
        masks = frames_of(operations)

        def share_as_wide_as(side: int, label: int) -> float:
            wide = [ndimage.binary_opening(mask == label, np.ones((side, side))) for mask in masks]
            return float(np.sum(wide) / (masks == label).sum())

        assert share_as_wide_as(4, THREAD) < 0.05
        assert share_as_wide_as(7, CLASPER) < 0.3
        assert share_as_wide_as(7, SHAFT) > 0.8

    def test_a_thread_at_any_size_is_in_one_piece_where_nothing_covers_it(self) -> None:
        for size in ((64, 80), (300, 400)):
            thread = endoscopic_sequence(1, size, seed=6).mask[0] == THREAD
            regions, count = ndimage.label(thread, CROSS)
            assert 1 <= count <= 6
            assert np.bincount(regions.ravel())[1:].max() > 0.1 * size[0]


class TestMotion:
    def test_instruments_move_a_little_from_frame_to_frame_and_far_over_many(
        self, operations: list[EndoscopicSequence]
    ) -> None:
        near = [np.mean(o.mask[1:] != o.mask[:-1]) for o in operations]
        far = [np.mean(o.mask[8:] != o.mask[:-8]) for o in operations]
        assert min(near) > 0.005
        assert max(near) < 0.08
        assert np.mean(far) > 2 * np.mean(near)

    def test_claspers_open_and_close(self, operations: list[EndoscopicSequence]) -> None:
        spread = []
        for operation in operations:
            places = [np.argwhere(mask == CLASPER) for mask in operation.mask]
            spread.append([len(place) and np.linalg.norm(place.std(axis=0)) for place in places])
        assert np.mean(np.ptp(spread, axis=1)) > 3

    def test_the_tissue_moves_under_the_camera(self, operations: list[EndoscopicSequence]) -> None:
        for operation in operations:
            grey = operation.image.mean(axis=-1)
            clear = ndimage.minimum_filter((operation.mask == TISSUE).astype(np.uint8), (3, 9, 9)) > 0
            step = np.abs(grey[6] - grey[5])[clear[5]].mean()
            jump = np.abs(grey[10] - grey[2])[clear[5]].mean()
            assert step > 1.5
            assert jump > 1.2 * step

    def test_the_picture_shows_edges_where_the_truth_has_them(self, operations: list[EndoscopicSequence]) -> None:
        steepness = []
        for image, mask in zip(np.concatenate([o.image for o in operations]), frames_of(operations), strict=True):
            slope = sum(np.hypot(*np.gradient(image[..., c].astype(float))) for c in range(3))
            bars = (mask > 0) & (mask != THREAD)
            edge = ndimage.binary_dilation(bars, CROSS) & ~ndimage.binary_erosion(bars, CROSS)
            near = ndimage.binary_dilation(edge, np.ones((9, 9))) & ~ndimage.binary_dilation(edge, CROSS)
            steepness.append(slope[edge].mean() / slope[near].mean())
        # With the truth two pixels off, it is below 1.4.
        assert np.median(steepness) > 1.5


class TestPixels:
    def test_no_table_of_colours_finds_the_instruments(self, operations: list[EndoscopicSequence]) -> None:
        instruments, each = iou_by_colour(operations[:6], operations[6:])
        assert instruments < 0.6
        assert np.mean(each) < 0.35
        assert iou_by_colour(operations, operations)[0] < 0.6

    def test_steel_and_tissue_both_glint(self, operations: list[EndoscopicSequence]) -> None:
        glints = frames_of(operations)[np.concatenate([o.image for o in operations]).min(axis=-1) > 165]
        assert 0.02 < np.mean(glints == TISSUE) < 0.98

    def test_smoke_takes_the_contrast_of_some_sequences_and_spares_others(self) -> None:
        left = []
        for seed in range(16):
            image = endoscopic_sequence(16, (64, 80), seed).image.astype(float)
            contrast = np.abs(np.diff(image, axis=1)).mean(axis=(1, 2, 3))
            left.append(contrast.min() / contrast.max())
        assert np.mean(np.array(left) < 0.75) > 0.2
        assert np.mean(np.array(left) > 0.8) > 0.15

    def test_light_falls_off_towards_the_corners(self, operations: list[EndoscopicSequence]) -> None:
        mean = np.mean([o.image.mean(axis=(0, 3)) for o in operations], axis=0)
        corners = [
            mean[rows, columns].mean()
            for rows in (slice(8), slice(-8, None))
            for columns in (slice(8), slice(-8, None))
        ]
        assert max(corners) < 0.75 * mean[40:56, 56:72].mean()


class TestFiles:
    def test_a_saved_sequence_reads_back_equal_through_the_readers_of_images(self, tmp_path: Path) -> None:
        operation = endoscopic_sequence(3, (64, 80), seed=2)
        folders = operation.save(tmp_path / "drawn", "seq_07")
        assert folders == {kind: tmp_path / "drawn" / kind / "seq_07" for kind in ("images", "labels")}
        whole = Window((0, 0), (64, 80))
        for kind in folders.values():
            assert sorted(path.name for path in kind.iterdir()) == ["00000.png", "00001.png", "00002.png"]
        for t in range(3):
            image, label = (folder / f"{t:05d}.png" for folder in folders.values())
            np.testing.assert_array_equal(ImageSource(image).read(whole)[0], operation.image[t].transpose(2, 0, 1))
            np.testing.assert_array_equal(ImageLabels(label, len(ENDOSCOPY_CLASSES)).read(whole), operation.mask[t])
        with rasterio.open(folders["images"] / "00000.png") as file:
            assert (file.driver, file.count, file.dtypes[0]) == ("PNG", 3, "uint8")

    def test_an_existing_frame_is_refused_and_kept(self, tmp_path: Path) -> None:
        first, second = (endoscopic_sequence(1, (64, 64), seed) for seed in range(2))
        path = first.save(tmp_path)["images"] / "00000.png"
        before = path.read_bytes()
        with pytest.raises(UserError, match=r"00000\.png: already exists"):
            second.save(tmp_path)
        assert path.read_bytes() == before
        second.save(tmp_path, overwrite=True)
        assert path.read_bytes() != before

    def test_a_folder_that_cannot_be_made_is_a_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(UserError, match="cannot be made"):
            endoscopic_sequence(1, (64, 64)).save(tmp_path / "file" / "drawn")


@pytest.mark.parametrize(("frames", "size", "says"), [(2, (63, 90), "at least 64"), (0, (64, 64), "give at least 1")])
def test_impossible_sequences_get_one_line(frames: int, size: tuple[int, int], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        endoscopic_sequence(frames, size)
    assert "\n" not in str(caught.value)
