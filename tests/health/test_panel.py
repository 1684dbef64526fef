"""The panel below a chart of rates: what it shows, what it says where nothing was measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from em_core import health_job
from em_core.home import Home
from tests.app import synthetic

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from em_core.selection import Selection
from pages.shared import core, health
rates = core.rates_of(Selection())
health.show(rates[rates["step"] <= {last}], "test", "judge0")
"""
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(Home, "demo", property(lambda self: tmp_path / "none"))
    made = synthetic.make_home(tmp_path / "home", sizes={"organism-1m": 1e-3}, n_questions=3)
    monkeypatch.setenv("EM_HOME", str(made.root))
    monkeypatch.setenv("EM_NO_SUPERVISOR", "1")
    return made


def panel(last: int = 1000) -> AppTest:
    app = AppTest.from_string(SCRIPT.format(root=str(ROOT), last=last), default_timeout=60).run()
    assert not app.exception
    assert [element.value for element in app.subheader] == ["Health of these answers"]
    return app


def test_it_names_the_command_where_nothing_was_measured(home: Home) -> None:
    app = panel()
    assert "python -m em_core health" in " ".join(element.value for element in app.markdown)
    assert not app.dataframe


def test_it_shows_the_selected_answers_only(home: Home) -> None:
    health_job.measure_missing(home)
    whole, first = panel().dataframe[0].value, panel(last=5).dataframe[0].value
    assert set(first["step"]) == {0, 5} < set(whole["step"])
    assert (whole["n_measured"] == whole["n_total"]).all()


def test_an_empty_selection_is_no_error(home: Home) -> None:
    health_job.measure_missing(home)
    assert not panel(last=-1).dataframe
