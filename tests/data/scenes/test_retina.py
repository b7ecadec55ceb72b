"""Claims about a procedural OCT volume: its layers are ordered, its fluid lies where fluid lies, and no threshold finds it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segnoise.data import ImageLabels, ImageSource, find_images, pair_labels, read_table
from segnoise.data.scenes.retina import RETINA_CLASSES, RetinaVolume, retina_volume
from segnoise.data.scenes.retina_layers import BOUNDARIES, FLUIDS, LAYERS, Plane
from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.windows import Window

IRF, SRF, PED = (RETINA_CLASSES.index(fluid) for fluid in FLUIDS)


@pytest.fixture(scope="module")
def volumes() -> list[RetinaVolume]:
    return [retina_volume((96, 128), seed=seed) for seed in range(40)]


@pytest.fixture(scope="module")
def wet() -> list[RetinaVolume]:
    return [retina_volume((192, 256), seed=seed, fluids=FLUIDS) for seed in range(4)]


def dice_of_the_best_band(image: np.ndarray, truth: np.ndarray) -> float:
    """The Dice of the best pair of grey levels, both chosen with the truth at hand."""
    every = np.concatenate([[0], np.bincount(image.ravel(), minlength=256).cumsum()])
    true = np.concatenate([[0], np.bincount(image[truth], minlength=256).cumsum()])
    low, high = np.triu_indices(257, 1)
    return float(np.max(2 * (true[high] - true[low]) / (every[high] - every[low] + truth.sum())))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    smooth = [ndimage.gaussian_filter(picture.astype(float), 1.5).ravel() for picture in (first, second)]
    return float(np.corrcoef(*smooth)[0, 1])


class TestSeeds:
    def test_equal_seeds_give_equal_bytes(self) -> None:
        first, second = (retina_volume((96, 128), 4, seed=3, fluids=["IRF", "PED"]) for _ in range(2))
        for name in ("image", "mask", "layers", "slice_labels"):
            assert getattr(first, name).tobytes() == getattr(second, name).tobytes()

    def test_another_seed_gives_another_eye(self) -> None:
        first, second = (retina_volume((96, 128), 2, seed=seed) for seed in (3, 4))
        assert np.abs(first.layers - second.layers).max() > 3
        assert not np.array_equal(first.image, second.image)

    def test_a_finer_grid_samples_the_same_eye(self) -> None:
        coarse, fine = (retina_volume(size, 3, seed=8, fluids=["SRF"]) for size in ((96, 128), (192, 384)))
        np.testing.assert_allclose(fine.layers[:, :, 1::3] / 2, coarse.layers, atol=0.1)
        assert np.mean(fine.mask > 0) == pytest.approx(np.mean(coarse.mask > 0), rel=0.03)


class TestLayers:
    @settings(max_examples=15, deadline=None)
    @given(
        st.tuples(st.integers(64, 130), st.integers(64, 130)),
        st.integers(1, 6),
        st.integers(0, 10_000),
        st.sets(st.sampled_from(FLUIDS)),
    )
    def test_boundaries_are_ordered_and_in_the_picture_whatever_the_eye(
        self, size: tuple[int, int], slices: int, seed: int, fluids: set[str]
    ) -> None:
        volume = retina_volume(size, slices, seed, fluids=fluids)
        assert volume.image.shape == volume.mask.shape == (slices, *size)
        assert volume.layers.shape == (slices, len(BOUNDARIES), size[1])
        assert np.all(np.diff(volume.layers, axis=1) >= 0)
        assert volume.layers.min() > 0
        assert volume.layers.max() < size[0]
        assert set(np.unique(volume.mask)) == {0, *(RETINA_CLASSES.index(fluid) for fluid in fluids)}

    def test_layer_classes_run_from_vitreous_to_choroid_and_meet_at_the_heights(self, wet: list[RetinaVolume]) -> None:
        volume = wet[0]
        layer = volume.layer_mask
        assert set(np.unique(layer)) == set(range(len(LAYERS)))
        assert np.all(np.diff(layer.astype(int), axis=1) >= 0)
        for index in range(1, len(LAYERS)):
            first_row = np.argmax(layer >= index, axis=1)
            assert np.abs(first_row - volume.layers[:, index - 1]).max() <= 0.5

    def test_the_fovea_is_a_pit_without_inner_layers(self) -> None:
        for seed in range(4):
            heights = retina_volume((192, 256), 5, seed=seed, fluids=[]).layers[2]
            middle = slice(90, 166)
            thick = heights[-1] - heights[0]
            pit = 90 + int(np.argmin(thick[middle]))
            assert thick[pit] < 0.8 * np.median(thick)
            inner = heights[BOUNDARIES.index("INL/OPL")] - heights[0]
            assert inner[pit] < 0.4 * np.median(inner)

    def test_thickness_changes_less_to_the_next_slice_than_across_the_volume(self, volumes: list[RetinaVolume]) -> None:
        thick = np.array([volume.layers[:, -1] - volume.layers[:, 0] for volume in volumes])
        assert np.abs(thick[:, 1:] - thick[:, :-1]).mean() < 0.6 * np.abs(thick[:, 5:] - thick[:, :-5]).mean()

    def test_a_retina_is_a_fifth_to_three_fifths_of_a_millimetre_thick(self, volumes: list[RetinaVolume]) -> None:
        for volume in volumes:
            thick = np.median(volume.layers[:, -1] - volume.layers[:, 0]) * volume.spacing[0]
            assert 0.2 < thick < 0.6


class TestFluid:
    def test_subretinal_fluid_fills_exactly_what_parts_the_photoreceptors_from_the_epithelium(
        self, wet: list[RetinaVolume]
    ) -> None:
        for volume in wet:
            row = np.arange(192)[None, :, None] + 0.5
            heights = {name: volume.layers[:, k, None, :] for k, name in enumerate(BOUNDARIES)}
            np.testing.assert_array_equal(volume.mask == SRF, (row > heights["OS"]) & (row <= heights["RPE"]))
            np.testing.assert_array_equal(volume.mask == PED, (row > heights["RPE base"]) & (row <= heights["BM"]))

    def test_cysts_lie_in_the_nuclear_layers(self, wet: list[RetinaVolume]) -> None:
        for volume in wet:
            homes = volume.layer_mask[volume.mask == IRF]
            assert set(np.unique(homes)) <= {LAYERS.index("INL"), LAYERS.index("ONL")}
            assert len(homes) > 50

    def test_fluid_lifts_what_is_above_it(self) -> None:
        dry = retina_volume((192, 256), 3, seed=5, fluids=[]).layers
        for fluid in FLUIDS:
            ill = retina_volume((192, 256), 3, seed=5, fluids=[fluid])
            swelling = (ill.layers[:, -1] - ill.layers[:, 0]) - (dry[:, -1] - dry[:, 0])
            columns = (ill.mask > 0).sum(axis=1) > 4
            assert swelling[columns].mean() > 4
            assert np.abs(swelling).min() < 1

    def test_about_half_of_the_eyes_are_ill_and_in_about_half_of_their_slices(
        self, volumes: list[RetinaVolume]
    ) -> None:
        ill = [volume for volume in volumes if volume.mask.any()]
        assert 0.35 < len(ill) / len(volumes) < 0.65
        share = [volume.slice_labels.any(axis=1).mean() for volume in ill]
        assert 0.3 < np.mean(share) < 0.7
        assert np.mean([s < 1 for s in share]) > 0.9

    def test_each_fluid_occurs_and_none_fills_a_volume(self, volumes: list[RetinaVolume]) -> None:
        for fluid in (IRF, SRF, PED):
            share = np.array([np.mean(volume.mask == fluid) for volume in volumes])
            assert 0.05 < np.mean(share > 0) < 0.5
            assert 0.002 < share[share > 0].mean() < 0.04
            assert share.max() < 0.1

    def test_slice_labels_say_what_the_mask_shows(self, volumes: list[RetinaVolume]) -> None:
        for volume in volumes:
            for shown, mask in zip(volume.slice_labels, volume.mask, strict=True):
                assert [bool(np.any(mask == fluid)) for fluid in (IRF, SRF, PED)] == shown.tolist()

    def test_a_slice_shows_a_fluid_clearly_or_not_at_all(self, wet: list[RetinaVolume]) -> None:
        for volume in wet:
            counts = np.array([[np.sum(mask == fluid) for fluid in (IRF, SRF, PED)] for mask in volume.mask])
            assert counts[counts > 0].min() >= 8

    def test_a_single_slice_shows_every_fluid_asked_for(self) -> None:
        for seed in range(5):
            assert retina_volume((192, 256), 1, seed, fluids=FLUIDS).slice_labels.all()


class TestPixels:
    def test_no_grey_level_finds_the_fluid(self, wet: list[RetinaVolume]) -> None:
        for volume in wet:
            some = volume.slice_labels.any(axis=1)
            assert dice_of_the_best_band(volume.image[some], volume.mask[some] > 0) < 0.5

    def test_fluid_is_darker_than_the_layer_around_it(self, wet: list[RetinaVolume]) -> None:
        for volume in wet:
            fluid = volume.mask == IRF
            near = ndimage.binary_dilation(fluid, np.ones((1, 7, 7))) & (volume.mask == 0)
            assert np.mean(volume.image[fluid]) < 0.8 * np.mean(volume.image[near])

    def test_pigment_epithelium_and_nerve_fibres_are_bright_and_the_vitreous_nearly_black(self) -> None:
        tissues = [name for name in LAYERS if name not in FLUIDS]
        dry = [retina_volume((192, 256), 2, seed, fluids=[]) for seed in range(4)]
        level = {
            name: np.mean([np.mean(volume.image[volume.layer_mask == LAYERS.index(name)]) for volume in dry])
            for name in tissues
        }
        assert level["vitreous"] < 50
        order = ["vitreous", "ONL", "INL", "OPL", "NFL"]
        assert sorted(order, key=level.__getitem__) == order
        assert set(sorted(tissues, key=level.__getitem__)[-2:]) == {"NFL", "RPE"}

    def test_neighbouring_slices_resemble_each_other_more_than_distant_ones(self) -> None:
        for seed in range(3):
            image = retina_volume((192, 256), 9, seed).image
            near = np.mean([correlation(image[s], image[s + 1]) for s in range(8)])
            far = np.mean([correlation(image[s], image[s + 6]) for s in range(3)])
            assert near > far + 0.02

    def test_speckle_grows_with_the_light_and_is_wider_than_a_pixel(self) -> None:
        volume = retina_volume((192, 256), 4, seed=1, fluids=[])
        inside = ndimage.binary_erosion(volume.layer_mask == LAYERS.index("GCL-IPL"), np.ones((1, 5, 5)))
        grain = volume.image - ndimage.gaussian_filter(volume.image.astype(float), (0, 2, 4))
        assert grain[inside].std() > 8
        pairs = inside[:, :, 1:] & inside[:, :, :-1]
        beside = np.corrcoef(grain[:, :, 1:][pairs], grain[:, :, :-1][pairs])[0, 1]
        assert 0.1 < beside < 0.9

    def test_brightness_and_contrast_differ_between_eyes(self, volumes: list[RetinaVolume]) -> None:
        assert np.ptp([volume.image.mean() for volume in volumes]) > 15


class TestPlane:
    def test_noise_has_unit_variance_and_knows_nothing_of_the_sampling(self) -> None:
        y = np.linspace(-1, 1, 5)
        fine, coarse = (Plane(np.linspace(-3, 3, n), y, 6.0).noise(0.2, generator(1)) for n in (601, 61))
        np.testing.assert_allclose(fine[:, ::10], coarse, atol=1e-4)
        many = np.array([Plane(np.linspace(-3, 3, 61), y, 6.0).noise(0.1, generator(seed)) for seed in range(30)])
        assert many.std() == pytest.approx(1, abs=0.15)


class TestFiles:
    def test_a_saved_volume_reads_back_equal_through_the_readers_of_images(self, tmp_path: Path) -> None:
        volume = retina_volume((96, 128), 3, seed=2, fluids=["IRF", "SRF"])
        table = volume.save(tmp_path / "oct", "v7")
        images = find_images(["images/*.png"], tmp_path / "oct")
        assert [path.name for path in images] == ["v7_00.png", "v7_01.png", "v7_02.png"]
        labels = pair_labels(images, "labels", tmp_path / "oct")
        assert labels == pair_labels(images, table, tmp_path / "oct")
        whole = Window((0, 0), (96, 128))
        for s, (image, label) in enumerate(zip(images, labels, strict=True)):
            np.testing.assert_array_equal(ImageSource(image).read(whole)[0][0], volume.image[s])
            np.testing.assert_array_equal(ImageLabels(label, len(RETINA_CLASSES)).read(whole), volume.mask[s])
            with rasterio.open(image) as file:
                assert (file.driver, file.dtypes) == ("PNG", ("uint8",))

    def test_layers_can_be_the_labels(self, tmp_path: Path) -> None:
        volume = retina_volume((64, 64), 1, seed=2, fluids=[])
        volume.save(tmp_path, target="layers")
        with rasterio.open(tmp_path / "labels" / "volume_00.png") as file:
            np.testing.assert_array_equal(file.read(1), volume.layer_mask[0])

    def test_volumes_share_a_table_that_says_what_each_slice_shows(self, tmp_path: Path) -> None:
        saved = {name: retina_volume((64, 64), 3, seed, fluids=["SRF"]) for seed, name in enumerate(["b", "a"])}
        for name, volume in saved.items():
            table = volume.save(tmp_path, name)
        saved["a"].save(tmp_path, "a", overwrite=True)
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["volume"], row["slice"]) for row in rows] == [(v, f"0{s}") for v in "ab" for s in range(3)]
        for row in rows:
            shown = [int(row[fluid]) for fluid in FLUIDS]
            assert shown == saved[row["volume"]].slice_labels[int(row["slice"])].tolist()
        assert len(read_table(table)) == 6

    def test_an_existing_slice_is_refused_and_kept(self, tmp_path: Path) -> None:
        retina_volume((64, 64), 1, 0).save(tmp_path)
        before = (tmp_path / "images" / "volume_00.png").read_bytes()
        with pytest.raises(UserError, match=r"volume_00\.png: already exists"):
            retina_volume((64, 64), 1, 1).save(tmp_path)
        assert (tmp_path / "images" / "volume_00.png").read_bytes() == before

    def test_a_folder_with_another_table_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "index.csv").write_text("image,label\n")
        with pytest.raises(UserError, match=r"index\.csv: is not a table of volumes"):
            retina_volume((64, 64), 1).save(tmp_path)
        assert (tmp_path / "index.csv").read_text() == "image,label\n"

    def test_a_name_with_a_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="file name"):
            retina_volume((64, 64), 1).save(tmp_path / "x" / "y", "../a")
        assert not list(tmp_path.rglob("*.png"))

    def test_a_folder_that_cannot_be_made_is_a_clear_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(UserError, match="cannot be made"):
            retina_volume((64, 64), 1).save(tmp_path / "file" / "oct")


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"size": (32, 128)}, "at least 64"),
            ({"slices": 0}, "at least 1"),
            ({"fluids": ["irf"]}, "did you mean 'IRF'"),
        ],
    )
    def test_each_gets_one_line(self, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(UserError, match=message) as caught:
            retina_volume(**{"size": (64, 64), **arguments})  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
