"""What every room's tests may ask for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images with labels (``shared/data``); a test that needs it is skipped where it is not.

    It is looked for in ``$SEGNOISE_SHARED`` and beside the repository.
    """
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("SEGNOISE_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set SEGNOISE_SHARED to the folder that holds data/")
    return folder


@pytest.fixture
def segnoise(capsys, monkeypatch):
    """Runs the command line in this process: exit code, stdout, stderr."""
    from segnoise import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["segnoise", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return run
