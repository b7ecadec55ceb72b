"""The correlation behind error maps, of one map and of sets."""

from __future__ import annotations

import numpy as np
import pytest

from segnoise.draws import generator
from segnoise.kms import sample_field
from segnoise.noise import noise_card_of, parse
from segnoise.noise.latent import (
    Together,
    common_correlation,
    indicator_correlation,
    latent_correlation,
    latent_of,
    tetrachoric,
)


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("rho", [0.5, 0.75, 0.9, 0.97])
def test_the_correlation_of_drawn_errors_is_found_within_a_fiftieth(rho: float, rate: float) -> None:
    clean = np.zeros((1024, 1024), np.uint8)
    noisy = parse(f"kms({rate}, rho={rho})").noisy_all([clean], seed=3)[0][0]
    latent = latent_correlation(noisy > 0, np.ones(clean.shape, bool))
    assert latent is not None
    assert latent["rho"] == pytest.approx([rho, rho], abs=0.02)


def test_indicator_and_latent_correlation_invert_each_other() -> None:
    for rate in (0.02, 0.3, 0.7):
        for correlation in (-0.1, 0.0, 0.4, 0.95):
            indicator = indicator_correlation(rate, correlation)
            assert tetrachoric(rate, rate**2 + indicator * (rate - rate**2)) == pytest.approx(correlation, abs=1e-6)


def test_counts_along_an_axis_are_those_of_a_loop() -> None:
    rng = generator(1)
    known = rng.random((9, 11)) < 0.8
    wrong = (rng.random((9, 11)) < 0.4) & known
    for axis in (0, 1):
        counts = Together.along(wrong, known, axis)
        for lag, pairs, joint in zip((1, 2, 4, 8, 16, 32), counts.pairs, counts.joint, strict=True):
            step = (lag, 0) if axis == 0 else (0, lag)
            ends = [(x, (x[0] + step[0], x[1] + step[1])) for x in np.ndindex(known.shape)]
            ends = [(x, y) for x, y in ends if y[0] < 9 and y[1] < 11 and known[x] and known[y]]
            assert pairs == len(ends)
            assert joint == sum(bool(wrong[x] and wrong[y]) for x, y in ends)


def test_images_that_differ_in_how_much_is_wrong_do_not_look_correlated_for_it() -> None:
    clean = np.zeros((128, 128), np.uint8)
    given = [
        (sample_field(clean.shape, 0.8, generator(k)) > t).astype(np.uint8)
        for k, t in enumerate([0, 1, 1.5, 2, 2.5] * 4)
    ]
    pooled = noise_card_of([(x, clean) for x in given])["latent"]
    assert pooled["rho"] == pytest.approx([0.8, 0.8], abs=0.02)
    joined = latent_correlation(np.concatenate(given) > 0, np.ones((20 * 128, 128), bool))
    assert joined is not None
    assert joined["rho"][1] > 0.83


def test_one_map_in_two_halves_has_nearly_the_correlation_of_the_whole() -> None:
    wrong = sample_field((600, 400), (0.9, 0.7), generator(7)) > 1
    ones = np.ones((300, 400), bool)
    axes = [[Together.along(half, ones, axis) for half in (wrong[:300], wrong[300:])] for axis in (0, 1)]
    whole, halves = latent_correlation(wrong, np.ones(wrong.shape, bool)), latent_of(axes)
    assert whole is not None
    assert halves is not None
    assert halves["rho"] == pytest.approx(whole["rho"], abs=0.005)


def test_maps_without_right_and_wrong_pixels_have_no_say() -> None:
    told = Together(500, 1000, (3000,), (1000,))
    silent = [Together(0, 1000, (3000,), (0,)), Together(1000, 1000, (3000,), (3000,))]
    assert common_correlation([told, *silent], 0) == common_correlation([told], 0)
    assert common_correlation(silent, 0) is None
