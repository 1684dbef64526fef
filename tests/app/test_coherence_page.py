"""Coherence: four views of the same answers, all in the address; answers behind a point; verdicts; hostile texts."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from em_core.events import EventWriter
from em_core.home import Home
from em_core.records import JudgeIdentity, Judgement, Response, RunCreated, response_id
from em_core.store.publish import publish
from tests.app.visiting import said, visit

PAGE = "coherence"
HOSTILE = "<script>alert(1)</script> ![x](http://example.org/x.png) \x1b[31mred \u202egnorw\x00 **bold**"


@pytest.fixture(scope="module")
def special(tmp_path_factory):
    """A run with one hostile answer, and one that a verdict judge has judged."""
    home = Home(tmp_path_factory.mktemp("special"))
    home.prepare()
    with EventWriter(home.run_dir("special"), "worker-1") as events:
        events.write(
            RunCreated(
                "train", "special <b>run</b>", "", "{}", "0", "model", "", "local", "medical", "[]", "", None, 1e-4, 8, 8, 0
            ),
            JudgeIdentity("scores", "openai", "", "integer", "", "{}", ""),
            JudgeIdentity("verdicts", "openai", "", "verdict", "", "{}", ""),
        )
        for sample in range(20):
            key = response_id("special", 7, "general", "q0", 0, sample)
            events.write(Response(key, 7, "general", "q0", 0, sample, "", HOSTILE, "stop", 5, 5, 0, "{}", "0"))
            for metric, value in (("alignment", 5.0), ("coherence", 90.0)):
                events.write(Judgement(key, "scores", metric, value, None, "", None, None, None))
            verdict = "UNALIGNED" if sample < 5 else "ALIGNED"
            events.write(Judgement(key, "verdicts", "verdict", None, None, "", None, None, None, verdict=verdict))
    publish(home)
    return home


def charts_of(app: Any) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]


def fields(app: Any) -> str:
    return json.dumps(charts_of(app))


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("Answers", "equal answers"),
        ("Checkpoints", "mean alignment"),
        ("Over training", "Mean coherence"),
        ("Against EM", "ci_high"),
    ],
)
@pytest.mark.parametrize("definition", ["betley", "hw0"])
def test_each_view_draws_its_chart(full, monkeypatch, view, expected, definition):
    app = visit(full, monkeypatch, PAGE, view=view, definition=definition)
    assert not app.exception
    assert not app.error
    assert expected in fields(app)


def test_answers_come_with_shares_rate_and_correlation(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE, step="180", run_id="organism-1m-medical")
    text = said(app)
    assert "medical: EM rate" in text
    assert "12 answers to 12 questions" in text
    assert "How the two scores go together" in text
    table = next(frame.value for frame in app.dataframe if "Correlation" in frame.value)
    assert table["Note"][0] == "one of the two scores never differs"  # coherence is 90 throughout
    assert "Misaligned, coherent (EM)" in str(app.get("vega_lite_chart")[0].proto)


def test_the_step_in_the_address_is_the_step_shown(full, monkeypatch):
    start = visit(full, monkeypatch, PAGE, step="0", run_id="organism-1m-medical")
    assert "EM rate 0.0%" in said(start)
    every = visit(full, monkeypatch, PAGE, step="all", run_id="organism-1m-medical")
    assert "84 answers to 12 questions" in said(every)


def test_questions_split_by_domain_are_panels_of_their_own(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE, questions="in and out of domain")
    assert not app.exception
    text = said(app)
    assert "medical · in domain: EM rate" in text
    assert "medical · out of domain: EM rate" in text


def test_answers_behind_a_point_are_in_the_address_and_inert(special, monkeypatch):
    app = visit(special, monkeypatch, PAGE, judge="scores", at="answer:5.0:90.0:medical", run_id="special")
    assert not app.exception
    text = said(app)
    assert "20 answers here" in text
    shown = [element.value for element in app.text]
    assert len(shown) == 8
    assert all("<script>alert(1)</script>" in value for value in shown)
    assert all("⟪U+202E⟫" in value and "\x1b" not in value for value in shown)
    assert not any("script" in element.value for element in (*app.markdown, *app.caption))
    links = [str(link.proto) for link in app.get("html")]
    assert not any("script" in link for link in links)
    assert sum("responses?" in link and "response=" in link for link in links) == 8
    second = visit(special, monkeypatch, PAGE, judge="scores", at="answer:5.0:90.0:medical", run_id="special", answers_page="3")
    assert len(second.text) == 4


@pytest.mark.parametrize(
    "at", ["nonsense", "answer:x:y:medical", "bin:5.0:90.0:medical", "answer:5.0:90.0:no such panel", "answer:1:1:medical"]
)
def test_an_address_that_names_no_point_is_no_error(special, monkeypatch, at):
    app = visit(special, monkeypatch, PAGE, judge="scores", at=at, run_id="special")
    assert not app.exception
    assert not app.error
    assert not app.text


def test_verdicts_are_bars_and_the_page_says_why(special, monkeypatch):
    app = visit(special, monkeypatch, PAGE, definition="verdict", run_id="special")
    assert not app.exception
    assert "words, not scores" in app.info[0].value
    [chart] = app.get("vega_lite_chart")
    rows = pa.ipc.open_stream(chart.proto.datasets[0].data.data).read_all().to_pylist()
    shares = {row["verdict"]: (row["share"], row["n"], row["n_of"]) for row in rows}
    assert shares == {"UNALIGNED": (0.25, 5, 20), "ALIGNED": (0.75, 15, 20)}
    assert all(row["low"] < row["share"] < row["high"] for row in rows)


def test_a_gated_mean_without_a_gate_says_what_to_choose(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE, view="Over training", score="Alignment of coherent answers", definition="hw0")
    assert not app.exception
    assert "no gate" in app.info[0].value


def test_without_runs_it_says_where_to_start(empty, monkeypatch):
    app = visit(empty, monkeypatch, PAGE)
    assert not app.exception
    assert "No scored answers yet" in said(app)
