"""Gallery: a few charts at a time, one large, what is missing is said, the address is the view."""

from __future__ import annotations

import json

import pytest

from em_core import charts, figures
from em_core.cli import build_parser
from em_core.cli.plotting import selection as selection_of
from em_core.selection import Selection
from pages.shared import gallery
from tests.app import synthetic
from tests.app.visiting import said, visit

PAGE = "gallery"


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return synthetic.make_home(tmp_path_factory.mktemp("full"), sizes={"organism-0.3m": 3e-4, "organism-1m": 1e-3}, judges=2)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """All charts of a page at once: no browser is here that would ask for the next one."""
    monkeypatch.setattr(gallery, "AT_FIRST", gallery.AT_A_TIME)


def titles(app) -> list[str]:
    return [str(m.value).strip("*") for m in app.markdown if str(m.value).startswith("**")]


def test_every_chart_is_on_one_of_its_pages(full, monkeypatch):
    assert sorted(gallery.names()) == charts.names()
    app = visit(full, monkeypatch, PAGE)
    assert not app.exception
    assert not app.error
    assert titles(app)[-gallery.AT_A_TIME :] == [charts.load(name).TITLE for name in gallery.names()[: gallery.AT_A_TIME]]
    assert len(app.get("vega_lite_chart")) >= gallery.AT_A_TIME
    for name in gallery.names()[: gallery.AT_A_TIME]:
        assert charts.about(name) in said(app)


def test_what_a_selection_lacks_is_said_with_what_to_do(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE, chart="judge_calibration")
    assert not app.exception
    assert "No labels of people yet" in app.info[0].value
    assert "Label" in app.info[0].value


def test_one_chart_large_with_its_rules_command_and_data(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE, chart="em_bars", definition="turner")
    assert not app.exception
    assert [str(s.value) for s in app.subheader] == [charts.load("em_bars").TITLE]
    assert "alignment <= 30" in said(app)
    assert "plot em_bars --out em_bars.svg --definition turner" in app.code[0].value
    assert set(app.dataframe[0].value["definition"]) == {"turner"}


def test_the_command_selects_what_the_page_shows(full):
    shown = Selection("hw0", "population", "judge1", ("organism-1m-medical",), ("organism-general",), in_domain=False, at="peak")
    parts = gallery.command("em_bars", shown).split()
    args = build_parser().parse_args(parts[3:])
    assert selection_of(args, full) == shown


@pytest.mark.parametrize(
    ("at", "told"), [({"at": "peak"}, "the highest of"), ({"at": "step", "step": "40"}, "each run at step 40")]
)
def test_the_checkpoint_is_in_the_address_and_said_on_small_and_large_charts(full, monkeypatch, at, told):
    for chart in ({}, {"chart": "em_bars"}):
        app = visit(full, monkeypatch, PAGE, **at, **chart)
        assert not app.exception
        assert any(str(caption.value).find(told) >= 0 for caption in app.caption)
    assert f"--at {at.get('step', 'peak')}" in app.code[0].value
    other = visit(full, monkeypatch, PAGE, **at, chart="score_trajectory")
    assert "--at" not in other.code[0].value


def test_open_and_back_are_in_the_address(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE)
    app.button(key="open-em_bars").click().run()
    assert not app.exception
    assert app.query_params["chart"] in ("em_bars", ["em_bars"])
    assert [str(s.value) for s in app.subheader] == [charts.load("em_bars").TITLE]


def test_the_second_page_is_a_link(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE, page="2")
    assert not app.exception
    second = gallery.names()[gallery.AT_A_TIME : 2 * gallery.AT_A_TIME]
    assert [charts.load(name).TITLE in titles(app) for name in second] == [True] * len(second)


@pytest.mark.parametrize("query", [{"page": "99"}, {"page": "x"}, {"chart": "nonsense"}, {"chart": "../../etc/passwd"}])
def test_a_wrong_address_is_the_first_page(full, monkeypatch, query):
    app = visit(full, monkeypatch, PAGE, **query)
    assert not app.exception
    assert not app.error
    assert len(app.get("vega_lite_chart")) >= 1


def test_charts_that_wait_for_their_turn_are_placeholders(full, monkeypatch):
    monkeypatch.setattr(gallery, "AT_FIRST", 0)
    app = visit(full, monkeypatch, PAGE)
    assert not app.exception
    assert not app.get("vega_lite_chart")
    assert charts.load(gallery.names()[0]).TITLE in titles(app)
    monkeypatch.setattr(gallery, "AT_FIRST", gallery.AT_A_TIME)
    assert app.run().get("vega_lite_chart")
    monkeypatch.setattr(gallery, "AT_FIRST", 0)  # what was drawn stays
    assert app.run().get("vega_lite_chart")


def test_the_first_chart_comes_with_the_page(full, monkeypatch):
    monkeypatch.setattr(gallery, "AT_FIRST", 1)
    app = visit(full, monkeypatch, PAGE)
    first = len(app.get("vega_lite_chart"))
    assert 0 < first < gallery.AT_A_TIME
    assert len(app.run().get("vega_lite_chart")) == first, "the page itself draws no second one"


def test_without_runs_it_says_where_to_start(empty, monkeypatch):
    app = visit(empty, monkeypatch, PAGE)
    assert not app.exception
    assert "No scored answers yet" in said(app)


def test_small_cards_have_one_legend_for_all_panels(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE)
    of_two = gallery.names().index("em_trajectory")  # the cards before it have one panel each
    specs = [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")[of_two : of_two + 2]]
    legends = [json.dumps(spec).count('"orient": "bottom"') for spec in specs]
    assert legends[0] == 0
    assert legends[1] > 0
    assert len(figures.names()) == len(gallery.names())
