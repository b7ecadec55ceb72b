"""Public sets as their authors lay them out, on trees that a writer of its own makes from the specification."""

from __future__ import annotations

import numpy as np
import pytest

from segnoise.data.item import Item, check_disjoint
from segnoise.data.video import (
    ENDOVIS17,
    ENDOVIS18,
    items_of,
    read_endovis17,
    read_endovis18,
    read_polypgen,
    read_sunseg,
)
from segnoise.errors import UserError
from segnoise.windows import Window
from tests.data.video import video_trees as trees


def labels_of(item: Item) -> np.ndarray:
    assert item.labels is not None
    return item.labels.read(Window((0, 0, 0), item.labels.shape))


def values_of(item: Item) -> np.ndarray:
    return item.source.read(Window((0, 0, 0), item.source.shape))[0]


class TestEndoVis17:
    @pytest.fixture(scope="class")
    def tree(self, tmp_path_factory):
        root = tmp_path_factory.mktemp("endovis17")
        return root, trees.write_endovis17(root)

    @pytest.mark.parametrize("target", ["binary", "parts", "types"])
    def test_each_target_is_decoded_inside_the_picture(self, tree, target):
        root, truth = tree
        items = items_of(read_endovis17(root, target))
        assert [item.name for item in items] == [
            "test/instrument_dataset_1", "training/instrument_dataset_1", "training/instrument_dataset_2"
        ]  # fmt: skip
        assert items[0].source.shape == (2, 1024, 1280)
        np.testing.assert_array_equal(labels_of(items[0])[1], truth[target])
        assert truth[target].max() == len(ENDOVIS17[target]) - 1 or target == "types"
        np.testing.assert_array_equal(np.unique(values_of(items[0])), [40, 41])

    def test_the_test_frames_of_an_operation_are_of_its_group(self, tree):
        items = items_of(read_endovis17(tree[0]))
        assert [(item.group, item.split) for item in items] == [
            ("instrument_dataset_1", "test"), ("instrument_dataset_1", "train"), ("instrument_dataset_2", "train")
        ]  # fmt: skip
        with pytest.raises(UserError, match="share 1 patient"):
            check_disjoint({split: [i for i in items if i.split == split] for split in ("train", "test")})

    def test_what_is_wrong_is_named(self, tmp_path):
        folder = tmp_path / "instrument_dataset_1"
        for n in range(2):
            trees.save(folder / "left_frames" / f"frame{n:03d}.png", trees.picture(n))
            trees.save(
                folder / "ground_truth" / "Vessel_Sealer_labels" / f"frame{n:03d}.png", trees.moving_box(n, value=20)
            )
        (item,) = items_of(read_endovis17(tmp_path))
        assert item.source.shape == (2, *trees.SHAPE)
        assert set(np.unique(labels_of(item))) == {0, 2}
        trees.save(folder / "ground_truth" / "Vessel_Sealer_labels" / "frame001.png", trees.moving_box(1, value=25))
        with pytest.raises(UserError, match=r"frame001\.png: the grey value 25 is none of 0, 10"):
            labels_of(items_of(read_endovis17(tmp_path))[0])
        (folder / "ground_truth" / "Vessel_Sealer_labels" / "frame001.png").unlink()
        trees.save(folder / "ground_truth" / "Other_labels" / "frame001.png", trees.moving_box(1))
        with pytest.raises(UserError, match=r"no mask of the frame frame001.png that Other_labels has"):
            read_endovis17(tmp_path)
        (folder / "ground_truth" / "Other_labels").rename(folder / "ground_truth" / "Laser_labels")
        with pytest.raises(UserError, match=r"Laser_labels: an instrument that is not known"):
            read_endovis17(tmp_path)


class TestEndoVis18:
    def test_every_colour_is_its_class_with_and_without_alpha(self, tmp_path):
        truth = trees.write_endovis18(tmp_path)
        items = items_of(read_endovis18(tmp_path))
        assert [(item.name, item.split) for item in items] == [
            ("miccai_challenge_release_1/seq_2", "train"), ("miccai_challenge_release_2/seq_10", "train"),
            ("test_data/seq_1", "test"),
        ]  # fmt: skip
        assert len(ENDOVIS18) == len(trees.COLOURS_2018) == 12
        for item in items:
            assert item.source.channels == 3
            np.testing.assert_array_equal(labels_of(item), np.stack([truth] * 3))
            np.testing.assert_array_equal(values_of(item)[:, 2], np.moveaxis(trees.picture(2), -1, 0))

    def test_a_mask_without_a_frame_is_named(self, tmp_path):
        trees.write_endovis18(tmp_path)
        (tmp_path / "test_data" / "seq_1" / "left_frames" / "frame001.png").unlink()
        with pytest.raises(UserError, match=r"labels/frame001\.png: .*left_frames has no frame 1"):
            read_endovis18(tmp_path)


class TestPolypGen:
    def test_masks_are_found_by_both_names_and_frames_without_polyps_are_background(self, tmp_path):
        trees.write_polypgen(tmp_path)
        items = {item.name: item for item in items_of(read_polypgen(tmp_path))}
        assert set(items) == {"positive/seq1", "positive/seq10", "negativeOnly/seq2_neg"}
        for name in ("positive/seq1", "positive/seq10"):
            truth = np.stack([trees.moving_box(n) for n in range(4)])
            assert (labels_of(items[name]) != truth).mean() < 0.02
            assert items[name].source.numbers == (3, 4, 5, 6)
        assert not labels_of(items["negativeOnly/seq2_neg"]).any()

    def test_another_folder_is_refused(self, tmp_path):
        with pytest.raises(UserError, match="sequenceData/positive"):
            read_polypgen(tmp_path)


class TestSunSeg:
    def test_clips_of_one_case_are_one_group_and_the_folders_say_the_split(self, tmp_path):
        trees.write_sunseg(tmp_path)
        items = items_of(read_sunseg(tmp_path))
        assert [(item.name, item.group, item.split) for item in items] == [
            ("TestEasyDataset/Seen/case3_4", "case3", "test"),
            ("TestHardDataset/Unseen/case12_1", "case12", "test"),
            ("TrainDataset/case3_1", "case3", "train"),
            ("TrainDataset/case3_2", "case3", "train"),
            ("TrainDataset/case5_1", "case5", "train"),
        ]
        np.testing.assert_array_equal(labels_of(items[0]), np.stack([trees.moving_box(n) for n in range(1, 4)]))


@pytest.mark.parametrize("read", [read_endovis17, read_endovis18, read_polypgen, read_sunseg])
def test_a_folder_that_is_not_there_or_holds_something_else_is_told_in_one_line(tmp_path, read):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError) as error:
            read(folder)
        assert str(folder) in str(error.value)
        assert "\n" not in str(error.value)
