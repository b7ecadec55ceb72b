"""Memory per pixel: it equals a dense array whatever the crop, and what is saved is what comes back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning_fabric import Fabric

from segnoise.data import Region, WindowDataset, collate
from segnoise.data.augment import draw_orientation, orient
from segnoise.data.scaling import Scaling
from segnoise.data.source import ArrayLabels, ArraySource
from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.training.memory import FileMemory
from segnoise.windows import Window

FABRIC = Fabric(accelerator="cpu", devices=1)


def opened(folder, shapes, channels=1):
    memory = FileMemory(folder / "memory" / "votes", shapes, channels, FABRIC)
    memory.open()
    return memory


def place(index, start, size, orientation):
    return {
        "index": torch.tensor([index]),
        "window": torch.tensor([[*start, *size]]),
        "orientation": torch.tensor([orientation]),
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 3]))
def test_crops_anywhere_and_turned_anyhow_read_and_write_one_dense_array(tmp_path_factory, seed, n):
    rng = generator(seed)
    shapes = [tuple(int(s) for s in rng.integers(3, 9, n)) for _ in range(2)]
    memory = opened(tmp_path_factory.mktemp("m"), shapes, 2)
    size = (4,) * n
    padded = [np.zeros((2, *(s + 8 for s in shape)), dtype=np.float16) for shape in shapes]
    for _ in range(5):
        k = int(rng.integers(2))
        start = tuple(int(rng.integers(-3, s)) for s in shapes[k])
        turn = draw_orientation(rng, n)
        values = rng.normal(size=(2, *size)).astype(np.float16)
        box = (slice(None), *(slice(a + 4, a + 8) for a in start))
        padded[k][box] = values
        outside = np.ones(padded[k].shape[1:], dtype=bool)
        outside[tuple(slice(4, -4) for _ in shapes[k])] = False
        padded[k][:, outside] = 0
        memory.write(place(k, start, size, turn), torch.from_numpy(orient(values, turn)[None]))
        other = draw_orientation(rng, n)
        expected = orient(padded[k][box], other).astype(np.float32)
        assert np.array_equal(memory.read(place(k, start, size, other))[0].numpy(), expected)


def test_it_lies_where_the_samples_of_a_data_set_lie(tmp_path):
    shape = (12, 10)
    truth = np.arange(120, dtype=np.float32).reshape(1, *shape)
    data = WindowDataset(
        [ArraySource(truth)], [ArrayLabels(np.zeros(shape, np.uint8))], [Region(0, Window((0, 0), shape))], (4, 4),
        Scaling((0.0,), (1.0,)), seed=0, augment=True, samples_per_epoch=200,
    )  # fmt: skip
    memory = opened(tmp_path, [shape])
    for position in range(200):
        batch = collate([data[0, position]])
        memory.write(batch, batch["image"])
    whole = memory.read(place(0, (0, 0), shape, (1, 2)))[0]
    assert torch.equal(whole, torch.from_numpy(truth))


def test_samples_of_no_source_are_read_as_unknown_and_written_nowhere(tmp_path):
    memory = opened(tmp_path, [(4, 4)])
    nowhere = place(-1, (0, 0), (4, 4), (1, 2))
    memory.write(nowhere, torch.ones(1, 1, 4, 4))
    assert memory.read(nowhere).abs().max() == 0
    assert memory.read(place(0, (0, 0), (4, 4), (1, 2))).abs().max() == 0


def test_where_crops_of_a_batch_overlap_the_last_stays(tmp_path):
    memory = opened(tmp_path, [(4, 4)])
    batch = {key: value.repeat(2, 1) if value.dim() > 1 else value.repeat(2)
             for key, value in place(0, (0, 0), (4, 4), (1, 2)).items()}  # fmt: skip
    memory.write(batch, torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4))
    assert memory.read(batch).unique().tolist() == [2.0]


def test_what_is_saved_comes_back_and_later_writes_do_not(tmp_path):
    at = place(0, (0, 0), (4, 4), (1, 2))
    memory = opened(tmp_path, [(4, 4)])
    for step in (1, 2):
        memory.write(at, torch.full((1, 1, 4, 4), float(step)))
        memory.save(step)
    memory.forget(2)
    memory.write(at, torch.full((1, 1, 4, 4), 9.0))
    again = FileMemory(memory.path, [(4, 4)], 1, FABRIC)
    again.open(2)
    assert again.read(at).unique().tolist() == [2.0]
    with pytest.raises(UserError, match=r"votes-00000001: is missing or truncated.*--overwrite"):
        again.open(1)


def test_a_truncated_copy_is_refused(tmp_path):
    memory = opened(tmp_path, [(4, 4)])
    memory.save(3)
    saved = memory.path.with_name("votes-00000003")
    saved.write_bytes(saved.read_bytes()[:-1])
    with pytest.raises(UserError, match="truncated"):
        memory.open(3)


def test_no_room_is_one_line_before_training_starts(tmp_path):
    resource = pytest.importorskip("resource", reason="no limits on file sizes on this system")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))  # the kernel refuses what lies beyond, as on a full disk
    try:
        with pytest.raises(UserError, match=r"votes: 0.0 GB could not be written \(File too large\); free space"):
            opened(tmp_path, [(256, 256)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
