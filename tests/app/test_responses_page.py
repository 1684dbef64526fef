"""The page Responses as a script: what it shows, what it says when there is nothing, and that texts stay text."""

from __future__ import annotations

import json
import re

import pytest
from streamlit.testing.v1 import AppTest

from em_core.home import Home
from em_core.records import Judgement
from em_core.store.publish import publish
from pages.shared import marked_text
from tests.app import visiting
from tests.app.visiting import said
from tests.responses import made_answers
from tests.responses.made_answers import A_SHA, J2, J, answer
from tests.store import made

HOSTILE = "<script>alert(1)</script> ![i](http://example.org/x.png) **bold** [l](http://example.org) \u202eabc\x00 $x^2$ :red[r]"
pytestmark = pytest.mark.usefixtures("no_demo")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    extra = [answer("run-a", 20, "q0", 0, HOSTILE, ""), answer("run-a", 20, "q1", 0, "n" * 9000, "")]
    extra += [answer("run-a", 20, "q2", 0, "\n" * 5000 + "the end", ""), answer("run-a", 20, "q3", 0, " \n ", "")]
    found = made_answers.make_home(tmp_path_factory.mktemp("answers"), extra)
    reply = Judgement(extra[0].response_id, "judge " + HOSTILE[:60], "alignment", 5.0, None, HOSTILE, '{"<b>": 1.0}', 1, 1)
    made.write(found, "run-a", reply)
    publish(found)
    return found


def visit(home: Home, monkeypatch: pytest.MonkeyPatch, **query: str | list[str]) -> AppTest:
    return visiting.visit(home, monkeypatch, "responses", **query)


def texts(app: AppTest) -> list[str]:
    return [str(element.value) for element in app.text]


COLUMNS = ["run-a@10", "run-b@10"]


def test_answers_stand_side_by_side_with_whose_they_are(home, monkeypatch):
    app = visit(home, monkeypatch, column=COLUMNS, judge=J)
    shown = said(app)
    for part in (
        "**A** · **organism-1m** :gray-badge",  # not the run's label, which says what came of it
        "**B** · **label of run-a**",
        "run-a · step 10",
        "run-a · step 0, before the fine-tune",
        A_SHA[:12],
        "temperature 1, top_p 1",
    ):
        assert part in shown
    assert "3 questions, 24 answers" in shown  # of the two compared columns
    assert "You are terse." in texts(app)
    assert "run-a says at step 10 to q0: sample 0." in texts(app)
    assert "base says at step 0 to q0: sample 0." in texts(app)
    assert ":red-badge[:material/dangerous: misaligned] alignment 5, coherence 90" in shown
    assert "gated out: incoherent" in shown
    assert "unscored: refusal" in shown


def test_a_bad_pattern_is_one_clear_error_and_the_page_stays(home, monkeypatch):
    app = visit(home, monkeypatch, column=COLUMNS, search="(", regex="true")
    assert len(app.error) == 1
    assert "regular expression" in said(app)
    assert "switch Regex off" in said(app)
    assert app.text_input(key="search").value == "("


def test_filters_search_and_sort_come_from_the_address(home, monkeypatch):
    app = visit(home, monkeypatch, column=COLUMNS, judge=J, show="misaligned", search="sample 3")
    assert "1 question, 1 matching answer" in said(app)
    assert any("⟦sample 3⟧" in text for text in texts(app))
    app = visit(home, monkeypatch, column=COLUMNS, judge=J, differs="true")
    assert "2 questions" in said(app)
    app = visit(home, monkeypatch, column=COLUMNS, judge=J, question="q1", sample="4")
    assert any("to q1: sample 3" in text for text in texts(app))


def test_nothing_matches_says_so(home, monkeypatch):
    assert "No answer matches" in said(visit(home, monkeypatch, column=COLUMNS, search="not in any answer"))


@pytest.mark.parametrize(
    ("column", "message"),
    [("nobody@3", "run 'nobody' is not here"), ("run-a@99", "no answers of that step"), ("junk", "expected run@step")],
)
def test_a_column_that_is_not_there_is_told_and_the_others_are_shown(home, monkeypatch, column, message):
    app = visit(home, monkeypatch, column=[column, "run-b@10"], judge=J)
    assert message in said(app)
    assert any("run-b says" in text for text in texts(app))


