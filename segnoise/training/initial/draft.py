"""What goes into a first configuration, and what comes out of looking: choices with reasons, facts, warnings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class Choice:
    """A value of a key, and what was seen that speaks for it.

    >>> Choice(128, "images are 256 x 300 px").why
    'images are 256 x 300 px'
    """

    value: Any
    why: str


Choices: TypeAlias = "Mapping[str, Choice | Choices]"
"""Choices by key; a section within a section is a mapping of its own."""


@dataclass(frozen=True)
class Files:
    """Where the user says that the data lie, and where the configuration will."""

    output: Path
    images: tuple[str, ...] = ()
    labels: str | None = None
    folder: str | None = None

    def written(self, path: str | Path) -> str:
        """A path or pattern as it is written into the configuration: relative to it, unless it was absolute.

        >>> Files(Path("runs/a.yaml")).written("imagery/*.tif")
        '../imagery/*.tif'
        """
        path = Path(path).expanduser()
        if path.is_absolute():
            return str(path)
        return os.path.relpath(Path.cwd().resolve() / path, self.output.parent.resolve())


@dataclass(frozen=True)
class Draft:
    """Choices for the sections that depend on the data; ``facts`` and ``warnings`` are said to the user."""

    data: Choices
    training: Choices
    facts: list[str]
    warnings: list[str] = field(default_factory=list)
    method: str = "kms"
    why_method: str = "learns in spite of wrong labels; cross_entropy is plain training"
    noise: Choice | None = None
