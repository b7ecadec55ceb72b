"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno

import pytest

from segnoise.errors import UserError
from segnoise.windows import atomic_output, refuse_existing


def test_existing_output_is_refused_and_stays(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(UserError, match="already exists"):
        refuse_existing(target)
    assert target.read_text() == "old"


def test_a_failure_leaves_the_old_file_and_no_leftover(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail():
        with atomic_output(target, overwrite=True) as temporary:
            temporary.write_text("half")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_becomes_one_clear_line(tmp_path):
    def fill():
        with atomic_output(tmp_path / "b.txt"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"b\.txt: could not be written \(No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["missing/a.txt", "."])
def test_folders_that_cannot_take_the_file_are_named(tmp_path, name):
    with pytest.raises(UserError):
        refuse_existing(tmp_path / name)