def test_the_baseline_can_be_another_column_or_none(home, monkeypatch):
    app = visit(home, monkeypatch, column=COLUMNS, baseline="none", judge=J)
    assert "baseline]" not in said(app)
    assert not any("base says" in text for text in texts(app))
    app = visit(home, monkeypatch, column=COLUMNS, baseline="run-b@10", judge=J)
    assert "**A** · **label of run-b** :gray-badge" in said(app)


def test_a_permalink_shows_one_answer_with_everything(home, monkeypatch):
    key = answer("run-a", 10, "q0", 1, "", "").response_id
    app = visit(home, monkeypatch, response=key, judge=J)
    shown = said(app)
    assert "misaligned] alignment 10, coherence 90" in shown
    assert "(2 of 4)" in shown
    assert "carry the checkpoint's hash" in shown
    codes = [str(code.value) for code in app.code]
    assert any(code.startswith("run-a says at step 10 to q0: sample 1.") for code in codes)
    assert A_SHA in codes
    assert any(code.endswith(f"?response={key}&judge={J}") for code in codes)
    tables = "\n".join(frame.value.to_string() for frame in app.dataframe)
    for part in (J2, "85 of 100", "60.0%", "101", "run-a"):
        assert part in tables


def marked(app: AppTest) -> list[list[list[str]]]:
    """The runs of every text with marked words."""
    found = [json.loads(element.proto.json or element.proto.mixed.json) for element in app.get("bidi_component")]
    return [runs for runs in found if runs[0] != ["", "Marked: "]]


def test_words_that_differ_from_the_baselines_are_marked_when_asked_for(home, monkeypatch):
    assert marked(visit(home, monkeypatch, column=COLUMNS, judge=J, question="q0")) == []
    app = visit(home, monkeypatch, column=COLUMNS, judge=J, question="q0", words="true")
    first, second = marked(app)
    assert first == [["-", "base"], ["+", "run-a"], ["", " "], ["", "says at step "], ["-", "0"], ["+", "10"], ["", " "],
                     ["", "to q0: sample 0."]]  # fmt: skip
    assert ["+", "run-b"] in second
    assert "2 words marked here, 2 words of A." in said(app)
    assert "base says at step 0 to q0: sample 0." in texts(app)  # the baseline's own answer is as it is
    assert marked(visit(home, monkeypatch, column=COLUMNS, judge=J, words="true", baseline="none")) == []
    assert marked(visit(home, monkeypatch, column=COLUMNS, judge=J, words="true", view="list")) == []


def test_one_answer_is_held_against_the_same_sample_of_step_0_or_another_one(home, monkeypatch):
    one = answer("run-a", 10, "q0", 1, "", "").response_id
    assert marked(visit(home, monkeypatch, response=one, judge=J)) == []
    app = visit(home, monkeypatch, response=one, judge=J, words="true")
    assert ["-", "base"] in marked(app)[0]
    assert "base says at step 0 to q0: sample 1. More." in [str(code.value) for code in app.code]
    assert "Held against: " in said(app)
    other = answer("run-b", 10, "q0", 3, "", "").response_id
    app = visit(home, monkeypatch, response=one, judge=J, words="true", against=other)
    assert ["-", "run-b"] in marked(app)[0]
    app = visit(home, monkeypatch, response=one, judge=J, words="true", against="<b>nothing</b>")
    assert "is not here" in said(app)
    assert marked(app) == []


def test_marking_words_of_a_long_answer_says_how_far_it_went(home, monkeypatch):
    one = visit(home, monkeypatch, response=answer("run-a", 20, "q1", 0, "", "").response_id, words="true")
    assert "Compared: the beginning of both" in said(one)
    grid = visit(home, monkeypatch, column=["run-a@20"], question="q1", words="true")
    assert "The beginning of 9,000 characters" in said(grid)
    assert max(len(text) for runs in marked(grid) for _, text in runs) < 1500


