from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.made import BareHome


@pytest.fixture
def home(tmp_path: Path) -> BareHome:
    """An empty home with no demonstration runs."""
    made = BareHome(tmp_path / "home")
    made.prepare()
    return made
