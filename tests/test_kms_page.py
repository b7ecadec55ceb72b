"""docs/kms.md is written by its tool, and the pictures that it shows are there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "draw_kms_page.py"))


def test_the_words_are_the_tools_whatever_the_numbers(tool: dict[str, Any]) -> None:
    told = dict.fromkeys(("1 − p(given label)", "pi, rho = 0.9"), (0.5, 0.5))
    written, page = ((ROOT / "docs" / "kms.md").read_text(), tool["page"](told, (0.5, 0.5), "TABLE"))

    def wordy(text: str) -> str:
        return re.sub(r"[\d.]+", "#", re.sub(r"(?m)^(\|.*\n)+|^TABLE\n", "", text))

    assert wordy(written) == wordy(page), "run tools/draw_kms_page.py"


def test_every_picture_is_there() -> None:
    shown = re.findall(r"!\[.+?\]\((.+?)\)", (ROOT / "docs" / "kms.md").read_text())
    assert len(shown) == 5
    assert all((ROOT / "docs" / path).is_file() for path in shown)


def test_the_failure_it_shows_is_one(tool: dict[str, Any]) -> None:
    true = tool["truth"]()
    score = tool["pi"](tool["network"](true, 4.0, 1.5, 7), true, 0.9)
    assert 0.02 < np.mean(score > 0.5) < 0.2
