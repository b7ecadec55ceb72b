"""The published noise of the WHU building studies."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.noise import Whu, noise_card


def town(seed: int, low: int, high: int, size: int = 512, share: float = 0.082) -> NDArray[np.uint8]:
    """Rectangles that lie apart and cover a share of the map."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((size, size), dtype=np.uint8)
    while labels.mean() < share:
        height, width = rng.integers(low, high, 2)
        row, column = rng.integers(0, size - height), rng.integers(0, size - width)
        if not labels[max(row - 9, 0) : row + height + 9, max(column - 9, 0) : column + width + 9].any():
            labels[row : row + height, column : column + width] = 1
    return labels


def test_levels_are_names_of_the_published_shares() -> None:
    assert Whu(2) == Whu(remove=0.2, add=0.05, margin=0.5)
    assert str(Whu(remove=0.3, add=0.1, margin=0.7)) == "whu(3)"
    assert str(Whu(remove=0.3)) == "whu(remove=0.3)"


def test_the_shares_are_exact_over_all_images() -> None:
    images = [town(k, 13, 40, 256) for k in range(6)]
    done = Whu(remove=0.25, add=0.1).corrupt_all(images, seed=1)
    true = sum(ndimage.label(image)[1] for image in images)
    card = [noise_card(noisy, clean)["objects"] for (noisy, _), clean in zip(done, images, strict=True)]
    assert sum(c["missed"] for c in card) == round(0.25 * true)
    assert sum(c["extra"] for c in card) == round(0.1 * true)
    met = done[0][1]["params"][0]["met"]
    assert met == {"remove": round(0.25 * true) / true, "margin": 0, "add": round(0.1 * true) / true}


def test_a_margin_is_a_box_applied_several_times_and_small_objects_keep_theirs() -> None:
    labels = np.zeros((400, 60), dtype=np.int32)
    sides = [10, 12, 14, 16, 19, 20, 25, 30] * 2
    corners = np.cumsum([8, *(side + 8 for side in sides[:-1])])
    for k, (side, row) in enumerate(zip(sides, corners, strict=True)):
        labels[row : row + side, 10 : 10 + side] = k + 1
    noisy, _ = Whu(margin=1).corrupt(labels, seed=6, instances=True)
    seen = set()
    for k, side in enumerate(sides):
        before, after = labels == k + 1, noisy == k + 1
        largest, most = (1, 1) if side**2 < 150 else (3, 2) if side**2 < 400 else (5, 3)
        possible = []
        for kernel in range(1, largest + 1):
            box = np.ones((kernel, kernel))
            # OpenCV's anchor of an even kernel is its second pixel, SciPy's origin 0 for erosion is too.
            flipped = -1 if kernel % 2 == 0 else 0
            for times in range(1, most + 1):
                possible.append(ndimage.binary_dilation(before, box, times, origin=flipped))
                possible.append(ndimage.binary_erosion(before, box, times))
        assert any(np.array_equal(after, p) for p in possible), side
        seen.add(int(after.sum()) - side**2)
        assert side > 12 or np.array_equal(before, after)
    assert min(seen) < 0 < max(seen)


def test_a_margin_stops_at_other_objects_the_edge_and_unknown_pixels() -> None:
    labels = np.full((40, 70), 2, dtype=np.int32)
    labels[:, 32:38] = 0
    labels[:, 38:] = 3
    labels[5:35, 32:38] = -1
    for seed in range(8):
        noisy, _ = Whu(margin=1).corrupt(labels, seed, instances=True)
        assert np.array_equal(noisy < 0, labels < 0)
        assert (noisy[:, :26] == 2).all()
        assert (noisy[:, 44:] == 3).all()
        assert (noisy[12:28, :32] == 2).all()


def test_what_is_added_overlaps_nothing_and_has_the_area_of_a_true_object() -> None:
    labels = np.zeros((200, 200), dtype=np.int32)
    sizes = [(6, 30), (20, 20), (9, 14), (30, 12)]
    for k, (height, width) in enumerate(sizes):
        labels[10 : 10 + height, 10 + 45 * k : 10 + 45 * k + width] = k + 1
    areas = np.array([h * w for h, w in sizes])
    for seed in range(10):
        noisy, _ = Whu(add=1).corrupt(labels, seed, instances=True)
        assert np.array_equal(noisy[labels > 0], labels[labels > 0])
        for value in range(5, 9):
            area = int((noisy == value).sum())
            assert (np.abs(areas - area) / areas).min() < 0.15


def test_removed_objects_leave_the_class_around_them_and_nothing_is_added_in_their_place() -> None:
    labels = np.full((60, 60), 2, dtype=np.uint8)
    labels[:, :30] = 0
    labels[10:20, 40:55] = 1
    labels[30:40, 5:20] = 1
    gone = next(n for n in (Whu(remove=0.67).corrupt(labels, s)[0] for s in range(30)) if (n == 2).sum() > 1800 - 150)
    assert (gone[10:20, 40:55] == 2).all()
    for seed in range(10):
        noisy, _ = Whu(remove=1, add=1).corrupt((labels == 1).astype(np.uint8), seed)
        assert not noisy[labels == 1].any()


@pytest.mark.parametrize(
    ("level", "error", "dice", "lost"), [(1, 0.011, 0.929, 0.11), (2, 0.025, 0.834, 0.22), (3, 0.042, 0.716, 0.35)]
)
def test_the_levels_have_the_statistics_measured_on_rectangles(
    level: int, error: float, dice: float, lost: float
) -> None:
    # Measured on synthetic rectangles that cover 8.2 % of the map, of sizes unknown here: Dice and the lost share of
    # the foreground within 0.03, wrong pixels within 0.5 % of all.
    images = np.stack([town(k, 20, 70) for k in range(16)])
    corruption = Whu(level)
    drawn = [corruption.draw((512, 512), generator(9, k)) for k in range(len(images))]
    noisy = np.stack([labels for labels, _ in corruption.fit_apply(list(images), drawn)])
    both = (images & noisy).sum()
    assert (noisy != images).mean() == pytest.approx(error, abs=0.005)
    assert 2 * both / (images.sum() + noisy.sum()) == pytest.approx(dice, abs=0.03)
    assert 1 - both / images.sum() == pytest.approx(lost, abs=0.03)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UserError, match="whu: level 4 must be 0, 1, 2 or 3"):
        Whu(4)
    with pytest.raises(UserError, match="whu: give a level or the shares"):
        Whu(1, remove=0.5)
    with pytest.raises(UserError, match=r"whu: add 1\.5"):
        Whu(add=1.5)
