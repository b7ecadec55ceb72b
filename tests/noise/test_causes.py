"""The causes on the card: drawn noises are told apart and their levels found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segnoise.noise import noise_card, noise_card_of, parse


def causes(noise: str, labels: NDArray[Any], instances: bool = False) -> dict[str, Any]:
    noisy = parse(noise).noisy_all([labels], 5, instances)[0][0]
    return noise_card(noisy, labels, instances=instances)["causes"]


def levels(found: dict[str, Any]) -> dict[str, float]:
    """The level of each cause."""
    return {
        "misregistration": found["misregistration"]["shift_px"],
        "boundary": found["boundary"]["displacement_px"],
        **{name: found[name]["rate"] for name in ("omission", "commission", "merge", "split", "patches")},
    }


def alone(found: dict[str, Any], cause: str) -> float:
    """The level of a cause, all others being next to nothing."""
    others = levels(found)
    level = others.pop(cause)
    assert all(value <= 0.015 for value in others.values()), others
    return level


@pytest.mark.parametrize("instances", [False, True])
class TestPure:
    """One noise is one cause."""

    def test_omission(self, cells: NDArray[np.int32], instances: bool) -> None:
        labels = cells if instances else np.minimum(cells, 1)
        assert alone(causes("omission(0.2)", labels, instances), "omission") == pytest.approx(0.2, abs=0.01)

    @pytest.mark.parametrize("rate", [0.1, 0.3])
    def test_commission(self, cells: NDArray[np.int32], instances: bool, rate: float) -> None:
        labels = cells if instances else np.minimum(cells, 1)
        assert alone(causes(f"commission({rate})", labels, instances), "commission") == pytest.approx(rate, abs=0.02)

    @pytest.mark.parametrize(("asked", "rho"), [(0.5, 0.9), (1.0, 0.95), (2.0, 0.98)])
    def test_boundary(self, cells: NDArray[np.int32], instances: bool, asked: float, rho: float) -> None:
        labels = cells if instances else np.minimum(cells, 1)
        found = causes(f"boundary({asked}px, rho={rho})", labels, instances)
        assert alone(found, "boundary") == pytest.approx(asked, rel=0.03)
        assert found["boundary"]["rho"] == pytest.approx(rho, abs=0.02)

    @pytest.mark.parametrize(("rate", "rho"), [(0.02, 0.8), (0.2, 0.9)])
    def test_patches(self, cells: NDArray[np.int32], instances: bool, rate: float, rho: float) -> None:
        labels = cells if instances else np.minimum(cells, 1)
        found = causes(f"kms({rate}, rho={rho})", labels, instances)
        assert found["patches"]["rate"] == pytest.approx(rate, rel=0.1)
        assert found["patches"]["rho"] == pytest.approx([rho] * 2, abs=0.03)
        assert levels(found)["boundary"] == levels(found)["commission"] == 0
        assert levels(found)["omission"] <= 0.05

    def test_misregistration(self, cells: NDArray[np.int32], instances: bool) -> None:
        labels = cells if instances else np.minimum(cells, 1)
        found = causes("misregistration(4px)", labels.astype(np.int32), instances)
        # The shift goes by whole pixels, and the direction is random.
        assert alone(found, "misregistration") == pytest.approx(4, abs=0.6)


def test_merged_and_split_objects_are_causes_of_their_own(parcels: NDArray[np.int32]) -> None:
    assert alone(causes("merge(0.2)", parcels, True), "merge") == pytest.approx(0.2, abs=0.05)
    assert alone(causes("split(0.2)", parcels, True), "split") == pytest.approx(0.2, abs=0.05)


def test_a_positive_bias_is_growth_and_a_negative_one_is_shrinking(cells: NDArray[np.int32]) -> None:
    labels = np.minimum(cells, 1)
    found = [causes(f"boundary(2px, bias={b}px)", labels)["boundary"] for b in (-1, 0, 1)]
    assert [f["displacement_px"] for f in found] == pytest.approx([2, 2, 2], rel=0.05)
    assert found[0]["bias_px"] < -0.6
    assert abs(found[1]["bias_px"]) < 0.4
    assert found[2]["bias_px"] > 0.6


def test_a_mixture_is_taken_apart(cells: NDArray[np.int32]) -> None:
    found = causes("boundary(1px)+omission(0.15)+commission(0.15)+kms(0.01, rho=.8)", cells, True)
    assert levels(found)["boundary"] == pytest.approx(1, rel=0.15)
    # Some of the invented objects come to lie where one was lost, which is then not missed.
    assert levels(found)["omission"] == pytest.approx(0.15, abs=0.05)
    assert levels(found)["commission"] == pytest.approx(0.15, abs=0.07)
    assert levels(found)["patches"] == pytest.approx(0.01, abs=0.012)


def test_missed_objects_do_not_lengthen_or_shorten_displacements(cells: NDArray[np.int32]) -> None:
    labels = np.minimum(cells, 1)
    boundary = causes("boundary(1px)", labels)["boundary"]
    both = causes("boundary(1px)+omission(0.4)", labels)["boundary"]
    assert both["displacement_px"] == pytest.approx(boundary["displacement_px"], rel=0.1)


def test_specks_are_no_invented_objects(cells: NDArray[np.int32]) -> None:
    labels = np.minimum(cells, 1)
    given_map = labels.copy()
    given_map[::22, ::22] |= labels[::22, ::22] == 0
    found = noise_card(given_map, labels)
    assert found["objects"]["extra_share"] > 1
    assert found["causes"]["commission"]["rate"] == 0


def test_equal_labels_have_no_cause(cells: NDArray[np.int32]) -> None:
    found = noise_card_of([(cells, cells), (cells[:50], cells[:50])], instances=True)["causes"]
    assert set(levels(found).values()) == {0.0}


def test_volumes_are_taken_apart_too(blocks: NDArray[np.int32]) -> None:
    labels = np.minimum(blocks, 1).astype(np.uint8)
    assert causes("boundary(0.5px)", labels)["boundary"]["displacement_px"] == pytest.approx(0.5, rel=0.1)
    assert causes("kms(0.1, rho=.7)", labels)["patches"]["rate"] == pytest.approx(0.1, rel=0.3)
