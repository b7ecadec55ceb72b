"""Claims about a procedural chest film: two lungs and a heart in their places, and no threshold that finds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segnoise.data import ImageLabels, ImageSource
from segnoise.data.scenes.chest_shape import draw_chest
from segnoise.data.scenes.radiograph import CHEST_CLASSES, Radiograph, radiograph
from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.windows import Window

LUNG, HEART = CHEST_CLASSES.index("lung"), CHEST_CLASSES.index("heart")


@pytest.fixture(scope="module")
def films() -> list[Radiograph]:
    return [radiograph(160, seed, heart=True) for seed in range(24)]


def dice_of_the_best_band(image: np.ndarray, truth: np.ndarray) -> float:
    """The Dice of the best pair of grey levels, both chosen with the truth at hand."""
    every = np.concatenate([[0], np.bincount(image.ravel(), minlength=256).cumsum()])
    true = np.concatenate([[0], np.bincount(image[truth], minlength=256).cumsum()])
    low, high = np.triu_indices(257, 1)
    return float(np.max(2 * (true[high] - true[low]) / (every[high] - every[low] + truth.sum())))


class TestSeeds:
    def test_equal_seeds_give_equal_bytes(self) -> None:
        first, second = radiograph(128, seed=4), radiograph(128, seed=4)
        assert first.image.tobytes() == second.image.tobytes()
        assert first.mask.tobytes() == second.mask.tobytes()

    def test_another_seed_gives_another_chest(self) -> None:
        first, second = radiograph(128, seed=4), radiograph(128, seed=5)
        assert np.mean(first.mask != second.mask) > 0.01
        assert not np.array_equal(first.image, second.image)

    def test_marking_the_heart_changes_neither_the_film_nor_the_lungs(self) -> None:
        plain, marked = radiograph(128, seed=6), radiograph(128, seed=6, heart=True)
        np.testing.assert_array_equal(plain.image, marked.image)
        np.testing.assert_array_equal(plain.mask == LUNG, marked.mask == LUNG)
        assert HEART in marked.mask
        assert HEART not in plain.mask

    def test_a_finer_film_shows_the_same_chest(self) -> None:
        coarse, fine = radiograph(96, seed=7).mask, radiograph(288, seed=7).mask
        np.testing.assert_array_equal(fine[1::3, 1::3], coarse)


class TestTruth:
    @settings(max_examples=12, deadline=None)
    @given(st.tuples(st.integers(64, 200), st.integers(64, 200)), st.integers(0, 10_000))
    def test_a_film_has_two_lungs_and_a_heart_whatever_its_size_and_seed(
        self, size: tuple[int, int], seed: int
    ) -> None:
        film = radiograph(size, seed, heart=True)
        assert film.image.shape == film.mask.shape == size
        assert film.image.dtype == film.mask.dtype == np.uint8
        lungs, _ = ndimage.label(film.mask == LUNG, np.ones((3, 3)))
        areas = np.sort(np.bincount(lungs.ravel())[1:])[::-1]
        assert areas[1] > 0.4 * areas[0]
        assert areas[2:].sum() < 0.02 * areas[0]
        assert np.any(film.mask == HEART)

    def test_lungs_and_heart_cover_what_they_cover_in_films(self, films: list[Radiograph]) -> None:
        for film in films:
            assert 0.18 < np.mean(film.mask == LUNG) < 0.45
            assert 0.04 < np.mean(film.mask == HEART) < 0.17

    def test_the_heart_lies_between_the_lungs_and_on_the_patients_left(self, films: list[Radiograph]) -> None:
        larger = []
        for film in films:
            columns = np.arange(160)
            lungs = columns[(film.mask == LUNG).any(axis=0)]
            middle = (lungs[0] + lungs[-1]) / 2
            heart = np.mean(np.nonzero(film.mask == HEART)[1])
            assert 0 < heart - middle < 30
            right, left = (np.sum(film.mask[:, part] == LUNG) for part in (columns < middle, columns > middle))
            larger.append(right > left)
        assert np.mean(larger) > 0.6

    def test_the_right_dome_is_usually_higher(self) -> None:
        chests = [draw_chest(generator(seed)) for seed in range(40)]
        at = np.array([-0.5, 0.5])
        levels = np.array([chest.diaphragm(at) for chest in chests])
        assert np.mean(levels[:, 0] < levels[:, 1]) > 0.8

    def test_chests_differ_in_size_turn_and_breath(self, films: list[Radiograph]) -> None:
        areas = np.array([np.mean(film.mask == LUNG) for film in films])
        assert areas.max() > 1.3 * areas.min()
        ratio = [
            np.ptp(np.nonzero((film.mask == LUNG).any(1))[0]) / np.ptp(np.nonzero((film.mask == LUNG).any(0))[0])
            for film in films
        ]
        assert np.max(ratio) > 1.15 * np.min(ratio)


class TestPixels:
    def test_no_grey_level_finds_the_lungs(self, films: list[Radiograph]) -> None:
        images, masks = (np.stack([getattr(film, name) for film in films]) for name in ("image", "mask"))
        assert dice_of_the_best_band(images, masks == LUNG) < 0.85
        assert np.mean([dice_of_the_best_band(film.image, film.mask == LUNG) for film in films]) < 0.85

    def test_lungs_are_darker_than_the_heart_and_what_is_beside_and_below_them(self, films: list[Radiograph]) -> None:
        for film in films:
            lung = film.mask == LUNG
            near = ndimage.binary_dilation(lung, iterations=6) & (film.mask == 0)
            assert np.median(film.image[lung]) < np.median(film.image[near])
            assert np.median(film.image[lung]) < np.median(film.image[film.mask == HEART])

    def test_ribs_cross_the_lungs(self, films: list[Radiograph]) -> None:
        """Along a line down each lung the grey level rises and falls about once a rib."""
        crossings = []
        for film in films:
            smooth = ndimage.gaussian_filter(film.image.astype(float), 1)
            for column in np.flatnonzero((film.mask == LUNG).sum(axis=0) > 60)[::8]:
                profile = smooth[film.mask[:, column] == LUNG, column]
                detail = profile - ndimage.gaussian_filter(profile, 8)
                crossings.append(np.sum(np.diff(np.sign(detail)) != 0) / 2)
        assert 5 < np.median(crossings) < 14

    def test_some_films_hide_a_border_and_others_show_it_all(self, films: list[Radiograph]) -> None:
        """Where the step from a lung to what is outside it is under 15 % of the film's usual one, it is hidden."""
        hidden = []
        for film in films:
            lung = film.mask == LUNG
            smooth = ndimage.gaussian_filter(film.image.astype(float), 1)
            outer = ndimage.binary_dilation(lung, iterations=3) & ~lung
            share = ndimage.uniform_filter(outer.astype(float), 9)
            outside = ndimage.uniform_filter(smooth * outer, 9) / np.maximum(share, 1e-9)
            step = (outside - smooth)[lung & ~ndimage.binary_erosion(lung, iterations=3) & (share > 0)]
            hidden.append(np.mean(step < 0.15 * np.median(step)))
        assert np.mean(np.array(hidden) > 0.08) > 0.1
        assert np.mean(np.array(hidden) < 0.03) > 0.1

    def test_noise_is_there_in_every_film_and_exposure_differs(self, films: list[Radiograph]) -> None:
        grain = []
        for film in films:
            detail = film.image - ndimage.median_filter(film.image, 3).astype(float)
            grain.append(detail[film.mask == LUNG].std())
        assert min(grain) > 0.5
        assert np.ptp([np.median(film.image[film.mask == LUNG]) for film in films]) > 30


