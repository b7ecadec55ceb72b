"""The Markov boundary walk."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.draws import generator, uniforms
from segnoise.errors import UserError
from segnoise.noise import Markov


def walked(labels: NDArray[np.uint8], params: dict) -> NDArray[np.bool_]:
    """The published walk on a binary map, by distance transforms; its finish by a Gaussian of floats."""
    index = np.pad(np.zeros(labels.shape, np.int64), 1)
    index = np.arange(index.size).reshape(index.shape)[1:-1, 1:-1]
    region = labels > 0
    growing = uniforms(np.arange(params["steps"]), params["key"], "grow") < params["grow"]
    for step in range(params["steps"]):
        edge = ndimage.distance_transform_edt(~region if growing[step] else region) == 1
        region = region ^ (edge & (uniforms(index, params["key"], "flip", step) < params["flip"]))
    flat = np.arange(labels.size).reshape(labels.shape)
    votes = region ^ (uniforms(flat, params["key"], "speckle") < params["speckle"])
    taps = np.round(256 * np.exp(-(np.arange(-2, 3) ** 2) / 8) / np.exp(-(np.arange(-2, 3) ** 2) / 8).sum())
    share = votes.astype(float)
    for axis in (0, 1):
        share = ndimage.correlate1d(share, taps / taps.sum(), axis, mode="mirror")
    return share > 0.5


@pytest.mark.parametrize("grow", [0.3, 0.8])
def test_two_classes_walk_as_published(grow: float) -> None:
    labels = np.zeros((50, 60), dtype=np.uint8)
    labels[10:35, 12:40] = 1
    labels[18:24, 20:30] = 0
    corruption = Markov(40, grow=grow, flip=0.1, speckle=0.25)
    [params] = corruption.fit([labels], [corruption.draw(labels.shape, generator(4))])
    assert np.array_equal(corruption.apply(labels, params) == 1, walked(labels, params))


def test_the_walk_of_fewer_steps_is_the_beginning_of_that_of_more(parcels: NDArray[np.int32]) -> None:
    labels = np.minimum(parcels, 1)
    grown = [Markov(steps, grow=1, speckle=0).corrupt(labels, seed=1)[0] for steps in (10, 20, 40)]
    assert (grown[0] <= grown[1]).all()
    assert (grown[1] <= grown[2]).all()
    assert grown[0].sum() < grown[2].sum()


def test_growing_favours_the_larger_label_and_shrinking_the_smaller() -> None:
    labels = np.repeat([[0, 2, 1, 3]], 20, axis=1).repeat(40, axis=0)
    growing, shrinking = (Markov(30, grow=g, flip=0.3, speckle=0).corrupt(labels, seed=1)[0] for g in (1, 0))
    area = [np.bincount(x.ravel(), minlength=4) for x in (labels, growing, shrinking)]
    assert area[1][0] < area[0][0] < area[2][0]
    assert area[1][3] > area[0][3] > area[2][3]
    assert area[1][1] < area[0][1] < area[2][1]


def test_a_lone_change_of_mind_is_outvoted_and_an_even_split_stays() -> None:
    labels = np.zeros((80, 80), dtype=np.uint8)
    labels[:, 40:] = 1
    noisy, _ = Markov(1, flip=0, speckle=0.1).corrupt(labels, seed=1)
    assert (noisy != labels)[:, :37].mean() < 0.002
    assert (noisy != labels)[:, 38:42].mean() < 0.2


def test_objects_are_neither_made_nor_renamed(parcels: NDArray[np.int32]) -> None:
    labels = parcels.copy()
    labels[60:100, 60:100] = -1
    noisy, _ = Markov(60).corrupt(labels, seed=2, instances=True)
    assert np.array_equal(noisy < 0, labels < 0)
    assert set(np.unique(noisy)) <= set(np.unique(labels))
    touched = ndimage.distance_transform_edt(labels <= 0) > 30
    assert not noisy[touched & (noisy >= 0)].any()


def test_unknown_pixels_are_no_neighbours() -> None:
    labels = np.zeros((30, 60), dtype=np.uint8)
    labels[:, 30:] = 1
    labels[:, 28:32] = 255
    # Four unknown pixels are wider than the walk and the blur can look.
    assert np.array_equal(Markov(50, flip=0.5, speckle=0).corrupt(labels, seed=1)[0], labels)


@pytest.mark.parametrize(
    ("pair", "steps", "flip", "share", "error", "dice", "lost"),
    [((88, 36), 180, 0.05, 0.304, 0.165, 0.787, 0.001), ((6, 33), 100, 0.02, 0.019, 0.0078, 0.83, 0.01)],
    ids=["lung", "clavicle"],
)
def test_the_published_walks_have_the_statistics_measured_on_the_organs(
    pair: tuple[int, int], steps: int, flip: float, share: float, error: float, dice: float, lost: float
) -> None:
    # Measured on JSRT lungs and clavicles; pairs of ellipses have smoother outlines: Dice within 0.03, wrong
    # pixels within 10 % of their number, and hardly any of the foreground lost.
    y, x = np.mgrid[:256, :256]
    labels = np.zeros((256, 256), dtype=np.uint8)
    for column in (70, 186):
        labels[((y - 128) / pair[0]) ** 2 + ((x - column) / pair[1]) ** 2 < 1] = 1
    assert labels.mean() == pytest.approx(share, rel=0.03)
    corruption = Markov(steps, flip=flip)
    drawn = [corruption.draw(labels.shape, generator(k)) for k in range(6)]
    noisy = np.stack([n for n, _ in corruption.fit_apply([labels] * 6, drawn)])
    both = (noisy & labels).sum()
    assert (noisy != labels).mean() == pytest.approx(error, rel=0.1)
    assert 2 * both / (6 * labels.sum() + noisy.sum()) == pytest.approx(dice, abs=0.03)
    assert 1 - both / (6 * labels.sum()) == pytest.approx(lost, abs=0.006)


def test_classes_beyond_their_number_and_impossible_options_are_refused() -> None:
    with pytest.raises(UserError, match="markov: the labels hold class 4, but there are 3 classes"):
        Markov(5).corrupt(np.full((4, 4), 4), seed=1, num_classes=3)
    with pytest.raises(UserError, match=r"markov: steps 2\.5"):
        Markov(2.5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="markov: flip 7"):
        Markov(5, flip=7)
