from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from segnoise.data import (
    ArrayLabels,
    ArraySource,
    RasterLabels,
    RasterSource,
    Region,
    Scaling,
    WindowDataset,
    block_split,
    collate,
    unorient,
    whole_regions,
)
from segnoise.windows import Window

SHAPES = [(70, 90), (64, 40)]
SCALING = Scaling((10.0, 20.0), (3.0, 4.0))


def make(**changes):
    """Two scenes whose pixels say where they are, so that any sample can be traced back."""
    images = [np.indices(shape).astype(np.float32) + 1000 * i for i, shape in enumerate(SHAPES)]
    masks = [(image.sum(axis=0) % 3).astype(np.uint8) for image in images]
    settings = {
        "sources": [ArraySource(a, spacing=(2.0, 5.0), name=f"s{i}") for i, a in enumerate(images)],
        "labels": [ArrayLabels(m) for m in masks],
        "regions": whole_regions([0, 1], SHAPES, (32, 32)),
        "window": (32, 32),
        "scaling": SCALING,
        "seed": 7,
        "augment": True,
        **changes,
    }
    return WindowDataset(**settings)


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[k], b[k]) if isinstance(a[k], torch.Tensor) else a[k] == b[k] for k in a)


def test_a_sample_has_the_keys_types_and_shapes_of_the_contract():
    sample = make(clean=[ArrayLabels(np.zeros(shape, dtype=np.uint8)) for shape in SHAPES])[0, 0]
    assert {k: (v.dtype, tuple(v.shape)) for k, v in sample.items() if k != "meta"} == {
        "image": (torch.float32, (2, 32, 32)),
        "observed": (torch.bool, (32, 32)),
        "mask": (torch.int64, (32, 32)),
        "clean": (torch.int64, (32, 32)),
        "index": (torch.int64, ()),
        "window": (torch.int64, (4,)),
        "orientation": (torch.int64, (2,)),
        "spacing": (torch.float32, (2,)),
    }
    assert sample["meta"].source == f"s{sample['index']}"
    assert "clean" not in make()[0, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 5))
def test_window_and_orientation_write_a_sample_back_where_it_came_from(epoch, position):
    data = make()
    sample = data[epoch, position]
    raw = sample["image"] * torch.tensor([3.0, 4.0])[:, None, None] + torch.tensor([10.0, 20.0])[:, None, None]
    back = unorient(raw, sample["orientation"]).round().long() - 1000 * sample["index"]
    row, column, height, width = sample["window"].tolist()
    rows, columns = np.meshgrid(range(row, row + height), range(column, column + width), indexing="ij")
    assert np.array_equal(back.numpy(), np.stack([rows, columns]))
    assert torch.equal(unorient(sample["mask"], sample["orientation"]), (back.sum(0) + 2000 * sample["index"]) % 3)
    axes = sample["orientation"].abs() - 1
    assert torch.equal(sample["spacing"], torch.tensor([2.0, 5.0])[axes])


def test_a_sample_depends_on_nothing_but_its_key():
    kept, keys = make(photometric=1.0), [(e, p) for e in (0, 1, 5) for p in range(6)]
    there = {key: kept[key] for key in keys}
    for key in reversed(keys):
        assert same(there[key], kept[key])
        assert same(there[key], make(photometric=1.0)[key])
    assert not same(there[0, 0], there[1, 0])
    assert not same(there[0, 0], make(photometric=1.0, seed=8)[0, 0])


def test_an_epoch_is_as_many_samples_as_windows_side_by_side_each_region_in_its_share():
    data = make()
    assert len(data) == 2 * 2 + 2 * 1
    for epoch in range(4):
        assert Counter(int(data[epoch, p]["index"]) for p in range(6)) == {0: 4, 1: 2}
    orders = {tuple(int(data[epoch, p]["index"]) for p in range(6)) for epoch in range(8)}
    assert len(orders) > 1


def test_more_samples_than_windows_go_round_again():
    data = make(samples_per_epoch=15)
    assert len(data) == 15
    rounds = [[int(data[epoch, p + lap]["index"]) for p in range(6)] for epoch in range(8) for lap in (0, 6)]
    assert all(Counter(rows) == {0: 4, 1: 2} for rows in rounds)
    assert any(first != second for first, second in zip(rounds[::2], rounds[1::2], strict=True))
    with pytest.raises(IndexError):
        data[0, 15]


