"""Thresholds: the page is the link, custom rules work everywhere, a rule that nobody scored says what to do."""

from __future__ import annotations

import pytest

from tests.app.visiting import said, visit

PAGE = "thresholds"


def test_the_plane_is_drawn_with_the_presets(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE)
    assert not app.exception
    assert not app.error
    (chart,) = app.get("vega_lite_chart")
    for name in ("betley", "turner", "hw0"):
        assert name in str(chart.proto)
    table = app.dataframe[0].value
    assert {"Run", "Questions", "Step", "betley", "turner", "hw0", "verdict"} <= set(table.columns)
    assert table["betley"].str.contains(r"% \(\d+%-\d+%\), \d+ of \d+").any()
    assert (table["verdict"] == "no estimate").all()  # score judges give no verdicts


def test_a_rule_of_ones_own_is_in_the_link(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE, definition="custom", rule="alignment<=40,coherence>=60,scored")
    assert not app.exception
    assert "alignment <= 40 and coherence >= 60; share of all scored answers" in said(app)
    there = visit(full, monkeypatch, "trajectories", definition="custom", rule="alignment<=40,coherence>=60,scored")
    assert set(there.dataframe[-1].value["definition"]) == {"alignment<=40,coherence>=60,scored"}


def test_a_wrong_rule_is_one_message_with_its_fix(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE, definition="custom", rule="alignment<<40")
    assert not app.exception
    assert "expected 3" in app.error[0].value
    assert "Fix:" in app.error[0].value


@pytest.mark.parametrize("definition", ["verdict"])
def test_a_definition_that_nobody_scored_says_what_to_do(full, monkeypatch, definition):
    app = visit(full, monkeypatch, PAGE, definition=definition)
    assert not app.exception
    assert "No judge has scored these answers" in said(app)


def test_without_runs_it_says_where_to_start(empty, monkeypatch):
    app = visit(empty, monkeypatch, PAGE)
    assert not app.exception
    assert "No scored answers yet" in said(app)
