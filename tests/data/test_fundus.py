from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from segnoise.data.fieldofview import field_of_view
from segnoise.data.fundus import read_fundus
from segnoise.data.source import Labels, Source
from segnoise.errors import UserError
from segnoise.windows import Window
from tests.data import fundus_trees as trees

WHOLE = Window((0, 0), trees.SHAPE)


def image_of(source: Source) -> tuple[np.ndarray, np.ndarray]:
    return source.read(Window((0, 0), source.shape))


def mask_of(labels: Labels | None) -> np.ndarray:
    assert labels is not None
    return labels.read(Window((0, 0), labels.shape))


class TestDrive:
    def test_labels_are_vessels_inside_the_field_of_view_and_unknown_outside(self, tmp_path):
        truth = trees.write_drive(tmp_path)
        names, items = read_fundus(tmp_path)
        assert names == ["background", "vessel"]
        assert [(i.name, i.split) for i in items] == [
            ("21_training", "train"),
            ("22_training", "train"),
            ("01_test", "test"),
        ]
        for item in items[:2]:
            assert np.array_equal(mask_of(item.labels), np.where(trees.disc(), truth[item.name[:2]], 255))

    def test_pixels_outside_the_field_of_view_are_not_observed_and_zero(self, tmp_path):
        trees.write_drive(tmp_path)
        values, observed = image_of(read_fundus(tmp_path)[1][0].source)
        inside = trees.disc()
        assert np.array_equal(observed, inside)
        assert np.array_equal(values[:, inside], np.moveaxis(trees.photograph(21), -1, 0)[:, inside])
        assert (values[:, ~inside] == 0).all()

    def test_test_images_have_no_labels_where_the_download_has_none(self, tmp_path):
        trees.write_drive(tmp_path)
        assert read_fundus(tmp_path)[1][2].labels is None

    def test_a_window_beyond_the_edge_is_unknown_there(self, tmp_path):
        truth = trees.write_drive(tmp_path)
        item = read_fundus(tmp_path)[1][0]
        window = Window((30, 40), (20, 20))
        labels = item.labels.read(window)
        assert np.array_equal(labels[:10, :8], np.where(trees.disc(), truth["21"], 255)[30:, 40:])
        assert (labels[10:] == 255).all()
        assert not item.source.read(window)[1][10:].any()

    def test_a_gif_mask_is_read_by_the_grey_its_palette_shows_and_not_by_its_index(self, tmp_path):
        truth = trees.write_drive(tmp_path)
        image = Image.fromarray(1 - truth["21"], mode="P")
        image.putpalette([255, 255, 255, 0, 0, 0])
        image.save(tmp_path / "training" / "1st_manual" / "21_manual1.gif")
        labels = mask_of(read_fundus(tmp_path)[1][0].labels)
        assert np.array_equal(labels[trees.disc()], truth["21"][trees.disc()])

    def test_the_second_observer_drew_the_test_set_only(self, tmp_path):
        trees.write_drive(tmp_path)
        trees.save(tmp_path / "test" / "2nd_manual" / "01_manual2.gif", trees.vessels(5) * 255)
        items = read_fundus(tmp_path, observer=2)[1]
        assert [item.labels is None for item in items] == [True, True, False]
        assert np.array_equal(mask_of(items[2].labels), np.where(trees.disc(), trees.vessels(5), 255))

    def test_no_mask_of_the_observer_at_all_is_a_mistake(self, tmp_path):
        trees.write_drive(tmp_path)
        with pytest.raises(UserError, match="none of the 3 images has a mask"):
            read_fundus(tmp_path, observer=2)

    @pytest.mark.parametrize("lost", ["1st_manual/22_manual1.gif", "mask/22_training_mask.gif"])
    def test_one_missing_mask_or_field_of_view_among_others_is_named(self, tmp_path, lost):
        trees.write_drive(tmp_path)
        (tmp_path / "training" / lost).unlink()
        with pytest.raises(UserError, match=r"no 22_.*\* for the image .*22_training\.tif"):
            read_fundus(tmp_path)


class TestChase:
    @pytest.mark.parametrize("observer", [1, 2])
    def test_the_chosen_observer_is_read_and_the_group_is_the_child(self, tmp_path, observer):
        truth = trees.write_chase(tmp_path)
        names, items = read_fundus(tmp_path, observer=observer)
        assert names == ["background", "vessel"]
        assert [(i.name, i.group) for i in items] == [
            ("Image_01L", "01"),
            ("Image_01R", "01"),
            ("Image_14L", "14"),
            ("Image_14R", "14"),
        ]
        for item in items:
            assert np.array_equal(mask_of(item.labels), truth[f"{item.name}/{observer}"])

    def test_a_third_observer_is_refused(self, tmp_path):
        trees.write_chase(tmp_path)
        with pytest.raises(UserError, match=r"observer 3: this is a chase folder; choose from \(1, 2\)"):
            read_fundus(tmp_path, observer=3)


