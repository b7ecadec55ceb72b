"""One landscape that the tests share; nothing may write into it."""

from __future__ import annotations

import pytest

from segnoise.data.scenes import FieldScene, field_scene


@pytest.fixture(scope="session")
def scene() -> FieldScene:
    return field_scene((640, 768), seed=5)
