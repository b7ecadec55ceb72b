"""Tables that people write: CSV files as rows of cells with the place of each."""

from __future__ import annotations

import csv
from pathlib import Path

from segnoise.errors import UserError

Row = tuple[str, dict[str, str]]
"""``table.csv, line 3`` for messages, and the cells by column, without the blanks around them."""


def read_rows(path: str | Path) -> tuple[list[str], list[Row]]:
    """The columns of a CSV file in UTF-8, and its rows.

    Raises UserError for a file that is no such table.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> _ = path.write_text("image, label\\na.tif, b.tif\\n")
    >>> columns, [(where, cells)] = read_rows(path)
    >>> columns, where.endswith("line 2"), cells
    (['image', 'label'], True, {'image': 'a.tif', 'label': 'b.tif'})
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            read = [(reader.line_num, row) for row in reader]
            columns = [name.strip() for name in reader.fieldnames or []]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV table in UTF-8 ({error}); export it again") from error
    rows = []
    for line, row in read:
        cells = {(key or "").strip(): (value or "").strip() for key, value in row.items() if isinstance(value, str)}
        rows.append((f"{path}, line {line}", cells))
    return columns, rows
