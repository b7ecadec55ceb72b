"""Flips where a KMS field is largest."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.length import Length
from segnoise.noise import Kms, parse, replay
from segnoise.noise.latent import latent_correlation


@pytest.mark.parametrize("level", [0.001, 0.25, 0.4, 1.0])
def test_the_level_is_met_to_the_pixel(level: float, classes: NDArray[np.uint8]) -> None:
    noisy, record = Kms(level).corrupt(classes, seed=1)
    known = classes != 255
    assert (noisy != classes).sum() == round(level * known.sum())
    assert record["params"][0]["met"] == pytest.approx(level, abs=0.5 / known.sum())


def test_two_classes_exchange() -> None:
    labels = (np.indices((40, 40)).sum(0) % 2).astype(np.uint8)
    noisy, _ = Kms(0.5).corrupt(labels, seed=1)
    assert set(np.unique(noisy)) == {0, 1}


def test_the_other_classes_are_chosen_alike_and_never_the_own_one() -> None:
    labels = np.full((400, 400), 2, dtype=np.uint8)
    noisy, _ = Kms(0.5, rho=0.3, classes=5).corrupt(labels, seed=4)
    counts = np.bincount(noisy.ravel(), minlength=5)
    assert counts[2] == labels.size // 2
    assert np.abs(counts[[0, 1, 3, 4]] / counts[[0, 1, 3, 4]].sum() - 0.25).max() < 0.02


def test_classes_that_the_labels_do_not_show_can_be_given() -> None:
    labels = np.zeros((30, 30), dtype=np.uint8)
    assert set(np.unique(Kms(0.5, rho=0.0, classes=3).corrupt(labels, 1)[0])) == {0, 1, 2}
    assert set(np.unique(Kms(0.5, rho=0.0).corrupt(labels, 1, num_classes=3)[0])) == {0, 1, 2}
    assert set(np.unique(Kms(0.5, rho=0.0).corrupt(labels, 1)[0])) == {0, 1}
    with pytest.raises(UserError, match="class 4"):
        Kms(0.5, classes=3).corrupt(labels + 4, 1)


T = ((0.5, 0.4, 0.1), (0.0, 1.0, 0.0), (0.2, 0.3, 0.5))


def test_with_a_matrix_flips_go_where_its_rows_say_and_the_level_is_still_met_to_the_pixel() -> None:
    labels = np.repeat([0, 1, 2], 300)[:, None].repeat(900, axis=1).astype(np.uint8)
    noisy, record = Kms(0.3, rho=0.4, T=T).corrupt(labels, seed=2)
    assert (noisy != labels).sum() == round(0.3 * labels.size)
    confusion = np.array(record["card"]["confusion"])
    assert confusion[1].tolist() == [0, 300 * 900, 0]
    assert confusion[0, 1] / confusion[0, 1:].sum() == pytest.approx(0.8, abs=0.02)
    assert confusion[2, 0] / confusion[2, :2].sum() == pytest.approx(0.4, abs=0.02)


def test_a_matrix_leaves_the_field_that_says_where_labels_flip_as_it_is(classes: NDArray[np.uint8]) -> None:
    alike = tuple(tuple(0.7 if i == j else 0.1 for j in range(4)) for i in range(4))
    plain, _ = Kms(0.2).corrupt(classes, seed=3)
    written, _ = parse(f"kms(0.2, T={alike})").corrupt(classes, seed=3)
    assert np.array_equal(plain != classes, written != classes)


def test_neighbours_that_flip_take_the_same_class_more_often_than_by_chance() -> None:
    labels = np.zeros((300, 300), dtype=np.uint8)
    matrix = ((0.4, 0.3, 0.3), (0, 1, 0), (0, 0, 1))
    noisy, _ = Kms(0.4, rho=0.95, T=matrix).corrupt(labels, seed=4)
    both = (noisy[:, 1:] > 0) & (noisy[:, :-1] > 0)
    assert (noisy[:, 1:] == noisy[:, :-1])[both].mean() > 0.8


def test_a_level_beyond_the_classes_that_may_flip_says_so() -> None:
    labels = np.repeat([0, 1], [30, 70]).reshape(10, 10)
    noisy, record = Kms(0.5, T=((0.5, 0.5), (0, 1))).corrupt(labels, seed=5)
    assert (noisy == 1).all()
    assert record["params"][0]["met"] == 0.3
    assert record["params"][0]["why"] == "T lets 30 of 100 pixels flip"
    ids, record = Kms(0.3, T=((1, 0), (0.5, 0.5))).corrupt(labels, seed=5, instances=True)
    assert not ids[labels == 0].any()
    assert (ids != labels).sum() == 30


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("kms(0.2, T=((0.5, 0.4), (0, 1)))", "row 0 of T sums to 0.9"),
        ("kms(0.2, classes=3, T=((0.5, 0.5), (0, 1)))", "T has 2 rows, but classes is 3"),
    ],
)
def test_a_matrix_that_makes_no_sense_is_refused(expression: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(expression)


def test_a_matrix_must_fit_the_classes() -> None:
    with pytest.raises(UserError, match="kms: the labels hold class 3, but there are 2 classes"):
        Kms(0.2, T=((0.5, 0.5), (0, 1))).corrupt(np.array([0, 3]), seed=0)
    with pytest.raises(UserError, match="kms: written for 3 classes, but there are 2 classes"):
        Kms(0.2, T=T).corrupt(np.array([0, 1]), seed=0, num_classes=2)
    assert parse(str(Kms(0.2, T=T))) == Kms(0.2, T=T)


def test_on_instances_flips_make_holes_and_new_objects(parcels: NDArray[np.int32]) -> None:
    noisy, record = Kms(0.2).corrupt(parcels, seed=6, instances=True)
    changed = noisy != parcels
    assert changed.sum() == round(0.2 * parcels.size)
    assert (noisy[changed & (parcels > 0)] == 0).all()
    added = noisy[changed & (parcels == 0)]
    assert added.min() > parcels.max()
    binary, _ = Kms(0.2).corrupt((parcels > 0).astype(np.uint8), seed=6)
    assert np.array_equal(noisy > 0, binary > 0)
    assert record["card"]["objects"]["extra"] > 0


def test_an_id_type_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        Kms(0.3, rho=0.0).corrupt(np.zeros((60, 60), np.int8), seed=0, instances=True)


@pytest.mark.parametrize("rho", [0.5, 0.75, 0.9, 0.97])
@pytest.mark.parametrize("level", [0.05, 0.2, 0.5])
def test_the_card_finds_the_latent_correlation(rho: float, level: float) -> None:
    labels = np.zeros((1024, 1024), dtype=np.uint8)
    corruption = Kms(level, rho=(rho, 0.6))
    drawn = corruption.draw(labels.shape, generator(int(100 * rho), str(level)))
    noisy, _ = corruption.fit_apply([labels], [drawn])[0]
    latent = latent_correlation(noisy != labels, labels == 0)
    assert latent is not None
    assert latent["rho"] == pytest.approx([rho, 0.6], abs=0.02)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 3.0), (3.0, 1.0, 0.5)])
def test_a_length_makes_correlations_that_follow_the_size_of_voxels(spacing: tuple[float, ...]) -> None:
    labels = np.zeros((96, 96, 96), dtype=np.uint8)
    noisy, record = parse("kms(0.4, length=3mm)").corrupt(labels, seed=4, spacing=spacing)
    expected = np.exp(-np.array(spacing) / 3)
    assert record["params"][0]["rho"] == pytest.approx(expected)
    latent = latent_correlation(noisy != labels, labels == 0)
    assert latent is not None
    assert latent["rho"] == pytest.approx(expected, abs=0.02)
    assert np.array_equal(replay(labels, record), noisy)
    by_rho, _ = Kms(0.4, rho=tuple(expected.tolist())).corrupt(labels, seed=4)
    assert np.array_equal(by_rho, noisy)


def test_a_length_is_written_back_and_needs_a_size_of_pixels() -> None:
    assert str(parse("kms(0.4, length=3mm)")) == "kms(0.4, length=3mm)"
    assert parse("kms(0.4, length=3mm)").lengths == (Length(3.0, "mm"),)
    with pytest.raises(UserError, match="length 3mm: the size of the labels' pixels is unknown"):
        parse("kms(0.4, length=3mm)").corrupt(np.zeros((9, 9), np.uint8), seed=0)


@pytest.mark.parametrize(
    "options",
    [
        {"level": 0.2, "length": "0mm"},
        {"level": 0.2, "length": 3},
        {"level": 1.2},
        {"level": -0.1},
        {"level": 0.2, "rho": 1.0},
        {"level": 0.2, "rho": ()},
        {"level": 0.2, "classes": 1},
    ],
)
def test_values_outside_their_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match="kms"):
        Kms(**options)


def test_one_correlation_per_axis_must_fit_the_axes() -> None:
    with pytest.raises(UserError, match="2 values, the labels have 3 axes"):
        Kms(0.2, rho=(0.9, 0.8)).corrupt(np.zeros((4, 4, 4), np.uint8), seed=0)