class TestFiles:
    def test_a_saved_film_reads_back_equal_through_the_readers_of_images(self, tmp_path: Path) -> None:
        film = radiograph((96, 128), seed=2, heart=True)
        paths = film.save(tmp_path / "a" / "b", "c01")
        assert paths["image"] == tmp_path / "a" / "b" / "images" / "c01.png"
        assert paths["label"] == tmp_path / "a" / "b" / "labels" / "c01.png"
        whole = Window((0, 0), (96, 128))
        np.testing.assert_array_equal(ImageSource(paths["image"]).read(whole)[0][0], film.image)
        np.testing.assert_array_equal(ImageLabels(paths["label"], len(CHEST_CLASSES)).read(whole), film.mask)
        with rasterio.open(paths["image"]) as file:
            assert (file.driver, file.dtypes) == ("PNG", ("uint8",))

    def test_an_existing_film_is_refused_and_kept(self, tmp_path: Path) -> None:
        first, second = radiograph(64, 0), radiograph(64, 1)
        before = first.save(tmp_path)["image"].read_bytes()
        with pytest.raises(UserError, match=r"chest\.png: already exists"):
            second.save(tmp_path)
        assert (tmp_path / "images" / "chest.png").read_bytes() == before
        assert second.save(tmp_path, overwrite=True)["image"].read_bytes() != before

    def test_a_folder_that_cannot_be_made_is_a_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(UserError, match="cannot be made"):
            radiograph(64).save(tmp_path / "file" / "films")


@pytest.mark.parametrize("size", [32, (256, 63)])
def test_a_film_too_small_gets_one_line(size: int | tuple[int, int]) -> None:
    with pytest.raises(UserError, match="at least 64") as caught:
        radiograph(size)
    assert "\n" not in str(caught.value)
