"""The Live page: what runs, how far it is, how runs ended, and the buttons that help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.live_home import LiveHome
from tests.app.visiting import said, visit


@pytest.fixture
def live(no_demo: None, tmp_path: Path) -> Iterator[LiveHome]:
    made = LiveHome(tmp_path)
    try:
        yield made
    finally:
        made.end()


def labels(app, key: str) -> list[str]:
    """Buttons whose key begins so."""
    return [button.label for button in app.button if str(button.key or "").startswith(key)]


def test_phases_curves_and_pace_of_a_run_at_work(live, monkeypatch):
    run_id = live.at_work()
    live.publish()
    app = visit(live.home, monkeypatch, "live")
    text = said(app)
    assert not app.error
    assert "5,442 tokens/s" in text
    assert "EM rate at step 200" in text
    assert "70% organism-general: " in text.replace("*", "")
    bars = [bar.proto for bar in app.get("progress")]
    assert [bar.value for bar in bars] == [100, 62, 50, 50]
    words = [bar.text for bar in bars]
    assert "250 of 400 steps" in words[1]
    assert "left" in words[2]
    assert len(app.get("vega_lite_chart")) == 2
    assert f"save-{run_id}" in [button.key for button in app.button]
