"""The published noise of the JSRT studies."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.noise import Jsrt


def organs(count: int, height: float, width: float, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Pairs of upright ellipses at 256 x 256, of varying size and place."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:256, :256]
    images = []
    for _ in range(count):
        one = np.zeros((256, 256), dtype=bool)
        for column in (75, 181):
            row, column = 128 + rng.normal(0, 5), column + rng.normal(0, 4)
            half_height, half_width = np.array([height, width]) * (1 + rng.normal(0, 0.06, 2))
            one |= ((y - row) / half_height) ** 2 + ((x - column) / half_width) ** 2 < 1
        images.append(one.astype(np.uint8))
    return images


def part(record: dict) -> dict:
    """What was done to the image."""
    return record["params"][0]["part"]["part"]


@pytest.fixture(scope="module")
def blob() -> NDArray[np.uint8]:
    rng = np.random.default_rng(2)
    field = ndimage.gaussian_filter(rng.normal(size=(90, 100)), 7)
    field[:12] = field[-12:] = field[:, :12] = field[:, -12:] = -1
    return (field > 0.01).astype(np.uint8)


@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize("way", ["dilate", "erode"])
def test_dilation_and_erosion_keep_the_step_nearest_to_beta(way: str, beta: float, blob: NDArray[np.uint8]) -> None:
    morphology = ndimage.binary_dilation if way == "dilate" else ndimage.binary_erosion
    steps = [blob > 0]
    while 0 < steps[-1].sum() < blob.size and len(steps) < 60:
        steps.append(morphology(steps[-1]))
    nearest = min(steps[:-1], key=lambda s: abs(int((s != (blob > 0)).sum()) - beta * blob.sum()))
    for seed in range(20):
        noisy, record = Jsrt(1, beta).corrupt(blob, seed)
        if part(record)["way"] == way:
            break
    assert np.array_equal(noisy, nearest)
    assert record["params"][0]["met"] == (nearest != blob).sum() / blob.sum()


def test_a_moved_image_is_rotated_and_shifted_by_the_best_whole_step() -> None:
    [image] = organs(1, 80, 30)
    directions = set()
    for seed in range(30):
        noisy, record = Jsrt(1, 0.5).corrupt(image, seed)
        done = part(record)
        if done["way"] != "affine":
            continue
        directions.add(tuple(done["direction"]))
        assert abs(done["degrees"]) <= 15
        angle = np.radians(done["degrees"])
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = np.array([127.5, 127.5])
        turned = ndimage.affine_transform(image, matrix, centre - matrix @ centre, order=0)
        moved = [ndimage.shift(turned, np.array(done["direction"]) * step, order=0) for step in range(45)]
        mismatch = [(m != image).sum() / image.sum() for m in moved]
        assert done["step"] == int(np.argmin(np.abs(np.array(mismatch) - 0.5)))
        assert np.array_equal(noisy, moved[done["step"]])
        assert done["met"] == pytest.approx(0.5, rel=0.05)
    assert len(directions) > 3
    assert (0, 0) not in directions


def test_the_three_ways_and_the_eight_directions_have_equal_odds() -> None:
    drawn = [Jsrt(1, 0.5).draw((8, 8), np.random.default_rng(seed))["part"]["part"] for seed in range(2400)]
    ways = Counter(p["way"] for p in drawn)
    directions = Counter(tuple(p["direction"]) for p in drawn)
    assert set(ways) == {"dilate", "erode", "affine"}
    assert max(abs(n - 800) for n in ways.values()) < 4 * np.sqrt(2400 * 2 / 9)
    assert len(directions) == 8
    assert max(abs(n - 300) for n in directions.values()) < 4 * np.sqrt(2400 * 7 / 64)


def test_a_share_alpha_of_the_images_is_changed() -> None:
    images = organs(10, 60, 24)
    done = Jsrt(0.3, 0.5).corrupt_all(images, seed=1)
    assert sum(not np.array_equal(n, c) for (n, _), c in zip(done, images, strict=True)) == 3


def test_a_rotation_that_alone_changes_too_much_is_reduced(parcels: NDArray[np.int32]) -> None:
    met = []
    for seed in range(30):
        record = Jsrt(1, 0.2, angle=90).corrupt(np.minimum(parcels, 1), seed)[1]
        if part(record)["way"] == "affine":
            met.append(record["params"][0]["met"])
    assert len(met) > 4
    assert np.median(met) == pytest.approx(0.2, rel=0.05)


def test_ids_and_classes_keep_their_values_and_unknown_pixels_do_not_grow(parcels: NDArray[np.int32]) -> None:
    labels = parcels.copy()
    labels[:40, :50] = -1
    for seed in range(6):
        noisy, _ = Jsrt(1, 0.3).corrupt(labels, seed, instances=True)
        assert np.array_equal(noisy < 0, labels < 0)
        assert set(np.unique(noisy)) <= set(np.unique(labels))


def test_a_level_that_whole_steps_miss_is_named() -> None:
    labels = np.zeros((30, 30), dtype=np.uint8)
    labels[14:17, 14:17] = 1
    for seed in range(20):
        record = Jsrt(1, 0.5).corrupt(labels, seed)[1]
        if part(record)["way"] == "dilate":
            break
    assert record["params"][0]["met"] == 0
    assert record["params"][0]["why"] == "whole steps come no nearer in 1 of 1 images (0 to 0)"
    why = Jsrt(0.5, 0.5).corrupt_all(organs(3, 60, 24), seed=1)[0][1]["params"][0]["why"]
    assert why == "of 3 images no nearer share can be had"


@pytest.mark.parametrize(
    ("alpha", "beta", "error", "dice", "lost"),
    [(0.3, 0.5, 0.045, 0.927, 0.07), (0.5, 0.7, 0.105, 0.827, 0.18), (0.7, 0.7, 0.148, 0.758, 0.24)],
)
def test_the_published_levels_have_the_statistics_measured_on_the_lungs(
    alpha: float, beta: float, error: float, dice: float, lost: float
) -> None:
    # Measured on JSRT lungs (30.4 % of the image): Dice within 0.02, shares of pixels within 0.03 absolute.
    images = np.stack(organs(120, 88, 36))
    assert images.mean() == pytest.approx(0.304, abs=0.01)
    corruption = Jsrt(alpha, beta)
    drawn = [corruption.draw((256, 256), generator(3, k)) for k in range(len(images))]
    noisy = np.stack([labels for labels, _ in corruption.fit_apply(list(images), drawn)])
    both = (images & noisy).sum()
    assert (noisy != images).mean() == pytest.approx(error, abs=0.03 * 0.304)
    assert 2 * both / (images.sum() + noisy.sum()) == pytest.approx(dice, abs=0.02)
    assert 1 - both / images.sum() == pytest.approx(lost, abs=0.03)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UserError, match=r"jsrt: alpha 1\.5"):
        Jsrt(1.5, 0.5)
    with pytest.raises(UserError, match="jsrt: beta 2 "):
        Jsrt(0.5, 2)
    with pytest.raises(UserError, match="jsrt: angle 200"):
        Jsrt(0.5, 0.5, angle=200)
