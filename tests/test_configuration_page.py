"""docs/configuration.md is made from the configuration itself."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_is_up_to_date_and_every_field_is_described():
    page = runpy.run_path(str(ROOT / "tools" / "document_config.py"))["page"]()
    assert (ROOT / "docs" / "configuration.md").read_text() == page, "run tools/document_config.py"
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert not [row for row in rows if row.endswith("|  |")]
