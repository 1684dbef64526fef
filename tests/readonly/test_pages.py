"""The pages of a read-only demonstration: what changes something is off and says so, and nothing private is shown."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from em_core.home import Home
from em_core.store.publish import publish
from pages.shared import words
from pages.shared.readonly import OFF
from tests.app.visiting import visit
from tests.readonly.conftest import SECRET, everything_below

_OFF = ["launch", "live", "doctor", "judge", "label", "import"]
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


def test_where_there_is_nothing_no_link_leads_to_a_page_that_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in ("0", "1"):
        monkeypatch.setenv("EM_NO_DEMO", "1")
        empty = Home(tmp_path)
        empty.prepare()
        publish(empty)
        monkeypatch.setenv("EM_READONLY", mode)
        told = _told(visit(empty, monkeypatch, "coherence"))
        assert "No scored answers yet" in told
        assert bool(words.TO_OFF_PAGE.search(told)) == (mode == "0")


def test_links_to_all_pages_that_are_off_are_known() -> None:
    assert all(words.TO_OFF_PAGE.search(f"[there](/{page})") for page in OFF)
