"""The pages of a read-only demonstration: what changes something is off and says so, and nothing private is shown."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from em_core.home import Home
from pages.shared.readonly import OFF
from tests.app.visiting import visit
from tests.readonly.conftest import SECRET, everything_below

_OFF = ["launch", "live", "judge", "label", "import"]
_ON = ["trajectories", "compare", "coherence", "responses", "run", "gallery", "thresholds", "judges", "export"]


@pytest.fixture
def open_page(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """A page of the demonstration, by its address."""
    return functools.partial(visit, home, monkeypatch)


def _told(app: AppTest) -> str:
    texts = [
        getattr(element, "value", "")
        for kind in ("markdown", "caption", "text", "code", "error", "warning", "info")
        for element in getattr(app, kind)
    ]
    frames = [frame.value.to_csv() for frame in app.dataframe]
    return "\n".join(map(str, [*texts, *frames]))


@pytest.mark.parametrize("page", _OFF)
def test_a_page_that_changes_something_says_that_it_is_off(open_page: Callable[..., AppTest], shown: Path, page: str) -> None:
    before = everything_below(shown)
    app = open_page(page)
    assert any(f"{OFF[page]} is off here" in element.value for element in app.markdown)
    assert not app.button
    assert not app.text_input
    assert not app.selectbox
    assert everything_below(shown) == before


def test_home_offers_nothing_to_start(open_page: Callable[..., AppTest], shown: Path) -> None:
    before = everything_below(shown)
    app = open_page()
    assert "Run the demo live" not in [button.label for button in app.button]
    assert any("Read-only demonstration" in caption.value for caption in app.sidebar.caption)
    assert everything_below(shown) == before


@pytest.mark.parametrize("page", _ON)
def test_the_other_pages_work_and_show_nothing_private(open_page: Callable[..., AppTest], shown: Path, page: str) -> None:
    before = everything_below(shown)
    app = open_page(page)
    told = _told(app)
    assert SECRET not in told
    assert str(shown) not in told
    assert everything_below(shown) == before