def test_starts_are_even_over_the_region():
    data = make(regions=[Region(0, Window((0, 3), (70, 32)))], augment=False)
    assert len(data) == 2
    starts = [data[e, p]["window"].tolist()[:2] for e in range(600) for p in range(2)]
    assert {column for _, column in starts} == {3}
    counts = Counter(row for row, _ in starts)
    assert sorted(counts) == list(range(39))
    assert max(counts.values()) < 3 * min(counts.values()) + 20


def test_the_windows_of_an_epoch_spread_over_the_region():
    data = make(regions=[Region(0, Window((0, 0), (70, 90)))], augment=False)
    for epoch in range(20):
        starts = np.array([data[epoch, p]["window"].tolist()[:2] for p in range(len(data))])
        assert sorted(map(tuple, (starts >= [19.5, 29.5]).astype(int).tolist())) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_windows_of_a_split_never_leave_its_blocks():
    split = block_split(SHAPES, (16, 16), {"train": 0.6, "val": 0.4}, seed=0)
    touched = {}
    for name, regions in split.items():
        data = make(regions=regions, window=(16, 16))
        touched[name] = [np.zeros(shape, dtype=bool) for shape in SHAPES]
        for sample in [data[e, p] for e in range(20) for p in range(len(data))]:
            row, column, height, width = sample["window"].tolist()
            touched[name][int(sample["index"])][row : row + height, column : column + width] = True
    for train, val in zip(touched["train"], touched["val"], strict=True):
        assert not (train & val).any()
        assert (train | val).mean() > 0.95


def test_windows_that_are_not_square_are_flipped_only():
    data = make(window=(32, 16))
    turns = {tuple(data[e, p]["orientation"].tolist()) for e in range(9) for p in range(len(data))}
    assert turns == {(1, 2), (-1, 2), (1, -2), (-1, -2)}


def test_without_augmentation_samples_are_as_in_the_source():
    data = make(augment=False)
    assert {tuple(data[e, 0]["orientation"].tolist()) for e in range(5)} == {(1, 2)}


def test_photometric_changes_the_image_and_nothing_else():
    plain, lit = make()[3, 4], make(photometric=1.0)[3, 4]
    assert not torch.equal(plain["image"], lit["image"])
    assert all(torch.equal(plain[k], lit[k]) for k in plain if k not in ("image", "meta"))


def test_nodata_becomes_zero_image_and_label_255(write_raster):
    image = np.full((1, 40, 40), 9, dtype=np.int16)
    image[0, :13] = -1
    scene = RasterSource(write_raster("a.tif", image, nodata=-1))
    labels = RasterLabels(write_raster("l.tif", np.ones((40, 40), dtype=np.uint8)), 2, like=scene)
    data = WindowDataset(
        [scene], [labels], whole_regions([0], [(40, 40)], (48, 48)), (48, 48), Scaling((5.0,), (2.0,)),
        seed=0, clean=[labels],
    )  # fmt: skip
    sample = data[0, 0]
    seen = sample["observed"]
    assert seen.sum() == 27 * 40
    assert (sample["image"][0] == torch.where(seen, 2.0, 0.0)).all()
    for key in ("mask", "clean"):
        assert (sample[key] == torch.where(seen, 1, 255)).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_workers_give_the_same_batches(write_raster, workers):
    image = np.random.default_rng(0).integers(0, 255, (3, 96, 96)).astype(np.uint8)
    scene = RasterSource(write_raster("a.tif", image, tiled=True, blockxsize=32, blockysize=32))
    labels = RasterLabels(write_raster("l.tif", image[0] % 2), 2, like=scene)
    data = WindowDataset(
        [scene], [labels], whole_regions([0], [(96, 96)], (32, 32)), (32, 32), Scaling((99.0,) * 3, (50.0,) * 3),
        seed=1, augment=True, photometric=1.0,
    )  # fmt: skip
    expected = [data[4, p] for p in range(len(data))]
    loader = DataLoader(
        data, batch_size=2, sampler=[(4, p) for p in range(len(data))], num_workers=workers, collate_fn=collate
    )
    batches = list(loader)
    assert torch.equal(torch.cat([b["image"] for b in batches]), torch.stack([s["image"] for s in expected]))
    assert torch.equal(torch.cat([b["mask"] for b in batches]), torch.stack([s["mask"] for s in expected]))


