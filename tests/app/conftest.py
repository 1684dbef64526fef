"""Homes for the tests of pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core.home import Home
from tests.app import synthetic


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Three sizes and two domains, scored by two judges, beside the demonstration; nobody writes into it."""
    return synthetic.make_home(tmp_path_factory.mktemp("full"), judges=2)


@pytest.fixture
def no_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Homes without the shipped demonstration."""
    monkeypatch.setenv("EM_NO_DEMO", "1")


@pytest.fixture
def empty(no_demo: None, tmp_path: Path) -> Home:
    """A home without anything, not even the demonstration."""
    return Home(tmp_path / "empty")
