"""The page Doctor: findings with their fixes, what is fine, the safe repairs, and no word as Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core import doctor
from em_core.doctor import Finding
from em_core.home import Home
from pages.shared import checkup
from tests.app.visiting import button, said, visit


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the doctor finds from now on; the list may be changed."""
    findings: list[Finding] = []
    monkeypatch.setattr(
        doctor, "check", lambda *_, **asked: [*findings, Finding("ok", "asked", str(sorted(asked)), topic="host")]
    )
    return findings


def test_findings_are_grouped_with_the_worst_first_and_their_fix(tmp_path: Path, monkeypatch, found) -> None:
    found += [
        Finding("note", "clock", "ahead", "set the clock (`timedatectl`)", "clock"),
        Finding("broken", "torch", "cpu build", "`pip install torch`", "cuda"),
    ]
    app = visit(Home(tmp_path), monkeypatch, "doctor")
    assert [each.value for each in app.subheader] == ["CUDA and driver", "Clock"]
    assert "`pip install torch`" in said(app)
    assert {"cpu build", "ahead"} <= {each.value for each in app.text}
    assert app.dataframe[0].value["what"].tolist() == ["asked"]


def test_what_was_found_is_never_markdown(tmp_path: Path, monkeypatch, found) -> None:
    found.append(Finding("note", "[x](http://evil)", "![x](http://evil)", "see `a` [x](http://evil) <b>", "clock"))
    app = visit(Home(tmp_path), monkeypatch, "doctor")
    assert [each.value for each in app.text] == ["![x](http://evil)"]
    shown = [each.value for each in app.markdown if "evil" in each.value]
    assert len(shown) == 2
    assert not any("](http" in text or "<b>" in text for text in shown)


def test_only_what_is_asked_for_is_looked_at_again(tmp_path: Path, monkeypatch, found) -> None:
    app = visit(Home(tmp_path), monkeypatch, "doctor")
    found.append(Finding("broken", "disk", "full", "free it", "disk"))
    app.run()
    assert not app.subheader
    button(app, "Look again").click().run()
    assert [each.value for each in app.subheader] == ["Disk"]


def test_leftovers_are_removed_by_the_button_alone(tmp_path: Path, monkeypatch) -> None:
    home = Home(tmp_path)
    home.prepare()
    (home.runs / ".new-half").mkdir()
    app = visit(home, monkeypatch, "doctor")
    assert (home.runs / ".new-half").exists()
    assert "half-made runs" in said(app)
    button(app, "Remove leftovers").click().run()
    assert not (home.runs / ".new-half").exists()
    assert "1 put right" in said(app)


@pytest.mark.parametrize(
    ("fix", "markdown"),
    [("do it", "do it"), ("`a b` or c_d", "`a b` or c\\_d"), ("an odd ` mark", "an odd ` mark`"), ("two\nlines", "two lines")],
)
def test_commands_of_a_fix_are_code_and_all_else_is_as_it_is(fix: str, markdown: str) -> None:
    assert checkup._with_commands(fix) == markdown
