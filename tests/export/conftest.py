from __future__ import annotations

from pathlib import Path

import pytest

from em_core.export import PARTS, export
from em_core.selection import Selection
from em_core.store.publish import publish
from tests.export.hostile import fill
from tests.store.made import BareHome


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> BareHome:
    """Two fine-tunes with a shared baseline, one alone, later judgements, labels, health, an import; hostile texts in all."""
    made = BareHome(tmp_path_factory.mktemp("with blank") / "some home")
    made.prepare()
    fill(made)
    publish(made)
    return made


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "export"


@pytest.fixture(scope="package")
def everything(home: BareHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All parts of all runs, made once."""
    out = tmp_path_factory.mktemp("everything") / "export"
    export(home, Selection(judge_id="judge-1"), out, PARTS)
    return out