class TestRefuge:
    @staticmethod
    def first(folder):
        return next(item.labels for item in read_fundus(folder)[1] if item.name == "g0001")

    def test_values_go_to_classes_through_the_table(self, tmp_path):
        trees.write_refuge(tmp_path)
        names, items = read_fundus(tmp_path)
        assert names == ["background", "rim", "cup"]
        labels = mask_of(next(item.labels for item in items if item.name == "g0001"))
        assert np.array_equal(labels, np.select([trees.rim_and_cup() == 255, trees.rim_and_cup() == 128], [0, 1], 2))

    def test_the_split_is_that_of_the_folders_and_the_test_set_has_no_labels(self, tmp_path):
        trees.write_refuge(tmp_path)
        items = {item.name: item for item in read_fundus(tmp_path)[1]}
        assert {name: item.split for name, item in items.items()} == {
            "g0001": "train",
            "n0001": "train",
            "V0001": "val",
            "T0001": "test",
        }
        assert [name for name, item in items.items() if item.labels is None] == ["T0001"]

    def test_a_mask_in_three_equal_bands_is_the_same_mask(self, tmp_path):
        trees.write_refuge(tmp_path)
        before = mask_of(self.first(tmp_path))
        path = next(tmp_path.rglob("g0001.bmp"))
        trees.save(path, trees.rim_and_cup(), mode="RGB")
        assert np.array_equal(mask_of(self.first(tmp_path)), before)

    @pytest.mark.parametrize("value", [1, 127, 129, 254])
    def test_any_other_value_is_a_mistake_and_not_thresholded(self, tmp_path, value):
        trees.write_refuge(tmp_path)
        mask = trees.rim_and_cup()
        mask[5, 7] = value
        trees.save(next(tmp_path.rglob("g0001.bmp")), mask)
        labels = self.first(tmp_path)
        with pytest.raises(
            UserError, match=rf"g0001\.bmp: value {value} is none of 255 \(class 0\), 128 \(class 1\), 0"
        ):
            mask_of(labels)

    def test_a_coloured_mask_is_a_mistake(self, tmp_path):
        trees.write_refuge(tmp_path)
        trees.save(next(tmp_path.rglob("g0001.bmp")), np.full((*trees.SHAPE, 3), [255, 0, 0], dtype=np.uint8))
        with pytest.raises(UserError, match="a colour is none of"):
            mask_of(self.first(tmp_path))

    def test_a_missing_mask_in_a_labelled_split_is_named(self, tmp_path):
        trees.write_refuge(tmp_path)
        next(tmp_path.rglob("n0001.bmp")).unlink()
        with pytest.raises(UserError, match=r"n0001\.jpg: no n0001\.bmp"):
            read_fundus(tmp_path)

    def test_two_copies_of_an_image_are_named(self, tmp_path):
        trees.write_refuge(tmp_path)
        trees.save(tmp_path / "copy" / "g0001.jpg", trees.photograph(1))
        with pytest.raises(UserError, match=r"g0001\.jpg: has the name of"):
            read_fundus(tmp_path)


class TestPlain:
    @pytest.mark.parametrize("masks", ["masks", "labels"])
    def test_indices_are_read_in_natural_order(self, tmp_path, masks):
        trees.write_plain(tmp_path, masks)
        names, items = read_fundus(tmp_path)
        assert names == ["background", "vessel"]
        assert [item.name for item in items] == ["eye1", "eye2", "eye10"]
        assert np.array_equal(mask_of(items[2].labels), trees.vessels(10))
        assert image_of(items[0].source)[1].all()

    def test_black_and_white_masks_need_to_be_said(self, tmp_path):
        trees.write_plain(tmp_path, black_and_white=True)
        with pytest.raises(UserError, match=r"eye1\.png: holds only 0 and 255.* values=\{0: 0, 255: 1\}"):
            read_fundus(tmp_path)
        items = read_fundus(tmp_path, values={0: 0, 255: 1})[1]
        assert np.array_equal(mask_of(items[0].labels), trees.vessels(1))

    def test_a_grey_value_may_stand_for_unknown_but_not_for_a_class_too_many(self, tmp_path):
        trees.write_plain(tmp_path)
        items = read_fundus(tmp_path, values={0: 255, 1: 1})[1]
        assert np.array_equal(mask_of(items[0].labels), np.where(trees.vessels(1) == 0, 255, 1))
        with pytest.raises(UserError, match="classes 0 to 1"):
            read_fundus(tmp_path, values={0: 0, 1: 2})

    def test_a_class_outside_the_given_list_is_named(self, tmp_path):
        trees.write_plain(tmp_path)
        trees.save(tmp_path / "masks" / "eye1.png", trees.vessels(1) * 2)
        assert read_fundus(tmp_path, classes=["background", "artery", "vein"])[0][2] == "vein"
        with pytest.raises(UserError, match=r"eye1\.png: class value 2 .* 2 classes"):
            mask_of(read_fundus(tmp_path)[1][0].labels)

    def test_the_fov_folder_bounds_images_and_labels(self, tmp_path):
        trees.write_plain(tmp_path, fov=True)
        item = read_fundus(tmp_path)[1][0]
        assert np.array_equal(image_of(item.source)[1], trees.disc())
        assert np.array_equal(mask_of(item.labels) == 255, ~trees.disc())

    def test_the_field_of_view_is_derived_only_when_asked(self, tmp_path):
        trees.write_plain(tmp_path)
        assert image_of(read_fundus(tmp_path)[1][0].source)[1].all()
        item = read_fundus(tmp_path, derive_fov=True)[1][0]
        assert np.array_equal(image_of(item.source)[1], trees.disc())
        assert np.array_equal(mask_of(item.labels), np.where(trees.disc(), trees.vessels(1), 255))
        window = Window((-3, 20), (30, 40))
        assert np.array_equal(item.source.read(window)[1][3:, :28], trees.disc()[:27, 20:])

    def test_sizes_that_differ_are_named(self, tmp_path):
        trees.write_plain(tmp_path)
        trees.save(tmp_path / "masks" / "eye2.png", trees.vessels(2)[:30])
        with pytest.raises(UserError, match=r"30 x 48 px .*40 x 48 px"):
            read_fundus(tmp_path)
        with pytest.raises(UserError, match=r"30 x 48 px .*40 x 48 px"):
            read_fundus(tmp_path, values={0: 0, 1: 1})

    def test_items_survive_pickling_to_a_worker(self, tmp_path):
        trees.write_plain(tmp_path)
        item = read_fundus(tmp_path, derive_fov=True)[1][0]
        before = mask_of(item.labels)
        assert np.array_equal(mask_of(pickle.loads(pickle.dumps(item)).labels), before)


