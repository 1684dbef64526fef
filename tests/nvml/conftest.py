"""The stand-in for the driver's library, compiled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nvml.driver import Driver, build


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def driver(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    return Driver(library, tmp_path, monkeypatch)
