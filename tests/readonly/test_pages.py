"""The pages of a read-only demonstration: what changes something is off and says so, and nothing private is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from em_core.home import PROJECT, Home
from pages.shared.readonly import OFF
from tests.readonly.conftest import SECRET, everything_below

_OFF = {
    "launch": "run/launch.py", "live": "run/live.py", "judge": "measure/judge_jobs.py", "label": "measure/label.py",
    "import": "share/import_results.py",
}  # fmt: skip
_ON = ["observe/trajectories.py", "observe/compare.py", "observe/coherence.py", "observe/responses.py", "observe/run.py",
       "observe/gallery.py", "measure/thresholds.py", "measure/judges.py", "share/export.py"]  # fmt: skip


@pytest.fixture
def app(home: Home, shown: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The app of the demonstration."""
    monkeypatch.setenv("EM_HOME", str(shown))
    return AppTest.from_file(str(PROJECT / "pages" / "main.py"), default_timeout=60)


def _told(app: AppTest) -> str:
    texts = [
        getattr(element, "value", "")
        for kind in ("markdown", "caption", "text", "code", "error", "warning", "info")
        for element in getattr(app, kind)
    ]
    frames = [frame.value.to_csv() for frame in app.dataframe]
    return "\n".join(map(str, [*texts, *frames]))


@pytest.mark.parametrize("page", _OFF)
def test_a_page_that_changes_something_says_that_it_is_off(app: AppTest, shown: Path, page: str) -> None:
    before = everything_below(shown)
    app.run()
    app.switch_page(_OFF[page]).run()
    assert not app.exception
    assert any(f"{OFF[page]} is off here" in element.value for element in app.markdown)
    assert not app.button
    assert not app.text_input
    assert not app.selectbox
    assert everything_below(shown) == before


def test_home_offers_nothing_to_start(app: AppTest, shown: Path) -> None:
    before = everything_below(shown)
    app.run()
    assert not app.exception
    assert "Run the demo live" not in [button.label for button in app.button]
    assert any("Read-only demonstration" in caption.value for caption in app.sidebar.caption)
    assert everything_below(shown) == before


@pytest.mark.parametrize("page", _ON)
def test_the_other_pages_work_and_show_nothing_private(app: AppTest, shown: Path, page: str) -> None:
    before = everything_below(shown)
    app.run()
    app.switch_page(page).run()
    assert not app.exception, app.exception[0].message
    told = _told(app)
    assert SECRET not in told
    assert str(shown) not in told
    assert everything_below(shown) == before
