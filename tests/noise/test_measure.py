"""The noise card on cases that can be counted by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.kms import sample_field
from segnoise.noise import noise_card
from segnoise.noise.latent import latent_correlation, tetrachoric


def square(grow: int = 0) -> NDArray[np.uint8]:
    labels = np.zeros((40, 40), dtype=np.uint8)
    labels[10 - grow : 30 + grow, 10 - grow : 30 + grow] = 1
    return labels


def test_equal_maps_have_an_empty_card(parcels: NDArray[np.int32]) -> None:
    card = noise_card(parcels, parcels, instances=True)
    assert card["errors"] == card["flip_rate"]["overall"] == card["reassigned"] == 0
    assert card["displacement"]["mean_absolute"] == card["displacement"]["changed_per_length"] == 0
    assert card["objects"]["missed"] == card["objects"]["extra"] == 0
    assert card["latent"] is None
    assert card["near_boundary"]["1px"] is None


def test_confusion_and_rates_count_known_pixels_only() -> None:
    clean = np.array([[0, 0, 1, 1], [2, 2, 255, 1]])
    given = np.array([[0, 1, 1, 1], [0, 255, 1, 1]])
    card = noise_card(given, clean)
    assert card["confusion"] == [[1, 1, 0], [0, 3, 0], [1, 0, 0]]
    assert card["pixels"] == 6
    assert card["flip_rate"] == {"overall": 2 / 6, "per_class": {"0": 0.5, "1": 0.0, "2": 1.0}}
    assert card["vanished"] == ["2"]


@pytest.mark.parametrize(("grow", "distance"), [(1, 1.0), (3, 3.0), (-2, -2.0)])
def test_a_grown_square_is_displaced_by_what_it_grew(grow: int, distance: float) -> None:
    displacement = noise_card(square(grow), square())["displacement"]
    assert displacement["quantiles"]["0.5"] == pytest.approx(distance)
    assert displacement["bias"] == pytest.approx(distance, abs=0.2)
    assert displacement["mean_absolute"] == pytest.approx(abs(distance), abs=0.2)
    assert displacement["faces"] == 4 * (20 + 2 * grow)


def test_distances_scale_with_the_spacing() -> None:
    card = noise_card(square(2), square(), spacing=(10.0, 10.0))
    for key in ("mean_absolute", "bias", "changed_per_length"):
        assert card["displacement_spaced"][key] == pytest.approx(10 * card["displacement"][key])
    oblong = noise_card(square(2), square(), spacing=(10.0, 5.0))
    assert oblong["displacement_spaced"]["mean_absolute"] == pytest.approx(15.0, abs=1.0)
    assert "displacement_spaced" not in noise_card(square(2), square(), spacing=(float("nan"), 1.0))


def test_errors_near_boundaries_are_those_within_the_distance() -> None:
    near = noise_card(square(3), square())["near_boundary"]
    # the ring is 3 px wide: rows of 84, 92 and 100 pixels, centres 0.5, 1.5 and 2.5 px out, but for the corners
    assert near["1px"] == pytest.approx((80 + 0) / (26**2 - 20**2), abs=0.02)
    assert near["4px"] == 1.0


def test_missed_and_extra_objects_are_matched_by_overlap() -> None:
    clean, given = np.zeros((30, 30), np.int32), np.zeros((30, 30), np.int32)
    clean[2:8, 2:8], clean[20:28, 2:8], clean[2:8, 20:28] = 5, 6, 7
    given[2:8, 3:9], given[20:28, 20:28] = 1, 2
    objects = noise_card(given, clean, instances=True)["objects"]
    assert (objects["true"], objects["given"], objects["missed"], objects["extra"]) == (3, 2, 2, 1)
    assert objects["missed_share"] == pytest.approx(2 / 3)
    assert objects["extra_share"] == pytest.approx(1 / 3)


def test_ids_of_the_two_maps_need_not_agree(parcels: NDArray[np.int32]) -> None:
    order = generator(1).permutation(int(parcels.max()) + 1)
    order[order == 0], order[0] = order[0], 0
    shifted = np.roll(parcels, 2, axis=0)
    renamed = order[shifted].astype(np.int32)
    card, other = (noise_card(x, parcels, instances=True) for x in (shifted, renamed))
    assert card["reassigned"] == other["reassigned"]
    assert card["displacement"] == other["displacement"]
    assert card["objects"] == other["objects"]


def test_every_number_is_json(classes: NDArray[np.uint8]) -> None:
    given = np.where(classes == 1, 0, classes)
    json.dumps(noise_card(given, classes, spacing=(1.0, 2.0)), allow_nan=False)


def test_maps_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        noise_card(np.zeros((2, 2), int), np.zeros((2, 3), int))


@pytest.mark.parametrize("correlation", [-0.6, 0.0, 0.3, 0.9, 0.999])
def test_tetrachoric_inverts_the_arcsine_law_at_half(correlation: float) -> None:
    joint = 0.25 + math.asin(correlation) / (2 * math.pi)
    assert tetrachoric(0.5, joint) == pytest.approx(correlation, abs=1e-6)


@pytest.mark.parametrize("rate", [0.03, 0.3, 0.8])
def test_tetrachoric_inverts_the_bivariate_normal(rate: float) -> None:
    from scipy.stats import multivariate_normal, norm

    t = float(norm.isf(rate))
    for correlation in (-0.2, 0.2, 0.8):
        joint = float(multivariate_normal.cdf([-t, -t], cov=[[1, correlation], [correlation, 1]]))
        assert tetrachoric(rate, joint) == pytest.approx(correlation, abs=1e-4)


def test_the_latent_correlation_ignores_unknown_pixels() -> None:
    field = sample_field((600, 600), (0.9, 0.7), generator(2))
    known = sample_field((600, 600), 0.95, generator(3)) > -1
    latent = latent_correlation((field > 0.5) & known, known)
    assert latent is not None
    assert latent["rho"] == pytest.approx([0.9, 0.7], abs=0.02)
    assert latent["length_px"][0] == pytest.approx(-1 / math.log(latent["rho"][0]))


def test_few_errors_say_nothing_about_correlation() -> None:
    wrong = np.zeros((100, 100), bool)
    wrong[:10, :19] = True
    assert latent_correlation(wrong, np.ones_like(wrong)) is None
    wrong[:10, :20] = True
    assert latent_correlation(wrong, np.ones_like(wrong)) is not None
    assert latent_correlation(np.ones_like(wrong), np.ones_like(wrong)) is None


def test_an_axis_of_one_pixel_has_no_correlation() -> None:
    wrong = sample_field((1, 4000), 0.8, generator(5)) > 0
    latent = latent_correlation(wrong, np.ones_like(wrong))
    assert latent is not None
    assert latent["rho"][0] is None
    assert latent["rho"][1] == pytest.approx(0.8, abs=0.05)