class TestDetection:
    def test_what_was_seen_is_said_where_no_layout_fits(self, tmp_path):
        trees.save(tmp_path / "a.png", trees.vessels(0))
        trees.save(tmp_path / "b.png", trees.vessels(0))
        (tmp_path / "train").mkdir()
        with pytest.raises(UserError, match=r"neither DRIVE .*it holds train/, 2 \.png"):
            read_fundus(tmp_path)

    def test_an_empty_and_a_missing_folder_are_told_apart(self, tmp_path):
        with pytest.raises(UserError, match="it holds nothing"):
            read_fundus(tmp_path)
        with pytest.raises(UserError, match="no such folder"):
            read_fundus(tmp_path / "nowhere")

    def test_a_layout_that_is_forced_and_does_not_fit_says_so(self, tmp_path):
        trees.write_plain(tmp_path)
        with pytest.raises(UserError, match="no image where a drive folder has them"):
            read_fundus(tmp_path, layout="drive")
        with pytest.raises(UserError, match=r"layout 'drives': not known; did you mean 'drive'"):
            read_fundus(tmp_path, layout="drives")

    def test_classes_and_values_are_refused_where_the_set_fixes_them(self, tmp_path):
        trees.write_refuge(tmp_path)
        with pytest.raises(UserError, match="fixed for a refuge folder"):
            read_fundus(tmp_path, values={0: 0})


class TestFieldOfView:
    def test_dark_spots_are_filled_and_stray_light_outside_is_dropped(self):
        found = field_of_view(np.moveaxis(trees.photograph(1), -1, 0))
        assert np.array_equal(found, trees.disc())

    def test_an_image_that_is_all_black_has_none(self):
        assert not field_of_view(np.zeros((3, 4, 4))).any()


def test_real_photographs_have_a_round_field_of_view_and_vessels_in_it(shared_data):
    names, items = read_fundus(shared_data / "fundus_vessels", derive_fov=True)
    assert (names, len(items)) == (["background", "vessel"], 28)
    for item in items[::9]:
        observed = image_of(item.source)[1]
        rows, columns = (np.ptp(axis) + 1 for axis in np.nonzero(observed))
        assert observed.sum() / (np.pi / 4 * rows * columns) == pytest.approx(1, abs=0.01)
        labels = mask_of(item.labels)
        assert np.array_equal(labels == 255, ~observed)
        assert 0.05 < (labels[observed] == 1).mean() < 0.2


def test_real_photographs_under_their_own_names_are_read_as_chase(shared_data, tmp_path):
    folder = shared_data / "fundus_vessels"
    for stem in ("Image_01L", "Image_02R"):
        shutil.copy(folder / "images" / f"{stem}.png", tmp_path / f"{stem}.png")
        with Image.open(folder / "labels" / f"{stem}.png") as mask:
            trees.save(tmp_path / f"{stem}_1stHO.png", np.asarray(mask) * 255, mode="1")
    items = read_fundus(tmp_path)[1]
    assert [(item.name, item.group) for item in items] == [("Image_01L", "01"), ("Image_02R", "02")]
    with Image.open(folder / "labels" / "Image_02R.png") as mask:
        assert np.array_equal(mask_of(items[1].labels), np.asarray(mask))
