"""docs/datasets.md is made from the manifests themselves."""

from __future__ import annotations

import runpy
from pathlib import Path

from segnoise.data.manifest import manifests

ROOT = Path(__file__).parents[1]


def test_the_page_is_up_to_date_and_every_set_is_on_it():
    page = runpy.run_path(str(ROOT / "tools" / "document_datasets.py"))["page"]()
    assert (ROOT / "docs" / "datasets.md").read_text() == page, "run tools/document_datasets.py"
    rows = [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(manifests())
