from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segnoise.data import Fold, Region, block_split, parse_fold, source_split, whole_regions
from segnoise.errors import UserError

shapes_strategy = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=3, max_size=6)
fractions_strategy = st.sampled_from(
    [{"train": 0.7, "val": 0.15, "test": 0.15}, {"train": 0.5, "val": 0.5, "test": 0.0}, {"train": 1.0}]
)


@settings(max_examples=80, deadline=None)
@given(shapes_strategy, st.tuples(st.integers(8, 70), st.integers(8, 70)), fractions_strategy, st.integers(0, 9))
def test_blocks_cover_every_pixel_once_and_hold_a_window(shapes, window, fractions, seed):
    split = block_split(shapes, window, fractions, seed)
    seen = [np.zeros(np.maximum(shape, window), dtype=int) for shape in shapes]
    for regions in split.values():
        assert regions == sorted(regions)
        for region in regions:
            assert all(n >= w for n, w in zip(region.window.size, window, strict=True))
            seen[region.index][region.window.slices] += 1
            assert all(b <= n for b, n in zip(region.window.stop, seen[region.index].shape, strict=True))
    assert all((count == 1).all() for count in seen)


@settings(max_examples=60, deadline=None)
@given(shapes_strategy, fractions_strategy, st.integers(0, 9))
def test_shares_of_blocks_are_the_fractions_within_a_block_each(shapes, fractions, seed):
    split = block_split(shapes, (20, 20), fractions, seed)
    total = sum(len(regions) for regions in split.values())
    for name, share in fractions.items():
        assert (len(split[name]) > 0) == (share > 0)
        assert abs(len(split[name]) - share * total) < max(1, sum(f > 0 for f in fractions.values()) - 1) + 1e-9


def test_blocks_are_twice_the_window_where_there_are_enough():
    big = block_split([(1000, 1000)], (50, 50), {"train": 0.8, "val": 0.2}, 0)
    assert {r.window.size for regions in big.values() for r in regions} == {(100, 100)}
    small = block_split([(200, 200)], (50, 50), {"train": 0.8, "val": 0.2}, 0)
    assert {r.window.size for regions in small.values() for r in regions} == {(50, 50)}