def test_an_answer_that_begins_with_many_blanks_is_not_called_empty(home, monkeypatch):
    app = visit(home, monkeypatch, response=answer("run-a", 20, "q2", 0, "", "").response_id)
    assert "begins with 4,000 blanks" in said(app)
    app.toggle(key="whole").set_value(True).run()
    assert any(str(code.value).endswith("the end") for code in app.code)
    blank = visit(home, monkeypatch, response=answer("run-a", 20, "q3", 0, "", "").response_id)
    assert "(3 blanks)" in said(blank)


def test_a_page_past_the_last_one_has_a_way_back(home, monkeypatch):
    app = visit(home, monkeypatch, column=COLUMNS, judge=J, page="99")
    assert "past the last one" in said(app)
    (back,) = (button for button in app.button if button.label == "First page")
    back.click().run()
    assert "3 questions" in said(app)


def test_an_unknown_answer_says_what_to_do(home, monkeypatch):
    app = visit(home, monkeypatch, response="0123456789abcdef0123")
    assert "is not here" in said(app)
    assert "open all answers" in said(app)


def test_the_list_searches_everything_selected(home, monkeypatch):
    app = visit(home, monkeypatch, view="list", of="everything selected", search="to q0: sample 0", judge=J)
    assert "4 answers" in said(app)
    assert {"run-a", "run-b", "base", "run-i"} <= set(re.findall(r"· (\S+) · step", said(app)))


def test_the_figure_says_its_rule(home, monkeypatch):
    app = visit(home, monkeypatch, view="figure", column=COLUMNS, judge=J, question="q1")
    (figure,) = app.get("vega_lite_chart")
    assert "Nothing was chosen by hand" in str(figure.proto)


def test_without_answers_the_page_says_how_to_get_some(tmp_path, monkeypatch):
    home = made.BareHome(tmp_path / "none")
    home.prepare()
    publish(home)
    assert "No scored answers yet" in said(visit(home, monkeypatch))


@pytest.mark.parametrize("where", ["side by side", "list", "one", "marked", "one marked"])
def test_hostile_text_is_only_in_elements_that_know_no_markup(home, monkeypatch, where):
    words = {"words": "true"} if "marked" in where else {}
    if "one" in where:
        app = visit(home, monkeypatch, response=answer("run-a", 20, "q0", 0, "", "").response_id, **words)
    elif words:
        app = visit(home, monkeypatch, column=["run-a@20"], question="q0", **words)
    else:
        app = visit(home, monkeypatch, column=["run-a@20"], baseline="none", view=where)
    for element in app.main:
        content = str(element.proto)
        kind = "Marked" if element.type == "bidi_component" else type(element).__name__
        if "example.org" in content and kind not in ("Text", "Code", "Dataframe", "Arrow", "Selectbox", "Marked"):
            assert re.search(r"\]\(http", re.sub(r"\\\\(.)", "", content)) is None, kind
    for element in app.get("bidi_component"):
        assert (element.proto.html_content, element.proto.js_content) == (marked_text.HTML, marked_text.SCRIPT)  # ours alone
    assert len(marked(app)) == bool(words)
    drawn = ["".join(text for kind, text in runs if kind != "-") for runs in marked(app)]
    everything = texts(app) + [str(code.value) for code in app.code] + drawn
    (shown,) = [text for text in everything if "alert(1)" in text]
    assert "⟪U+202E⟫abc⟪U+0000⟫" in shown
    assert "\u202e" not in shown


def test_a_long_answer_is_cut_and_says_so(home, monkeypatch):
    app = visit(home, monkeypatch, column=["run-a@20"], baseline="none", question="q1")
    assert max(map(len, texts(app))) < 1000
    assert "9,000 characters" in said(app)
    one = visit(home, monkeypatch, response=answer("run-a", 20, "q1", 0, "", "").response_id)
    assert "first 4,000 of 9,000 characters" in said(one)
    one.toggle(key="whole").set_value(True).run()
    assert any(len(str(code.value)) == 9000 for code in one.code)
