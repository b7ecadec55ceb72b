"""Objects on the noise card: who stands for whom, by size, and what size has to do with being missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from segnoise.draws import generator
from segnoise.noise import noise_card, noise_card_of, parse
from segnoise.noise.measure.objects import size_slope


def parts(labels: NDArray[Any], instances: bool) -> list[tuple[int, set[tuple[int, ...]]]]:
    """The objects of a map: label and pixels, by flood filling."""
    solid = {x for x in np.ndindex(labels.shape) if labels[x] > 0 and (instances or labels[x] != 255)}
    if instances:
        return [(i, {x for x in solid if labels[x] == i}) for i in sorted({int(labels[x]) for x in solid})]
    found = []
    while solid:
        start = min(solid)
        region, front = {start}, [start]
        while front:
            x = front.pop()
            for axis in range(labels.ndim):
                for step in (-1, 1):
                    y = tuple(v + step * (a == axis) for a, v in enumerate(x))
                    if y in solid and y not in region and labels[y] == labels[start]:
                        region.add(y)
                        front.append(y)
        solid -= region
        found.append((int(labels[start]), region))
    return found


@given(
    hnp.arrays(np.int64, (6, 7), elements=st.sampled_from([0, 1, 2])),
    hnp.arrays(np.int64, (6, 7), elements=st.sampled_from([0, 1, 2])),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_fates_are_those_found_by_comparing_all_pairs(
    given_map: NDArray[np.int64], clean: NDArray[np.int64], instances: bool
) -> None:
    true, drawn = parts(clean, instances), parts(given_map, instances)

    def iou(one: tuple[int, set[Any]], other: tuple[int, set[Any]]) -> float:
        if not instances and one[0] != other[0]:
            return 0.0
        return len(one[1] & other[1]) / len(one[1] | other[1])

    pairs = [(t, d) for t in range(len(true)) for d in range(len(drawn)) if iou(true[t], drawn[d]) > 0.1]
    held = [(t, d) for t, d in pairs if 2 * len(true[t][1] & drawn[d][1]) > len(true[t][1])]
    holds = [(t, d) for t, d in pairs if 2 * len(true[t][1] & drawn[d][1]) > len(drawn[d][1])]
    joined = [d for d in range(len(drawn)) if sum(d == other for _, other in held) > 1]
    objects = noise_card(given_map, clean, instances=instances)["objects"]
    assert (objects["true"], objects["given"]) == (len(true), len(drawn))
    assert objects["missed"] == len(true) - len({t for t, _ in pairs})
    assert objects["extra"] == len(drawn) - len({d for _, d in pairs})
    assert objects["merged"] == len({t for t, d in held if d in joined})
    assert objects["split"] == sum(sum(t == other for other, _ in holds) > 1 for t in range(len(true)))


def test_terciles_hold_the_shares_of_small_middle_and_large_objects() -> None:
    clean, given_map = np.zeros((60, 60), int), np.zeros((60, 60), int)
    for k, side in enumerate([2, 2, 2, 4, 4, 4, 8, 8, 8]):
        row, column = 10 * (k // 3), 20 * (k % 3)
        clean[row : row + side, column : column + side] = 1
        if k not in (0, 1, 6):
            given_map[row : row + side, column : column + side] = 1
    given_map[50:58, 50:58] = given_map[45:47, 0:2] = 1
    terciles = noise_card(given_map, clean)["objects"]["terciles"]
    assert [t["true"] for t in terciles] == [3, 3, 3]
    assert [t["missed_share"] for t in terciles] == pytest.approx([2 / 3, 0, 1 / 3])
    assert [t["extra_share"] for t in terciles] == pytest.approx([1 / 3, 0, 1 / 3])
    assert terciles[-1]["up_to"] == 64


def test_a_merged_pair_and_an_object_cut_in_two_are_no_misses(parcels: NDArray[np.int32]) -> None:
    clean = np.zeros((20, 40), int)
    clean[5:15, 2:10], clean[5:15, 12:20], clean[5:15, 25:38] = 1, 2, 3
    given_map = np.where(clean == 2, 1, clean)
    given_map[5:15, 10:12] = 1
    given_map[5:15, 31:38] = 9
    objects = noise_card(given_map, clean, instances=True)["objects"]
    assert [objects[k] for k in ("missed", "extra", "merged", "split")] == [0, 0, 2, 1]


@pytest.mark.parametrize("slope", [-1.0, 0.0, 1.5])
def test_the_slope_of_an_omission_is_found_within_its_error(slope: float) -> None:
    rng = generator(2)
    images = []
    for _ in range(6):
        labels = np.zeros((200, 200), np.int32)
        for k in range(400):
            height, width = rng.integers(1, 10, 2)
            row, column = 10 * (k // 20), 10 * (k % 20)
            labels[row : row + height, column : column + width] = k + 1
        images.append(labels)
    noise = parse(f"omission(0.3, size_slope={slope})")
    noisy = [labels for labels, _ in noise.noisy_all(images, 1, instances=True)]
    found = noise_card_of(zip(noisy, images, strict=True), instances=True)["objects"]["size_slope"]
    assert found["slope"] == pytest.approx(slope, abs=3 * found["error"])
    assert found["error"] < 0.1
    assert (found["deviance"] > 4) == (slope != 0)


def test_the_slope_maximises_the_penalised_likelihood() -> None:
    rng = generator(5)
    area = rng.integers(1, 300, 80)
    missed = rng.random(80) < expit(-1 - 0.8 * np.log(area / np.median(area)))

    def loss(w: NDArray[np.float64]) -> float:
        logits = w[0] - w[1] * np.log(area / np.median(area))
        return float(np.logaddexp(0, np.where(missed, -logits, logits)).sum() + w[1] ** 2 / 50)

    found = size_slope(area, missed)
    best = minimize(loss, np.zeros(2), tol=1e-10)
    assert found is not None
    assert found["slope"] == pytest.approx(best.x[1], abs=1e-4)
    assert found["error"] == pytest.approx(np.sqrt(best.hess_inv[1, 1]), rel=0.05)


def test_where_size_decides_alone_the_slope_is_finite_and_beyond_chance() -> None:
    area = np.arange(1, 101)
    found = size_slope(area, area <= 30)
    assert found is not None
    assert 1 < found["slope"] < 50
    assert found["deviance"] > 4


def test_few_objects_missed_or_found_say_nothing_about_size() -> None:
    area = np.arange(1, 41)
    for count in (0, 4, 36, 40):
        assert size_slope(area, area <= count) is None
    assert size_slope(area, area <= 5) is not None