def test_the_draw_depends_on_the_seed_and_only_on_it():
    fractions = {"train": 0.5, "val": 0.5}
    one, again, other = (block_split([(400, 400)], (20, 20), fractions, seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other


def test_a_scene_smaller_than_the_window_is_one_padded_block():
    split = block_split([(10, 70)], (64, 64), {"train": 1.0}, 0)
    assert [r.window.size for r in split["train"]] == [(64, 70)]


def test_too_few_blocks_say_how_many_there_are_and_what_to_do():
    with pytest.raises(UserError, match=r"256 x 256 px\).*: 2; choose a smaller window, give more scenes or split by"):
        block_split([(256, 512)], (256, 256), {"train": 0.6, "val": 0.2, "test": 0.2}, 0)


@pytest.mark.parametrize("fractions", [{"train": 0.7, "val": 0.7}, {"train": 1.2, "val": -0.2}, {"train": 0.5}])
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(UserError, match="add up to 1"):
        block_split([(500, 500)], (10, 10), fractions, 0)


NAMES = [f"scene{i}" for i in range(20)]


class TestSourceSplit:
    def test_every_source_goes_to_one_split_by_the_fractions(self):
        split = source_split(NAMES, {"train": 0.7, "val": 0.15, "test": 0.15}, 3)
        assert sorted(row for rows in split.values() for row in rows) == list(range(20))
        assert {name: len(rows) for name, rows in split.items()} == {"train": 14, "val": 3, "test": 3}

    def test_the_draw_follows_the_names_whatever_their_order(self):
        fractions = {"train": 0.5, "val": 0.5}
        turned = list(reversed(NAMES))
        one = {NAMES[row] for row in source_split(NAMES, fractions, 0)["train"]}
        other = {turned[row] for row in source_split(turned, fractions, 0)["train"]}
        assert one == other

    def test_given_splits_stay_and_the_rest_makes_up_the_fractions(self):
        given_splits = ["test"] * 4 + [None] * 16
        split = source_split(NAMES, {"train": 0.6, "val": 0.2, "test": 0.2}, 0, given_splits)
        assert split["test"] == [0, 1, 2, 3]
        assert (len(split["train"]), len(split["val"])) == (12, 4)

    def test_a_table_that_names_every_split_needs_no_fractions(self):
        split = source_split(["a", "b"], {"train": 0.7, "val": 0.15, "test": 0.15}, 0, ["val", "train"])
        assert split == {"train": [1], "val": [0], "test": []}

    def test_too_few_sources_say_how_many_there_are_and_what_to_do(self):
        with pytest.raises(UserError, match="scenes to deal: 2; give more scenes, or split by block"):
            source_split(["a", "b"], {"train": 0.6, "val": 0.2, "test": 0.2}, 0)


def test_whole_regions_are_the_sources_padded_to_the_window():
    regions = whole_regions([2, 0], [(9, 99), (5, 5), (80, 80)], (32, 32))
    assert [r.window.size for r in regions] == [(80, 80), (32, 99)]
    assert all(isinstance(r, Region) and r.window.start == (0, 0) for r in regions)


names_strategy = st.lists(st.integers(0, 5), min_size=3, max_size=30).filter(lambda ids: len(set(ids)) >= 3)


@settings(max_examples=60, deadline=None)
@given(names_strategy, fractions_strategy, st.integers(0, 9), st.randoms(use_true_random=False))
def test_a_group_is_never_cut_and_the_draw_does_not_depend_on_the_order(patients, fractions, seed, random):
    names = [f"p{patient}_slice{k}" for k, patient in enumerate(patients)]
    split = source_split(names, fractions, seed, groups=[name[:2] for name in names])
    assert sorted(row for rows in split.values() for row in rows) == list(range(len(names)))
    parts = {name: {patients[row] for row in rows} for name, rows in split.items()}
    assert sum(len(part) for part in parts.values()) == len(set(patients))
    shuffled = names.copy()
    random.shuffle(shuffled)
    again = source_split(shuffled, fractions, seed, groups=[name[:2] for name in shuffled])
    for name, rows in split.items():
        assert {names[row] for row in rows} == {shuffled[row] for row in again[name]}


def test_fewer_groups_than_splits_are_refused():
    with pytest.raises(UserError, match="groups of sources to deal: 1; give more scenes"):
        source_split(["p1a", "p1b", "p1c"], {"train": 0.5, "val": 0.5}, 0, groups=["p"] * 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(0, 9), st.booleans())
def test_the_parts_of_folds_are_together_all_and_share_nothing(parts, seed, blocks):
    fractions = {"train": 0.6, "val": 0.2, "test": 0.2}

    def split(fold):
        if blocks:
            return block_split([(200, 130), (90, 210)], (20, 20), fractions, seed, fold)
        names = [f"p{i // 2}_{i}" for i in range(30)]
        return source_split(names, fractions, seed, groups=[name.split("_")[0] for name in names], fold=fold)

    folds = [split(Fold(part, parts)) for part in range(1, parts + 1)]
    everything = [unit for names in split(None).values() for unit in names]
    assert sorted(unit for fold in folds for unit in fold["test"]) == sorted(everything)
    for fold in folds:
        assert sorted(unit for names in fold.values() for unit in names) == sorted(everything)
        # Three quarters and a quarter of the rest, to two blocks or a pair of sources.
        rest = len(fold["train"]) + len(fold["val"])
        assert abs(len(fold["train"]) - 0.75 * rest) <= 2
    sizes = [len(fold["test"]) for fold in folds]
    assert max(sizes) - min(sizes) <= (1 if blocks else 2)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/1", "1", "a/b", "1/2/3", ""])
def test_a_fold_that_there_is_not_is_told(text):
    with pytest.raises(UserError, match=r"data\.split\.fold"):
        parse_fold(text)


def test_more_folds_than_there_is_to_deal_are_told():
    with pytest.raises(UserError, match=r"data\.split\.fold: 1/5 of too little"):
        source_split(["a", "b", "c"], {"train": 0.5, "val": 0.5}, 0, fold=Fold(1, 5))
