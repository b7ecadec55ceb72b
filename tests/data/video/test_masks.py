"""How masks say their classes: each decoder takes what it is for and names what it is not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segnoise.data import ImageSource
from segnoise.data.video import mask_decoder
from segnoise.errors import UserError
from segnoise.windows import Window
from tests.data.video import video_trees as trees

TRUTH = np.random.default_rng(0).integers(0, 3, (20, 30)).astype(np.uint8)
CLASSES = ["none", "tool", "thread"]
TABLE = {"none": (0, 0, 0), "tool": [(0, 255, 0), (0, 0, 255)], "thread": (9, 8, 7)}


@pytest.fixture
def frame(tmp_path):
    return ImageSource(trees.save(tmp_path / "frame.png", trees.picture(0, TRUTH.shape)))


def read(decoder, path, frame):
    return decoder(path, frame).read(Window((0, 0), TRUTH.shape))


def coloured(truth: np.ndarray) -> np.ndarray:
    return np.array([(0, 0, 0), (0, 255, 0), (9, 8, 7)], np.uint8)[truth]


def test_a_palette_gives_its_indices_and_not_its_colours(tmp_path, frame):
    palette = [0, 0, 0, 2, 2, 2, 1, 1, 1]
    path = trees.save(tmp_path / "m.png", TRUTH, palette)
    assert Image.open(path).mode == "P"
    np.testing.assert_array_equal(read(mask_decoder("indices", CLASSES), path, frame), TRUTH)


def test_colours_are_compared_in_three_channels(tmp_path, frame):
    decoder = mask_decoder("colours", CLASSES, colours=TABLE)
    rgb = coloured(TRUTH)
    alpha = np.random.default_rng(1).integers(0, 255, (*TRUTH.shape, 1)).astype(np.uint8)
    alpha[0] = 0
    for name, array in (("rgb.png", rgb), ("rgba.png", np.concatenate([rgb, alpha], -1))):
        np.testing.assert_array_equal(read(decoder, trees.save(tmp_path / name, array), frame), TRUTH)


def test_colours_of_a_palette_are_its_colours(tmp_path, frame):
    path = trees.save(tmp_path / "m.png", TRUTH, [0, 0, 0, 0, 0, 255, 9, 8, 7])
    np.testing.assert_array_equal(read(mask_decoder("colours", CLASSES, colours=TABLE), path, frame), TRUTH)


def test_an_unknown_colour_is_named_with_its_frame(tmp_path, frame):
    rgb = coloured(TRUTH)
    rgb[3, 4] = (0, 254, 0)
    path = trees.save(tmp_path / "frame012.png", rgb)
    with pytest.raises(UserError, match=r"frame012\.png: the colour \(0, 254, 0\) .*\(9, 8, 7\) thread") as error:
        read(mask_decoder("colours", CLASSES, colours=TABLE), path, frame)
    assert "\n" not in str(error.value)


def test_a_colour_may_stand_for_what_is_unknown(tmp_path, frame):
    table = {"none": (0, 0, 0), "tool": (0, 255, 0), "unknown": (9, 8, 7)}
    decoder = mask_decoder("colours", CLASSES, colours=table)
    found = read(decoder, trees.save(tmp_path / "m.png", coloured(TRUTH)), frame)
    np.testing.assert_array_equal(found, np.where(TRUTH == 2, 255, TRUTH))


def test_grey_values_go_by_a_table_and_others_are_named(tmp_path, frame):
    decoder = mask_decoder("values", CLASSES, values={0: 0, 10: 1, 30: 2})
    grey = np.array([0, 10, 30], np.uint8)[TRUTH]
    np.testing.assert_array_equal(read(decoder, trees.save(tmp_path / "m.png", grey), frame), TRUTH)
    grey[0, 0] = 11
    with pytest.raises(UserError, match=r"m\.png: value 11 is none of"):
        read(decoder, trees.save(tmp_path / "m.png", grey), frame)


def test_jpeg_masks_are_cut_in_the_middle(tmp_path, frame):
    mask = trees.moving_box(3, TRUTH.shape, 255)
    decoder = mask_decoder("threshold", CLASSES[:2])
    for name, array in (("g.jpg", mask), ("c.jpg", np.repeat(mask[..., None], 3, -1))):
        path = trees.save(tmp_path / name, array, quality=50)
        assert len(np.unique(np.asarray(Image.open(path)))) > 2  # the loss of JPEG is there
        assert (read(decoder, path, frame) != (mask > 0)).mean() < 0.02
    exact = np.full(TRUTH.shape, 127, np.uint8)
    exact[0] = 128
    found = read(decoder, trees.save(tmp_path / "e.png", exact), frame)
    assert found[0].all()
    assert not found[1:].any()


@pytest.mark.parametrize(
    "decoder",
    [
        mask_decoder("indices", CLASSES),
        mask_decoder("values", CLASSES, values={0: 0}),
        mask_decoder("colours", CLASSES, colours=TABLE),
        mask_decoder("threshold", CLASSES[:2]),
    ],
    ids=["indices", "values", "colours", "threshold"],
)
def test_a_mask_of_another_size_is_named_with_its_frame(tmp_path, frame, decoder):
    array = np.zeros((20, 31, 3), np.uint8) if "Colour" in str(decoder) else np.zeros((20, 31), np.uint8)
    path = trees.save(tmp_path / "small.png", array)
    with pytest.raises(UserError, match=r"small\.png: the mask is 20 x 31 px but its .*frame\.png is 20 x 30"):
        decoder(path, frame)


def test_tables_that_do_not_fit_the_classes_are_refused():
    with pytest.raises(UserError, match=r"data\.colours: there is no class 'tol'; did you mean 'tool'"):
        mask_decoder("colours", CLASSES, colours={"tol": (0, 0, 0)})
    with pytest.raises(UserError, match="stands for two classes"):
        mask_decoder("colours", CLASSES, colours={"tool": (0, 0, 0), "none": (0, 0, 0)})
    with pytest.raises(UserError, match=r"data\.colours"):
        mask_decoder("colours", CLASSES)
    with pytest.raises(UserError, match=r"data\.values"):
        mask_decoder("values", CLASSES, values={0: 7})
    with pytest.raises(UserError, match=r"data\.values"):
        mask_decoder("values", CLASSES)
    with pytest.raises(UserError, match="2 classes apart, not 3"):
        mask_decoder("threshold", CLASSES)
