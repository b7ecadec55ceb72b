"""From cards back to noises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segnoise.errors import UserError
from segnoise.noise import noise_card, noise_card_of, noise_like, noise_like_on, parse
from segnoise.noise.like import read_card


def card_of(noise: str, labels: NDArray[Any], seed: int = 5, instances: bool = False) -> dict[str, Any]:
    return noise_card(parse(noise).noisy_all([labels], seed, instances)[0][0], labels, instances=instances)


def names(noise: object) -> list[str]:
    return [part.split("(")[0] for part in str(noise).split("+")]


@pytest.mark.parametrize(
    "noise", ["kms(0.2)", "boundary(1px)", "omission(0.2)", "commission(0.2)", "merge(0.3)", "split(0.3)"]
)
def test_a_noise_of_one_kind_is_recognised(noise: str, parcels: NDArray[np.int32]) -> None:
    found = noise_like(card_of(noise, parcels, instances=True))
    assert names(found) == [noise.split("(")[0]]
    assert found == parse(str(found))


def test_the_levels_are_those_of_the_causes(parcels: NDArray[np.int32]) -> None:
    card = card_of("boundary(2px, bias=1px)+omission(0.2)", parcels, instances=True)
    found = noise_like(card)
    boundary, omission = found.steps
    causes = card["causes"]
    assert boundary.displacement.value == pytest.approx(causes["boundary"]["displacement_px"], rel=0.01)
    assert boundary.bias.value == pytest.approx(causes["boundary"]["bias_px"], rel=0.01)
    assert boundary.rho == pytest.approx(causes["boundary"]["rho"], abs=1e-3)
    assert omission.rate == pytest.approx(causes["omission"]["rate"], rel=0.01)


def test_on_labels_the_levels_make_up_for_what_noises_do_to_each_other(cells: NDArray[np.int32]) -> None:
    labels = np.minimum(cells, 1)
    card = card_of("boundary(2px, rho=.9)+omission(0.2)+kms(0.02)", labels, seed=11)
    found = noise_like_on(card, [labels], seed=3)
    drawn = noise_card(found.noisy_all([labels], 3)[0][0], labels)
    asked, met = card["causes"], drawn["causes"]
    assert met["boundary"]["displacement_px"] == pytest.approx(asked["boundary"]["displacement_px"], rel=0.1)
    assert met["patches"]["rate"] == pytest.approx(asked["patches"]["rate"], rel=0.25)
    assert drawn["objects"]["missed_share"] == pytest.approx(card["objects"]["missed_share"], abs=0.06)
    assert drawn["flip_rate"]["overall"] == pytest.approx(card["flip_rate"]["overall"], rel=0.2)


def test_levels_of_a_set_are_met_over_a_set(parcels: NDArray[np.int32]) -> None:
    images = [parcels[:80], parcels[80:], parcels[:, :100]]
    noisy = [x for x, _ in parse("omission(0.3)").noisy_all(images, 1, instances=True)]
    card = noise_card_of(zip(noisy, images, strict=True), instances=True)
    found = noise_like_on(card, images, seed=2, instances=True)
    drawn = [x for x, _ in found.noisy_all(images, 2, instances=True)]
    again = noise_card_of(zip(drawn, images, strict=True), instances=True)
    assert again["objects"]["missed"] == pytest.approx(card["objects"]["missed"], abs=2)


def test_patches_in_a_few_images_are_drawn_in_a_few_images() -> None:
    images = [np.zeros((60, 60), np.uint8) for _ in range(40)]
    for labels in images:
        labels[28:32, 28:32] = 1
    for noise, share in (("0.1*kms(0.3)", (0.06, 0.15)), ("kms(0.03)", (1, 1))):
        card = noise_card_of(zip([x for x, _ in parse(noise).noisy_all(images, 1)], images, strict=True))
        patches = card["causes"]["patches"]
        assert patches["rate"] == pytest.approx(0.03, rel=0.15)
        assert share[0] <= patches["images"] <= share[1]
        found = noise_like_on(card, images, seed=2)
        again = noise_card_of(zip([x for x, _ in found.noisy_all(images, 3)], images, strict=True))
        assert found == parse(str(found))
        assert again["spread"]["with_errors"] == pytest.approx(card["spread"]["with_errors"], abs=3)
        assert again["flip_rate"]["overall"] == pytest.approx(card["flip_rate"]["overall"], rel=0.5)


def test_equal_arguments_give_equal_noises_and_rounds_are_told(parcels: NDArray[np.int32]) -> None:
    card = card_of("boundary(1px)", parcels, instances=True)
    rounds: list[tuple[int, int]] = []
    one = noise_like_on(card, [parcels], 7, instances=True, progress=lambda *done: rounds.append(done))
    assert one == noise_like_on(card, [parcels], 7, instances=True)
    assert rounds[-1][0] == rounds[-1][1] == len(rounds)


def test_a_card_without_errors_cannot_be_drawn(parcels: NDArray[np.int32]) -> None:
    card = noise_card(parcels, parcels, instances=True)
    with pytest.raises(UserError, match="no error that could be drawn"):
        noise_like(card)


class TestReadCard:
    def test_reads_the_record_of_a_corruption_and_the_card_of_a_pair_alike(self, tmp_path: Path) -> None:
        _, record = parse("kms(0.3)").corrupt(np.zeros((40, 40), np.uint8), 1)
        path = tmp_path / "record.json"
        path.write_text(json.dumps(record))
        assert read_card(path) == record["card"]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "no such file"),
            ("{", "is not a JSON file"),
            ("\x00\xff", "is not a JSON file"),
            ("[1, 2]", "holds no noise card"),
            ('{"card": "queen"}', "holds no noise card"),
            ('{"card": {"flip_rate": {}, "format": 1}}', "format 1, this version reads 3; make the card again"),
            ('{"card": {"flip_rate": {}}}', "format None"),
        ],
    )
    def test_says_what_a_file_is_that_is_none(self, tmp_path: Path, content: str | None, words: str) -> None:
        path = tmp_path / "card.json"
        if content is not None:
            path.write_bytes(content.encode("latin1"))
        with pytest.raises(UserError, match=words):
            read_card(path)

    def test_a_folder_is_no_card(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="is not a JSON file"):
            read_card(tmp_path)