class TestFixedWindows:
    @pytest.mark.parametrize("window", [(32, 32), (20, 45), (80, 32)])
    def test_every_label_is_seen_exactly_once_and_in_place(self, window):
        split = {"all": whole_regions([0, 1], SHAPES, window)}
        fixed = make(regions=split["all"], window=window, photometric=1.0).fixed_windows()
        counts = [np.zeros(shape, dtype=int) for shape in SHAPES]
        for i in range(len(fixed)):
            sample = fixed[i]
            row, column, height, width = sample["window"].tolist()
            index = int(sample["index"])
            known = (sample["mask"] != 255).numpy()[: SHAPES[index][0] - row, : SHAPES[index][1] - column]
            counts[index][row : row + height, column : column + width] += known
            assert sample["orientation"].tolist() == [1, 2]
        assert all((count == 1).all() for count in counts)

    def test_images_are_whole_where_labels_were_seen_before(self):
        fixed = make(regions=[Region(0, Window((0, 0), (32, 40)))]).fixed_windows()
        assert [r.window.start for r in fixed.windows] == [(0, 0), (0, 8)]
        assert fixed[1]["observed"].all()
        assert (fixed[1]["image"][1, :, 0] == (8 - 20) / 4).all()
        assert (fixed[1]["mask"][:, :24] == 255).all()

    def test_a_loader_without_sampler_walks_them_in_order(self):
        fixed = make().fixed_windows()
        batches = list(DataLoader(fixed, batch_size=4, collate_fn=collate))
        starts = torch.cat([b["window"] for b in batches])[:, :2]
        assert starts.tolist() == [list(r.window.start) for r in fixed.windows]


def test_labels_of_another_shape_and_no_regions_are_programming_errors():
    with pytest.raises(ValueError, match="shape"):
        make(labels=[ArrayLabels(np.zeros((3, 3), dtype=np.uint8))] * 2)
    with pytest.raises(ValueError, match="region"):
        make(regions=[])


def test_real_fields_make_samples_with_metres_and_classes(shared_data):
    folder = shared_data / "naip_fields"
    scene = RasterSource(folder / "images" / "naip_27.tif")
    labels = RasterLabels(folder / "labels" / "naip_27.tif", 2, like=scene)
    data = WindowDataset(
        [scene], [labels], whole_regions([0], [scene.shape], (256, 256)), (256, 256),
        Scaling((128.0,) * 3, (64.0,) * 3), seed=0, augment=True,
    )  # fmt: skip
    sample = data[0, 0]
    assert len(data) == 4
    assert sample["spacing"].tolist() == pytest.approx([2, 2], rel=0.01)
    assert set(sample["mask"].unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("shape", [(60, 80), (20, 30, 24)])
def test_a_share_of_windows_holds_an_object_of_a_class_drawn_evenly(shape):
    labels = np.zeros(shape, np.uint8)
    labels[(slice(2, 4),) * len(shape)] = 1  # small, and in a corner
    labels[(slice(8, 20),) * len(shape)] = 2
    sources = [ArraySource(np.zeros((1, *shape), np.float32))]
    region = Region(0, Window((0,) * len(shape), shape))
    window = (6,) * len(shape)

    def held(share):
        data = WindowDataset(
            sources, [ArrayLabels(labels)], [region], window, Scaling((0.0,), (1.0,)), seed=3, foreground=share,
            samples_per_epoch=300,
        )  # fmt: skip
        samples = [data[0, k] for k in range(300)]
        assert all(torch.equal(data[0, k]["mask"], samples[k]["mask"]) for k in (0, 7))
        for sample in samples:
            start = sample["window"][: len(shape)].numpy()
            assert (start >= 0).all()
            assert (start + 6 <= shape).all()
        return np.array([[bool((s["mask"] == k).any()) for k in (1, 2)] for s in samples])

    always, never = held(1.0), held(0.0)
    assert always.any(1).all()
    assert 0.35 < always[:, 0].mean() < 0.75  # half of them for class 1, and some by chance
    assert never[:, 0].mean() < 0.2
    assert never.any(1).mean() < held(0.5).any(1).mean() < 1


def test_a_region_without_objects_is_visited_as_ever():
    shape = (40, 40)
    sources = [ArraySource(np.zeros((1, *shape), np.float32))]
    region = Region(0, Window((0, 0), shape))
    empty = ArrayLabels(np.full(shape, 255, np.uint8))
    data = WindowDataset(sources, [empty], [region], (8, 8), Scaling((0.0,), (1.0,)), seed=0, foreground=1.0)
    assert len({tuple(data[0, k]["window"].tolist()) for k in range(len(data))}) > 10


class TestSliceLabels:
    """Voxels say where they are, so that what a crop shows of a slice is read off the crop itself."""

    @given(
        shape=st.tuples(*[st.integers(1, 6)] * 3),
        window=st.tuples(*[st.integers(2, 7)] * 3) | st.integers(2, 7).map(lambda n: (n, n, n)),
        seed=st.integers(0, 99),
    )
    @settings(max_examples=150, deadline=None)
    def test_a_crop_knows_of_each_slice_what_it_shows_of_it(self, shape, window, seed):
        places = np.indices(shape).astype(np.float32)
        told = np.random.default_rng(seed).choice(np.array([0, 1, np.nan], np.float32), (3, shape[2]))
        data = self.data([places], [told], window, seed)
        for key in [(0, 0), (3, 0)]:
            sample = data[key]
            slices = sample["slice_labels"]
            assert slices.shape == (3, sample["image"].shape[-1])
            assert slices.dtype == torch.float32
            for z in range(slices.shape[1]):
                seen = sample["image"][2, :, :, z][sample["observed"][:, :, z]]
                wanted = torch.full((3,), torch.nan)
                if len(seen):
                    (number,) = {int(value) for value in seen}
                    for c, value in enumerate(told[:, number]):
                        if value == 0 or len(seen) == shape[0] * shape[1]:
                            wanted[c] = float(value)
                assert torch.allclose(slices[:, z], wanted, equal_nan=True)

    def data(self, images, told, window, seed=0, **changes):
        shapes = [image.shape[1:] for image in images]
        labels = [ArrayLabels(np.zeros(shape, np.uint8)) for shape in shapes]
        sources = [ArraySource(image, (1.0, 2.0, 3.0)) for image in images]
        regions = whole_regions(range(len(images)), shapes, window)
        options = {"seed": seed, "augment": True, "slice_labels": told, **changes}
        return WindowDataset(sources, labels, regions, window, Scaling((0.0,) * 3, (1.0,) * 3), **options)

    def test_a_source_without_them_has_the_samples_that_it_had(self):
        """Among them turns that lay the last axis elsewhere; the other source is only turned about it."""
        images = [np.indices((6, 6, 6)).astype(np.float32) + 100 * k for k in range(2)]
        mixed, without = (
            self.data(images, told, (4, 4, 4), samples_per_epoch=200)
            for told in ([None, np.ones((2, 6), np.float32)], None)
        )
        last: dict[int, set[int]] = {0: set(), 1: set()}
        for k in range(200):
            one, other = mixed[0, k], without[0, k]
            index = int(one["index"])
            last[index].add(int(one["orientation"][-1]))
            assert ("slice_labels" in one) == (index == 1)
            assert index == 1 or same(one, other)
            assert torch.equal(one["window"], other["window"])
        assert last == {0: {-3, -2, -1, 1, 2, 3}, 1: {-3, 3}}

    def test_in_a_batch_what_a_sample_lacks_is_unknown(self):
        images = [np.indices((4, 4, 4)).astype(np.float32)] * 2
        data = self.data(images, [None, np.zeros((2, 4), np.float32)], (4, 4, 4))
        samples = sorted((data[0, k] for k in range(2)), key=lambda sample: int(sample["index"]))
        told = collate(samples)["slice_labels"]
        assert told[0].isnan().all()
        assert (told[1] == 0).all()
        assert "slice_labels" not in collate(samples[:1])

    def test_they_are_there_in_evaluation(self):
        told = np.array([[np.nan, 1, 0, 1, np.nan, 0]], np.float32)
        windows = self.data([np.indices((4, 4, 6)).astype(np.float32)], [told], (4, 4, 4)).fixed_windows()
        found = [windows[k]["slice_labels"][0].tolist() for k in range(2)]
        assert str(found) == "[[nan, 1.0, 0.0, 1.0], [0.0, 1.0, nan, 0.0]]"
